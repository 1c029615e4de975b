#include "stored_systems.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/shell_text.h"
#include "core/utf8.h"
#include "serving/server_probe.h"

namespace secondsource {
namespace {

/// Returns how the plan beside --resume starts a server of the run.
Result<ManagedStart> start_again(const BackendRecord& backend, const std::vector<SystemRequest>& planned) {
  const auto found = std::ranges::find(planned, backend.name, &SystemRequest::name);
  if (found == planned.end() || !found->managed) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("system {}: the run starts its server, and no command of a run.json is executed: expected "
                             "--config PLAN beside --resume, with the plan that the run began with",
                             shown(backend.name))};
  }
  return *found->managed;
}

/// Returns how the plan or a --system beside --resume starts an adapter of the run.
Result<SystemRequest> adapter_again(const BackendRecord& backend, const std::vector<SystemRequest>& said,
                                    const std::vector<SystemRequest>& planned) {
  for (const std::vector<SystemRequest>* const requests : {&said, &planned}) {
    const auto found = std::ranges::find(*requests, backend.name, &SystemRequest::name);
    if (found != requests->end() && found->adapter) return *found;
  }
  return Error{ErrorCode::kInvalidInput,
               fmt::format("system {}: the run starts its adapter, and no command of a run.json is executed: expected "
                           "--config PLAN or --system {}=adapter:... beside --resume, as the run began",
                           shown(backend.name), shown(backend.name))};
}

/// The bundle that a system of a stored run was measured with; empty if it has no cells.
std::string bundle_of(const RunRecord& record, const BackendRecord& backend) {
  const auto cell =
      std::ranges::find(record.cells, backend.name, [](const PlannedCell& one) { return one.key.backend; });
  return cell == record.cells.end() ? "" : cell->key.bundle;
}

/// The settings that a plan would need for the system to be sampled and labelled as it was in the stored run.
std::vector<std::pair<std::string, std::string>> said_of(const ServedSystem& system) {
  std::vector<std::pair<std::string, std::string>> parts = {
      {"metrics", system.metrics.empty() ? std::string(kNoMetrics) : system.metrics}};
  if (!system.telemetry.empty()) parts.emplace_back("telemetry", system.telemetry);
  if (!system.features) return parts;
  for (const auto& [key, setting] :
       {std::pair("speculative", &system.features->speculative),
        std::pair("prefix_cache", &system.features->prefix_cache), std::pair("kv_cache", &system.features->kv_cache)}) {
    if (setting->source != SettingSource::kUnknown) parts.emplace_back(key, setting->value);
  }
  return parts;
}

}  // namespace

Result<std::vector<SystemRequest>> stored_systems(const RunRecord& record, const std::vector<SystemRequest>& said,
                                                  const std::vector<SystemRequest>& planned) {
  const auto named = [](const std::string& name) { return [&name](const auto& one) { return one.name == name; }; };
  for (const SystemRequest& one : said) {
    const auto stored = std::ranges::find_if(record.backends, named(one.name));
    if (stored != record.backends.end() && stored->served && stored->served->url == one.url) continue;
    if (stored != record.backends.end() && stored->adapter && one.adapter) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--system {}={}: expected a system of the run that goes on", one.name,
                             one.adapter ? "adapter:" + one.adapter->adapter : one.url)};
  }
  std::vector<SystemRequest> requests;
  for (const BackendRecord& backend : record.backends) {
    if (!backend.is_foreign() || !backend.unavailable.empty()) continue;
    if (backend.adapter) {
      SS_TRY(SystemRequest request, adapter_again(backend, said, planned));
      request.bundle = bundle_of(record, backend);
      requests.push_back(std::move(request));
      continue;
    }
    const ServedSystem& system = *backend.served;
    SS_TRY(SystemRequest request, system_request_of(backend.name, system.url, said_of(system)));
    request.preset = system.preset;
    request.api = system.api;
    request.http = system.http;
    request.model = system.model;
    request.timeout_s = system.timeout_s;
    const auto again = std::ranges::find_if(said, named(backend.name));
    if (again != said.end()) request.key = again->key;
    if (system.managed) {
      SS_TRY(request.managed, start_again(backend, planned));
      request.bundle = bundle_of(record, backend);
      const auto plan = std::ranges::find_if(planned, named(backend.name));
      if (request.key.is_empty()) request.key = plan->key;
    }
    if (system.needs_key && request.key.is_empty()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("system {}: the run began with a key for it, and no key is stored: expected --system "
                               "{}={},key_env=VARIABLE beside --resume",
                               shown(backend.name), shown(backend.name), shown(system.url))};
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

std::string command_to_resume(const RunRecord& record, const std::filesystem::path& folder) {
  std::vector<std::string> words = {"secondsource", "run", "--resume", folder.string()};
  bool starts_systems = false;
  for (const BackendRecord& backend : record.backends) {
    const bool is_started = backend.adapter || (backend.served && backend.served->managed);
    starts_systems = starts_systems || is_started;
    if (is_started || !backend.served || !backend.served->needs_key) continue;
    words.insert(words.end(), {"--system", fmt::format("{}={},key_env=VARIABLE", backend.name, backend.served->url)});
  }
  if (starts_systems) words.insert(words.end(), {"--config", "PLAN"});
  return shell_command(words);
}

}  // namespace secondsource

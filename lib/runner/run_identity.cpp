#include "runner/run_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

#include "bundle/content.h"
#include "core/enum_format.h"
#include "core/hash.h"
#include "core/number.h"
#include "core/utf8.h"
#include "host/fingerprint.h"
#include "record/json_codec.h"
#include "systems/system_job.h"

namespace secondsource {
namespace {

// Facts about a host that change from moment to moment.
constexpr std::array<std::string_view, 5> kPassingFacts = {"load_1min", "uptime_s", "harness_ns_per_request",
                                                           "harness_ns_per_poll", "harness_ns_per_token"};
// The kernel reports a little more or less memory after each start.
constexpr double kMemoryTolerance = 0.01;

/// Says what differs, with both values.
Error differs(const RunRecord& record, std::string_view what, std::string_view before, std::string_view now) {
  return Error{ErrorCode::kNotComparable,
               fmt::format("run {}: {} changed since the run began: expected {}, found {}; start a new run",
                           shown(record.run_id), what, before.empty() ? "none" : shown(before),
                           now.empty() ? "none" : shown(now))};
}

bool is_same_fact(std::string_view name, std::string_view before, std::string_view now) {
  if (before == now) return true;
  const auto a = parse_number<double>(before);
  const auto b = parse_number<double>(now);
  return name == "memory_bytes" && a && b && std::abs(*a - *b) <= kMemoryTolerance * *a;
}

Result<void> check_host(const RunRecord& record, const std::vector<HostFact>& now) {
  std::set<std::string> names;
  for (const std::vector<HostFact>* const facts : {&now, &record.host}) {
    for (const HostFact& one : *facts) names.insert(one.name);
  }
  for (const std::string& name : names) {
    if (std::ranges::find(kPassingFacts, name) != kPassingFacts.end()) continue;
    const std::string before = fact(record.host, name).value_or("");
    const std::string found = fact(now, name).value_or("");
    if (!is_same_fact(name, before, found)) return differs(record, "the host's " + shown(name), before, found);
  }
  return {};
}

/// The names of variables that the record sets must be those that the module declares for the device, because a
/// variable such as LD_PRELOAD runs code.
Result<void> check_environment(const BackendRecord& backend, const DeviceInfo& declared) {
  for (const auto& [key, value] : backend.options) {
    if (!key.starts_with(kEnvironmentOption)) continue;
    const std::pair variable(key.substr(kEnvironmentOption.size()), value);
    if (std::ranges::find(declared.environment, variable) != declared.environment.end()) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("run.json: backend {}: option {}: expected only variables that the module declares for "
                             "device {}, found one that it does not",
                             shown(backend.name), shown(key), shown(backend.device.id))};
  }
  return {};
}

Result<void> check_backend(const RunRecord& record, const BackendRecord& backend, const ModuleSurvey& modules) {
  const auto module = modules.usable(backend.name);
  if (!module) {
    return Error{ErrorCode::kNotComparable, fmt::format("run {}: it began with a backend that cannot be used now: {}",
                                                        shown(record.run_id), module.error().message)};
  }
  SS_TRY(const std::string hash, sha256_of_file((*module)->path));
  if (hash != backend.module_sha256) return differs(record, "module " + backend.name, backend.module_sha256, hash);
  const auto& devices = (*module)->devices;
  const auto device = std::ranges::find(devices, backend.device.id, &DeviceInfo::id);
  if (device == devices.end()) return differs(record, "device of " + backend.name, backend.device.id, "");
  SS_TRY_VOID(check_environment(backend, *device));
  const std::string before = json_codec::to_text(json_codec::to_tree(backend.device), -1);
  const std::string now = json_codec::to_text(json_codec::to_tree(*device), -1);
  if (before == now) return {};
  const auto parts = std::ranges::mismatch(before, now);
  // Long values are quoted from a little before their first difference.
  const auto at = std::max<std::ptrdiff_t>(0, parts.in1 - before.begin() - 20);
  return differs(record, "device " + backend.device.id + " of " + backend.name,
                 std::string_view(before).substr(static_cast<std::size_t>(at)),
                 std::string_view(now).substr(static_cast<std::size_t>(at)));
}

std::string text_of(const std::vector<std::pair<std::string, std::string>>& settings) {
  std::string all;
  for (const auto& [key, value] : settings) all += fmt::format("{}{}={}", all.empty() ? "" : ", ", key, value);
  return all;
}

/// Checks that the server is the same as before, as far as it reports.
Result<void> check_served(const RunRecord& record, const BackendRecord& backend,
                          const std::vector<ProbedSystem>& systems) {
  const auto found = std::ranges::find(systems, backend.name, [](const ProbedSystem& one) { return one.request.name; });
  if (found == systems.end() || !found->unavailable.empty()) {
    return Error{ErrorCode::kNotComparable,
                 fmt::format("run {}: it began with a system that cannot be used now: {}: {}", shown(record.run_id),
                             shown(backend.name), found == systems.end() ? "not probed" : found->unavailable)};
  }
  const ServedSystem& before = *backend.served;
  const ServedSystem& now = found->record;
  const std::string what = "system " + backend.name + ": ";
  const std::array<std::array<std::string_view, 3>, 8> facts = {
      {{"the URL", before.url, now.url},
       {"the preset", to_string(before.preset), to_string(now.preset)},
       {"the API", to_string(before.api), to_string(now.api)},
       {"the version of HTTP", to_string(before.http), to_string(now.http)},
       {"the model", before.model, now.model},
       {"the server's version", before.version, now.version},
       {"where its metrics are", before.metrics, now.metrics},
       {"where the telemetry of its devices is", before.telemetry, now.telemetry}}};
  for (const auto& [name, old_value, new_value] : facts) {
    if (old_value != new_value) return differs(record, what + std::string(name), old_value, new_value);
  }
  if (before.managed != now.managed) {
    return differs(record, what + "how the server is started", before.managed ? start_text(*before.managed) : "",
                   now.managed ? start_text(*now.managed) : "");
  }
  if (before.features && before.features != now.features) {
    return differs(record, what + "its settings", features_text(*before.features),
                   now.features ? features_text(*now.features) : "");
  }
  if (before.settings == now.settings) return {};
  return differs(record, what + "the server's settings", text_of(before.settings), text_of(now.settings));
}

/// Checks that the adapter is started as before and reports the same about itself.
Result<void> check_adapter(const RunRecord& record, const BackendRecord& backend,
                           const std::vector<ProbedSystem>& systems) {
  const auto found = std::ranges::find(systems, backend.name, [](const ProbedSystem& one) { return one.request.name; });
  if (found == systems.end() || !found->unavailable.empty() || !found->adapter) {
    return Error{ErrorCode::kNotComparable,
                 fmt::format("run {}: it began with an adapter that cannot be used now: {}: {}", shown(record.run_id),
                             shown(backend.name), found == systems.end() ? "not asked" : found->unavailable)};
  }
  const AdapterSystem& before = *backend.adapter;
  const AdapterSystem& now = *found->adapter;
  const std::string what = "adapter " + backend.name + ": ";
  const std::array<std::pair<std::string_view, std::array<std::string, 2>>, 5> facts = {
      {{"how it is started", {start_text(before), start_text(now)}},
       {"its options", {text_of(before.options), text_of(now.options)}},
       {"its runtime", {before.runtime, now.runtime}},
       {"its versions", {text_of(before.versions), text_of(now.versions)}},
       {"its settings", {text_of(before.settings), text_of(now.settings)}}}};
  for (const auto& [name, values] : facts) {
    if (values[0] != values[1]) return differs(record, what + std::string(name), values[0], values[1]);
  }
  if (before == now) return {};
  return differs(record, what + "what it gives", fmt::format("{} and {}", before.tokens, before.forced),
                 fmt::format("{} and {}", now.tokens, now.forced));
}

Result<void> check_system(const RunRecord& record, const BackendRecord& backend, const ModuleSurvey& modules,
                          const std::vector<ProbedSystem>& systems) {
  if (backend.adapter) return check_adapter(record, backend, systems);
  return backend.served ? check_served(record, backend, systems) : check_backend(record, backend, modules);
}

Result<std::string> content_of(const BundleRecord& record, Progress& progress, const InterruptFlag& interrupt) {
  SS_TRY(const Bundle bundle, Bundle::open(record.path, progress, interrupt));
  return check_content(bundle, progress, interrupt);
}

}  // namespace

Result<void> check_identity(const RunRecord& record, const ProgramIdentity& program, const ModuleSurvey& modules,
                            Progress& progress, const InterruptFlag& interrupt,
                            const std::vector<ProbedSystem>& systems) {
  const std::array<std::array<std::string_view, 3>, 4> facts_of_program = {
      {{"the program's version", record.program_version, program.version},
       {"the program's commit", record.commit, program.commit},
       {"the program's compiler", record.compiler, program.compiler},
       {"the program's build type", record.build_type, program.build_type}}};
  for (const auto& [what, before, now] : facts_of_program) {
    if (before != now) return differs(record, what, before, now);
  }
  SS_TRY(const std::vector<HostFact> host, host_facts(program.file));
  SS_TRY_VOID(check_host(record, host));
  for (const BackendRecord& backend : record.backends) {
    if (!backend.unavailable.empty()) continue;
    SS_TRY_VOID(check_system(record, backend, modules, systems));
  }
  for (const BundleRecord& expected : record.bundles) {
    if (!expected.models.empty()) continue;  // it stands for other bundles in the list
    const Result<std::string> hash = content_of(expected, progress, interrupt);
    if (!hash && hash.error().code == ErrorCode::kInvalidInput) {
      return Error{ErrorCode::kNotComparable,
                   fmt::format("run {}: bundle {} changed since the run began: {}; start a new run",
                               shown(record.run_id), shown(expected.name), hash.error().message)};
    }
    if (!hash) return hash.error();
    if (*hash != expected.content_sha256) {
      return differs(record, "bundle " + shown(expected.name), expected.content_sha256, *hash);
    }
  }
  for (const PlannedCell& cell : record.cells) {
    if (cell.scenario.trace.empty()) continue;
    SS_TRY(const std::string hash, sha256_of_file(cell.scenario.trace));
    if (hash != cell.scenario.trace_sha256) {
      return differs(record, "trace " + shown(cell.scenario.trace), cell.scenario.trace_sha256, hash);
    }
  }
  return {};
}

Result<std::vector<HostFact>> host_facts(const std::filesystem::path& program) {
  std::vector<HostFact> facts = host_fingerprint(HostFiles());
  SS_TRY(const std::string hash, sha256_of_file(program));
  facts.push_back({"program_sha256", hash, ""});
  return facts;
}

}  // namespace secondsource

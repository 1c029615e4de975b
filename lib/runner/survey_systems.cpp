#include "runner/survey_systems.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/enum_format.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/nearest_word.h"
#include "core/units.h"
#include "core/utf8.h"
#include "runner/run_directory.h"
#include "runner/served_model.h"
#include "serving/preset.h"
#include "systems/adapter_process.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// If the request names no models of a server that can hold several, the server gets one for each bundle of the run,
/// under the bundle's name.
Result<void> name_models(SystemRequest& request, const std::vector<fs::path>& bundles, Progress& progress,
                         const InterruptFlag& interrupt) {
  const ModelControl control = facts_of(request.preset).model_control;
  const bool holds_several = control == ModelControl::kLlamaRouter || control == ModelControl::kOllama;
  const bool is_told = !request.bundle.empty() || !request.model.empty() || !request.models.empty();
  if (request.adapter || !holds_several || is_told || bundles.size() < 2) return {};
  for (const fs::path& path : bundles) {
    SS_TRY(const Bundle bundle, Bundle::open(path, progress, interrupt));
    SS_TRY_VOID(add_served_model(request, bundle.name(), bundle.name()));
  }
  return {};
}

/// The bundle whose model the system serves; if there are several and the command names none of them, the first.
Result<std::shared_ptr<const Bundle>> bundle_of(const SystemRequest& request, const std::vector<fs::path>& bundles,
                                                Progress& progress, const InterruptFlag& interrupt) {
  for (const fs::path& path : bundles) {
    SS_TRY(Bundle bundle, Bundle::open(path, progress, interrupt));
    const bool is_any = request.bundle.empty() && (bundles.size() == 1 || !request.models.empty());
    const bool is_it = is_any || bundle.name() == request.bundle;
    if (is_it) return std::make_shared<const Bundle>(std::move(bundle));
  }
  return Error{ErrorCode::kInvalidInput,
               fmt::format("system {}: expected bundle=NAME, one of this run, to be served, found {}", request.name,
                           request.bundle.empty() ? "none" : in_quotes(request.bundle))};
}

Result<ProbedSystem> probe_started(ServerPlan& plan, const SurveyOptions& options, Progress& progress,
                                   const InterruptFlag& interrupt) {
  const std::string& name = plan.request.name;
  const auto unavailable = [&](std::string why) {
    ProbedSystem absent = described(plan.request);
    absent.unavailable = std::move(why);
    return absent;
  };
  if (std::string why = look_at_image(*plan.request.managed); !why.empty()) return unavailable(std::move(why));
  const fs::path log = server_log(options.run_folder, name);
  SS_TRY_VOID(create_folder(folder_of(log)));
  progress.begin(fmt::format("{}: starting its server", name), 0);
  SS_TRY(ServerStart started, ManagedServer::start(plan, log, options.limits, interrupt));
  if (started.failure) {
    return unavailable(
        fmt::format("{}: {} (all of it: {})", started.failure->kind, started.failure->message, log.string()));
  }
  SS_TRY(ProbedSystem probed, probe_server(plan.request));
  progress.note(
      fmt::format("{}: its server was ready after {}", name, format_duration_ns(started.server->ready_after_ns())));
  if (const std::string said = started.server->stop(); !said.empty()) {
    progress.note(fmt::format("{}: the server: {}", name, said));
  }
  return probed;
}

/// Refuses what adapters/serve.py would refuse when it is started: the name of an adapter that does not come with this
/// program. A command of the user's own is not looked at.
Result<void> check_adapter_exists(const SystemRequest& request, const fs::path& adapters) {
  const std::string serve = std::string(kAdaptersPlace) + "/serve.py";
  if (std::ranges::find(request.adapter->start, serve) == request.adapter->start.end()) return {};
  SS_TRY(const std::vector<fs::path> files, list_folder(adapters / "secondsource_adapters" / "runtimes"));
  std::vector<std::string> known;
  for (const fs::path& file : files) {
    if (file.extension() != ".py" || file.stem() == "__init__") continue;
    known.push_back(file.stem().string());
    std::ranges::replace(known.back(), '_', '-');
  }
  const std::string& name = request.adapter->adapter;
  if (std::ranges::find(known, name) != known.end()) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("system {}: expected one of the adapters {}, found {}{}", request.name,
                           fmt::join(known, ", "), in_quotes(name), did_you_mean(name, known))};
}

/// Starts the adapter and asks for its capabilities; it loads nothing.
Result<ProbedSystem> probe_adapter(const SystemRequest& request, AdapterJob& job, const SurveyOptions& options,
                                   Progress& progress, const InterruptFlag& interrupt) {
  ProbedSystem probed{.request = request, .record = {}, .adapter = job.system};
  if (!options.start_servers) {
    SS_TRY_VOID(check_adapter_exists(request, options.adapters));
    return probed;
  }
  SS_TRY_VOID(create_folder(folder_of(job.log)));
  progress.begin(fmt::format("{}: starting its adapter", request.name), 0);
  auto started = AdapterProcess::start(job.system, {.log = job.log, .limits = options.limits},
                                       [&interrupt] { return interrupt.check(); });
  if (!started) {
    const ErrorCode code = started.error().code;
    if (code == ErrorCode::kInterrupted) return started.error();
    if (code == ErrorCode::kInvalidInput) return started.error().with_context("system " + request.name);
    probed.unavailable = fmt::format("{} (all that it wrote: {})", started.error().message, job.log.string());
    return probed;
  }
  take_hello(job.system, started->hello());
  probed.adapter = job.system;
  started->stop();
  return probed;
}

/// The job for the worker of an adapter, with the placeholders in its command filled in.
AdapterJob adapter_job(const SystemRequest& request, const SurveyOptions& options, fs::path model) {
  AdapterJob job{.system = *request.adapter, .model = std::move(model), .log = {}};
  for (std::string& word : job.system.start) {
    if (word.starts_with(kAdaptersPlace)) word.replace(0, kAdaptersPlace.size(), options.adapters.string());
  }
  job.log = fs::absolute(server_log(options.run_folder, request.name));
  return job;
}

}  // namespace

fs::path server_log(const fs::path& run_folder, const std::string& system) {
  return run_folder / kServersFolder / (system + ".log");
}

Result<SystemSurvey> survey_systems(const std::vector<SystemRequest>& requests, const SurveyOptions& options,
                                    Progress& progress, const InterruptFlag& interrupt) {
  SystemSurvey survey;
  for (SystemRequest request : requests) {
    SS_TRY_VOID(name_models(request, options.bundles, progress, interrupt));
    if (!request.managed && !request.adapter) {
      SS_TRY(ProbedSystem system, probe_server(request));
      survey.probed.push_back(std::move(system));
      continue;
    }
    SS_TRY(const auto bundle, bundle_of(request, options.bundles, progress, interrupt));
    SS_TRY(const fs::path cache, cache_folder());
    SS_TRY(const fs::path folder, link_model_folder(*bundle, cache));
    if (request.adapter) {
      AdapterJob job = adapter_job(request, options, folder);
      SS_TRY(ProbedSystem system, probe_adapter(request, job, options, progress, interrupt));
      survey.probed.push_back(std::move(system));
      survey.adapters.insert_or_assign(request.name, std::move(job));
      continue;
    }
    const auto names_model = [](const std::string& word) { return word.find("{model}") != std::string::npos; };
    if (!request.models.empty() && std::ranges::any_of(request.managed->start, names_model)) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("system {}: start: expected no {{model}} for a server that holds several models", request.name)};
    }
    SS_TRY(ServerPlan plan, plan_server(request, folder, model_files(*bundle)));
    plan.bundle = bundle;
    if (options.start_servers) {
      SS_TRY(ProbedSystem system, probe_started(plan, options, progress, interrupt));
      survey.probed.push_back(std::move(system));
    } else {
      survey.probed.push_back(described(plan.request));
    }
    survey.servers.insert_or_assign(request.name, std::move(plan));
  }
  return survey;
}

}  // namespace secondsource

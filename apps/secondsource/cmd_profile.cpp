// secondsource profile BUNDLE: where the time of a request goes, by operation and shape, from traced steps.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "backend/fault.h"
#include "commands.h"
#include "core/units.h"
#include "measure/operation_profile.h"
#include "model_flags.h"
#include "report/text_table.h"
#include "runner/plan_file.h"
#include "runner/run_settings.h"
#include "runner/scenario_text.h"

namespace secondsource {
namespace {

struct ProfileOptions {
  std::string bundle, backend, variant;
  std::string scenario = "single-stream@128/16", budget = "1s", cpus;
  std::vector<std::string> faults;
  std::int32_t n_threads = 0;
  std::uint64_t seed = 1;
  bool strict = false;
  bool json = false;
};

/// The flags of `run` that choose and change a backend.
Result<BackendOptions> options_for(const ProfileOptions& options, const std::string& backend) {
  BackendOptions result;
  result.n_threads = options.n_threads;
  result.strict = options.strict;
  if (!options.cpus.empty()) {
    SS_TRY(result.cpus, parse_cpu_list(options.cpus));
  }
  for (const std::string& text : options.faults) {
    SS_TRY(const auto fault, parse_fault_flag(text));
    SS_TRY_VOID(parse_fault(fault.second));
    if (fault.first == backend) result.extra.emplace_back("fault", fault.second);
  }
  return result;
}

Result<Scenario> scenario_of(const ProfileOptions& options) {
  SS_TRY(const std::vector<Scenario> parsed, parse_scenario(options.scenario));
  if (parsed.size() != 1 || parsed[0].n_prompt_tokens == 0 || parsed[0].n_output_tokens == 0) {
    return Error{ErrorCode::kInvalidInput, fmt::format("--scenario {}: expected one scenario with its lengths, as "
                                                       "offline:4@128/16",
                                                       options.scenario)};
  }
  return parsed[0];
}

Result<OperationProfile> profile(const ProfileOptions& options, const Bundle& bundle, const std::string& backend_name,
                                 const std::string& variant, CommandContext& context) {
  ProfilePlan plan{.seed = options.seed};
  SS_TRY(plan.scenario, scenario_of(options));
  SS_TRY(const double budget_s, parse_seconds(options.budget));
  plan.budget_ns = static_cast<std::int64_t>(1e9 * budget_s);
  SS_TRY(const BackendOptions backend_options, options_for(options, backend_name));
  SS_TRY(std::unique_ptr<Backend> backend,
         create_backend(load_modules(module_folders(context.program)), backend_name, backend_options));
  EngineOptions engine;
  engine.scheduler.max_seqs = plan.scenario.batch;
  engine.max_context = plan.scenario.n_prompt_tokens + plan.scenario.n_output_tokens + backend->device().page_tokens;
  engine.kv_tokens = engine.max_context * plan.scenario.batch;
  SS_TRY(auto session,
         ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), variant, engine, context.progress));
  context.progress.begin("profiling", 0);
  return profile_operations(*session, plan, context.progress);
}

double per_request_s(const OperationProfile& profile, std::int64_t ns) {
  return 1e-9 * static_cast<double>(ns) / static_cast<double>(profile.n_requests);
}

std::string json_text(const OperationProfile& profile, const std::string& backend, const std::string& variant) {
  nlohmann::ordered_json json = {{"schema", "secondsource-profile"},
                                 {"version", 1},
                                 {"backend", backend},
                                 {"variant", variant},
                                 {"n_requests", profile.n_requests},
                                 {"prefill_s", per_request_s(profile, profile.prefill_ns)},
                                 {"decode_s", per_request_s(profile, profile.decode_ns)},
                                 {"operations", nlohmann::ordered_json::array()}};
  for (const ProfiledOperation& time : profile.operations) {
    json["operations"].push_back({{"phase", time.phase},
                                  {"operation", time.operation},
                                  {"shape", time.shape},
                                  {"kernel", time.kernel},
                                  {"n_calls", time.n_calls},
                                  {"seconds", per_request_s(profile, time.ns)}});
  }
  return json.dump(2) + "\n";
}

std::string table_text(const OperationProfile& profile) {
  TextTable table{.columns = {"phase", "operation", "shape", "kernel", "calls", "per request", "share"},
                  .right_aligned = {false, false, false, false, true, true, true},
                  .rows = {}};
  const std::int64_t total_ns = profile.prefill_ns + profile.decode_ns;
  std::int64_t rest_ns = total_ns;
  const auto add = [&](const ProfiledOperation& time) {
    const auto ns = static_cast<std::int64_t>(1e9 * per_request_s(profile, time.ns));
    table.rows.push_back(
        {time.phase, time.operation, time.shape, time.kernel, std::to_string(time.n_calls), format_duration_ns(ns),
         fmt::format("{:.1f} %", 100.0 * static_cast<double>(time.ns) / static_cast<double>(total_ns))});
  };
  for (const ProfiledOperation& time : profile.operations) {
    add(time);
    rest_ns -= time.ns;
  }
  add({.phase = "", .operation = "host and the rest", .shape = "", .kernel = "", .n_calls = 0, .ns = rest_ns});
  return render_terminal(table) + fmt::format("{} requests, traced; the median call x calls\n", profile.n_requests);
}

Result<ExitStatus> run_profile(const ProfileOptions& options, CommandContext& context) {
  SS_TRY(const Bundle bundle, Bundle::open(options.bundle, context.progress, context.interrupt));
  SS_TRY(const std::string backend, choose_backend(load_modules(module_folders(context.program)), options.backend));
  SS_TRY(const std::string variant, choose_variant(bundle, options.variant));
  SS_TRY(const OperationProfile result, profile(options, bundle, backend, variant, context));
  SS_TRY_VOID(print(options.json ? json_text(result, backend, variant) : table_text(result)));
  return ExitStatus::kOk;
}

}  // namespace

void add_profile_command(CLI::App& app, CommandAction& action) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* command = app.add_subcommand("profile", "Where the time of a request goes, by operation and shape");
  command->add_option("bundle", options->bundle, "Bundle folder or zip")->required();
  command->add_option("--backend", options->backend, "Default: the first available one that is no oracle");
  command->add_option("--variant", options->variant, "Default: the bundle's first");
  command->add_option("--scenario", options->scenario, "With its lengths")->capture_default_str();
  command->add_option("--budget", options->budget, "Requests are traced until it is used up")->capture_default_str();
  command->add_option("--seed", options->seed, "Of the prompts")->capture_default_str();
  command->add_option("--threads", options->n_threads, "Threads of the backend (default: one a CPU)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--cpus", options->cpus, "CPUs that the backend's threads are pinned to, as 0,2-3");
  command->add_option("--fault", options->faults, "Plant a fault, as cpu=slow:20:matmul (docs/backends.md)");
  command->add_flag("--strict", options->strict, "The backend refuses its own fallbacks");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example: secondsource profile bundles/default --backend cpu --variant int8");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_profile(*options, context); }; });
}

}  // namespace secondsource

// secondsource profile BUNDLE: shows from traced steps where the time of a request goes, by operation and shape, by
// layer, and outside of the operations.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "core/counted.h"
#include "core/json_text.h"
#include "core/units.h"
#include "fault/fault.h"
#include "fault/faulty_backend.h"
#include "host/device_limits.h"
#include "host/machine_limits.h"
#include "installed_data.h"
#include "model_flags.h"
#include "modules.h"
#include "profile/operation_profile.h"
#include "record/roofline.h"
#include "record/run_settings.h"
#include "report/cell_text.h"
#include "report/text_table.h"
#include "runner/plan_file.h"
#include "runner/scenario_text.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {
namespace {

struct ProfileOptions {
  std::string bundle, backend, variant;
  std::string scenario = "single-stream@128/16", budget = "1s", cpus;
  std::vector<std::string> faults;
  std::int32_t n_threads = 0;
  std::uint64_t seed = 1;
  bool strict = false;
  bool layers = false;
  bool json = false;
};

/// Converts the flags that configure a backend, which are the same as those of `run`.
Result<BackendOptions> options_for(const ProfileOptions& options, const std::string& backend) {
  BackendOptions result;
  result.n_threads = options.n_threads;
  result.strict = options.strict;
  if (!options.cpus.empty()) {
    SS_TRY(result.cpus, parse_cpu_list(options.cpus));
  }
  SS_TRY(const auto faults, parse_fault_flags(options.faults));
  for (const auto& [name, fault] : faults) {
    if (name != backend) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--fault {}={}: expected a fault for the backend that is profiled, which is {}", name,
                               fault, backend)};
    }
    result.extra.emplace_back("fault", fault);
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

/// The fault that is planted in the backend, if one is.
std::optional<std::string> fault_of(const BackendOptions& options) {
  const auto fault = std::ranges::find(options.extra, "fault", &std::pair<std::string, std::string>::first);
  return fault == options.extra.end() ? std::nullopt : std::optional(fault->second);
}

Result<OperationProfile> profile(const ProfileOptions& options, const Bundle& bundle, const std::string& backend_name,
                                 const std::string& variant, const BackendOptions& backend_options,
                                 CommandContext& context) {
  ProfilePlan plan{.seed = options.seed, .interrupt = &context.interrupt};
  SS_TRY(plan.scenario, scenario_of(options));
  SS_TRY(const double budget_s, parse_seconds_flag("--budget", options.budget));
  plan.budget_ns = static_cast<std::int64_t>(1e9 * budget_s);
  SS_TRY(std::unique_ptr<Backend> backend,
         load_backend_with_fault(module_folders(context.program), backend_name, backend_options));
  if (backend->device().is_host) {
    SS_TRY(plan.limits, measure_machine_limits(backend_options.n_threads, backend_options.cpus, HostFiles(),
                                               WhenDisturbed::kMeasureAgain, &context.interrupt));
  } else if (const Result<DeviceRates> rates = backend->measure_rates(RateEffort::kAll)) {
    plan.limits = limits_of_device(*rates);
  } else {
    context.progress.note("the limits of the device were not measured: " + rates.error().message);
  }
  EngineOptions engine;
  engine.scheduler.max_seqs = plan.scenario.batch;
  engine.max_context = plan.scenario.n_prompt_tokens + plan.scenario.n_output_tokens + backend->device().page_tokens;
  engine.kv_tokens = engine.max_context * plan.scenario.batch;
  SS_TRY(auto session, ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), variant, engine,
                                          context.progress, context.interrupt));
  // Detokenizes each token as it is generated, as a streaming server does.
  SS_TRY(const std::optional<std::string> tokenizer_json, bundle.tokenizer_json());
  std::optional<Tokenizer> tokenizer;  // must outlive the decoder
  std::optional<StreamingDecoder> decoder;
  if (tokenizer_json) {
    SS_TRY(tokenizer, Tokenizer::from_json(*tokenizer_json, "tokenizer.json"));
    decoder.emplace(tokenizer->stream({.skip_special = true}));
    plan.on_token = [&decoder](std::int32_t id) { (void)decoder->push(id); };
  }
  context.progress.begin("profiling", 0);
  return profile_operations(*session, plan, context.progress);
}

double per_request_s(const OperationProfile& profile, std::int64_t ns) {
  return 1e-9 * static_cast<double>(ns) / static_cast<double>(profile.n_requests);
}

nlohmann::ordered_json json_of(const std::optional<LimitShare>& of_limit) {
  if (!of_limit) return nullptr;
  return {{"share", of_limit->share}, {"limit", of_limit->limit}};
}

std::string json_text(const OperationProfile& profile, const std::string& backend, const std::string& variant,
                      const std::optional<std::string>& fault) {
  nlohmann::ordered_json json = {{"schema", "secondsource-profile"},
                                 {"version", 1},
                                 {"backend", backend},
                                 {"variant", variant},
                                 {"fault", fault ? nlohmann::ordered_json(*fault) : nlohmann::ordered_json()},
                                 {"n_requests", profile.n_requests},
                                 {"prefill_s", per_request_s(profile, profile.prefill_ns)},
                                 {"decode_s", per_request_s(profile, profile.decode_ns)},
                                 {"engine_share_of_decode", engine_share_of_decode(profile)},
                                 {"limits_caveat", limits_caveat(profile.limits)},
                                 {"operations", nlohmann::ordered_json::array()},
                                 {"layers", nlohmann::ordered_json::array()},
                                 {"gaps", nlohmann::ordered_json::array()}};
  const auto per_request = [&profile](double total) { return total / static_cast<double>(profile.n_requests); };
  for (const ProfiledOperation& time : profile.operations) {
    json["operations"].push_back({{"phase", time.phase},
                                  {"operation", time.operation},
                                  {"shape", time.shape},
                                  {"kernel", time.kernel},
                                  {"n_calls", time.n_calls},
                                  {"seconds", per_request_s(profile, time.ns)},
                                  {"flops", per_request(time.flops)},
                                  {"bytes_read", per_request(time.bytes_read)},
                                  {"of_limit", json_of(time.of_limit)}});
  }
  for (const ProfiledLayer& layer : profile.layers) {
    json["layers"].push_back(
        {{"phase", layer.phase}, {"layer", layer.layer}, {"seconds", per_request_s(profile, layer.ns)}});
  }
  for (const ProfiledGap& gap : profile.gaps) {
    json["gaps"].push_back({{"phase", gap.phase}, {"part", gap.part}, {"seconds", per_request_s(profile, gap.ns)}});
  }
  return to_json_text(json, 2) + "\n";
}

/// Formats the table cells "per request" and "share" of a time.
class TimeCells {
 public:
  explicit TimeCells(const OperationProfile& profile) : profile_(profile) {}
  [[nodiscard]] std::string per_request(std::int64_t ns) const {
    return format_duration_ns(ns / std::max<std::int64_t>(1, profile_.n_requests));
  }
  [[nodiscard]] std::string share(std::int64_t ns) const {
    const auto total_ns = static_cast<double>(profile_.prefill_ns + profile_.decode_ns);
    return fmt::format("{:.2f} %", 100.0 * static_cast<double>(ns) / total_ns);
  }

 private:
  const OperationProfile& profile_;
};

std::string rate(double amount, std::int64_t ns) {
  return amount > 0 && ns > 0 ? fmt::format("{:.1f}", amount / static_cast<double>(ns)) : "";
}

std::string operations_text(const OperationProfile& profile) {
  const TimeCells cells(profile);
  TextTable table{.columns = {"phase", "operation", "shape", "kernel", "calls", "per request", "share", "GB/s",
                              "GFLOP/s", "of the limit"},
                  .right_aligned = {false, false, false, false, true, true, true, true, true, true},
                  .rows = {}};
  for (const ProfiledOperation& time : profile.operations) {
    table.rows.push_back({time.phase, time.operation, time.shape, time.kernel, std::to_string(time.n_calls),
                          cells.per_request(time.ns), cells.share(time.ns), rate(time.bytes_read, time.ns),
                          rate(time.flops, time.ns), time.of_limit ? limit_text(time.of_limit) : ""});
  }
  return render_terminal(table);
}

std::string gaps_text(const OperationProfile& profile) {
  const TimeCells cells(profile);
  TextTable table{.columns = {"phase", "outside of the operations", "per request", "share"},
                  .right_aligned = {false, false, true, true},
                  .rows = {}};
  for (const ProfiledGap& gap : profile.gaps) {
    table.rows.push_back({gap.phase, gap.part, cells.per_request(gap.ns), cells.share(gap.ns)});
  }
  return render_terminal(table);
}

std::string layers_text(const OperationProfile& profile) {
  const TimeCells cells(profile);
  TextTable table{
      .columns = {"phase", "layer", "per request", "share"}, .right_aligned = {false, false, true, true}, .rows = {}};
  for (const ProfiledLayer& layer : profile.layers) {
    table.rows.push_back({layer.phase, layer.layer, cells.per_request(layer.ns), cells.share(layer.ns)});
  }
  return render_terminal(table);
}

std::string tables_text(const OperationProfile& profile, bool with_layers) {
  std::string text = operations_text(profile) + "\n" + gaps_text(profile);
  if (with_layers) text += "\n" + layers_text(profile);
  if (const std::string caveat = limits_caveat(profile.limits); !caveat.empty()) text += "\n" + caveat + "\n";
  return text + fmt::format(
                    "\n"
                    "{:.2f} % of the time of a decode step is the engine's own: what is outside of the "
                    "operations, and sampling.\n"
                    "{}; each time is the median call times the number of calls.\n",
                    100 * engine_share_of_decode(profile), counted(profile.n_requests, "traced request"));
}

Result<ExitStatus> run_profile(const ProfileOptions& options, CommandContext& context) {
  SS_TRY(const std::filesystem::path path, bundle_path(options.bundle, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(path, context.progress, context.interrupt));
  SS_TRY(const std::string backend, choose_backend(options.backend, context));
  SS_TRY(const std::string variant, choose_variant(bundle, options.variant));
  SS_TRY(const BackendOptions backend_options, options_for(options, backend));
  const std::optional<std::string> fault = fault_of(backend_options);
  if (fault) context.progress.note(planted_fault_note(backend, *fault));
  SS_TRY(const OperationProfile result, profile(options, bundle, backend, variant, backend_options, context));
  SS_TRY_VOID(options.json ? print(json_text(result, backend, variant, fault))
                           : print_text(tables_text(result, options.layers)));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_profile_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<ProfileOptions>();
  CommandNode* command =
      app.add_subcommand("profile", "Where the time of a request goes: operations, layers, the engine itself");
  command->add_option("bundle", options->bundle, "Bundle folder or zip")->required();
  command->add_option("--backend", options->backend, "Backend (default: the first available one other than reference)");
  command->add_option("--variant", options->variant, "Default: the bundle's first");
  command->add_option("--scenario", options->scenario, "Scenario with its lengths, as offline:4@128/16")
      ->capture_default_str();
  command->add_option("--budget", options->budget, "Time for traced requests, as 5s")->capture_default_str();
  command->add_option("--seed", options->seed, "Of the prompts")->capture_default_str();
  command->add_option("--threads", options->n_threads, "Threads of the backend (default: one a CPU)")
      ->check(Range(1, 4096));
  command->add_option("--cpus", options->cpus, "CPUs that the backend's threads are pinned to, as 0,2-3");
  command->add_option("--fault", options->faults, "Plant a fault, as cpu=slow:20:matmul (docs/backends.md)");
  command->add_flag("--strict", options->strict, "The backend refuses its own fallbacks");
  command->add_flag("--layers", options->layers, "Also the time of each layer");
  command->add_flag("--json", options->json, "Print JSON, layers included");
  command->footer("Example: secondsource profile bundles/default --backend cpu --variant int8");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_profile(*options, context); }; });
  return command;
}

}  // namespace secondsource

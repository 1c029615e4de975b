// secondsource run: the main command. Plans or resumes a run, executes it, prints the table, and reports the outcome by
// its exit status.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "backend_kit/host_device.h"
#include "beside_resume.h"
#include "build_commit.h"
#include "commands.h"
#include "core/child_process.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/number.h"
#include "core/staging.h"
#include "core/units.h"
#include "core/utf8.h"
#include "cost/price_book.h"
#include "engine/scheduler.h"
#include "gate/compare.h"
#include "gate_status.h"
#include "host/fingerprint.h"
#include "host/limit_looks.h"
#include "host/limit_store.h"
#include "host/machine_limits.h"
#include "host/thread_check.h"
#include "installed_data.h"
#include "modules.h"
#include "noise_limit.h"
#include "output.h"
#include "record/ranges.h"
#include "record/slo.h"
#include "run_outcome.h"
#include "runner/plan_file.h"
#include "runner/run_directory.h"
#include "runner/run_plan.h"
#include "runner/session.h"
#include "runner/stored_orders.h"
#include "runner/survey_systems.h"
#include "secondsource_version.h"
#include "serving/endpoint.h"
#include "serving/server_probe.h"
#include "stored_systems.h"

namespace secondsource {
namespace {

struct RunOptions {
  std::vector<std::string> given;  ///< the names of the flags on the command line
  std::vector<std::string> bundles;
  std::string config;
  std::string resume;
  std::string client;
  std::string out;
  std::string baseline;
  std::string waivers;
  std::string suite;
  std::vector<std::string> backends, require, variants, scenarios, faults, devices, backend_options, systems;
  int repetitions = 0;
  std::optional<std::uint64_t> seed;
  std::string price, price_per, price_book;
  int threads = 0;
  std::string cpus, memory_max, max_time, step_deadline, cell_deadline, cell_budget;
  std::optional<double> noise_limit_percent;
  std::string slo, batching, trace;
  int shared_prefix = 0;
  bool dry_run = false;
  bool json = false;
  bool strict = false;
  bool no_golden = false;
  bool allow_unverified = false;
  bool gate_opportunistic = false;
  bool allow_inconclusive = false;
  bool retry_failed = false;
};

constexpr const char* kDefaultPlan = "secondsource.yaml";

/// They say where a run finds what its run.json does not hold, how it is judged and what is printed.
constexpr std::string_view kBesideResume[] = {
    "--retry-failed",       "--system",  "--config",           "--trace",
    "--baseline",           "--waivers", "--allow-unverified", "--gate-opportunistic",
    "--allow-inconclusive", "--json"};

template <typename T>
void override_with(const std::vector<T>& flags, std::vector<T>& target) {
  if (!flags.empty()) target = flags;
}

Result<void> apply_limit_flags(const RunOptions& options, RunSettings& settings) {
  if (options.threads > 0) settings.threads = options.threads;
  if (options.strict) settings.strict = true;
  if (options.no_golden) settings.golden = false;
  if (options.noise_limit_percent) {
    settings.noise_limit = *options.noise_limit_percent / 100;
  } else {
    SS_TRY(const std::optional<double> limit, noise_limit_of_environment());
    settings.noise_limit = limit.value_or(settings.noise_limit);
  }
  if (!options.trace.empty()) settings.trace_file = std::filesystem::absolute(options.trace).string();
  if (!options.cpus.empty()) {
    SS_TRY(settings.cpus, parse_cpu_list(options.cpus));
  }
  if (!options.memory_max.empty()) {
    const Result<std::int64_t> bytes = parse_memory_max(options.memory_max);
    if (!bytes) return bytes.error().with_context("--memory-max");
    settings.memory_max_bytes = *bytes;
  }
  const std::tuple<const char*, const std::string&, double&> times[] = {
      {"--max-time", options.max_time, settings.max_time_s},
      {"--step-deadline", options.step_deadline, settings.step_deadline_s},
      {"--cell-deadline", options.cell_deadline, settings.cell_deadline_s},
      {"--cell-budget", options.cell_budget, settings.cell_budget_s}};
  for (const auto& [flag, text, seconds] : times) {
    if (text.empty()) continue;
    SS_TRY(seconds, parse_seconds_flag(flag, text));
  }
  return {};
}

Result<void> apply_flags(const RunOptions& options, PlanFile& plan) {
  RunRequest& request = plan.request;
  override_with(std::vector<std::filesystem::path>(options.bundles.begin(), options.bundles.end()), request.bundles);
  override_with(options.backends, request.backends);
  override_with(options.require, request.required);
  override_with(options.variants, request.variants);
  override_with(options.scenarios, request.scenarios);
  if (!options.suite.empty()) request.suite = options.suite;
  if (!options.batching.empty()) {
    SS_TRY(request.batching, batching_from_name(options.batching));
  }
  if (options.shared_prefix > 0) request.n_shared_prefix = options.shared_prefix;
  if (!options.slo.empty()) {
    SS_TRY(request.slo, parse_slo(options.slo));
  }
  if (options.repetitions > 0) request.repetitions = options.repetitions;
  if (options.seed) request.seed = *options.seed;
  if (!options.client.empty()) {
    SS_TRY(request.client, parse_client_flag(options.client));
  }
  SS_TRY(request.faults, parse_fault_flags(options.faults));
  SS_TRY(const std::vector<BackendOption> of_backends, parse_backend_option_flags(options.backend_options));
  request.backend_options.insert(request.backend_options.end(), of_backends.begin(), of_backends.end());
  if (!options.devices.empty()) request.devices.clear();
  for (const std::string& text : options.devices) {
    SS_TRY(auto device, parse_device_flag(text));
    request.devices.push_back(std::move(device));
  }
  if (!options.systems.empty()) request.systems.clear();
  for (const std::string& text : options.systems) {
    SS_TRY(SystemRequest system, parse_system_flag(text));
    request.systems.push_back(std::move(system));
  }
  request.settings.oracle = kOracle;
  SS_TRY_VOID(apply_limit_flags(options, request.settings));
  if (!options.price.empty()) plan.price = options.price;
  if (!options.price_per.empty()) plan.price_per = options.price_per;
  if (!options.price_book.empty()) plan.price_book = options.price_book;
  if (!options.out.empty()) plan.out = options.out;
  if (!options.baseline.empty()) plan.gate.baseline = options.baseline;
  if (!options.waivers.empty()) plan.gate.waivers = options.waivers;
  plan.gate.allow_unverified |= options.allow_unverified;
  plan.gate.opportunistic |= options.gate_opportunistic;
  plan.gate.allow_inconclusive |= options.allow_inconclusive;
  return {};
}

Result<void> set_price(const RunOptions& options, PlanFile& plan) {
  for (const auto& [flag, value] :
       {std::pair{"--price-per", options.price_per}, std::pair{"--price-book", options.price_book}}) {
    if (value.empty() || plan.price) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected --price beside it, found none", flag)};
  }
  if (!plan.price) return {};
  const bool is_row = !parse_number<double>(*plan.price);
  if (!is_row && !options.price_book.empty()) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("--price-book: expected the key of one of its rows as --price beside it, found {}, a price",
                    in_quotes(*plan.price))};
  }
  std::vector<PriceRow> book;
  if (!plan.price_book.empty()) {
    SS_TRY(book, read_price_book(plan.price_book));
  } else if (is_row) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--price: expected USD per hour, as 1.20, or the key of a row beside --price-book FILE, "
                             "which was not given; found {}",
                             in_quotes(*plan.price))};
  }
  SS_TRY(PricedInstance priced, resolve_price(*plan.price, book));
  priced.is_per_device = plan.price_per == "device";
  if (priced.is_per_device && is_row) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("--price-per: expected instance beside {}, a row of the price book, whose price is that of "
                    "an instance, of which a run is charged its share; found device",
                    in_quotes(*plan.price))};
  }
  if (priced.price.date.empty()) priced.price.date = utc_timestamp().substr(0, 10);
  plan.request.price = std::move(priced);
  return {};
}

/// Reads the plan file, if there is one, and applies the flags to it.
Result<PlanFile> gather(const RunOptions& options, const CommandContext& context) {
  PlanFile plan;
  if (!options.config.empty()) {
    SS_TRY(plan, read_plan_file(options.config));
  } else if (options.bundles.empty() && options.resume.empty() && path_exists(kDefaultPlan)) {
    SS_TRY(plan, read_plan_file(kDefaultPlan));
  } else if (options.bundles.empty() && options.resume.empty()) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("run: expected a bundle, or a plan {} in this folder; found neither. To try it: secondsource "
                    "run installed:default. To measure your model: secondsource bundle create --from-hf "
                    "MODEL_FOLDER --out FOLDER, then secondsource run FOLDER",
                    kDefaultPlan)};
  }
  SS_TRY_VOID(apply_flags(options, plan));
  for (std::filesystem::path& bundle : plan.request.bundles) {
    SS_TRY(bundle, bundle_path(bundle, context.program));
  }
  SS_TRY_VOID(set_price(options, plan));
  return plan;
}

Result<ExitStatus> print_dry_run(const RunPlan& plan) {
  std::string text;
  double total_s = 0;
  for (std::size_t index = 0; index < plan.estimates.size(); ++index) {
    const PlannedCell& cell = plan.record.cells[index];
    const CellEstimate& estimate = plan.estimates[index];
    total_s += estimate.seconds;
    const std::string requests =
        cell.scenario.n_requests > 0 ? counted(cell.scenario.n_requests, "request") : "ten seconds of requests";
    text += fmt::format("{:<48} {} x {}, {}, about {}\n", estimate.cell, cell.repetitions, requests,
                        counted(cell.scenario.n_output_tokens, "output token"),
                        format_duration_ns(static_cast<std::int64_t>(1e9 * estimate.seconds)));
  }
  for (const std::string& note : plan.notes) text += note + "\n";
  for (const BackendRecord& backend : plan.record.backends) {
    if (!backend.unavailable.empty()) text += fmt::format("{}: unavailable: {}\n", backend.name, backend.unavailable);
  }
  text +=
      fmt::format("{}, about {} (an estimate from the model's size), and the golden prompts\n",
                  counted(plan.estimates.size(), "cell"), format_duration_ns(static_cast<std::int64_t>(1e9 * total_s)));
  SS_TRY_VOID(print_text(text));
  return ExitStatus::kOk;
}

/// Refuses the backend options that the run would refuse when it loads its first model.
Result<void> check_options_of_backends(const RunRecord& record, const CommandContext& context) {
  for (const BackendRecord& backend : record.backends) {
    if (backend.is_foreign() || !backend.unavailable.empty()) continue;
    std::vector<std::pair<std::string, std::string>> options = backend.options;
    // A fault is planted around the backend, which does not see it. The plan has checked it.
    std::erase_if(options, [](const auto& option) { return option.first == "fault"; });
    if (!options.empty()) SS_TRY_VOID(check_backend_options(backend.name, options, context));
  }
  return {};
}

/// Adds to the error's line how to continue the run, unless the input is at fault: resuming would refuse it again.
Error with_resume_hint(Error error, const RunDirectory& directory) {
  if (error.code == ErrorCode::kInvalidInput || error.code == ErrorCode::kNotComparable) return error;
  error.message += fmt::format("; what was measured is kept, and `{}` goes on from there",
                               command_to_resume(directory.record(), directory.folder()));
  return error;
}

constexpr const char* kRunsFolder = "runs";

/// Chooses the folder of a new run. It is chosen before the run is planned, because the servers that are surveyed for the
/// plan write their logs into it.
std::filesystem::path folder_for(const std::filesystem::path& out) {
  if (!out.empty()) return out;
  std::string stamp = utc_timestamp();
  std::erase_if(stamp, [](char c) { return c == ':' || c == '-'; });
  return std::filesystem::path(kRunsFolder) / (stamp + "-" + random_digits().substr(0, 4));
}

/// Refuses what would otherwise fail after the bundles were read or the first cells were measured.
Result<void> check_before_work(const PlanFile& plan, const RunOptions& options) {
  const RunSettings& settings = plan.request.settings;
  // The worker's own threads, and those of this process and of the libraries.
  constexpr std::int32_t kOtherThreads = 8;
  SS_TRY_VOID(check_threads_can_start((settings.threads > 0 ? settings.threads : n_usable_cpus()) + kOtherThreads));
  SS_TRY_VOID(check_cpus(settings.cpus));
  if (!settings.trace_file.empty()) {
    InputPaths inputs = plan.request.bundles;
    inputs.insert(inputs.end(), {options.config, plan.gate.baseline, plan.gate.waivers, plan.price_book});
    SS_TRY_VOID(check_is_no_input(settings.trace_file, inputs));
    SS_TRY_VOID(OutputFile::create(settings.trace_file));
  }
  if (!options.resume.empty()) return {};
  // A folder with the time in its name is made where none is given, so that only its parent is in question then.
  if (plan.out.empty()) return RunDirectory::check_free(std::filesystem::path(kRunsFolder) / "new");
  SS_TRY_VOID(RunDirectory::check_free(plan.out));
  return RunDirectory::check_nothing_foreign(plan.out);
}

/// What the gate reads beside the run. It is read before anything is measured, so that a wrong path or file costs no
/// measurement.
struct GateInput {
  std::optional<SummarizedRun> base;
  std::vector<Waiver> waivers;
};

Result<GateInput> read_gate_input(const PlanGate& gate) {
  GateInput input;
  if (!gate.waivers.empty()) {
    SS_TRY(input.waivers, read_waivers(gate.waivers));
  }
  if (!gate.baseline.empty()) {
    SS_TRY(input.base, read_summarized_run(gate.baseline));
  }
  return input;
}

std::optional<GateReport> judge_against(const PlanGate& gate, const GateInput& input, const SummarizedRun& candidate) {
  if (!input.base) return std::nullopt;
  GateOptions options;
  options.rule.threshold = gate.threshold_percent / 100;
  options.today = utc_timestamp().substr(0, 10);
  options.allow_unverified = gate.allow_unverified;
  options.judge_opportunistic = gate.opportunistic;
  options.waivers = input.waivers;
  return compare_runs(*input.base, candidate, options);
}

Result<ExitStatus> finish(const RunDirectory& directory, const PlanFile& plan, const GateInput& gate_input,
                          const RunOptions& options) {
  SS_TRY(RunSummary summary, directory.write_summary());
  // The record is read back from the disk, so that the gate here and `gate` on the stored run cannot differ.
  SS_TRY(RunRecord record, RunDirectory::read_record(directory.folder()));
  SummarizedRun run{std::move(record), std::move(summary)};
  run.clocks = repetition_clocks(run.record, directory.lines());
  const bool is_gated = gate_input.base.has_value();
  RunHealth health = judge_run(run.record, directory.lines(), run.summary, !is_gated || plan.gate.opportunistic);
  const RunOutcome outcome =
      outcome_of(std::move(health), judge_against(plan.gate, gate_input, run), plan.gate.allow_inconclusive);
  if (options.json) {
    SS_TRY_VOID(print(json_of(run, outcome, directory.folder())));
  } else {
    SS_TRY_VOID(print_text(text_of(run, outcome, directory.folder())));
  }
  return most_serious(outcome.statuses);
}

/// A run that is about to begin or to go on.
struct OpenRun {
  RunDirectory directory;
  std::vector<std::filesystem::path> modules;  ///< files of the backends that it measures
  std::map<std::string, KeySource> keys;       ///< of the servers that it measures
  std::map<std::string, ServerPlan> servers;   ///< that are started for it
  std::map<std::string, AdapterJob> adapters;  ///< that it measures
};

std::vector<std::filesystem::path> paths_of(const ModuleSurvey& modules) {
  std::vector<std::filesystem::path> paths;
  for (const ProbedModule& module : modules.probed) paths.push_back(module.path);
  return paths;
}

/// Opens the modules that the request names. It opens all modules if the request names none, and no module if only
/// servers or adapters are measured.
Result<ModuleSurvey> survey_modules_of(const RunRequest& request, const CommandContext& context) {
  if (request.backends.empty() && request.required.empty() && !request.systems.empty()) {
    ModuleSurvey survey;
    survey.found = list_modules(module_folders(context.program));
    return survey;
  }
  std::vector<std::string> names = request.backends;
  if (!names.empty()) names.insert(names.end(), request.required.begin(), request.required.end());
  return survey_modules(names, context);
}

SurveyOptions survey_options(const RunSettings& settings, std::vector<std::filesystem::path> bundles,
                             const std::filesystem::path& run_folder, const CommandContext& context) {
  return {.bundles = std::move(bundles),
          .run_folder = run_folder,
          .adapters = installed_data(context.program) / "adapters",
          .limits = {.cpus = settings.cpus, .memory_max_bytes = settings.memory_max_bytes}};
}

std::map<std::string, KeySource> keys_of(const std::vector<SystemRequest>& requests) {
  std::map<std::string, KeySource> keys;
  for (const SystemRequest& request : requests) keys[request.name] = request.key;
  return keys;
}

/// Opens the modules that the run began with.
Result<ModuleSurvey> survey_modules_of(const RunRecord& record, const CommandContext& context) {
  std::vector<std::string> names;
  for (const BackendRecord& backend : record.backends) {
    if (backend.unavailable.empty() && !backend.is_foreign()) names.push_back(backend.name);
  }
  if (names.empty()) return ModuleSurvey();
  return survey_modules(names, context);
}

/// Refuses a --trace beside --resume that the run would not write.
Result<void> check_trace_of(const RunSettings& settings, const std::filesystem::path& said) {
  if (!said.empty() && said != settings.trace_file) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--trace: expected the trace file that the run began with, {}, found {}",
                             settings.trace_file.empty() ? "none" : shown(settings.trace_file), shown(said.string()))};
  }
  return {};
}

Result<OpenRun> resume_run(const RunOptions& options, const ProgramIdentity& identity, CommandContext& context) {
  std::vector<std::filesystem::path> modules;
  std::vector<SystemRequest> said;
  for (const std::string& text : options.systems) {
    SS_TRY(SystemRequest system, parse_system_flag(text));
    said.push_back(std::move(system));
  }
  PlanFile planned;
  if (!options.config.empty()) {
    SS_TRY(planned, read_plan_file(options.config));
  }
  std::map<std::string, KeySource> keys;
  std::map<std::string, ServerPlan> servers;
  std::map<std::string, AdapterJob> adapters;
  const auto check = [&](const RunRecord& record) -> Result<void> {
    const bool starts_servers = std::ranges::any_of(
        record.backends, [](const BackendRecord& one) { return one.adapter || (one.served && one.served->managed); });
    if (!options.config.empty() && !starts_servers) {
      return Error{ErrorCode::kInvalidInput,
                   "--resume: the plan is the one in the run's run.json; expected no --config beside it, since the run "
                   "starts no servers and no adapters"};
    }
    const auto confirmed_trace =
        options.trace.empty() ? std::filesystem::path() : std::filesystem::absolute(options.trace);
    SS_TRY_VOID(check_orders(record, options.resume, confirmed_trace));
    SS_TRY_VOID(check_trace_of(record.settings, confirmed_trace));
    SS_TRY(const ModuleSurvey survey, survey_modules_of(record, context));
    modules = paths_of(survey);
    SS_TRY(const std::vector<SystemRequest> systems, stored_systems(record, said, planned.request.systems));
    keys = keys_of(systems);
    std::vector<std::filesystem::path> bundles;
    for (const BundleRecord& bundle : record.bundles) {
      if (bundle.models.empty()) bundles.emplace_back(bundle.path);
    }
    SS_TRY(SystemSurvey found,
           survey_systems(systems, survey_options(record.settings, bundles, options.resume, context), context.progress,
                          context.interrupt));
    servers = std::move(found.servers);
    adapters = std::move(found.adapters);
    return check_identity(record, identity, survey, context.progress, context.interrupt, found.probed);
  };
  SS_TRY(RunDirectory directory, RunDirectory::resume(options.resume, check));
  return OpenRun{std::move(directory), std::move(modules), std::move(keys), std::move(servers), std::move(adapters)};
}

/// Records the machine's limits, unless no backend of the run computes on the host. They are measured until two
/// measurements by any processes on this host agree, or only once if the run accepts any noise. Later measurements are
/// made beside each repetition and where a speed seems to exceed a limit.
Result<void> look_at_limits(const RunSettings& settings, RunRecord& record, CommandContext& context) {
  if (std::ranges::none_of(record.backends, [](const BackendRecord& backend) { return backend.device.is_host; })) {
    return {};
  }
  LimitStore store = LimitStore::for_host(cache_folder(), record.host, settings.threads, settings.cpus);
  const bool one_look_is_enough = settings.takes_any_noise();
  const bool was_measured = store.looks().best.n_threads > 0;
  const bool is_known = one_look_is_enough ? was_measured : is_settled(store.looks());
  if (!is_known) {
    const auto when_disturbed = one_look_is_enough ? WhenDisturbed::kAccept : WhenDisturbed::kMeasureAgain;
    SS_TRY(const MachineLimits look,
           measure_machine_limits(settings.threads, settings.cpus, HostFiles(), when_disturbed, &context.interrupt));
    if (const Result<void> added = store.add(look); !added) {
      context.progress.note("the machine's limits are not kept for later runs: " + added.error().message);
    }
  }
  record.limits = store.looks().best;
  record.second_limits = store.looks().second;
  return {};
}

Result<ExitStatus> run_run(const RunOptions& options, CommandContext& context) {
  if (options.retry_failed && options.resume.empty()) {
    return Error{ErrorCode::kInvalidInput, "--retry-failed: expected --resume RUN beside it"};
  }
  if (options.dry_run && options.json) {
    return Error{ErrorCode::kInvalidInput,
                 "--dry-run: expected no --json beside it, since the plan is printed as text"};
  }
  if (!options.resume.empty()) SS_TRY_VOID(check_beside_resume(options.given, kBesideResume, "the run's run.json"));
  SS_TRY_VOID(check_calendar_clock());
  SS_TRY(const PlanFile plan, gather(options, context));
  SS_TRY_VOID(check_before_work(plan, options));
  SS_TRY(const GateInput gate_input, read_gate_input(plan.gate));
  const ProgramIdentity identity{kVersionText,   build_commit(),    "g++ or compatible " __VERSION__,
                                 kBuildTypeText, context.arguments, context.program};
  std::optional<OpenRun> run;
  if (!options.resume.empty()) {
    SS_TRY(run, resume_run(options, identity, context));
  } else {
    SS_TRY(const ModuleSurvey modules, survey_modules_of(plan.request, context));
    const std::filesystem::path folder = folder_for(plan.out);
    SurveyOptions survey = survey_options(plan.request.settings, plan.request.bundles, folder, context);
    survey.start_servers = !options.dry_run;
    SS_TRY(SystemSurvey systems, survey_systems(plan.request.systems, survey, context.progress, context.interrupt));
    SS_TRY(RunPlan run_plan,
           make_run_plan(plan.request, identity, modules, context.progress, context.interrupt, systems.probed));
    if (options.dry_run) {
      SS_TRY_VOID(check_options_of_backends(run_plan.record, context));
      return print_dry_run(run_plan);
    }
    for (const std::string& note : run_plan.notes) context.progress.note(note);
    SS_TRY_VOID(look_at_limits(plan.request.settings, run_plan.record, context));
    SS_TRY(RunDirectory directory, RunDirectory::create(folder, run_plan.record));
    run = OpenRun{std::move(directory), paths_of(modules), keys_of(plan.request.systems), std::move(systems.servers),
                  std::move(systems.adapters)};
  }
  const SessionOptions session{.program = context.program,
                               .keys = run->keys,
                               .servers = run->servers,
                               .adapters = run->adapters,
                               .modules = run->modules,
                               .retry_failed = options.retry_failed};
  const Result<void> done = execute_run(run->directory, session, context.progress, context.interrupt);
  if (!done) return with_resume_hint(done.error(), run->directory);
  return finish(run->directory, plan, gate_input, options);
}

void add_limit_flags(CommandNode& command, RunOptions& options) {
  command.add_option("--threads", options.threads, "Threads of each backend (default: one a CPU)")
      ->check(Range(kThreadsRange.min, kThreadsRange.max));
  command.add_option("--cpus", options.cpus, "CPUs that workers may use, as 0,2-3");
  command.add_option("--memory-max", options.memory_max,
                     "Private memory of a worker, as 8GiB, at least 16MiB (RLIMIT_DATA; mapped files do not count)");
  command.add_option("--max-time", options.max_time, "Time to spend, as 90s or 5min; cells share it");
  command.add_option("--cell-budget", options.cell_budget, "Time after which a single-stream cell ends (default 10s)");
  command.add_option("--step-deadline", options.step_deadline,
                     "Time without progress after which a worker counts as hung and is killed (default 120s)");
  command.add_option("--cell-deadline", options.cell_deadline,
                     "Time after which one repetition counts as hung (default 30min)");
  command
      .add_option("--noise-limit", options.noise_limit_percent,
                  "Percent of its time that a repetition may wait for CPUs before it is INVALID (default 90)")
      ->check(Range(kNoisePercentRange.min, kNoisePercentRange.max));
  command.add_flag("--strict", options.strict, "Backends refuse their own fallbacks");
  command.add_flag("--no-golden", options.no_golden,
                   "Measure times without checking tokens first; such cells are unverified");
}

void add_gate_flags(CommandNode& command, RunOptions& options) {
  command.add_option("--price", options.price, "USD per hour, or the key of a row of --price-book");
  command
      .add_option("--price-per", options.price_per, "What the price of an hour is for: instance (default) or device")
      ->check(OneOf({"instance", "device"}));
  command.add_option("--price-book", options.price_book, "YAML file with prices, as reports/prices.yaml");
  command.add_option("--baseline", options.baseline, "Run directory of the base with which the gate compares this run");
  command.add_option("--waivers", options.waivers, "YAML file with accepted regressions");
  command.add_flag("--allow-unverified", options.allow_unverified, "The gate also judges unverified bundles");
  command.add_flag("--gate-opportunistic", options.gate_opportunistic, kGateOpportunisticHelp);
  command.add_flag("--allow-inconclusive", options.allow_inconclusive, "Inconclusive ends with status 0");
}

}  // namespace

CommandNode* add_run_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<RunOptions>();
  CommandNode* command =
      app.add_subcommand("run", "Measure bundles on every backend: are the tokens right, and how fast");
  command->add_option("bundle", options->bundles, "Bundle folders or zips");
  command->add_option("--suite", options->suite, "Tag of the golden prompts (default: smoke)");
  command->add_option("--backend", options->backends, "Backends (default: all available)")->delimiter(',');
  command->add_option("--system", options->systems,
                      "A server or a runtime as a row: NAME=URL or NAME=adapter:RUNTIME, and settings behind it, as "
                      ",preset=vllm (docs/systems.md, docs/adapters.md). Without --backend, only these are measured");
  command->add_option("--require", options->require, "Backends whose absence is a failure")->delimiter(',');
  command
      ->add_option("--device", options->devices,
                   "[BACKEND=]ID, as `backends` lists it: an index, a GPU's or a MIG instance's UUID")
      ->delimiter(',');
  command->add_option("--variant", options->variants, "bf16, int8, int4, ... (default: a published one, bf16, int8)")
      ->delimiter(',');
  command
      ->add_option(
          "--scenario", options->scenarios,
          "single-stream, offline[:BATCH], server:RATE, server:slo-max, server:trace=FILE, or with several "
          "bundles swap:BUDGET (they take turns under a budget of memory or of models, as swap:24MiB+zipf=1 or "
          "swap:2models, also on a server that holds several); modifiers behind it (+gamma=0.25, +constant, +static, "
          "+cancel=0.2:8; +turns=4+think=2 sends conversations, with a pause of 2 s before each later turn; ...: "
          "docs/scenarios.md); @PROMPT/OUTPUT sets the lengths")
      ->delimiter(',');
  command->add_option("--slo", options->slo, "SLO that goodput counts: a preset, or ttft_ms=500,tpot_ms=30");
  command
      ->add_option(
          "--batching", options->batching,
          "How all scenarios are batched, whatever they say themselves: continuous (default), static or dynamic")
      ->check(OneOf({"continuous", "static", "dynamic"}));
  command
      ->add_option("--shared-prefix", options->shared_prefix,
                   "Prompt tokens that all requests share (default: none, every prompt is its own)")
      ->check(Range(kTokensRange.min, kTokensRange.max));
  command->add_option("--repetitions", options->repetitions, "Repetitions of each cell (default: 3)")
      ->check(Range(kRepetitionsRange.min, kRepetitionsRange.max));
  command->add_option("--seed", options->seed, "Seed of arrivals, of their order and of random prompts (default: 1)");
  command->add_option(
      "--client", options->client,
      "INDEX/COUNT: this machine is one of several that load the same servers at the same time, each with "
      "requests of its own; `merge` makes one run of theirs (docs/systems.md)");
  command->add_option("--out", options->out, "Run directory, new or empty (default: runs/TIME)");
  command->add_option("--resume", options->resume, "Go on with an interrupted run");
  command->add_flag("--retry-failed", options->retry_failed, "With --resume: also measure the cells that failed");
  command->add_option("--trace", options->trace,
                      "Also take one pass of each cell with a clock around every operation, and write it to this file "
                      "(JSON for ui.perfetto.dev)");
  command->add_option("--config", options->config, "Plan file (default: secondsource.yaml, when no bundle is given)");
  command->add_option("--backend-option", options->backend_options,
                      "BACKEND:KEY=VALUE, as the backend's README says: cpu:kv=int8");
  command->add_option("--fault", options->faults, "Plant a fault, as cpu=slow:50 or cpu=crash:3; kept in the record");
  add_limit_flags(*command, *options);
  add_gate_flags(*command, *options);
  command->add_flag("--dry-run", options->dry_run, "Only print the cells and the time they should take");
  command->add_flag("--json", options->json, "Print JSON, with every exit status that applies");
  command->footer(
      "Ends with 0, or with the first that applies of 70 (internal error), 2 (bad input), 130 (interrupted), 3 "
      "(wrong tokens), 4 (a backend failed), 6 (not comparable), 1 (regressed) and 5 (inconclusive).\n"
      "Example: secondsource run bundles/default --backend cpu,onednn --scenario single-stream,offline:16 "
      "--price 1.20");
  command->callback([options, command, &action] {
    options->given = command->given();
    action = [options](CommandContext& context) { return run_run(*options, context); };
  });
  return command;
}

}  // namespace secondsource

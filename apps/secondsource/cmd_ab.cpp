// secondsource ab: compares two builds, revisions, settings or systems in randomised interleaved pairs of fresh processes
// and gives a verdict.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "ab/ab_plan.h"
#include "ab/ab_session.h"
#include "ab/ab_verdict.h"
#include "ab/attribution.h"
#include "ab/busy_machine.h"
#include "ab/default_plan.h"
#include "ab/revision.h"
#include "ab/timed_bundle.h"
#include "ab/under_test.h"
#include "beside_resume.h"
#include "bundle/bundle.h"
#include "commands.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/folder.h"
#include "gate_output.h"
#include "gate_status.h"
#include "installed_data.h"
#include "modules.h"
#include "noise_limit.h"
#include "output.h"
#include "report/ab_header.h"
#include "report/loss_table.h"
#include "report/sarif.h"
#include "report/tables.h"
#include "runner/opened_bundle.h"
#include "runner/plan_file.h"
#include "runner/run_directory.h"

namespace secondsource {
namespace {

constexpr const char* kVerdictFile = "gate.json";

struct AbOptions {
  std::vector<std::string> given;  ///< the names of the flags on the command line
  std::string bundle;
  std::string base, candidate, base_args, candidate_args;
  std::string build, program = "build/release/bin/secondsource", modules, work, repository = ".";
  std::string config, timed_bundle, suite, plan, budget, max_time;
  std::vector<std::string> backends, variants, scenarios;
  std::int64_t max_pairs = 0;
  std::optional<double> threshold_percent;
  std::optional<double> max_others_percent;
  std::optional<std::uint64_t> seed;
  std::string out, resume, waivers, format = "table", sarif, source_root = ".";
  bool allow_unverified = false;
  bool gate_opportunistic = false;
  bool allow_inconclusive = false;
  bool no_attribution = false;
  bool alternate = false;
  std::int64_t pairs_per_start = 0;
};

/// They say when a comparison may go on, how it is judged and what is written.
constexpr std::string_view kBesideResume[] = {"--max-others", "--waivers", "--allow-inconclusive", "--format",
                                              "--sarif",      "--source",  "--no-attribution"};

/// The systems that --base and --cand name; empty for two programs or revisions.
struct TwoSystems {
  std::optional<UnderTestSystem> base, candidate;
  [[nodiscard]] bool are_named() const { return base.has_value(); }
};

/// Finds the systems that are compared. With --build both sides are revisions.
Result<TwoSystems> systems_under_test(const AbOptions& options, const std::vector<SystemRequest>& planned) {
  TwoSystems found;
  if (!options.build.empty()) return found;
  SS_TRY(found.base, find_system_under_test(options.base, planned, options.candidate));
  SS_TRY(found.candidate, find_system_under_test(options.candidate, planned, options.base));
  const auto check_names = [&](const std::string& text, bool is_system, bool is_other_system) -> Result<void> {
    const bool names_something = text.empty() || is_system || path_exists(text);
    if (!names_something && (is_other_system || !planned.empty())) return names_nothing(text, planned);
    return {};
  };
  SS_TRY_VOID(check_names(options.base, found.base.has_value(), found.candidate.has_value()));
  SS_TRY_VOID(check_names(options.candidate, found.candidate.has_value(), found.base.has_value()));
  if (found.base.has_value() != found.candidate.has_value()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{} is a system: expected systems for both --base and --cand, or two programs",
                             found.base ? options.base : options.candidate)};
  }
  return found;
}

/// Refuses what belongs to programs alone.
Result<void> check_options_are_for_systems(const AbOptions& options) {
  const std::pair<const char*, bool> unusable[] = {{"--backend", !options.backends.empty()},
                                                   {"--base-args", !options.base_args.empty()},
                                                   {"--cand-args", !options.candidate_args.empty()},
                                                   {"--timed-bundle", !options.timed_bundle.empty()}};
  for (const auto& [flag, is_set] : unusable) {
    if (!is_set) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected no such flag when two systems are compared: each is set up by its "
                             "entry in the plan, and serves the bundle that is timed",
                             flag)};
  }
  return {};
}

/// Refuses to alternate between servers of which this program starts none, since that would change nothing.
Result<void> check_alternates_servers(const TwoSystems& systems, const std::string& name) {
  const auto is_started = [](const std::optional<UnderTestSystem>& side) { return side->kind == ArmKind::kServer; };
  if (is_started(systems.base) || is_started(systems.candidate)) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a server that ab starts as --base or --cand, found none: servers behind a URL "
                           "stay as they are, and an adapter is started for each process anyway",
                           name)};
}

/// Refuses what belongs to systems or to revisions alone.
Result<void> check_options_are_for_programs(const AbOptions& options) {
  const auto is_given = [&](const char* flag) { return std::ranges::find(options.given, flag) != options.given.end(); };
  for (const char* const flag : {"--alternate", "--pairs-per-start"}) {
    if (!is_given(flag)) continue;
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: expected two systems as --base and --cand, found two programs, which no server is started for",
                    flag)};
  }
  for (const char* const flag : {"--program", "--modules", "--repo", "--work"}) {
    if (!options.build.empty() || !is_given(flag)) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected --build with the command that builds both revisions, "
                             "found none",
                             flag)};
  }
  return {};
}

/// Refuses the keys of a plan that a comparison cannot honour, since it runs the plan's cells in pairs.
Result<void> check_plan_is_for_pairs(const PlanFile& plan, const std::string& name, bool is_of_systems) {
  const RunRequest& request = plan.request;
  const RunSettings& settings = request.settings;
  if (is_of_systems && !plan.gate.timed_bundle.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: gate: timed_bundle: expected no such key, since the bundle that is timed is "
                             "the one that the systems serve",
                             name)};
  }
  const std::pair<const char*, bool> unusable[] = {{"several bundles", request.bundles.size() > 1},
                                                   {"require", !request.required.empty()},
                                                   {"devices", !request.devices.empty()},
                                                   {"batching", request.batching.has_value()},
                                                   {"shared_prefix", request.n_shared_prefix > 0},
                                                   {"slo", request.slo.has_value()},
                                                   {"threads", settings.threads > 0},
                                                   {"cpus", !is_of_systems && !settings.cpus.empty()},
                                                   {"memory_max", !is_of_systems && settings.memory_max_bytes > 0},
                                                   {"strict", settings.strict}};
  if (!is_of_systems && !request.systems.empty()) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: systems: expected --base and --cand to name two of them, since ab compares two", name)};
  }
  for (const auto& [key, is_set] : unusable) {
    if (!is_set) continue;
    if (is_of_systems)
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected no such key in a "
                                                         "plan for ab of two systems",
                                                         name, key)};
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: {}: expected no such key in a plan for ab; give it to both sides with "
                             "--base-args and --cand-args",
                             name, key)};
  }
  return {};
}

/// The plan that --config names, or the default one, with the flags applied to it. Fills in the systems that the flags name.
Result<PlanFile> plan_with_flags(const AbOptions& options, TwoSystems& systems, const CommandContext& context) {
  const std::string name = options.config.empty() ? std::string(kDefaultPlanName) : options.config;
  SS_TRY(PlanFile plan, options.config.empty() ? parse_plan(default_plan_text(), name) : read_plan_file(name));
  SS_TRY(systems, systems_under_test(options, plan.request.systems));
  SS_TRY_VOID(systems.are_named() ? check_options_are_for_systems(options) : check_options_are_for_programs(options));
  SS_TRY_VOID(check_plan_is_for_pairs(plan, name, systems.are_named()));
  RunRequest& request = plan.request;
  if (!options.bundle.empty()) request.bundles = {options.bundle};
  if (request.bundles.empty()) {
    return Error{ErrorCode::kInvalidInput, "ab: expected a bundle, a plan with one (--config), or --resume"};
  }
  SS_TRY(request.bundles.front(), bundle_path(request.bundles.front(), context.program));
  if (!options.backends.empty()) request.backends = options.backends;
  if (!options.variants.empty()) request.variants = options.variants;
  if (!options.scenarios.empty()) request.scenarios = options.scenarios;
  if (!options.suite.empty()) request.suite = options.suite;
  if (options.seed) request.seed = *options.seed;
  if (!options.budget.empty()) {
    SS_TRY(request.settings.cell_budget_s, parse_seconds_flag("--budget", options.budget));
  }
  if (!options.max_time.empty()) {
    SS_TRY(request.settings.max_time_s, parse_seconds_flag("--max-time", options.max_time));
  }
  if (!options.timed_bundle.empty()) plan.gate.timed_bundle = options.timed_bundle;
  SS_TRY(plan.gate.timed_bundle, bundle_path(plan.gate.timed_bundle, context.program));
  if (options.threshold_percent) plan.gate.threshold_percent = *options.threshold_percent;
  if (options.plan == "pull-request") plan.gate.max_pairs = pull_request_plan().max_pairs();
  if (options.plan == "nightly") plan.gate.max_pairs = nightly_plan().max_pairs();
  if (options.max_pairs > 0) plan.gate.max_pairs = options.max_pairs;
  if (plan.gate.max_pairs == 0) plan.gate.max_pairs = pull_request_plan().max_pairs();
  if (!options.waivers.empty()) plan.gate.waivers = options.waivers;
  if (options.pairs_per_start > 0) plan.gate.pairs_per_start = options.pairs_per_start;
  if (plan.gate.pairs_per_start == 0) plan.gate.pairs_per_start = kUsualPairsPerStart;
  if (systems.are_named() && (options.alternate || plan.gate.alternate)) {
    SS_TRY_VOID(check_alternates_servers(systems, options.alternate ? "--alternate" : name + ": gate: alternate"));
  }
  plan.gate.alternate |= options.alternate;
  plan.gate.allow_unverified |= options.allow_unverified;
  plan.gate.allow_inconclusive |= options.allow_inconclusive;
  plan.gate.opportunistic |= options.gate_opportunistic;
  return plan;
}

/// Resolves one side: either a program, or a revision that is built first.
Result<ArmRecord> arm_of(Arm name, const std::string& what, std::vector<std::string> arguments,
                         const AbOptions& options, CommandContext& context) {
  ArmRecord arm{.name = name, .program = what, .arguments = std::move(arguments)};
  if (what.empty()) {
    arm.program = context.program.string();
  } else if (!options.build.empty()) {
    const bool builds_modules = !options.modules.empty();
    SS_TRY(const BuiltRevision built, build_revision({.repository = std::filesystem::absolute(options.repository),
                                                      .revision = what,
                                                      .command = options.build,
                                                      .result = builds_modules ? options.modules : options.program,
                                                      .work = options.work},
                                                     context.progress, context.interrupt));
    arm.program = builds_modules ? context.program.string() : built.result.string();
    if (builds_modules) arm.modules = built.result.string();
    arm.revision = built.commit;
  }
  return arm;
}

/// The share of all CPUs that others may take when a comparison begins.
Result<double> max_others_share(const AbOptions& options) {
  constexpr double kUsual = 0.6;
  if (options.max_others_percent) return *options.max_others_percent / 100;
  SS_TRY(const std::optional<double> limit, noise_limit_of_environment());
  return limit.value_or(kUsual);
}

/// One side that is a system: it is measured by this program.
ArmRecord arm_of_system(Arm name, const std::string& what, const CommandContext& context) {
  ArmRecord arm{.name = name, .program = context.program.string()};
  arm.system = what;
  return arm;
}

/// Sets the sides of a comparison.
Result<void> set_arms(const AbOptions& options, const TwoSystems& systems, const PlanFile& plan,
                      CommandContext& context, AbRequest& request) {
  if (!systems.are_named()) {
    SS_TRY(std::vector<std::string> of_base, split_words("--base-args", options.base_args));
    SS_TRY(std::vector<std::string> of_candidate, split_words("--cand-args", options.candidate_args));
    SS_TRY(request.base, arm_of(Arm::kBase, options.base, std::move(of_base), options, context));
    SS_TRY(request.candidate, arm_of(Arm::kCandidate, options.candidate, std::move(of_candidate), options, context));
    return {};
  }
  request.base = arm_of_system(Arm::kBase, options.base, context);
  request.candidate = arm_of_system(Arm::kCandidate, options.candidate, context);
  request.base_system = systems.base;
  request.candidate_system = systems.candidate;
  request.system_settings = plan.request.settings;
  request.sittings = plan.gate.alternate ? Sittings::kAlternating : Sittings::kSideBySide;
  request.pairs_per_start = plan.gate.pairs_per_start;
  return {};
}

Result<AbRequest> request_of(const AbOptions& options, const TwoSystems& systems, const PlanFile& plan,
                             CommandContext& context) {
  if (!options.build.empty() && (options.base.empty() || options.candidate.empty())) {
    return Error{ErrorCode::kInvalidInput, "--build: expected revisions for --base and --cand"};
  }
  AbRequest request;
  SS_TRY_VOID(set_arms(options, systems, plan, context, request));
  request.bundle = plan.request.bundles.front();
  request.timed_bundle = plan.gate.timed_bundle;
  request.backends = plan.request.backends;
  request.variants = plan.request.variants;
  request.scenarios = plan.request.scenarios;
  request.suite = plan.request.suite;
  request.oracle = kOracle;
  request.plan = plan_up_to(plan.gate.max_pairs);
  request.threshold_percent = plan.gate.threshold_percent;
  request.cell_budget = fmt::format("{}s", plan.request.settings.cell_budget_s);
  request.max_time_s = plan.request.settings.max_time_s;
  request.seed = plan.request.seed;
  request.allow_unverified = plan.gate.allow_unverified;
  SS_TRY(request.max_others_share, max_others_share(options));
  request.judge_opportunistic = plan.gate.opportunistic;
  if (!plan.gate.waivers.empty()) request.waivers = std::filesystem::absolute(plan.gate.waivers);
  request.allow_inconclusive = plan.gate.allow_inconclusive;
  request.command = context.arguments;
  return request;
}

/// Refuses before anything is built or started a bundle that cannot be opened, and a variant in which its tokens cannot be judged or
/// no times can be taken.
Result<void> check_bundles(const PlanFile& plan, bool is_of_systems, CommandContext& context) {
  const std::filesystem::path& path = plan.request.bundles.front();
  SS_TRY(const Bundle bundle, Bundle::open(path, context.progress, context.interrupt));
  SS_TRY(const std::vector<std::string> variants, variants_to_measure(bundle, plan.request.variants));
  if (is_of_systems) return {};
  if (!plan.gate.timed_bundle.empty()) {
    SS_TRY(const Bundle timed, Bundle::open(plan.gate.timed_bundle, context.progress, context.interrupt));
    return timed.check_has_variants(variants);
  }
  return check_timed_variants(bundle.config(), path, variants, timed_cache_bytes());
}

Result<AbDirectory> begin(const AbOptions& options, const TwoSystems& systems, const PlanFile& plan,
                          CommandContext& context) {
  std::filesystem::path folder = options.out;
  if (folder.empty()) {
    std::string stamp = utc_timestamp();
    std::erase_if(stamp, [](char c) { return c == ':' || c == '-'; });
    folder = std::filesystem::path("runs") / ("ab-" + stamp);
  }
  SS_TRY_VOID(RunDirectory::check_free(folder));
  SS_TRY_VOID(check_scenarios_of_pairs(plan.request.scenarios));
  SS_TRY_VOID(check_bundles(plan, systems.are_named(), context));
  SS_TRY(const AbRequest request, request_of(options, systems, plan, context));
  return AbDirectory::create(folder, [&] { return plan_ab(request, folder, context.progress, context.interrupt); });
}

/// The part of a plan that says how a comparison that goes on is judged: as its ab.json says, or as the flags do.
Result<PlanFile> plan_of_resumed(const AbOptions& options) {
  SS_TRY_VOID(check_beside_resume(options.given, kBesideResume, "ab.json"));
  SS_TRY(const AbRecord record, AbDirectory::read_record(options.resume));
  PlanFile plan;
  plan.gate.threshold_percent = record.threshold_percent;
  plan.gate.waivers = options.waivers.empty() ? record.waivers : options.waivers;
  plan.gate.allow_inconclusive = options.allow_inconclusive || record.allow_inconclusive;
  return plan;
}

Result<AbDirectory> go_on(const AbOptions& options, CommandContext& context) {
  SS_TRY(const AbRecord record, AbDirectory::read_record(options.resume));
  SS_TRY_VOID(check_ab_resumable(record, options.resume, context.progress, context.interrupt));
  return AbDirectory::resume(options.resume);
}

/// Why nothing can be timed now, because other processes take the CPUs; empty where they do not, or where nothing is
/// left to time.
Result<std::string> why_machine_is_busy(const AbOptions& options, const AbDirectory& directory,
                                        CommandContext& context) {
  const AbRecord& record = directory.record();
  if (is_measured(record, directory.lines())) return std::string();
  const double max_others = options.max_others_percent ? *options.max_others_percent / 100 : record.max_others_share;
  const std::string what_is_left =
      fmt::format("{}, and `secondsource ab --resume {}` goes on from there",
                  directory.lines().empty() ? "tokens were judged and nothing was timed"
                                            : "nothing more was measured; what was measured before is kept",
                  directory.folder().string());
  const Result<void> is_free = check_host_is_free(max_others, what_is_left, context.progress, context.interrupt);
  if (is_free) return std::string();
  if (is_free.error().code != ErrorCode::kInconclusive) return is_free.error();
  return is_free.error().message;
}

/// The losses of regressed cells: those of the stored verdict of a comparison that was finished before, or measured now.
Result<std::vector<LossShare>> losses_of(const AbOptions& options, const AbDirectory& directory,
                                         const GateReport& report, CommandContext& context) {
  const std::filesystem::path file = directory.folder() / kVerdictFile;
  if (!options.resume.empty() && path_exists(file)) {
    SS_TRY(const std::string text, read_file(file));
    SS_TRY(GateReport stored, gate_report_from_json(text, file.string()));
    if (!stored.losses.empty()) return std::move(stored.losses);
  }
  return attribute_losses(directory, report, options.source_root, context.progress, context.interrupt);
}

/// True if both sides are one program with the same flags and modules, so that nothing but noise can differ.
bool is_with_itself(const AbRecord& record) {
  const ArmRecord& base = record.base;
  const ArmRecord& candidate = record.candidate;
  return !record.is_of_systems() && base.program == candidate.program && base.arguments == candidate.arguments &&
         base.modules == candidate.modules;
}

/// Measures the pairs that are missing. What was measured before an error is kept.
Result<void> measure_pairs(AbDirectory& directory, CommandContext& context) {
  if (is_with_itself(directory.record())) {
    context.progress.note(
        "ab: base and candidate are the same program with the same flags, so this measures the noise");
  }
  const Result<void> done = run_pairs(directory, {}, context.progress, context.interrupt);
  if (!done) {
    Error error = done.error();
    if (error.code != ErrorCode::kInvalidInput && error.code != ErrorCode::kNotComparable) {
      error.message += fmt::format("; what was measured is kept, and `secondsource ab --resume {}` goes on from there",
                                   directory.folder().string());
    }
    return error;
  }
  return {};
}

/// The verdict by what was measured until now.
Result<GateReport> verdict_of(const AbOptions& options, const AbDirectory& directory, std::span<const Waiver> waivers,
                              std::string why_cannot_decide, CommandContext& context) {
  GateReport report = report_of(directory.record(), directory.lines(), waivers, utc_timestamp().substr(0, 10));
  if (!why_cannot_decide.empty()) {
    report.cannot_decide = std::move(why_cannot_decide);
  } else if (!options.no_attribution) {
    SS_TRY(report.losses, losses_of(options, directory, report, context));
  }
  for (GateVerdict& verdict : report.verdicts) verdict.why += loss_sentence(report, verdict);
  report.compared = ab_header(directory.record(), directory.lines());
  if (const auto golden = RunDirectory::read_record(golden_folder(directory.folder(), Arm::kBase))) {
    report.compared.push_back(host_line(golden->host));
  }
  return report;
}

Result<ExitStatus> run_ab(const AbOptions& options, CommandContext& context) {
  TwoSystems systems;
  SS_TRY(const PlanFile plan,
         options.resume.empty() ? plan_with_flags(options, systems, context) : plan_of_resumed(options));
  std::vector<Waiver> waivers;
  if (!plan.gate.waivers.empty()) {
    SS_TRY(waivers, read_waivers(plan.gate.waivers));
  }
  std::optional<Output> sarif;
  if (!options.sarif.empty()) {
    SS_TRY(Output opened, Output::open(options.sarif, {options.bundle, options.config, options.waivers}));
    sarif.emplace(std::move(opened));
  }
  SS_TRY(AbDirectory directory,
         options.resume.empty() ? begin(options, systems, plan, context) : go_on(options, context));
  SS_TRY(std::string why_busy, why_machine_is_busy(options, directory, context));
  if (why_busy.empty()) SS_TRY_VOID(measure_pairs(directory, context));
  SS_TRY(const GateReport report, verdict_of(options, directory, waivers, std::move(why_busy), context));
  SS_TRY_VOID(write_file(directory.folder() / kVerdictFile, to_json(report)));
  if (sarif) SS_TRY_VOID(sarif->write(write_sarif(report)));
  SS_TRY_VOID(print(render_gate(report, options.format)));
  context.progress.note(fmt::format("comparison: {}", directory.folder().string()));
  return most_serious(statuses_of(report, plan.gate.allow_inconclusive));
}

void add_what_flags(CommandNode& command, AbOptions& options) {
  command.add_option("bundle", options.bundle, "Bundle whose golden prompts judge the tokens of both sides");
  command.add_option(
      "--base", options.base,
      "Program of the base (default: this one), or with --build a revision; or a system: its name in the "
      "plan, NAME=URL or NAME=adapter:RUNTIME as for `run --system`, or an image with its digest");
  command.add_option("--cand", options.candidate, "The same for the candidate");
  command.add_option("--base-args", options.base_args, "Flags of `run` for the base alone: the setting under test")
      ->may_be_empty();
  command.add_option("--cand-args", options.candidate_args, "The same for the candidate")->may_be_empty();
  command.add_option("--build", options.build, "Build both revisions with this command, in worktrees");
  command.add_option("--program", options.program, "Program that the build makes, relative to the worktree")
      ->capture_default_str();
  command.add_option("--modules", options.modules,
                     "Instead of --program: a folder of backend modules that the build leaves, with which this program "
                     "runs; for backends outside of this source tree");
  command.add_option("--repo", options.repository, "Git checkout of the two revisions")->capture_default_str();
  command.add_option("--work", options.work, "Folder of the worktrees (default: in the cache folder)");
  command.add_option(
      "--timed-bundle", options.timed_bundle,
      "Bundle whose times are measured (default: the bundle itself, or, where its weights would fit into the "
      "CPU's cache, a synthesised one without published variants)");
  command.add_option("--backend", options.backends, "Backends (default: all that the base has available)")
      ->delimiter(',');
  command.add_option("--variant", options.variants, "Variants (default: the plan's)")->delimiter(',');
  command
      .add_option("--scenario", options.scenarios, "As for `run`, each with one batch or rate (default: the plan's)")
      ->delimiter(',');
  command.add_option("--suite", options.suite, "Tag of the golden prompts (default: the plan's)");
}

void add_how_flags(CommandNode& command, AbOptions& options) {
  command.add_option("--config", options.config,
                     "Plan file; the flags override it (default: the program's copy of docs/ci/pull-request.yaml)");
  command.add_option("--plan", options.plan, "Number of pairs: pull-request (28 at most) or nightly (96)")
      ->check(OneOf({"pull-request", "nightly"}));
  command.add_option("--max-pairs", options.max_pairs, "Number of pairs, instead of --plan")
      ->check(Range(std::int64_t{1}, std::int64_t{400}));
  command
      .add_option("--pairs-per-start", options.pairs_per_start,
                  "For two servers that ab starts: number of pairs after which both are started anew (default: "
                  "the plan's, or 4)")
      ->check(Range(std::int64_t{1}, kMostPairsPerStart));
  command.add_flag("--alternate", options.alternate,
                   "For two servers that do not fit at once: run one at a time, started for each process");
  command.add_option("--max-time", options.max_time, "Time for golden prompts and pairs, as 90s or 10min");
  command
      .add_option("--max-others", options.max_others_percent,
                  "Do not begin while other processes use more than this percentage of all CPUs; after 20 s end "
                  "with 5 (default 60)")
      ->check(Range(0.0, 100.0));
  command.add_option("--budget", options.budget, "Time for each single-stream scenario in one process, as 500ms");
  command.add_option("--threshold", options.threshold_percent, "Percent by which cost or TTFT may grow")
      ->check(Range(0.1, 1000.0));
  command.add_option("--seed", options.seed,
                     "Seed of the order of base and candidate in each pair, and of random prompts");
  command.add_option("--out", options.out, "Folder of the comparison (default: runs/ab-TIME)");
  command.add_option("--resume", options.resume, "Go on with an interrupted comparison");
  command.add_option("--waivers", options.waivers, "YAML file with accepted regressions");
  command.add_option("--format", options.format, "table, markdown, json or junit")
      ->check(OneOf({"table", "markdown", "json", "junit"}))
      ->capture_default_str();
  command.add_option("--sarif", options.sarif, "Also write regressions with their kernels as SARIF 2.1.0 to this file");
  command.add_option("--source", options.source_root, "Checkout in which kernels are looked up for --sarif")
      ->capture_default_str();
  command.add_flag("--no-attribution", options.no_attribution, "Do not measure which operation a regression is in");
  command.add_flag("--allow-unverified", options.allow_unverified, "Also judge bundles without expected outputs");
  command.add_flag("--gate-opportunistic", options.gate_opportunistic, kGateOpportunisticHelp);
  command.add_flag("--allow-inconclusive", options.allow_inconclusive, "Inconclusive ends with status 0");
}

}  // namespace

CommandNode* add_ab_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<AbOptions>();
  CommandNode* command =
      app.add_subcommand("ab", "Two builds, revisions, settings or servers in interleaved pairs: the verdict");
  add_what_flags(*command, *options);
  add_how_flags(*command, *options);
  command->footer(
      "Ends with 0 (pass or waived), 1 (regressed), 3 (wrong tokens), 4 (a backend failed), 5 (inconclusive),\n"
      "6 (not comparable). docs/gate.md has the rule.\n"
      "Two revisions: secondsource ab --base main --cand HEAD --build './dev build' bundles/default\n"
      "Two settings: secondsource ab --cand-args '--threads 1' bundles/default\n"
      "Two servers: secondsource ab --config plan.yaml --base vllm --cand vllm-next\n"
      "Two endpoints: secondsource ab bundles/default --base old=http://a:8000 --cand new=http://b:8000\n"
      "Example: secondsource ab --base old/secondsource --cand new/secondsource bundles/default --format markdown");
  command->callback([options, command, &action] {
    options->given = command->given();
    action = [options](CommandContext& context) { return run_ab(*options, context); };
  });
  return command;
}

}  // namespace secondsource

#include "ab/ab_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ab/ab_directory.h"
#include "ab/ab_verdict.h"
#include "ab/program_run.h"
#include "ab/system_differences.h"
#include "ab/timed_bundle.h"
#include "bundle/content.h"
#include "core/clock.h"
#include "core/enum_format.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/staging.h"
#include "core/units.h"
#include "runner/scenario_text.h"
#include "runner/system_plan.h"
#include "summary/summarize.h"
#include "summary/summarized_run.h"

namespace secondsource {
namespace {

// This run only judges tokens, so it times as little as a run can.
constexpr const char* kShortestScenario = "single-stream@/2";
constexpr const char* kShortestBudget = "0.1s";
constexpr double kGoldenDeadlineS = 3600;                // a run that takes this long hangs
constexpr std::int64_t kGoldenGraceNs = 10'000'000'000;  // to stop a server that it started

class AbPlanner {
 public:
  AbPlanner(const AbRequest& request, const std::filesystem::path& folder, Progress& progress,
            const InterruptFlag& interrupt)
      : request_(request), folder_(folder), progress_(progress), interrupt_(interrupt) {}

  Result<AbRecord> plan() {
    began_ns_ = now_ns();
    record_.ab_id = random_digits();
    record_.started_utc = utc_timestamp();
    record_.command = request_.command;
    record_.seed = request_.seed;
    record_.suite = request_.suite;
    record_.looks = request_.plan.looks;
    record_.threshold_percent = request_.threshold_percent;
    record_.cell_budget = request_.cell_budget;
    record_.max_time_s = request_.max_time_s;
    record_.allow_unverified = request_.allow_unverified;
    record_.max_others_share = request_.max_others_share;
    record_.waivers = request_.waivers.string();
    record_.allow_inconclusive = request_.allow_inconclusive;
    SS_TRY_VOID(check_scenarios_of_pairs(request_.scenarios));
    record_.scenarios = request_.scenarios;
    SS_TRY(record_.base, with_hash(request_.base));
    SS_TRY(record_.candidate, with_hash(request_.candidate));
    if (request_.base_system && request_.candidate_system) SS_TRY_VOID(add_systems());
    SS_TRY(const Bundle bundle, Bundle::open(request_.bundle, progress_, interrupt_));
    record_.golden_bundle = std::filesystem::absolute(request_.bundle).string();
    SS_TRY(record_.golden_bundle_sha256, check_content(bundle, progress_, interrupt_));
    if (!request_.judge_opportunistic) record_.opportunistic = opportunistic_of(bundle);
    SS_TRY_VOID(choose_backends());
    SS_TRY_VOID(judge_tokens(record_.base));
    if (!record_.golden_cut_short) SS_TRY_VOID(judge_tokens(record_.candidate));
    if (!record_.golden_cut_short) record_.stints = stints_of(record_.golden, request_.allow_unverified);
    if (!record_.stints.empty()) SS_TRY_VOID(choose_timed_bundle(bundle));
    if (record_.is_of_systems()) note_differences();
    record_.prepared_s = spent_s();
    return std::move(record_);
  }

 private:
  [[nodiscard]] double spent_s() const { return 1e-9 * static_cast<double>(now_ns() - began_ns_); }

  static std::vector<std::string> opportunistic_of(const Bundle& bundle) {
    std::vector<std::string> names;
    for (const std::string& name : bundle.variants()) {
      const ManifestVariant* variant = bundle.manifest() == nullptr ? nullptr : bundle.manifest()->find_variant(name);
      const Tier tier = variant == nullptr ? tier_without_quality(name) : variant->effective_tier();
      if (tier == Tier::kOpportunistic) names.push_back(name);
    }
    return names;
  }

  static Result<ArmRecord> with_hash(ArmRecord arm) {
    std::error_code failed;
    const std::filesystem::path program = std::filesystem::canonical(arm.program, failed);
    if (failed) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: {}: expected a program, found none", arm.name, arm.program)};
    }
    if (!std::filesystem::is_regular_file(program, failed) || ::access(program.c_str(), X_OK) != 0) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("{}: {}: expected a program, found something that cannot be executed", arm.name, arm.program)};
    }
    arm.program = program.string();
    SS_TRY(arm.program_sha256, sha256_of_file(program));
    return arm;
  }

  /// Writes one plan for each system. Both plans use the candidate's name, so that the two systems share one row.
  Result<void> add_systems() {
    record_.sittings = request_.sittings;
    record_.pairs_per_start = request_.pairs_per_start;
    const std::string& name = request_.candidate_system->system.name;
    for (ArmRecord* const arm : {&record_.base, &record_.candidate}) {
      const UnderTestSystem& side = arm->name == Arm::kBase ? *request_.base_system : *request_.candidate_system;
      SystemRequest system = side.system;
      system.name = name;
      const std::string text = system_plan_text(system, request_.system_settings);
      arm->kind = side.kind;
      arm->system_plan = fmt::format("{}.yaml", arm->name);
      arm->system_plan_sha256 = sha256_hex(text);
      SS_TRY_VOID(write_file(folder_ / arm->system_plan, text));
    }
    return {};
  }

  void note_differences() {
    const auto base = read_summarized_run(golden_folder(folder_, Arm::kBase));
    const auto candidate = read_summarized_run(golden_folder(folder_, Arm::kCandidate));
    if (base && candidate) record_.compared = system_differences(base->record, candidate->record);
  }

  /// Chooses the backends that the base program reports as available on this machine; for two systems, their common
  /// name.
  Result<void> choose_backends() {
    backends_ = request_.backends;
    if (record_.is_of_systems()) backends_ = {request_.candidate_system->system.name};
    if (!backends_.empty()) return {};
    SS_TRY(const ProgramEnd end, run_program_to_end({.program = record_.base.program,
                                                     .arguments = {"backends", "--json"},
                                                     .stderr_file = stderr_file(folder_, record_.base),
                                                     .modules = record_.base.modules},
                                                    interrupt_));
    if (end.exit.status != 0) return of_arm(record_.base, "backends --json", end);
    SS_TRY(const nlohmann::json json, parse_json(end.out, "base: backends --json"));
    std::vector<std::string> unavailable;
    bool has_oracle = false;
    for (const nlohmann::json& backend : json.value("backends", nlohmann::json::array())) {
      const std::string name = backend.value("name", "");
      if (!backend.value("available", false)) {
        unavailable.push_back(fmt::format("{}: {}", name, backend.value("unavailable", "")));
      } else if (name == request_.oracle) {
        has_oracle = true;
      } else {
        backends_.push_back(name);
      }
    }
    if (backends_.empty() && has_oracle) backends_.push_back(request_.oracle);
    if (!backends_.empty()) return {};
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the base has no backend available: {}", fmt::join(unavailable, "; "))};
  }

  static Error of_arm(const ArmRecord& arm, std::string_view what, const ProgramEnd& end) {
    return {ErrorCode::kInvalidInput, fmt::format("{}: {} {}: {}", arm.name, arm.program, what, end.text())};
  }

  Result<void> judge_tokens(const ArmRecord& arm) {
    progress_.note(
        fmt::format("{}: golden prompts of {} on {}", arm.name, record_.golden_bundle, fmt::join(backends_, ", ")));
    const std::filesystem::path out = golden_folder(folder_, arm.name);
    std::vector<std::string> arguments = {"run",           record_.golden_bundle, "--suite",       request_.suite,
                                          "--scenario",    kShortestScenario,     "--repetitions", "1",
                                          "--cell-budget", kShortestBudget,       "--out",         out.string()};
    if (arm.is_system()) {
      arguments.insert(arguments.end(), {"--config", (folder_ / arm.system_plan).string()});
    } else {
      arguments.insert(arguments.end(), {"--backend", fmt::format("{}", fmt::join(backends_, ","))});
    }
    if (!request_.variants.empty()) {
      arguments.emplace_back("--variant");
      arguments.push_back(fmt::format("{}", fmt::join(request_.variants, ",")));
    }
    arguments.insert(arguments.end(), arm.arguments.begin(), arm.arguments.end());
    const bool is_bounded = request_.max_time_s > 0 && request_.max_time_s - spent_s() < kGoldenDeadlineS;
    const double left_s = is_bounded ? request_.max_time_s - spent_s() : kGoldenDeadlineS;
    if (left_s <= 0) {
      record_.golden_cut_short = arm.name;
      return {};
    }
    SS_TRY(const ProgramEnd end, run_program_to_end({.program = arm.program,
                                                     .arguments = arguments,
                                                     .stderr_file = stderr_file(folder_, arm),
                                                     .deadline_ns = static_cast<std::int64_t>(1e9 * left_s),
                                                     .grace_ns = kGoldenGraceNs,
                                                     .modules = arm.modules},
                                                    interrupt_));
    if (end.timed_out && is_bounded) {
      record_.golden_cut_short = arm.name;
      if (const auto run = read_summarized_run(out)) add_golden(arm, *run);
      // What was not reached is not known to be missing.
      std::erase_if(record_.golden,
                    [&](const AbGolden& one) { return one.arm == arm.name && one.verdict == GoldenVerdict::kNotRun; });
      return {};
    }
    if (end.exit.status == program_status::kBadInput) return of_arm(arm, "run", end);
    if (!path_exists(out / "run.json") && end.exit.status == program_status::kBackendFailed)
      return none_available(arm, end);
    const auto run = read_summarized_run(out);
    if (!run) return of_arm(arm, "run", end);
    add_golden(arm, *run);
    return {};
  }

  /// Handles a `run` that did not start because none of the backends is available.
  Result<void> none_available(const ArmRecord& arm, const ProgramEnd& end) {
    if (arm.name == Arm::kBase) return Error{ErrorCode::kUnavailable, "base: " + end.said};
    const std::vector<AbGolden> of_base = record_.golden;
    for (const AbGolden& golden : of_base) {
      record_.golden.push_back({.arm = arm.name,
                                .backend = golden.backend,
                                .variant = golden.variant,
                                .verdict = GoldenVerdict::kUnavailable,
                                .reason = end.said});
    }
    return {};
  }

  void add_golden(const ArmRecord& arm, const SummarizedRun& run) {
    for (const BackendRecord& backend : run.record.backends) {
      if (backend.unavailable.empty()) continue;
      for (const std::string& variant : variants_of(run)) {
        record_.golden.push_back({.arm = arm.name,
                                  .backend = backend.name,
                                  .variant = variant,
                                  .verdict = GoldenVerdict::kUnavailable,
                                  .reason = backend.unavailable});
      }
    }
    for (const CellSummary& cell : run.summary.cells) {
      AbGolden golden{.arm = arm.name, .backend = cell.key.backend, .variant = cell.key.variant};
      golden.verdict = cell.golden;
      for (const GoldenRecord& record : run.summary.golden) {
        const bool is_this = record.backend == cell.key.backend && record.variant == cell.key.variant;
        if (is_this) golden.level = record.level;
        if (is_this && !record.reasons.empty()) golden.reason = record.reasons.front();
      }
      if (golden.reason.empty() && !cell.notes.empty()) golden.reason = cell.notes.front();
      if (golden.reason.empty() && golden.verdict == GoldenVerdict::kNotRun) {
        golden.reason = "the golden prompts did not run";
      }
      golden.left_out = request_.backends.empty() && !arm.is_system() && is_unsupported(run, cell.key);
      record_.golden.push_back(std::move(golden));
    }
  }

  /// True if the backend declined the cell, or its variant.
  static bool is_unsupported(const SummarizedRun& run, const CellKey& key) {
    return std::ranges::any_of(run.summary.failures, [&](const FailureRecord& failure) {
      return failure.kind == FailureKind::kUnsupported && concerns(failure, key);
    });
  }

  /// Returns the variants of the run's cells; for a backend without any cell, those of the other backends.
  static std::vector<std::string> variants_of(const SummarizedRun& run) {
    std::vector<std::string> variants;
    for (const CellSummary& cell : run.summary.cells) {
      if (std::find(variants.begin(), variants.end(), cell.key.variant) == variants.end()) {
        variants.push_back(cell.key.variant);
      }
    }
    return variants;
  }

  Result<void> choose_timed_bundle(const Bundle& bundle) {
    std::vector<std::string> variants;
    for (const AbStint& stint : record_.stints) variants.push_back(stint.variant);
    const std::int64_t cache_bytes = timed_cache_bytes();
    // A server serves a single bundle, so the bundle whose tokens are judged is also the one that is timed.
    std::filesystem::path path = record_.is_of_systems() ? request_.bundle : request_.timed_bundle;
    if (path.empty() && is_too_large_for(cache_bytes, weight_bytes(bundle.config(), variants))) path = request_.bundle;
    if (path.empty()) {
      SS_TRY(path, synthesised_bundle_beyond(cache_bytes, variants, progress_, interrupt_));
    }
    SS_TRY(const Bundle timed, Bundle::open(path, progress_, interrupt_));
    if (!record_.is_of_systems() && !is_too_large_for(cache_bytes, weight_bytes(timed.config(), variants))) {
      progress_.note(
          fmt::format("{}: its {} of weights may stay in the last-level cache of {}, so times may be "
                      "better than from memory",
                      path.string(), format_bytes(weight_bytes(timed.config(), variants)), format_bytes(cache_bytes)));
    }
    record_.timed_bundle = std::filesystem::absolute(path).string();
    SS_TRY(record_.timed_bundle_sha256, check_content(timed, progress_, interrupt_));
    return {};
  }

  const AbRequest& request_;
  const std::filesystem::path& folder_;
  Progress& progress_;
  const InterruptFlag& interrupt_;
  AbRecord record_;
  std::vector<std::string> backends_;
  std::int64_t began_ns_ = 0;
};

}  // namespace

Result<void> check_scenarios_of_pairs(const std::vector<std::string>& scenarios) {
  for (const std::string& text : scenarios) {
    SS_TRY(const std::vector<Scenario> parsed, parse_scenario(text));
    if (parsed.size() != 1) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("scenario {}: expected one scenario, found {}: name the batch", text, parsed.size())};
    }
    if (parsed.front().kind != ScenarioKind::kSwap) continue;
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("scenario {}: expected a scenario of one model, since ab compares with one bundle, found a "
                    "mix of several",
                    text)};
  }
  return {};
}

Result<AbRecord> plan_ab(const AbRequest& request, const std::filesystem::path& folder, Progress& progress,
                         const InterruptFlag& interrupt) {
  std::error_code failed;
  // Removes the golden runs of an attempt that was interrupted before its first pair.
  for (const Arm arm : {Arm::kBase, Arm::kCandidate}) std::filesystem::remove_all(golden_folder(folder, arm), failed);
  return AbPlanner(request, folder, progress, interrupt).plan();
}

std::filesystem::path golden_folder(const std::filesystem::path& folder, Arm arm) {
  return folder / fmt::format("golden-{}", arm);
}

Result<void> check_ab_resumable(const AbRecord& record, const std::filesystem::path& folder, Progress& progress,
                                const InterruptFlag& interrupt) {
  const auto changed = [](std::string_view what, std::string_view before, std::string_view now) {
    return Error{ErrorCode::kNotComparable,
                 fmt::format("{} changed since the comparison began: expected {:.12}, found {:.12}; start a new "
                             "comparison",
                             what, before, now)};
  };
  for (const ArmRecord* arm : {&record.base, &record.candidate}) {
    SS_TRY(const std::string hash, sha256_of_file(arm->program));
    if (hash != arm->program_sha256) return changed(arm->program, arm->program_sha256, hash);
    if (!arm->is_system()) continue;
    SS_TRY(const std::string plan, sha256_of_file(folder / arm->system_plan));
    if (plan != arm->system_plan_sha256) return changed(arm->system_plan, arm->system_plan_sha256, plan);
  }
  const std::pair<const std::string&, const std::string&> bundles[] = {
      {record.golden_bundle, record.golden_bundle_sha256}, {record.timed_bundle, record.timed_bundle_sha256}};
  for (const auto& [path, expected] : bundles) {
    if (path.empty()) continue;
    SS_TRY(const Bundle bundle, Bundle::open(path, progress, interrupt));
    SS_TRY(const std::string content, check_content(bundle, progress, interrupt));
    if (content != expected) return changed(path, expected, content);
  }
  return {};
}

}  // namespace secondsource

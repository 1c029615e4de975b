#pragma once
// Prepares a comparison of two programs, or of two systems, on a bundle: looks up the backends, judges the tokens once on
// each side, and finds a bundle that is too large for the cache.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ab/ab_record.h"
#include "ab/under_test.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "gate/paired_gate.h"
#include "record/run_settings.h"

namespace secondsource {

inline constexpr std::int64_t kUsualPairsPerStart = 4;

struct AbRequest {
  ArmRecord base{}, candidate{};  ///< hashes, kind and plan of a system are not filled in yet
  std::optional<UnderTestSystem> base_system{}, candidate_system{};  ///< both or none
  RunSettings system_settings{};                                     ///< CPUs, memory and deadline of both systems
  Sittings sittings = Sittings::kSideBySide;                         ///< of servers that are started
  std::int64_t pairs_per_start = kUsualPairsPerStart;
  std::filesystem::path bundle{};        ///< the bundle on which tokens are judged
  std::filesystem::path timed_bundle{};  ///< empty: `bundle`, or a synthesised bundle if `bundle` would fit the cache
  std::vector<std::string> backends{};   ///< empty: all that are available to the base, except the oracle
  std::vector<std::string> variants{};   ///< empty: the defaults of `run`
  std::vector<std::string> scenarios{};
  std::string suite = "smoke";
  std::string oracle{};  ///< backend of plain loops, which is not timed
  PairPlan plan{};
  double threshold_percent = 10;
  std::string cell_budget{};
  double max_time_s = 0;  ///< for golden prompts and pairs together; 0 means no limit
  std::uint64_t seed = 1;
  double max_others_share = 1;  ///< share in [0, 1] of all CPUs that others may take when the comparison begins
  bool allow_unverified = false;
  bool judge_opportunistic = false;  ///< opportunistic variants decide, too
  std::filesystem::path waivers{};   ///< absolute path of the file with accepted regressions; empty: none
  bool allow_inconclusive = false;   ///< an inconclusive comparison ends with status 0
  std::vector<std::string> command{};
};

/// Errors: kInvalidInput for a scenario that a comparison cannot run: not one of those of `run`, several in one text, or
/// a mix of several models, since a comparison has one bundle.
Result<void> check_scenarios_of_pairs(const std::vector<std::string>& scenarios);

/// Runs the golden prompts of each side, with the run directories FOLDER/golden-ARM, and returns the complete plan of
/// the comparison. The folder exists and AbDirectory::create() holds it. Errors: kInvalidInput; kUnavailable when the
/// base has no backend; kInconclusive when the machine is too busy (busy_machine.h); kIo; kInterrupted.
Result<AbRecord> plan_ab(const AbRequest& request, const std::filesystem::path& folder, Progress& progress,
                         const InterruptFlag& interrupt);

/// Checks that the programs, the plans of the systems and the bundles are still those of the record in `folder`. Errors:
/// kNotComparable, naming what changed; kInterrupted.
Result<void> check_ab_resumable(const AbRecord& record, const std::filesystem::path& folder, Progress& progress,
                                const InterruptFlag& interrupt);

/// The run directory of the golden prompts of one side.
[[nodiscard]] std::filesystem::path golden_folder(const std::filesystem::path& folder, Arm arm);

}  // namespace secondsource

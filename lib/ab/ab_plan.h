#pragma once
// From two programs and a bundle to a comparison that can begin: backends looked up, tokens judged once on each side, a
// bundle found that is too large for the cache.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ab/ab_record.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "gate/paired_gate.h"

namespace secondsource {

struct AbRequest {
  ArmRecord base{}, candidate{};   ///< without their hashes
  std::filesystem::path bundle{};  ///< tokens are judged on it
  std::filesystem::path
      timed_bundle{};                   ///< empty: the bundle itself, or a synthesised one where it would fit the cache
  std::vector<std::string> backends{};  ///< empty: all that the base has available, but the oracle
  std::vector<std::string> variants{};  ///< empty: what `run` takes by default
  std::vector<std::string> scenarios{};
  std::string suite = "smoke";
  std::string oracle{};  ///< a backend of plain loops, which nobody wants to time
  PairPlan plan{};
  double threshold_percent = 10;
  std::string cell_budget{};
  std::uint64_t seed = 1;
  bool allow_unverified = false;
  std::vector<std::string> command{};
};

/// Runs the golden prompts of each side (their run directories go to FOLDER/golden-ARM) and spells the comparison out.
/// Errors: kInvalidInput, kUnavailable when the base has no backend, kIo, kInterrupted.
Result<AbRecord> plan_ab(const AbRequest& request, const std::filesystem::path& folder, Progress& progress,
                         const InterruptFlag& interrupt);

/// The programs and bundles are still what the record says. Errors: kNotComparable, naming what changed.
Result<void> check_ab_resumable(const AbRecord& record, Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource

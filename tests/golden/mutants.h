#pragma once
// Planted bugs: the reference backend with one operation, one batch array or one weight wrong, as real backends get
// them wrong. The suites are run on each; one that survives everywhere is a hole in the suites.

#include <memory>
#include <span>
#include <string_view>

#include "backend/backend.h"

namespace secondsource::test {

enum class Bug : std::uint8_t {
  kNone,  ///< the control: mutant machinery, no bug
  kRopeQueryOffByOne,
  kRopeInterleaved,
  kRopeFrequencyOffByOne,
  kHeadGrouping,
  kLastPageDropped,
  kFirstKeyDropped,
  kMaskSeesNext,
  kMaskMissesSelf,
  kStaleValueSlot,
  kAttentionScale,
  kFinalNormMissing,
  kNormEpsilon,
  kResidualMissing,
  kGateUpSwapped,
  kScaleRowsSwapped,
  kInt8Scale,
  kInt8GroupShifted,
  kInt4GroupShifted,
  kDecodeNotQuantized,
  kForkCopyLost,
  kForkPosition,
  kLogitRowOffByOne,
  kSampledIdOffByOne,
};

struct BugInfo {
  Bug bug;
  std::string_view name;         ///< "rope-query-off-by-one"
  std::string_view found_by;     ///< suites that must find it: c conformance, g golden smoke, s stories260K
  std::string_view description;  ///< what is wrong, in a sentence
};

/// All of them, the control first.
[[nodiscard]] std::span<const BugInfo> all_bugs();

/// A fresh reference backend with the bug.
[[nodiscard]] std::unique_ptr<Backend> make_mutant(Bug bug);

}  // namespace secondsource::test

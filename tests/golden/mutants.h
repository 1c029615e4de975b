#pragma once
// Planted bugs: the reference backend with a mistake in one operation, one batch array or one weight, as real backends may
// have. The suites run on each mutant; a mutant that no suite finds shows a gap in the suites.

#include <memory>
#include <span>
#include <string_view>

#include "backend/backend.h"

namespace secondsource::test {

enum class Bug : std::uint8_t {
  kNone,  ///< the control: the mutant's own code, but without a bug
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
  std::string_view found_by;     ///< suites that must find it: c = conformance, g = golden smoke, s = stories260K
  std::string_view description;  ///< description of the bug in one sentence
};

/// All bugs, the control first.
[[nodiscard]] std::span<const BugInfo> all_bugs();

/// Creates a reference backend with the bug.
[[nodiscard]] std::unique_ptr<Backend> make_mutant(Bug bug);

}  // namespace secondsource::test

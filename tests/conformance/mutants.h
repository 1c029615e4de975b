#pragma once
// The reference with one planted bug per mutant. The suite must find every one of them, or it proves little.

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace secondsource::conformance {

enum class Bug : std::uint8_t {
  kRopeOffByOne,
  kWrongHeadGrouping,
  kMaskHidesOwnToken,
  kMaskShowsNextToken,
  kLastPageDropped,
  kSwappedScaleRows,
  kStaleKvSlot,
  kWindowOffByOne,
  kResidualLost,
  kEpsilonIgnored,
  kGateAndUpSwapped,
  kSoftCapIgnored,
  kPageCopyForgetsLastLayer,
  kPaddingRowWritten,
  kKeyNormIsQueryNorm,
  kSampledIdOfWrongSequence,
  kLogitRowOffByOne,
  kForbiddenIdTaken,
  kExpertWeightsSwapped,
  kActivationsNotQuantized,
  kLastInputDropped,
  kSumsInF16,
  kActivationsTruncated,
  kOutputsInBf16,
  kGeluExact,
  kInt8GroupOffByOne,
  kInt4GroupOffByOne,
  kTiesAwayFromZero,
  kNanDropped,
  kNanLeaks,
  kAttentionScaleOff,
  kPageOfAnother,
  kValuePagesSwapped,
  kCacheTruncated,
  kRopeFactorIgnored,
  kEmbedScaleIgnored,
  kTicketsSwapped,
  kContextCutAt32K,
  kGatedBiasesSwapped,
  kStillPairsScaled,
  kSigmoidLost,
  kNormResidualLost,
  kNormOfEachHead,
  kNormWeightsOfFirstHead,
  kSinksIgnored,
  kSinksOfOtherHeads,
  kRouterBiasIgnored,
  kBiasOfFirstExpert,
  kClampLost,
  kUpWithoutOne,
  kNormNotCentered,
  kNormBiasIgnored,
  kGeluLost,
  kLatentNormIgnored,
  kLatentNotRotated,
  kLatentTailIgnored,
  kHeadMatricesShifted,
  kCopiedPartLost,
  kChoiceBiasIgnored,
  kChoiceBiasWeighs,
  kGroupsIgnored,
  kGroupByLargest,
  kRouteScaleIgnored,
  kFp8InputsFlushed,
  kFp8WeightsFlushed,
  kFp8InputsTruncated,
  kQueryGrowthIgnored,
  kQueryGrowthWithoutSteps,
  kZeroPointsIgnored,
  kZeroPointsOffByOne,
  kZeroPointsAdded,
  kFp8GroupOffByOne,
  kFp8GroupsTakenForRows,
  kFp8ScalesNotRounded,
  kFp8ScalesAllRounded,
  kFp8StaticScaleIgnored,
  kFp8StaticNotBounded,
  kInt8StaticScaleIgnored,
  kInt8StaticNotBounded,
  kInt8StaticBoundedByNegative127,
  kMxfp4GroupOffByOne,
  kMxfp4CodesTakenForIntegers,
  kMxfp4SubnormalDropped,
  kNvfp4GroupOffByOne,
  kNvfp4ScalesOfPairs,
  kNvfp4GlobalScaleIgnored,
  kNvfp4StaticScaleIgnored,
  kNvfp4InputScalesNotRounded,
  kNvfp4InputsOnEvenSteps,
  kMinimaIgnored,
  kMinimaOffByOne,
  kPartScalesOffByOne,
  kPartScalesOfPairs,
  kFifthBitsLost,
  kCurveTakenForLine,
  kValuesFromEndOfQkv,
  kKeysFromEndOfQkv,
  kColumnsInverted,
  kColumnsIgnored,
  kColumnsOfFirstList,
  kColumnsOfFirstExpert,
  kColumnsOfFirstInput,
  kExpertInputsIgnored,
};

struct Mutant {
  Bug bug;
  std::string_view name;      ///< the subject of a sentence: "RoPE off by one position"
  std::string_view families;  ///< families that must each find the bug, separated by spaces
};

[[nodiscard]] std::span<const Mutant> mutants();
[[nodiscard]] std::unique_ptr<Backend> make_mutant(Bug bug);

}  // namespace secondsource::conformance

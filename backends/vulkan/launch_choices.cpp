// Launches the kernels of the operations Sample and Route, which choose tokens and experts.

#include "core/checked.h"
#include "vulkan/launchers.h"

namespace secondsource::vulkan {
namespace {

constexpr std::uint32_t kSamplePiecesCode[] = {
#include "vulkan/spirv/sample_pieces.inc"
};
constexpr std::uint32_t kSampleBinsCode[] = {
#include "vulkan/spirv/sample_bins.inc"
};
constexpr std::uint32_t kSampleCode[] = {
#include "vulkan/spirv/sample.inc"
};
constexpr std::uint32_t kRouteScoresCode[] = {
#include "vulkan/spirv/route_scores.inc"
};
constexpr std::uint32_t kRouteCode[] = {
#include "vulkan/spirv/route.inc"
};

static_assert(kSamplePieceLogits == gpu::kSamplePieceLogits && kSampleBins == gpu::kSampleBins &&
              kMaxExperts == gpu::kMaxExperts);
static_assert(kScoreSoftmax == static_cast<int>(RouteScore::kSoftmax) &&
              kScoreSigmoid == static_cast<int>(RouteScore::kSigmoid));
static_assert(kGroupScoreLargest == static_cast<int>(GroupScore::kLargest) &&
              kGroupScoreSumOfTwo == static_cast<int>(GroupScore::kSumOfTwo));
// kernels/sample.glsl has structs of its own in this scratch memory, and the structs of the batch and of the results.
static_assert(sizeof(gpu::SamplePiece) == 16 && sizeof(gpu::SampleBins) == std::size_t{12} * kSampleBins + 8);
static_assert(sizeof(gpu::SampleRow) == 32 && sizeof(gpu::SampledRow) == 16 && sizeof(TokenLogprob) == 8);

}  // namespace

Result<void> launch_sample(const LaunchContext& context, const gpu::SampleArguments& arguments) {
  const SampleParameters parameters{.batch = batch_of(arguments.batch),
                                    .logits = address(arguments.logits),
                                    .pieces = address(arguments.pieces),
                                    .bins = address(arguments.bins),
                                    .sampled = address(arguments.sampled),
                                    .top = address(arguments.top),
                                    .last_sampled = address(arguments.last_sampled),
                                    .n_top = arguments.n_top,
                                    .vocab_size = arguments.vocab_size};
  const auto n_rows = static_cast<std::uint32_t>(arguments.max_rows);
  const gpu::Dim3 pieces{.x = static_cast<std::uint32_t>(ceil_divide(arguments.vocab_size, kSamplePieceLogits)),
                         .y = n_rows};
  SS_TRY_VOID(launch(context, "sample_pieces", Kernel(kSamplePiecesCode), pieces, parameters));
  SS_TRY_VOID(launch(context, "sample_bins", Kernel(kSampleBinsCode), pieces, parameters));
  return launch(context, "sample", Kernel(kSampleCode), {.x = n_rows}, parameters);
}

Result<void> launch_route(const LaunchContext& context, const gpu::RouteArguments& arguments) {
  const RouteParameters parameters{.gate = weight_of(arguments.gate),
                                   .n_rows = address(arguments.n_rows),
                                   .x = address(arguments.x),
                                   .bias = address(arguments.bias),
                                   .choice_bias = address(arguments.choice_bias),
                                   .scores = address(arguments.scores),
                                   .expert = address(arguments.expert),
                                   .weight = address(arguments.weight),
                                   .n_top = arguments.n_top,
                                   .renormalize = arguments.renormalize,
                                   .score = static_cast<int>(arguments.score),
                                   .n_groups = arguments.n_groups,
                                   .n_top_groups = arguments.n_top_groups,
                                   .group_size = arguments.group_size,
                                   .group_score = static_cast<int>(arguments.group_score),
                                   .scale = arguments.scale};
  const auto n_rows = static_cast<std::uint32_t>(arguments.max_rows);
  const gpu::Dim3 dots{.x = static_cast<std::uint32_t>(arguments.gate.n_rows), .y = n_rows};
  const Kernel scores(kRouteScoresCode, {static_cast<std::int32_t>(arguments.gate.encoding)});
  SS_TRY_VOID(launch(context, "route_scores", scores, dots, parameters));
  return launch(context, "route", Kernel(kRouteCode), {.x = n_rows}, parameters);
}

}  // namespace secondsource::vulkan

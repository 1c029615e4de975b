#include "conformance/mutants.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "conformance/mutant_weights.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/half.h"
#include "reference/backend.h"
#include "reference/matmul.h"

namespace secondsource::conformance {
namespace {

using reference::KvPool;
using reference::ReferenceBackend;
using reference::ReferenceKernels;
using reference::Weights;

/// A frame in which parts of the batch are replaced.
class ChangedFrame {
 public:
  explicit ChangedFrame(const HostFrame& frame)
      : positions(frame.batch.positions.begin(), frame.batch.positions.end()),
        kv_slots(frame.batch.kv_slots.begin(), frame.batch.kv_slots.end()),
        block_table(frame.batch.block_table.begin(), frame.batch.block_table.end()),
        original_(frame) {}

  HostFrame view() {
    batch_ = original_.batch;
    batch_.positions = positions;
    batch_.kv_slots = kv_slots;
    batch_.block_table = block_table;
    return {.graph = original_.graph,
            .batch = batch_,
            .pool = original_.pool,
            .token_ids = original_.token_ids,
            .values = original_.values,
            .rows = original_.rows};
  }

  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> kv_slots;
  std::vector<std::int32_t> block_table;

 private:
  const HostFrame& original_;
  Batch batch_;
};

/// The frame with another graph. The graph must outlive the frame.
HostFrame with_graph(const HostFrame& frame, const StepGraph& graph) {
  return {.graph = graph,
          .batch = frame.batch,
          .pool = frame.pool,
          .token_ids = frame.token_ids,
          .values = frame.values,
          .rows = frame.rows};
}

float truncated_to_bf16(float x) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xffff0000U);
}

/// Replaces the row by s * q, where q is x / s with ties rounded away from zero. s is `stored_scale`, or max|x| / 127 if that is 0.
void quantize_away_from_zero(std::span<float> row, float stored_scale) {
  float largest = 0.0F;
  for (const float value : row) largest = std::max(largest, std::fabs(value));
  const float scale = stored_scale > 0.0F ? stored_scale : largest / 127.0F;
  for (float& value : row) {
    value = scale == 0.0F ? 0.0F : scale * std::clamp(std::round(value / scale), -128.0F, 127.0F);
  }
}

/// Lets quotients of static INT8 that are out of range wrap around, as a conversion to a byte without saturation does.
void wrap_around(std::span<float> row, float scale) {
  for (float& value : row) {
    const float q = std::nearbyint(value / scale);
    if (q < -128.0F || q > 127.0F) value = scale * (q - 256.0F * std::floor((q + 128.0F) / 256.0F));
  }
}

/// Divides each activation by the scale for E4M3, applies `change`, and multiplies it by the scale again.
template <typename Change>
void change_ratios_to_e4m3(std::span<float> row, const Change& change) {
  float largest = 0.0F;
  for (const float value : row) largest = std::max(largest, std::fabs(value));
  const float scale = largest / kE4m3Max;
  for (float& value : row) value = scale == 0.0F ? 0.0F : scale * change(value / scale);
}

/// Replaces numbers in the subnormal range of E4M3 by 0.
float flushed(float ratio) {
  return std::fabs(ratio) < 0x1p-6F ? 0.0F : ratio;
}

/// Truncates the mantissa to the three bits of E4M3.
float truncated_to_e4m3(float ratio) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(ratio) & 0xfff00000U);
}

/// Quantizes activations to NVFP4 with the mistake of Bug::kNvfp4InputScalesNotRounded or kNvfp4InputsOnEvenSteps.
void quantize_to_nvfp4_wrongly(Bug bug, std::span<float> x, float stored_scale) {
  constexpr auto kGroup = static_cast<std::size_t>(kNvfp4GroupSize);
  for (std::size_t first = 0; first < x.size(); first += kGroup) {
    const std::span<float> part = x.subspan(first, std::min(kGroup, x.size() - first));
    float largest = 0.0F;
    for (const float value : part) largest = std::max(largest, std::fabs(value));
    const float exact = largest / kE2m1Max / stored_scale;
    const float scale = bug == Bug::kNvfp4InputScalesNotRounded ? exact : round_to_e4m3(exact);
    for (float& value : part) {
      const float ratio = scale == 0.0F ? 0.0F : std::clamp(value / (scale * stored_scale), -kE2m1Max, kE2m1Max);
      const float q = bug == Bug::kNvfp4InputsOnEvenSteps ? std::nearbyint(2.0F * ratio) / 2.0F : round_to_e2m1(ratio);
      value = scale * q * stored_scale;
    }
  }
}

class MutantKernels final : public ReferenceKernels {
 public:
  MutantKernels(Bug bug, const Weights& weights, std::vector<KvPool>& pools)
      : ReferenceKernels(weights, pools), bug_(bug) {}
  using ReferenceKernels::run;

  Result<void> run(const Embed& op, const HostFrame& frame) override {
    Embed changed = op;
    if (bug_ == Bug::kEmbedScaleIgnored) changed.scale = 1.0F;
    return ReferenceKernels::run(changed, frame);
  }

  Result<void> run(const RmsNorm& op, const HostFrame& frame) override {
    RmsNorm changed = op;
    if (bug_ == Bug::kEpsilonIgnored) changed.eps = 0.0F;
    if (bug_ == Bug::kNormResidualLost) changed.residual = {};
    if (bug_ == Bug::kNormBiasIgnored || bug_ == Bug::kNormNotCentered) changed.bias = {};
    if (bug_ == Bug::kNormNotCentered) changed.centers = false;
    return ReferenceKernels::run(changed, frame);
  }

  Result<void> run(const Matmul& op, const HostFrame& frame) override {
    Matmul changed = op;
    if (bug_ == Bug::kSoftCapIgnored) changed.softcap = 0.0F;
    if (bug_ == Bug::kActivationsNotQuantized) changed.act = ActQuant::kNone;
    if (bug_ == Bug::kFp8GroupsTakenForRows && has_fp8_groups(op.act)) changed.act = ActQuant::kFp8PerRow;
    if (bug_ == Bug::kFp8ScalesNotRounded && has_fp8_groups(op.act)) changed.act = ActQuant::kFp8PerGroup128;
    if (bug_ == Bug::kFp8ScalesAllRounded && has_fp8_groups(op.act)) changed.act = ActQuant::kFp8PerGroup128E8m0;
    ignore_stored_scale(changed);
    const bool is_int8_static = op.act == ActQuant::kInt8Static;
    const bool is_nvfp4 = op.act == ActQuant::kNvfp4Static;
    const bool quantizes_itself =
        is_nvfp4 && (bug_ == Bug::kNvfp4InputScalesNotRounded || bug_ == Bug::kNvfp4InputsOnEvenSteps);
    if (quantizes_itself) changed.act = ActQuant::kNone;
    if (bug_ == Bug::kGeluLost && op.epilogue == Epilogue::kGelu) {
      changed.epilogue = op.bias ? Epilogue::kBias : Epilogue::kNone;
    }
    if (bug_ == Bug::kResidualLost && op.epilogue == Epilogue::kAddResidual) {
      changed.epilogue = Epilogue::kNone;
      changed.aux = {};
    }
    const bool quantized = op.act != ActQuant::kNone;
    const bool is_fp8 = op.act == ActQuant::kFp8PerRow;
    if (!quantized && (bug_ == Bug::kSumsInF16 || (bug_ == Bug::kGeluExact && op.epilogue == Epilogue::kGatedGelu))) {
      run_own_product(op, frame);
      return {};
    }
    if (bug_ == Bug::kGatedBiasesSwapped && op.bias && is_gated(op.epilogue)) {
      // Exchanges the biases of gate and up, but not the halves of the weight.
      const std::span<const float> bias = weights().values(*op.bias);
      const std::span<float> swapped(const_cast<float*>(bias.data()), bias.size());
      std::rotate(swapped.begin(), swapped.begin() + static_cast<std::ptrdiff_t>(swapped.size() / 2), swapped.end());
      const Result<void> done = ReferenceKernels::run(op, frame);
      std::rotate(swapped.begin(), swapped.begin() + static_cast<std::ptrdiff_t>(swapped.size() / 2), swapped.end());
      return done;
    }
    if (bug_ == Bug::kTiesAwayFromZero && !is_fp8) changed.act = ActQuant::kNone;
    const MatrixView<float> x = frame.value(op.x);
    const std::vector<float> exact(x.data(), x.data() + x.rows() * x.cols());
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      if (bug_ == Bug::kLastInputDropped) x.row(row).back() = 0.0F;
      if (bug_ == Bug::kActivationsTruncated && !quantized) {
        std::ranges::transform(x.row(row), x.row(row).begin(), truncated_to_bf16);
      }
      if (bug_ == Bug::kTiesAwayFromZero && quantized && !is_fp8) {
        quantize_away_from_zero(x.row(row), op.act_scale);
      }
      if (bug_ == Bug::kFp8InputsFlushed && is_fp8) change_ratios_to_e4m3(x.row(row), flushed);
      if (bug_ == Bug::kFp8InputsTruncated && is_fp8) change_ratios_to_e4m3(x.row(row), truncated_to_e4m3);
      if (bug_ == Bug::kFp8StaticNotBounded && op.act == ActQuant::kFp8Static) {
        std::ranges::replace_if(
            x.row(row), [&](float value) { return std::fabs(value) > kE4m3Max * op.act_scale; }, NAN);
      }
      if (bug_ == Bug::kInt8StaticNotBounded && is_int8_static) wrap_around(x.row(row), op.act_scale);
      if (bug_ == Bug::kInt8StaticBoundedByNegative127 && is_int8_static) {
        for (float& value : x.row(row)) value = std::max(value, -127.0F * op.act_scale);
      }
      if (quantizes_itself) quantize_to_nvfp4_wrongly(bug_, x.row(row), op.act_scale);
      if (bug_ == Bug::kNanDropped && quantized) {
        std::ranges::replace_if(
            x.row(row), [](float value) { return std::isnan(value); }, 0.0F);
      }
    }
    SS_TRY_VOID(ReferenceKernels::run(changed, frame));
    std::ranges::copy(exact, x.data());
    const MatrixView<float> out = frame.value(op.out);
    for (std::int64_t row = 0; row < out.rows(); ++row) {
      if (bug_ == Bug::kOutputsInBf16) std::ranges::transform(out.row(row), out.row(row).begin(), round_to_bf16);
      const bool has_nan = std::ranges::any_of(x.row(row), [](float value) { return std::isnan(value); });
      if (bug_ == Bug::kNanLeaks && has_nan) out.row((row + 1) % out.rows()).front() = NAN;
    }
    return {};
  }

  Result<void> run(const RopeAppend& op, const HostFrame& frame) override {
    if (bug_ == Bug::kNormOfEachHead && op.head_norm == HeadNorm::kRmsOfAllHeads) return run_with_even_heads(op, frame);
    if (bug_ == Bug::kNormWeightsOfFirstHead && op.head_norm != HeadNorm::kRmsOfHead) {
      return run_with_weights_of_first_head(op, frame);
    }
    if (bug_ == Bug::kHeadsNotCentered && op.head_norm == HeadNorm::kLayerNormOfHead) {
      return run_with_uncentered_heads(op, frame);
    }
    if (bug_ == Bug::kValuesFromEndOfQkv && op.v) return run_with_end_of_qkv(op, *op.v, frame);
    if (bug_ == Bug::kKeysFromEndOfQkv && op.k) return run_with_end_of_qkv(op, *op.k, frame);
    RopeAppend changed = op;
    ChangedFrame other(frame);
    if (bug_ == Bug::kRopeOffByOne) {
      for (std::int32_t& position : other.positions) ++position;
    }
    if (bug_ == Bug::kStaleKvSlot) {
      for (const std::int32_t end : frame.batch.q_starts.subspan(1))
        other.kv_slots[static_cast<std::size_t>(end) - 1] = -1;
    }
    if (bug_ == Bug::kPaddingRowWritten) std::ranges::replace(other.kv_slots, -1, 0);
    if (bug_ == Bug::kKeyNormIsQueryNorm) changed.k_norm = op.q_norm;
    if (bug_ == Bug::kHeadNormEpsFixed) changed.norm_eps = 1e-6F;
    HostFrame view = other.view();
    StepGraph graph = frame.graph;
    if (bug_ == Bug::kRopeFactorIgnored) {
      graph.ropes[static_cast<std::size_t>(index_of(op.rope))].attention_factor = 1.0F;
    }
    if (bug_ == Bug::kStillPairsScaled) {
      for (float& frequency : graph.ropes[static_cast<std::size_t>(index_of(op.rope))].inv_freq) {
        if (frequency == 0.0F) frequency = 1e-30F;  // the angle is still 0, but the attention factor is applied
      }
    }
    const QueryGrowth growth = take_growth(op.rope, graph);
    SS_TRY_VOID(ReferenceKernels::run(changed, with_graph(view, graph)));
    grow_without_steps(growth, op.q_out, frame);
    for (const std::int32_t slot : frame.batch.kv_slots) {
      if (bug_ != Bug::kCacheTruncated || slot < 0) continue;
      for (std::int32_t head = 0; head < op.heads.n_kv_heads; ++head) {
        for (const auto row : {pool(frame).key(op.layer, head, slot), pool(frame).value(op.layer, head, slot)}) {
          std::ranges::transform(row, row.begin(), truncated_to_bf16);
        }
      }
    }
    return {};
  }

  Result<void> run(const LatentAppend& op, const HostFrame& frame) override {
    if (bug_ == Bug::kLatentNormIgnored) {
      return with_changed_weights(
          op.norm, [](std::span<float> norm) { std::ranges::fill(norm, 1.0F); },
          [&] { return ReferenceKernels::run(op, frame); });
    }
    StepGraph graph = frame.graph;
    if (bug_ == Bug::kLatentNotRotated) {
      std::ranges::fill(graph.ropes[static_cast<std::size_t>(index_of(op.rope))].inv_freq, 0.0F);
    }
    const QueryGrowth growth = take_growth(op.rope, graph);
    SS_TRY_VOID(ReferenceKernels::run(op, with_graph(frame, graph)));
    grow_without_steps(growth, op.q_out, frame);
    return {};
  }

  Result<void> run(const HeadMatmul& op, const HostFrame& frame) override {
    const std::int64_t n_inputs = weights().spec(op.weights).n_cols;
    if (bug_ == Bug::kHeadMatricesShifted) {
      return with_changed_weights(
          op.weights,
          [&](std::span<float> all) {
            const auto n = static_cast<std::ptrdiff_t>(all.size()) / op.n_heads;
            std::rotate(all.begin(), all.begin() + n, all.end());
          },
          [&] { return ReferenceKernels::run(op, frame); });
    }
    SS_TRY_VOID(ReferenceKernels::run(op, frame));
    if (bug_ != Bug::kCopiedPartLost) return {};
    const std::int64_t n_copied = frame.value(op.x).cols() / op.n_heads - n_inputs;
    const MatrixView<float> out = frame.value(op.out);
    const std::int64_t out_dim = out.cols() / op.n_heads;
    for (std::int64_t row = 0; row < out.rows(); ++row) {
      for (std::int64_t end = out_dim; end <= out.cols(); end += out_dim) {
        std::fill_n(out.row(row).begin() + (end - n_copied), n_copied, 0.0F);
      }
    }
    return {};
  }

  Result<void> run(const Attention& op, const HostFrame& frame) override {
    if (bug_ == Bug::kLatentTailIgnored && op.heads.latent_dim > 0) return run_without_tails(op, frame);
    Attention changed = op;
    ChangedFrame other(frame);
    const std::int32_t page_tokens = pool(frame).spec().page_tokens;
    for (std::size_t seq = 0; seq < frame.batch.kv_lengths.size(); ++seq) {
      for (std::int32_t t = frame.batch.q_starts[seq]; t < frame.batch.q_starts[seq + 1]; ++t) {
        std::int32_t& position = other.positions[static_cast<std::size_t>(t)];
        if (bug_ == Bug::kMaskHidesOwnToken && position > 0) --position;
        if (bug_ == Bug::kMaskShowsNextToken && position + 1 < frame.batch.kv_lengths[seq]) ++position;
        if (bug_ == Bug::kLastPageDropped && position >= page_tokens) position -= position % page_tokens + 1;
      }
    }
    if (bug_ == Bug::kWindowOffByOne && op.window > 0) ++changed.window;
    if (bug_ == Bug::kContextCutAt32K && op.window == 0) changed.window = 32'768;
    if (bug_ == Bug::kSoftCapIgnored) changed.softcap = 0.0F;
    if (bug_ == Bug::kAttentionScaleOff) changed.scale *= 1.01F;
    if (bug_ == Bug::kSinksIgnored) changed.sinks = {};
    if (bug_ == Bug::kSinksOfOtherHeads && op.sinks) {
      return with_changed_weights(
          *op.sinks, [](std::span<float> sinks) { std::rotate(sinks.begin(), sinks.begin() + 1, sinks.end()); },
          [&] { return ReferenceKernels::run(op, frame); });
    }
    if (bug_ == Bug::kPageOfAnother)
      other.block_table[0] = (other.block_table[0] + 1) % static_cast<std::int32_t>(pool(frame).n_pages());
    if (bug_ == Bug::kWrongHeadGrouping) return run_with_wrong_groups(changed, frame);
    if (bug_ == Bug::kValuePagesSwapped) swap_values_of_first_pages(op.layer, frame);
    SS_TRY_VOID(ReferenceKernels::run(changed, other.view()));
    if (bug_ == Bug::kValuePagesSwapped) swap_values_of_first_pages(op.layer, frame);
    return {};
  }

  Result<void> run(const SelectColumns& op, const HostFrame& frame) override {
    SelectColumns changed = op;
    const bool has_first_list = frame.columns(ColumnListId{0}).size() == frame.columns(op.columns).size();
    if (bug_ == Bug::kColumnsOfFirstList && has_first_list && !op.expert) changed.columns = ColumnListId{0};
    if (bug_ == Bug::kColumnsOfFirstInput && op.x_per_expert) {
      return with_first_inputs(op.x, op.n_top, frame, [&] { return ReferenceKernels::run(op, frame); });
    }
    StepGraph graph = frame.graph;
    std::vector<std::int32_t>& columns = graph.column_lists[static_cast<std::size_t>(index_of(op.columns))];
    const auto n_inputs = static_cast<std::size_t>(frame.value(op.x).cols() / (op.x_per_expert ? op.n_top : 1));
    const auto n_columns = static_cast<std::size_t>(frame.value(op.out).cols() / (op.expert ? op.n_top : 1));
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (bug_ == Bug::kColumnsOfFirstExpert) columns[i] = columns[i % n_columns];
      if (bug_ == Bug::kColumnsIgnored) columns[i] = static_cast<std::int32_t>(i % n_inputs);
      if (bug_ == Bug::kColumnsInverted && columns.size() == n_inputs) {
        columns[static_cast<std::size_t>(frame.columns(op.columns)[i])] = static_cast<std::int32_t>(i);
      }
    }
    return ReferenceKernels::run(changed, with_graph(frame, graph));
  }

  Result<void> run(const Route& op, const HostFrame& frame) override {
    Route changed = op;
    if (bug_ == Bug::kSigmoidLost) changed.score = RouteScore::kSoftmax;
    if (bug_ == Bug::kRouterBiasIgnored) changed.bias = {};
    if (bug_ == Bug::kChoiceBiasIgnored) changed.choice_bias = {};
    if (bug_ == Bug::kGroupByLargest) changed.group_score = GroupScore::kLargest;
    if (bug_ == Bug::kRouteScaleIgnored) changed.scale = 1.0F;
    if (bug_ == Bug::kGroupsIgnored) changed.n_groups = changed.n_top_groups = 1;
    SS_TRY_VOID(ReferenceKernels::run(changed, frame));
    if (bug_ == Bug::kChoiceBiasWeighs && op.choice_bias) {
      const std::span<const float> bias = weights().values(*op.choice_bias);
      const MatrixView<float> weight = frame.value(op.weight);
      for (std::int64_t row = 0; row < weight.rows(); ++row) {
        for (std::int64_t j = 0; j < op.n_top; ++j) {
          weight(row, j) += op.scale * bias[static_cast<std::size_t>(frame.value_i32(op.expert)(row, j))];
        }
      }
    }
    if (bug_ == Bug::kExpertWeightsSwapped && op.n_top > 1) {
      const MatrixView<float> weight = frame.value(op.weight);
      for (std::int64_t row = 0; row < weight.rows(); ++row) std::swap(weight(row, 0), weight(row, 1));
    }
    return {};
  }

  Result<void> run(const GroupedMatmul& op, const HostFrame& frame) override {
    const bool is_clamped = op.epilogue == Epilogue::kGatedClampedSwish;
    GroupedMatmul changed = op;
    if (ignore_stored_scale(changed)) return ReferenceKernels::run(changed, frame);
    if (bug_ == Bug::kExpertInputsIgnored && op.x_per_expert) {
      return with_first_inputs(op.x, op.n_top, frame, [&] { return ReferenceKernels::run(op, frame); });
    }
    if (is_clamped && (bug_ == Bug::kClampLost || bug_ == Bug::kUpWithoutOne)) return run_own_experts(op, frame);
    if (bug_ != Bug::kBiasOfFirstExpert || !op.bias) return ReferenceKernels::run(op, frame);
    const auto n_experts = static_cast<std::size_t>(weights().spec(op.weights).n_experts);
    return with_changed_weights(
        *op.bias,
        [&](std::span<float> bias) {
          const std::size_t n = bias.size() / n_experts;
          for (std::size_t i = n; i < bias.size(); ++i) bias[i] = bias[i % n];
        },
        [&] { return ReferenceKernels::run(op, frame); });
  }

 private:
  /// If that is the bug, makes a matmul ignore its stored scale of activations. Returns whether it was changed.
  template <typename Product>
  bool ignore_stored_scale(Product& op) const {
    if (bug_ == Bug::kInt8StaticScaleIgnored && op.act == ActQuant::kInt8Static) {
      op.act = ActQuant::kInt8PerRow;
    } else if (bug_ == Bug::kFp8StaticScaleIgnored && op.act == ActQuant::kFp8Static) {
      op.act = ActQuant::kFp8PerRow;
    } else if (bug_ != Bug::kNvfp4StaticScaleIgnored || op.act != ActQuant::kNvfp4Static) {
      return false;
    }
    op.act_scale = 1.0F;  // only NVFP4 reads it; the other types now compute a scale for each row
    return true;
  }

  /// Attention whose scores ignore the rotated parts of queries and keys.
  Result<void> run_without_tails(const Attention& op, const HostFrame& frame) {
    const MatrixView<float> q = frame.value(op.q);
    const std::vector<float> exact(q.data(), q.data() + q.rows() * q.cols());
    for (std::int64_t row = 0; row < q.rows(); ++row) {
      for (std::int64_t head = 0; head < op.heads.n_heads; ++head) {
        std::fill_n(q.row(row).begin() + head * op.heads.head_dim + op.heads.latent_dim,
                    op.heads.head_dim - op.heads.latent_dim, 0.0F);
      }
    }
    const Result<void> done = ReferenceKernels::run(op, frame);
    std::ranges::copy(exact, q.data());
    return done;
  }

  /// Runs `call` while all experts of a token get the input of the token's first expert.
  template <typename Call>
  Result<void> with_first_inputs(ValueId value, std::int32_t n_top, const HostFrame& frame, const Call& call) {
    const MatrixView<float> x = frame.value(value);
    const std::vector<float> exact(x.data(), x.data() + x.rows() * x.cols());
    const auto n_inputs = static_cast<std::size_t>(x.cols() / n_top);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      for (std::size_t i = n_inputs; i < x.row(row).size(); ++i) x.row(row)[i] = x.row(row)[i % n_inputs];
    }
    const Result<void> done = call();
    std::ranges::copy(exact, x.data());
    return done;
  }

  /// Runs `call` with changed values of a weight, and restores them.
  template <typename Change, typename Call>
  Result<void> with_changed_weights(WeightId id, const Change& change, const Call& call) {
    const std::span<const float> values = weights().values(id);
    const std::span<float> changed(const_cast<float*>(values.data()), values.size());
    const std::vector<float> exact(values.begin(), values.end());
    change(changed);
    const Result<void> done = call();
    std::ranges::copy(exact, changed.begin());
    return done;
  }

  /// The first matmul of a mixture with the clamped epilogue, but without the clamps or without adding 1 to the up values.
  Result<void> run_own_experts(const GroupedMatmul& op, const HostFrame& frame) {
    const MatrixView<float> x = frame.value(op.x);
    const MatrixView<float> out = frame.value(op.out);
    const auto n_inputs = static_cast<std::size_t>(x.cols());
    const auto n_outputs = static_cast<std::size_t>(out.cols() / op.n_top);
    std::vector<double> input(n_inputs);
    std::vector<double> sums(2 * n_outputs);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      reference::read_activations(x.row(row), op.act, 0.0F, input);
      for (std::int64_t j = 0; j < op.n_top; ++j) {
        const auto expert = static_cast<std::size_t>(frame.value_i32(op.expert)(row, j));
        const auto weight =
            weights().values(op.weights).subspan(expert * sums.size() * n_inputs, sums.size() * n_inputs);
        reference::multiply_rows({input.data(), 1, x.cols()}, weight, sums);
        for (std::size_t i = 0; op.bias && i < sums.size(); ++i) {
          sums[i] += static_cast<double>(weights().values(*op.bias)[expert * sums.size() + i]);
        }
        for (std::size_t i = 0; i < n_outputs; ++i) {
          const double limit = bug_ == Bug::kClampLost ? INFINITY : static_cast<double>(kClampedSwish.limit);
          const double gate = std::min(sums[i], limit);
          const double up = std::clamp(sums[n_outputs + i], -limit, limit) + (bug_ == Bug::kUpWithoutOne ? 0.0 : 1.0);
          out.row(row)[static_cast<std::size_t>(j) * n_outputs + i] =
              static_cast<float>(gate / (1.0 + std::exp(-static_cast<double>(kClampedSwish.alpha) * gate)) * up);
        }
      }
    }
    return {};
  }

  /// A matmul with sums in FP16, or with the erf form of GELU instead of the tanh form.
  void run_own_product(const Matmul& op, const HostFrame& frame) {
    const MatrixView<float> x = frame.value(op.x);
    const MatrixView<float> out = frame.value(op.out);
    const std::span<const float> weight = weights().values(op.weight);
    const auto n_inputs = static_cast<std::size_t>(x.cols());
    std::vector<double> sums(weight.size() / n_inputs);
    std::vector<double> results(static_cast<std::size_t>(out.cols()));
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      for (std::size_t i = 0; i < sums.size(); ++i) {
        double sum = 0.0;
        for (std::size_t k = 0; k < n_inputs; ++k) {
          sum += static_cast<double>(x.row(row)[k]) * static_cast<double>(weight[i * n_inputs + k]);
          if (bug_ == Bug::kSumsInF16) sum = static_cast<double>(round_to_f16(static_cast<float>(sum)));
        }
        sums[i] = sum;
      }
      std::span<const float> other;
      if (op.bias) other = weights().values(*op.bias);
      if (op.aux) other = frame.value(*op.aux).row(row);
      reference::apply_epilogue(op.epilogue, sums, other, results);
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (bug_ == Bug::kGeluExact)
          results[i] = 0.5 * sums[i] * std::erfc(-sums[i] / std::numbers::sqrt2) * sums[results.size() + i];
        out.row(row)[i] = static_cast<float>(reference::soft_cap(results[i], op.softcap));
      }
    }
  }

  /// If the bug concerns the growth of queries, removes the growth from the graph and returns it.
  QueryGrowth take_growth(RopeId rope, StepGraph& graph) const {
    if (bug_ != Bug::kQueryGrowthIgnored && bug_ != Bug::kQueryGrowthWithoutSteps) return {};
    return std::exchange(graph.ropes[static_cast<std::size_t>(index_of(rope))].query_growth, QueryGrowth());
  }

  /// Multiplies queries by 1 + beta * ln(1 + position / period), without the floor.
  void grow_without_steps(const QueryGrowth& growth, ValueId q, const HostFrame& frame) const {
    if (bug_ != Bug::kQueryGrowthWithoutSteps || growth.period == 0) return;
    const MatrixView<float> queries = frame.value(q);
    for (std::int64_t t = 0; t < queries.rows(); ++t) {
      const auto position = static_cast<float>(frame.batch.positions[static_cast<std::size_t>(t)]);
      const float scale = 1.0F + growth.beta * std::log1p(position / static_cast<float>(growth.period));
      for (float& value : queries.row(t)) value *= scale;
    }
  }

  /// Runs the operation with a value that change() modifies, and restores the value.
  template <typename Change>
  Result<void> run_with_changed(ValueId value, const RopeAppend& op, const HostFrame& frame, const Change& change) {
    const MatrixView<float> matrix = frame.value(value);
    const std::vector<float> exact(matrix.data(), matrix.data() + matrix.rows() * matrix.cols());
    change(matrix);
    const Result<void> done = ReferenceKernels::run(op, frame);
    std::ranges::copy(exact, matrix.data());
    return done;
  }

  /// Scales every head to a mean square of 1 first. The norm over all heads then has the result of a norm of each head.
  Result<void> run_with_even_heads(const RopeAppend& op, const HostFrame& frame) {
    return run_with_changed(op.qkv, op, frame, [&](const MatrixView<float>& qkv) { even_heads(op, qkv); });
  }

  static void even_heads(const RopeAppend& op, const MatrixView<float>& qkv) {
    const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
    for (std::int64_t t = 0; t < qkv.rows(); ++t) {
      for (std::int32_t head = 0; head < op.heads.n_heads + op.heads.n_kv_heads; ++head) {
        if (!(head < op.heads.n_heads ? op.q_norm : op.k_norm)) continue;
        const std::span<float> values = qkv.row(t).subspan(static_cast<std::size_t>(head) * head_dim, head_dim);
        double squares = 0.0;
        for (const float value : values) squares += static_cast<double>(value) * static_cast<double>(value);
        const double size = std::sqrt(squares / static_cast<double>(head_dim));
        for (float& value : values) value = static_cast<float>(static_cast<double>(value) / size);
      }
    }
  }

  /// Applies an RMS norm to each head instead of a LayerNorm.
  Result<void> run_with_uncentered_heads(const RopeAppend& op, const HostFrame& frame) {
    RopeAppend without_norms = op;
    without_norms.q_norm.reset();
    without_norms.k_norm.reset();
    return run_with_changed(op.qkv, without_norms, frame,
                            [&](const MatrixView<float>& qkv) { normalize_without_mean(op, qkv); });
  }

  void normalize_without_mean(const RopeAppend& op, const MatrixView<float>& qkv) {
    const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
    const auto n_heads = static_cast<std::size_t>(op.heads.n_heads);
    const auto normalize_heads = [&](std::span<float> heads, const std::optional<WeightId>& norm) {
      for (std::size_t i = 0; norm && i < heads.size(); i += head_dim) {
        const std::span<float> head = heads.subspan(i, head_dim);
        double squares = 0.0;
        for (const float value : head) squares += static_cast<double>(value) * static_cast<double>(value);
        const double size = std::sqrt(squares / static_cast<double>(head_dim) + static_cast<double>(op.norm_eps));
        for (std::size_t j = 0; j < head_dim; ++j) {
          head[j] = static_cast<float>(static_cast<double>(head[j] * weights().values(*norm)[i + j]) / size);
        }
      }
    };
    for (std::int64_t t = 0; t < qkv.rows(); ++t) {
      normalize_heads(qkv.row(t).first(n_heads * head_dim), op.q_norm);
      normalize_heads(qkv.row(t).subspan(n_heads * head_dim, static_cast<std::size_t>(op.heads.n_kv_heads) * head_dim),
                      op.k_norm);
    }
  }

  Result<void> run_with_weights_of_first_head(const RopeAppend& op, const HostFrame& frame) {
    std::vector<std::pair<std::span<float>, std::vector<float>>> exact;
    for (const std::optional<WeightId>& norm : {op.q_norm, op.k_norm}) {
      if (!norm) continue;
      const std::span<const float> values = weights().values(*norm);
      const std::span<float> changed(const_cast<float*>(values.data()), values.size());
      exact.emplace_back(changed, std::vector<float>(values.begin(), values.end()));
      for (std::size_t i = 0; i < changed.size(); ++i) {
        changed[i] = changed[i % static_cast<std::size_t>(op.heads.head_dim)];
      }
    }
    const Result<void> done = ReferenceKernels::run(op, frame);
    for (const auto& [changed, values] : exact) std::ranges::copy(values, changed.begin());
    return done;
  }

  /// Reads `apart`, the separate keys or values, from the last columns of qkv, as if they were part of it.
  Result<void> run_with_end_of_qkv(const RopeAppend& op, ValueId apart, const HostFrame& frame) {
    const MatrixView<float> qkv = frame.value(op.qkv);
    return run_with_changed(apart, op, frame, [&](const MatrixView<float>& own) {
      for (std::int64_t t = 0; t < own.rows(); ++t) {
        std::ranges::copy(qkv.row(t).last(static_cast<std::size_t>(own.cols())), own.row(t).begin());
      }
    });
  }

  void swap_values_of_first_pages(std::int32_t layer, const HostFrame& frame) {
    KvPool& cache = pool(frame);
    const std::int32_t page_tokens = cache.spec().page_tokens;
    for (std::size_t seq = 0; seq < frame.batch.kv_lengths.size(); ++seq) {
      if (frame.batch.kv_lengths[seq] <= 2 * page_tokens) continue;
      const std::int32_t* const pages =
          frame.batch.block_table.data() + seq * static_cast<std::size_t>(frame.batch.max_pages_per_seq);
      for (std::int32_t head = 0; head < cache.spec().n_kv_heads; ++head) {
        for (std::int32_t i = 0; i < page_tokens; ++i) {
          std::ranges::swap_ranges(cache.value(layer, head, std::int64_t{pages[0]} * page_tokens + i),
                                   cache.value(layer, head, std::int64_t{pages[1]} * page_tokens + i));
        }
      }
    }
  }

  /// Lets query head h read KV head h % n_kv_heads, by permuting the heads before attention and back afterwards.
  Result<void> run_with_wrong_groups(const Attention& op, const HostFrame& frame) {
    const MatrixView<float> q = frame.value(op.q);
    const MatrixView<float> out = frame.value(op.out);
    const std::int64_t group = op.heads.n_heads / op.heads.n_kv_heads;
    const auto move_heads = [&](const MatrixView<float>& matrix, bool back) {
      std::vector<float> row(static_cast<std::size_t>(matrix.cols()));
      for (std::int64_t t = 0; t < matrix.rows(); ++t) {
        std::ranges::copy(matrix.row(t), row.begin());
        for (std::int64_t head = 0; head < op.heads.n_heads; ++head) {
          const std::int64_t other = head % op.heads.n_kv_heads * group + head / op.heads.n_kv_heads;
          const std::int64_t from = (back ? other : head) * op.heads.head_dim;
          const std::int64_t to = (back ? head : other) * op.heads.head_dim;
          std::copy_n(row.begin() + from, op.heads.head_dim, matrix.row(t).begin() + to);
        }
      }
    };
    move_heads(q, false);
    SS_TRY_VOID(ReferenceKernels::run(op, frame));
    move_heads(out, true);
    if (op.q != op.out) move_heads(q, true);
    return {};
  }

  Bug bug_;
};

/// A step that changes the batches passed to submit().
class MutantStep final : public Step {
 public:
  /// Stores each ticket in `newest`.
  MutantStep(Bug bug, std::unique_ptr<Step> inner, Ticket& newest)
      : bug_(bug), inner_(std::move(inner)), newest_(newest) {}
  [[nodiscard]] std::size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return inner_->groups(); }
  Result<std::vector<float>> read_value(ValueId id) const override { return inner_->read_value(id); }
  Result<Ticket> submit(const Batch& batch) override {
    Batch changed = batch;
    std::vector<std::int32_t> slots(batch.seq_slots.begin(), batch.seq_slots.end());
    std::vector<std::int32_t> rows(batch.logit_rows.begin(), batch.logit_rows.end());
    std::vector<SamplingParams> sampling(batch.sampling.begin(), batch.sampling.end());
    if (bug_ == Bug::kSampledIdOfWrongSequence) {
      for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<std::int32_t>(i);
    }
    if (bug_ == Bug::kLogitRowOffByOne) {
      for (std::int32_t& row : rows) row = std::max(0, row - 1);
    }
    if (bug_ == Bug::kForbiddenIdTaken) {
      for (SamplingParams& params : sampling) params.forbidden_id = -1;
    }
    changed.seq_slots = slots;
    changed.logit_rows = rows;
    changed.sampling = sampling;
    SS_TRY(newest_, inner_->submit(changed));
    return newest_;
  }

 private:
  Bug bug_;
  std::unique_ptr<Step> inner_;
  Ticket& newest_;
};

class MutantBackend final : public ReferenceBackend {
 public:
  MutantBackend(Bug bug, const DeviceInfo& device) : ReferenceBackend(device, {}), bug_(bug) {
    set_kernels(std::make_unique<MutantKernels>(bug, weights(), pools()));
  }

  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    WeightSpec changed = with_changed_rows(spec, bug_);
    if (bug_ == Bug::kGateAndUpSwapped && spec.join == Join::kInterleaveGateUp) {
      for (std::size_t i = 0; i + 1 < changed.parts.size(); i += 2) std::swap(changed.parts[i], changed.parts[i + 1]);
    }
    return ReferenceBackend::prepare_weight(changed);
  }

  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override {
    if (bug_ != Bug::kPageCopyForgetsLastLayer) return ReferenceBackend::kv_copy_pages(pool, copies);
    KvPool& cache = pools()[static_cast<std::size_t>(index_of(pool))];
    const std::int64_t n = std::int64_t{cache.spec().page_tokens} * cache.spec().head_dim;
    for (const PageCopy& copy : copies) {
      const std::int64_t from = std::int64_t{copy.from_page} * cache.spec().page_tokens;
      const std::int64_t to = std::int64_t{copy.to_page} * cache.spec().page_tokens;
      for (std::int32_t layer = 0; layer + 1 < cache.spec().n_layers; ++layer) {
        for (std::int32_t head = 0; head < cache.spec().n_kv_heads; ++head) {
          std::copy_n(cache.key(layer, head, from).data(), n, cache.key(layer, head, to).data());
          if (cache.spec().latent_dim > 0) continue;
          std::copy_n(cache.value(layer, head, from).data(), n, cache.value(layer, head, to).data());
        }
      }
    }
    return {};
  }

  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        GroupTiming group_timing) override {
    SS_TRY(auto step, ReferenceBackend::compile(graph, bucket, pool, group_timing));
    return std::unique_ptr<Step>(std::make_unique<MutantStep>(bug_, std::move(step), newest_));
  }

  /// Exchanges the results of two steps in flight.
  Result<StepResult> wait(Ticket ticket, Deadline deadline) override {
    if (bug_ != Bug::kTicketsSwapped) return ReferenceBackend::wait(ticket, deadline);
    if (!swapped_ && newest_ == Ticket{static_cast<std::int64_t>(ticket) + 1}) {
      swapped_ = ReferenceBackend::wait(ticket, deadline);
      return ReferenceBackend::wait(newest_, deadline);
    }
    if (swapped_) return std::exchange(swapped_, std::nullopt).value();
    return ReferenceBackend::wait(ticket, deadline);
  }

 private:
  Bug bug_;
  Ticket newest_{};
  std::optional<Result<StepResult>> swapped_;
};

}  // namespace

std::unique_ptr<Backend> make_mutant(Bug bug) {
  return std::make_unique<MutantBackend>(bug, std::move(reference::devices()).value().front());
}

}  // namespace secondsource::conformance

#include "conformance/mutants.h"

#include <algorithm>

#include "reference/backend.h"

namespace secondsource::conformance {
namespace {

using reference::KvPool;
using reference::ReferenceBackend;
using reference::ReferenceKernels;
using reference::Weights;

/// A frame with some of the batch replaced.
class ChangedFrame {
 public:
  explicit ChangedFrame(const HostFrame& frame)
      : positions(frame.batch.positions.begin(), frame.batch.positions.end()),
        kv_slots(frame.batch.kv_slots.begin(), frame.batch.kv_slots.end()),
        original_(frame) {}

  HostFrame view() {
    batch_ = original_.batch;
    batch_.positions = positions;
    batch_.kv_slots = kv_slots;
    return {.graph = original_.graph,
            .batch = batch_,
            .pool = original_.pool,
            .token_ids = original_.token_ids,
            .values = original_.values,
            .rows = original_.rows};
  }

  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> kv_slots;

 private:
  const HostFrame& original_;
  Batch batch_;
};

class MutantKernels final : public ReferenceKernels {
 public:
  MutantKernels(Bug bug, const Weights& weights, std::vector<KvPool>& pools)
      : ReferenceKernels(weights, pools), bug_(bug) {}
  using ReferenceKernels::run;

  Result<void> run(const RmsNorm& op, const HostFrame& frame) override {
    RmsNorm changed = op;
    if (bug_ == Bug::kEpsilonIgnored) changed.eps = 0.0F;
    return ReferenceKernels::run(changed, frame);
  }

  Result<void> run(const Matmul& op, const HostFrame& frame) override {
    Matmul changed = op;
    if (bug_ == Bug::kSoftCapIgnored) changed.softcap = 0.0F;
    if (bug_ == Bug::kActivationsNotQuantized) changed.act = ActQuant::kNone;
    if (bug_ == Bug::kResidualLost && op.epilogue == Epilogue::kAddResidual) {
      changed.epilogue = Epilogue::kNone;
      changed.aux = {};
    }
    return ReferenceKernels::run(changed, frame);
  }

  Result<void> run(const RopeAppend& op, const HostFrame& frame) override {
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
    return ReferenceKernels::run(changed, other.view());
  }

  Result<void> run(const Attention& op, const HostFrame& frame) override {
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
    if (bug_ == Bug::kSoftCapIgnored) changed.softcap = 0.0F;
    if (bug_ == Bug::kWrongHeadGrouping) return run_with_wrong_groups(changed, frame);
    return ReferenceKernels::run(changed, other.view());
  }

  Result<void> run(const Route& op, const HostFrame& frame) override {
    SS_TRY_VOID(ReferenceKernels::run(op, frame));
    if (bug_ == Bug::kExpertWeightsSwapped && op.n_top > 1) {
      const MatrixView<float> weight = frame.value(op.weight);
      for (std::int64_t row = 0; row < weight.rows(); ++row) std::swap(weight(row, 0), weight(row, 1));
    }
    return {};
  }

 private:
  /// Query head h reads KV head h % n_kv_heads: the heads are moved to where that comes out, and back.
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

/// Passes rows on with the scales of neighbours exchanged.
class SwappedScales final : public WeightSource {
 public:
  explicit SwappedScales(std::shared_ptr<const WeightSource> inner) : inner_(std::move(inner)) {}
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_TRY_VOID(inner_->read_rows(first_row, n_rows, values, scales));
    const auto per_row = static_cast<std::ptrdiff_t>(scales.size()) / n_rows;
    for (std::int64_t row = 0; row + 1 < n_rows; row += 2) {
      std::swap_ranges(scales.begin() + row * per_row, scales.begin() + (row + 1) * per_row,
                       scales.begin() + (row + 1) * per_row);
    }
    return {};
  }

 private:
  std::shared_ptr<const WeightSource> inner_;
};

/// Changes what submit() gets.
class MutantStep final : public Step {
 public:
  MutantStep(Bug bug, std::unique_ptr<Step> inner) : bug_(bug), inner_(std::move(inner)) {}
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
    return inner_->submit(changed);
  }

 private:
  Bug bug_;
  std::unique_ptr<Step> inner_;
};

class MutantBackend final : public ReferenceBackend {
 public:
  MutantBackend(Bug bug, const DeviceInfo& device) : ReferenceBackend(device, {}), bug_(bug) {
    set_kernels(std::make_unique<MutantKernels>(bug, weights(), pools()));
  }

  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    WeightSpec changed = spec;
    if (bug_ == Bug::kSwappedScaleRows) {
      for (WeightPart& part : changed.parts) part.source = std::make_shared<SwappedScales>(part.source);
    }
    if (bug_ == Bug::kGateAndUpSwapped && spec.join == Join::kInterleaveGateUp) {
      for (std::size_t i = 0; i + 1 < changed.parts.size(); i += 2) std::swap(changed.parts[i], changed.parts[i + 1]);
    }
    return ReferenceBackend::prepare_weight(changed);
  }

  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override {
    if (bug_ != Bug::kPageCopyForgetsLastLayer) return ReferenceBackend::kv_copy_pages(pool, copies);
    KvPool& cache = pools()[static_cast<std::size_t>(index_of(pool))];
    const std::int32_t page_tokens = cache.spec().page_tokens;
    for (const PageCopy& copy : copies) {
      for (std::int32_t layer = 0; layer + 1 < cache.spec().n_layers; ++layer) {
        for (std::int32_t i = 0; i < page_tokens; ++i) {
          const std::int64_t from = copy.from_page * page_tokens + i;
          const std::int64_t to = copy.to_page * page_tokens + i;
          std::ranges::copy(cache.keys(layer, from), cache.keys(layer, to).begin());
          std::ranges::copy(cache.values(layer, from), cache.values(layer, to).begin());
        }
      }
    }
    return {};
  }

  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        Trace trace) override {
    SS_TRY(auto step, ReferenceBackend::compile(graph, bucket, pool, trace));
    return std::unique_ptr<Step>(std::make_unique<MutantStep>(bug_, std::move(step)));
  }

 private:
  Bug bug_;
};

}  // namespace

std::span<const Mutant> mutants() {
  static constexpr Mutant kMutants[] = {
      {Bug::kRopeOffByOne, "RoPE off by one position", "rope_append layer"},
      {Bug::kWrongHeadGrouping, "query heads grouped the wrong way", "attention layer"},
      {Bug::kMaskHidesOwnToken, "a mask that hides the token itself", "attention layer model"},
      {Bug::kMaskShowsNextToken, "a mask that shows the next token", "attention layer"},
      {Bug::kLastPageDropped, "the last page dropped", "attention attention_long layer"},
      {Bug::kSwappedScaleRows, "scales of neighbouring rows swapped", "matmul matmul_w8a8 embed"},
      {Bug::kStaleKvSlot, "the newest key and value not written", "rope_append attention layer"},
      {Bug::kWindowOffByOne, "a sliding window one token too wide", "attention"},
      {Bug::kResidualLost, "the residual not added", "matmul layer"},
      {Bug::kEpsilonIgnored, "the epsilon of the norm ignored", "rms_norm"},
      {Bug::kGateAndUpSwapped, "gate and up swapped", "matmul layer"},
      {Bug::kSoftCapIgnored, "the soft cap ignored", "matmul attention"},
      {Bug::kPageCopyForgetsLastLayer, "a page copy that leaves out the last layer", "kv_copy_pages"},
      {Bug::kPaddingRowWritten, "a padding row written to slot 0", "rope_append"},
      {Bug::kKeyNormIsQueryNorm, "keys normalized with the weights of queries", "rope_append attention"},
      {Bug::kSampledIdOfWrongSequence, "the last sampled id of another sequence", "in_flight"},
      {Bug::kLogitRowOffByOne, "logits of the token before", "sample model"},
      {Bug::kForbiddenIdTaken, "a forbidden id taken", "sample"},
      {Bug::kExpertWeightsSwapped, "weights of the two best experts swapped", "route grouped_matmul"},
      {Bug::kActivationsNotQuantized, "activations left unquantized in W8A8", "matmul_w8a8"},
  };
  return kMutants;
}

std::unique_ptr<Backend> make_mutant(Bug bug) {
  return std::make_unique<MutantBackend>(bug, std::move(reference::devices()).value().front());
}

}  // namespace secondsource::conformance

#include "mutants.h"

#include <algorithm>
#include <array>
#include <set>

#include "core/check.h"
#include "mutant_kernels.h"
#include "reference/backend.h"

namespace secondsource::test {
namespace {

constexpr std::array kBugs = {
    BugInfo{Bug::kNone, "none", "", "the control: no bug"},
    BugInfo{Bug::kRopeQueryOffByOne, "rope-query-off-by-one", "cgs",
            "queries are rotated at position + 1, keys at position"},
    BugInfo{Bug::kRopeInterleaved, "rope-interleaved", "cgs", "elements 2i and 2i + 1 are paired, not i and i + half"},
    BugInfo{Bug::kRopeFrequencyOffByOne, "rope-frequency-off-by-one", "cgs", "frequency i + 1 is used for pair i"},
    BugInfo{Bug::kHeadGrouping, "head-grouping", "cgs", "query head h reads KV head h mod n_kv_heads"},
    BugInfo{Bug::kLastPageDropped, "last-page-dropped", "cgs", "attention stops at the last whole page"},
    BugInfo{Bug::kFirstKeyDropped, "first-key-dropped", "cgs", "the first token (BOS) is never attended to"},
    BugInfo{Bug::kMaskSeesNext, "mask-sees-next", "cgs", "in prefill a token sees the one behind it"},
    BugInfo{Bug::kMaskMissesSelf, "mask-misses-self", "cgs", "a token does not see itself"},
    BugInfo{Bug::kStaleValueSlot, "stale-value-slot", "cgs", "the last slot of a page is not written during decode"},
    BugInfo{Bug::kAttentionScale, "attention-scale", "cgs", "scores are scaled by head_dim^-3/4, not ^-1/2"},
    BugInfo{Bug::kFinalNormMissing, "final-norm-missing", "cgs", "the head reads the hidden state as it is"},
    BugInfo{Bug::kNormEpsilon, "norm-epsilon", "c", "epsilon is a tenth of what the model says"},
    BugInfo{Bug::kResidualMissing, "residual-missing", "cgs",
            "the feed-forward network's output replaces the residual"},
    BugInfo{Bug::kGateUpSwapped, "gate-up-swapped", "cgs", "the non-linearity is applied to up, not to gate"},
    BugInfo{Bug::kScaleRowsSwapped, "scale-rows-swapped", "cg", "rows 2i and 2i + 1 have each other's scale"},
    BugInfo{Bug::kInt8Scale, "int8-scale", "c", "the scale is max / 128 where the codes were made with max / 127"},
    BugInfo{Bug::kInt8GroupShifted, "int8-g32-group-shifted", "cg", "a group has the scale of the one before it"},
    BugInfo{Bug::kInt4GroupShifted, "int4-group-shifted", "cg", "the same in int4"},
    BugInfo{Bug::kDecodeNotQuantized, "decode-not-quantized", "c",
            "one-row products skip the activations' quantization"},
    BugInfo{Bug::kForkCopyLost, "fork-copy-lost", "cs", "a fork's partial page is not copied"},
    BugInfo{Bug::kForkPosition, "fork-position", "cs", "sequences made by a fork count positions from one too early"},
    BugInfo{Bug::kLogitRowOffByOne, "logit-row-off-by-one", "cgs", "logits are of the token before the last"},
    BugInfo{Bug::kSampledIdOffByOne, "sampled-id-off-by-one", "cgs", "the sampled id is one too large"},
};

/// A source whose rows are read through `change(values, scales)`, one pair of rows at a time.
class ChangedScales final : public WeightSource {
 public:
  ChangedScales(Bug bug, std::shared_ptr<const WeightSource> source, const WeightSpec& spec, std::int64_t n_rows)
      : bug_(bug),
        source_(std::move(source)),
        n_rows_(n_rows),
        n_scales_(scales_per_row(spec.encoding, spec.n_cols)),
        row_bytes_(static_cast<std::size_t>(spec.n_cols) * transfer_bytes_per_value(spec.encoding)) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_TRY_VOID(source_->read_rows(first_row, n_rows, values, scales));
    std::vector<std::byte> ignored(row_bytes_);
    for (std::int64_t i = 0; i < n_rows; ++i) {
      const auto own = scales.subspan(static_cast<std::size_t>(i * n_scales_), static_cast<std::size_t>(n_scales_));
      if (bug_ == Bug::kInt8Scale) {
        for (float& scale : own) scale *= 127.0F / 128.0F;
      } else if (bug_ == Bug::kInt8GroupShifted || bug_ == Bug::kInt4GroupShifted) {
        std::rotate(own.begin(), own.end() - 1, own.end());
      } else {
        const std::int64_t neighbour = (first_row + i) ^ 1;
        if (neighbour < n_rows_) SS_TRY_VOID(source_->read_rows(neighbour, 1, ignored, own));
      }
    }
    return {};
  }

 private:
  Bug bug_;
  std::shared_ptr<const WeightSource> source_;
  std::int64_t n_rows_;
  std::int64_t n_scales_;
  std::size_t row_bytes_;
};

bool changes_scales(Bug bug, WeightEncoding encoding) {
  switch (bug) {
    case Bug::kScaleRowsSwapped:
      return scales_per_row(encoding, 1) > 0;
    case Bug::kInt8Scale:
      return encoding == WeightEncoding::kInt8PerRow;
    case Bug::kInt8GroupShifted:
      return encoding == WeightEncoding::kInt8Group32;
    case Bug::kInt4GroupShifted:
      return encoding == WeightEncoding::kInt4Group32;
    default:
      return false;
  }
}

/// A step that changes the batches passed to submit() and records which rows were forced.
class MutantStep final : public Step {
 public:
  MutantStep(Bug bug, std::unique_ptr<Step> inner, std::vector<bool>& forced)
      : bug_(bug), inner_(std::move(inner)), forced_(forced) {}
  [[nodiscard]] std::size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return inner_->groups(); }
  Result<std::vector<float>> read_value(ValueId id) const override { return inner_->read_value(id); }
  Result<Ticket> submit(const Batch& batch) override {
    forced_.clear();
    for (const SamplingParams& params : batch.sampling) forced_.push_back(params.forced_id >= 0);
    if (bug_ != Bug::kLogitRowOffByOne) return inner_->submit(batch);
    std::vector<std::int32_t> rows(batch.logit_rows.begin(), batch.logit_rows.end());
    for (std::int32_t& row : rows) row = std::max(0, row - 1);
    Batch changed = batch;
    changed.logit_rows = rows;
    return inner_->submit(changed);
  }

 private:
  Bug bug_;
  std::unique_ptr<Step> inner_;
  std::vector<bool>& forced_;
};

class MutantBackend final : public reference::ReferenceBackend {
 public:
  explicit MutantBackend(Bug bug) : ReferenceBackend(reference::devices()->front(), {}), bug_(bug) {
    set_kernels(std::make_unique<MutantKernels>(bug, forked_pages_, weights(), pools()));
  }

  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    WeightSpec changed = spec;
    if (bug_ == Bug::kGateUpSwapped && spec.join == Join::kInterleaveGateUp) {
      for (std::size_t i = 0; i + 1 < changed.parts.size(); i += 2) std::swap(changed.parts[i], changed.parts[i + 1]);
    }
    if (changes_scales(bug_, spec.encoding)) {
      for (WeightPart& part : changed.parts) {
        part.source = std::make_shared<ChangedScales>(bug_, part.source, spec, part.n_rows);
      }
    }
    return ReferenceBackend::prepare_weight(changed);
  }

  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override {
    for (const PageCopy& copy : copies) forked_pages_.insert(copy.to_page);
    if (bug_ == Bug::kForkCopyLost) return {};
    return ReferenceBackend::kv_copy_pages(pool, copies);
  }

  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        GroupTiming group_timing) override {
    SS_TRY(std::unique_ptr<Step> inner, ReferenceBackend::compile(graph, bucket, pool, group_timing));
    for (const Op& op : graph.ops) {
      if (const auto* sample = std::get_if<Sample>(&op)) {
        vocab_size_ = graph.values[static_cast<std::size_t>(index_of(sample->logits))].cols;
      }
    }
    return std::unique_ptr<Step>(std::make_unique<MutantStep>(bug_, std::move(inner), forced_));
  }

  Result<StepResult> wait(Ticket ticket, Deadline deadline) override {
    SS_TRY(StepResult result, ReferenceBackend::wait(ticket, deadline));
    for (std::size_t row = 0; bug_ == Bug::kSampledIdOffByOne && row < result.tokens.size(); ++row) {
      if (row < forced_.size() && !forced_[row]) result.tokens[row].id = (result.tokens[row].id + 1) % vocab_size_;
    }
    return result;
  }

 private:
  Bug bug_;
  std::set<std::int32_t> forked_pages_;
  std::vector<bool> forced_;
  std::int32_t vocab_size_ = 1;
};

}  // namespace

std::span<const BugInfo> all_bugs() {
  return kBugs;
}

std::unique_ptr<Backend> make_mutant(Bug bug) {
  return std::make_unique<MutantBackend>(bug);
}

}  // namespace secondsource::test

#include "backend_kit/eager_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "backend/op_access.h"
#include "backend/op_visit.h"
#include "backend_kit/sampling.h"
#include "backend_kit/workspace_plan.h"
#include "core/clock.h"

namespace secondsource {
namespace {

constexpr std::size_t kAlignmentBytes = 64;
constexpr std::size_t kGuardBytes = 64;
constexpr auto kGuardPattern = std::byte{0xA5};

/// True if every byte of a guard still has the pattern: the first byte has it, and each byte equals the next one.
/// memcmp compares whole vectors and is much faster than a loop over the bytes.
bool is_untouched(std::span<const std::byte> guard) {
  return guard.front() == kGuardPattern && std::memcmp(guard.data(), guard.data() + 1, guard.size() - 1) == 0;
}

/// The operations that HostKernels runs.
template <typename T>
concept HostOp = OneOf<T, Embed, RmsNorm, Matmul, RopeAppend, LatentAppend, HeadMatmul, Attention, SelectColumns, Route,
                       GroupedMatmul>;

/// `rows`: the rows of each value.
OpGroup describe_op(const Op& op, std::int32_t index, std::span<const std::int32_t> rows, const HostKernels& kernels) {
  return visit_op(
      op,
      [&](const SelectRows&) -> OpGroup {
        return {{index}, "select_rows_f32_host", ""};
      },
      [&](const Sample&) -> OpGroup {
        return {{index}, "sample_f32_host", ""};
      },
      [&](const HostOp auto&) -> OpGroup {
        // These write as many rows as they read.
        return kernels.describe(op, index, rows[static_cast<std::size_t>(index_of(op_access(op).writes.front()))]);
      });
}

class EagerStep final : public Step {
 public:
  EagerStep(const StepGraph& graph, const Bucket& bucket, KvPoolId pool, GroupTiming group_timing, HostKernels& kernels,
            EagerQueue& queue, EagerOptions options)
      : graph_(graph),
        bucket_(bucket),
        pool_(pool),
        group_timing_(group_timing),
        kernels_(kernels),
        queue_(queue),
        options_(options),
        plan_(plan_workspace(graph, bucket, kAlignmentBytes, options.guards ? kGuardBytes : 0)) {
    for (const ValueDesc& value : graph_.values) rows_.push_back(max_rows(value.rows, bucket_));
    describe_groups();
    token_ids_.resize(static_cast<std::size_t>(bucket_.max_tokens));
    token_seqs_.resize(static_cast<std::size_t>(bucket_.max_tokens));
    values_.resize(graph_.values.size());
  }

  ~EagerStep() override {
    // A later Step could be allocated at this address, and the values in the workspace are not its own.
    if (queue_.workspace_owner() == this) queue_.set_workspace_owner(nullptr);
  }

  [[nodiscard]] std::size_t workspace_bytes() const override { return plan_.total_bytes; }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return groups_; }

  Result<Ticket> submit(const Batch& batch) override {
    SS_TRY_VOID(queue_.healthy());
    if (queue_.is_full()) {
      return queue_.fail(Error{ErrorCode::kInvalidInput,
                               fmt::format("submit: expected at most {} steps in flight", EagerQueue::kMaxInFlight)});
    }
    if (auto checked = check_batch_counts(batch, bucket_); !checked) return queue_.fail(checked.error());
    if (auto resolved = resolve_tokens(batch); !resolved) return queue_.fail(resolved.error());
    return queue_.push(execute(batch));
  }

  Result<std::vector<float>> read_value(ValueId id) const override {
    const auto index = static_cast<std::size_t>(index_of(id));
    if (index_of(id) < 0 || index >= graph_.values.size() || !graph_.values[index].observed) {
      return Error{ErrorCode::kInvalidInput, fmt::format("value {} is not observed", index_of(id))};
    }
    if (queue_.workspace_owner() != this) {
      return Error{ErrorCode::kInvalidInput, "read_value: this step was not the last to run"};
    }
    const std::size_t n = static_cast<std::size_t>(rows_[index]) * static_cast<std::size_t>(graph_.values[index].cols);
    std::vector<float> out(n);
    if (graph_.values[index].dtype == DType::kF32) {
      std::copy_n(values_[index], n, out.begin());
    } else {
      const auto* const integers = reinterpret_cast<const std::int32_t*>(values_[index]);
      for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(integers[i]);
    }
    return out;
  }

 private:
  void describe_groups() {
    groups_.clear();
    for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
      groups_.push_back(describe_op(graph_.ops[i], static_cast<std::int32_t>(i), rows_, kernels_));
    }
    described_rows_ = rows_;
  }

  /// Finds the sequence of each token (-1: padding), and replaces token ids of -1 by the last sampled id.
  Result<void> resolve_tokens(const Batch& batch) {
    std::fill(token_seqs_.begin(), token_seqs_.end(), -1);
    for (std::int32_t seq = 0; seq < batch.n_seqs(); ++seq) {
      const auto s = static_cast<std::size_t>(seq);
      for (std::int32_t t = batch.q_starts[s]; t < batch.q_starts[s + 1]; ++t) {
        token_seqs_[static_cast<std::size_t>(t)] = seq;
      }
    }
    const std::span<const std::int32_t> last_sampled = queue_.last_sampled();
    for (std::size_t t = 0; t < batch.token_ids.size(); ++t) {
      token_ids_[t] = batch.token_ids[t];
      if (token_ids_[t] >= 0) continue;
      token_ids_[t] = 0;
      if (token_seqs_[t] < 0) continue;
      const std::int32_t slot = batch.seq_slots[static_cast<std::size_t>(token_seqs_[t])];
      if (slot < 0 || static_cast<std::size_t>(slot) >= last_sampled.size()) {
        return Error{
            ErrorCode::kInvalidInput,
            fmt::format("submit: token {}: expected a device slot in [0, {}), found {}", t, last_sampled.size(), slot)};
      }
      token_ids_[t] = last_sampled[static_cast<std::size_t>(slot)];
      if (token_ids_[t] < 0) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("submit: token {}: nothing was sampled for device slot {} yet", t, slot)};
      }
    }
    return {};
  }

  void place_values(const Batch& batch) {
    queue_.set_workspace_owner(this);
    for (std::size_t v = 0; v < values_.size(); ++v) {
      values_[v] = reinterpret_cast<float*>(queue_.workspace() + plan_.offsets[v]);
      const Rows rows = graph_.values[v].rows;
      rows_[v] = rows == Rows::kTokens ? batch.n_tokens() : rows == Rows::kSeqs ? batch.n_seqs() : batch.n_logit_rows();
    }
    if (options_.guards) std::memset(queue_.workspace(), static_cast<int>(kGuardPattern), plan_.total_bytes);
  }

  Result<StepResult> execute(const Batch& batch) {
    place_values(batch);
    // The groups describe the kernels for the bucket's most rows; this batch may have fewer rows and use other kernels.
    if (group_timing_ == GroupTiming::kOn && rows_ != described_rows_) describe_groups();
    const HostFrame frame{.graph = graph_,
                          .batch = batch,
                          .pool = pool_,
                          .token_ids = std::span(token_ids_).first(batch.token_ids.size()),
                          .values = values_,
                          .rows = rows_};
    StepResult result;
    const std::int64_t started_at_ns = now_ns();
    std::int64_t group_started_at_ns = started_at_ns;
    for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
      if (auto ran = run_op(graph_.ops[i], frame, result); !ran) return ran.error().with_context(op_label(graph_, i));
      if (options_.guards) SS_TRY_VOID(check_guards(i));
      if (group_timing_ == GroupTiming::kOn) {
        const std::int64_t finished_at_ns = now_ns();
        result.groups.push_back({static_cast<std::int32_t>(i), finished_at_ns - group_started_at_ns});
        group_started_at_ns = finished_at_ns;
      }
    }
    result.device_ns = now_ns() - started_at_ns;
    return result;
  }

  Result<void> run_op(const Op& op, const HostFrame& frame, StepResult& result) {
    return visit_op(
        op, [&](const SelectRows& select) { return select_rows(select, frame); },
        [&](const Sample& sample) { return sample_logits(sample, frame, result); },
        [&](const HostOp auto& of_kernels) { return kernels_.run(of_kernels, frame); });
  }

  static Result<void> select_rows(const SelectRows& op, const HostFrame& frame) {
    const MatrixView<float> x = frame.value(op.x);
    const MatrixView<float> out = frame.value(op.out);
    for (std::int64_t row = 0; row < out.rows(); ++row) {
      const std::int32_t token = frame.batch.logit_rows[static_cast<std::size_t>(row)];
      if (token < 0 || token >= x.rows()) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("logit row {}: expected a token in [0, {}), found {}", row, x.rows(), token)};
      }
      std::ranges::copy(x.row(token), out.row(row).begin());
    }
    return {};
  }

  Result<void> sample_logits(const Sample& op, const HostFrame& frame, StepResult& result) {
    const MatrixView<float> logits = frame.value(op.logits);
    if (op.keep_logits) {
      const auto n = static_cast<std::size_t>(logits.rows() * logits.cols());
      result.logits.assign(logits.data(), logits.data() + n);
    }
    const std::span<const SamplingParams> params = frame.batch.sampling;
    for (std::size_t row = 0; row < params.size(); ++row) {
      if (params[row].forced_id < logits.cols()) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("logit row {}: forced id {} is not in the vocabulary of {}",
                                                         row, params[row].forced_id, logits.cols())};
    }
    result.tokens.resize(params.size());
    const auto for_each = [this](std::int64_t n, const std::function<void(std::int64_t)>& body) {
      kernels_.for_each(n, body);
    };
    sample_rows(logits, params, op.n_top, for_each, result.tokens);
    const std::span<std::int32_t> last_sampled = queue_.last_sampled();
    for (std::size_t row = 0; row < params.size(); ++row) {
      const std::int32_t seq = token_seqs_[static_cast<std::size_t>(frame.batch.logit_rows[row])];
      if (seq < 0) continue;
      const std::int32_t slot = frame.batch.seq_slots[static_cast<std::size_t>(seq)];
      if (slot < 0 || static_cast<std::size_t>(slot) >= last_sampled.size()) continue;
      // A row with NaN fails its request, but the next step may already be in flight and needs a valid id to embed.
      last_sampled[static_cast<std::size_t>(slot)] = std::max(result.tokens[row].id, 0);
    }
    return {};
  }

  /// Checks that only the rows of values were written. Only used with guards, where no memory is reused.
  Result<void> check_guards(std::size_t op_index) const {
    for (std::size_t v = 0; v < values_.size(); ++v) {
      const std::size_t used = static_cast<std::size_t>(rows_[v]) * static_cast<std::size_t>(graph_.values[v].cols) *
                               size_of(graph_.values[v].dtype);
      const std::byte* const begin = reinterpret_cast<const std::byte*>(values_[v]);
      const std::size_t end = std::min(plan_.sizes[v] + kGuardBytes, plan_.total_bytes - plan_.offsets[v]);
      if (used >= end) continue;
      const std::span guard(begin + used, end - used);
      if (is_untouched(guard)) continue;
      const auto written = std::ranges::find_if(guard, [](std::byte byte) { return byte != kGuardPattern; });
      return Error{ErrorCode::kInternal, fmt::format("{}: wrote byte {} past the {} bytes of value {}",
                                                     op_label(graph_, op_index), written - guard.begin(), used, v)};
    }
    return {};
  }

  StepGraph graph_;
  Bucket bucket_;
  KvPoolId pool_;
  GroupTiming group_timing_;
  HostKernels& kernels_;
  EagerQueue& queue_;
  EagerOptions options_;
  WorkspacePlan plan_;
  std::vector<OpGroup> groups_;
  std::vector<std::int32_t> token_ids_;
  std::vector<std::int32_t> token_seqs_;
  std::vector<float*> values_;
  std::vector<std::int32_t> rows_;            ///< number of rows of each value in the last batch
  std::vector<std::int32_t> described_rows_;  ///< the row counts for which groups_ was made
};

}  // namespace

MatrixView<float> HostFrame::value(ValueId id) const {
  const auto index = static_cast<std::size_t>(index_of(id));
  return {values[index], rows[index], graph.values[index].cols};
}

MatrixView<std::int32_t> HostFrame::value_i32(ValueId id) const {
  const auto index = static_cast<std::size_t>(index_of(id));
  return {reinterpret_cast<std::int32_t*>(values[index]), rows[index], graph.values[index].cols};
}

std::span<const std::int32_t> HostFrame::columns(ColumnListId id) const {
  return graph.column_lists[static_cast<std::size_t>(index_of(id))];
}

Result<std::unique_ptr<Step>> make_eager_step(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                              GroupTiming group_timing, HostKernels& kernels, EagerQueue& queue,
                                              EagerOptions options) {
  SS_TRY_VOID(queue.healthy());
  SS_TRY_VOID(check_graph(graph));
  if (std::min({bucket.max_tokens, bucket.max_seqs, bucket.max_pages_per_seq}) <= 0 || bucket.max_logit_rows < 0) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bucket: expected positive bounds, found {} tokens, {} "
                             "sequences, {} logit rows, {} pages a sequence",
                             bucket.max_tokens, bucket.max_seqs, bucket.max_logit_rows, bucket.max_pages_per_seq)};
  }
  auto step = std::make_unique<EagerStep>(graph, bucket, pool, group_timing, kernels, queue, options);
  SS_TRY_VOID(queue.reserve_workspace(step->workspace_bytes()));
  return std::unique_ptr<Step>(std::move(step));
}

}  // namespace secondsource

#include "mutant_kernels.h"

#include <algorithm>
#include <cmath>

namespace secondsource::test {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// A frame that differs from `frame` in its batch or in the location of one value.
struct ChangedFrame {
  explicit ChangedFrame(const HostFrame& frame)
      : base(frame), batch(frame.batch), values(frame.values.begin(), frame.values.end()) {}
  [[nodiscard]] HostFrame frame() const {
    return HostFrame{base.graph, batch, base.pool, base.token_ids, values, base.rows};
  }
  const HostFrame& base;
  Batch batch;
  std::vector<float*> values;
};

std::vector<float> copy_of(const MatrixView<float>& view) {
  std::vector<float> copy;
  for (std::int64_t row = 0; row < view.rows(); ++row)
    copy.insert(copy.end(), view.row(row).begin(), view.row(row).end());
  return copy;
}

}  // namespace

Result<void> MutantKernels::run(const RmsNorm& op, const HostFrame& frame) {
  if (bug_ == Bug::kFinalNormMissing && frame.graph.values[index(index_of(op.x))].rows == Rows::kLogits) {
    const MatrixView<float> x = frame.value(op.x);
    for (std::int64_t row = 0; row < x.rows(); ++row)
      std::ranges::copy(x.row(row), frame.value(op.out).row(row).begin());
    return {};
  }
  RmsNorm changed = op;
  if (bug_ == Bug::kNormEpsilon) changed.eps = op.eps * 0.1F;  // 1e-6 instead of the model's 1e-5
  return ReferenceKernels::run(changed, frame);
}

Result<void> MutantKernels::run(const Matmul& op, const HostFrame& frame) {
  Matmul changed = op;
  if (bug_ == Bug::kDecodeNotQuantized && frame.value(op.x).rows() == 1) changed.act = ActQuant::kNone;
  // Only the residual of the feed-forward network is missing, whose matmul is the only one with more inputs than outputs.
  // A test of a single shape may therefore miss the bug.
  if (bug_ == Bug::kResidualMissing && op.aux && frame.value(op.x).cols() > frame.value(op.out).cols()) {
    changed.epilogue = Epilogue::kNone;
    changed.aux.reset();
  }
  return ReferenceKernels::run(changed, frame);
}

Result<void> MutantKernels::run(const RopeAppend& op, const HostFrame& frame) {
  switch (bug_) {
    case Bug::kRopeQueryOffByOne:
      return rotate_queries_at_next(op, frame);
    case Bug::kRopeInterleaved:
      return rotate_interleaved(op, frame);
    case Bug::kRopeFrequencyOffByOne:
      return rotate_with_shifted_frequencies(op, frame);
    case Bug::kForkPosition:
      return rotate_forks_one_back(op, frame);
    case Bug::kStaleValueSlot:
      return keep_stale_values(op, frame);
    default:
      return ReferenceKernels::run(op, frame);
  }
}

/// Rotates keys at p and queries at p + 1. Shifting both would change nothing, since only differences of positions
/// matter.
Result<void> MutantKernels::rotate_queries_at_next(const RopeAppend& op, const HostFrame& frame) {
  SS_TRY_VOID(ReferenceKernels::run(op, frame));
  ChangedFrame changed(frame);
  std::vector<std::int32_t> positions(frame.batch.positions.begin(), frame.batch.positions.end());
  for (std::int32_t& position : positions) ++position;
  const std::vector<std::int32_t> nowhere(positions.size(), -1);  // as for padding rows, no key is written
  changed.batch.positions = positions;
  changed.batch.kv_slots = nowhere;
  return ReferenceKernels::run(op, changed.frame());
}

/// Rotates the pairs (2i, 2i + 1) instead of (i, i + half). Queries and keys stay in the permuted order, which no dot
/// product depends on.
Result<void> MutantKernels::rotate_interleaved(const RopeAppend& op, const HostFrame& frame) {
  const MatrixView<float> qkv = frame.value(op.qkv);
  std::vector<float> permuted = copy_of(qkv);
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t n_rotated = op.heads.n_heads + op.heads.n_kv_heads;
  for (std::int64_t row = 0; row < qkv.rows(); ++row) {
    for (std::int64_t head = 0; head < n_rotated; ++head) {
      for (std::int64_t i = 0; i < head_dim / 2; ++i) {
        float* const out = permuted.data() + row * qkv.cols() + head * head_dim;
        out[i] = qkv(row, head * head_dim + 2 * i);
        out[i + head_dim / 2] = qkv(row, head * head_dim + 2 * i + 1);
      }
    }
  }
  ChangedFrame changed(frame);
  changed.values[index(index_of(op.qkv))] = permuted.data();
  return ReferenceKernels::run(op, changed.frame());
}

/// Uses theta^(-2 (i + 1) / d), with an exponent that counts from one.
Result<void> MutantKernels::rotate_with_shifted_frequencies(const RopeAppend& op, const HostFrame& frame) {
  StepGraph graph;
  graph.values = frame.graph.values;
  graph.ropes = frame.graph.ropes;
  std::vector<float>& frequencies = graph.ropes[index(index_of(op.rope))].inv_freq;
  std::rotate(frequencies.begin(), frequencies.begin() + 1, frequencies.end());
  if (frequencies.size() > 1) frequencies.back() = frequencies[frequencies.size() - 2] * 0.5F;
  const HostFrame changed{graph, frame.batch, frame.pool, frame.token_ids, frame.values, frame.rows};
  return ReferenceKernels::run(op, changed);
}

/// The positions of forked sequences are too small by one.
Result<void> MutantKernels::rotate_forks_one_back(const RopeAppend& op, const HostFrame& frame) {
  ChangedFrame changed(frame);
  std::vector<std::int32_t> positions(frame.batch.positions.begin(), frame.batch.positions.end());
  const std::int32_t page_tokens = pool(frame).spec().page_tokens;
  for (std::size_t seq = 0; seq < frame.batch.kv_lengths.size(); ++seq) {
    const std::int32_t n_pages = (frame.batch.kv_lengths[seq] + page_tokens - 1) / page_tokens;
    const auto table = frame.batch.block_table.subspan(seq * index(frame.batch.max_pages_per_seq), index(n_pages));
    const bool is_fork = std::ranges::any_of(table, [&](std::int32_t page) { return forked_pages_.contains(page); });
    for (std::int32_t t = frame.batch.q_starts[seq]; is_fork && t < frame.batch.q_starts[seq + 1]; ++t) {
      positions[index(t)] = std::max(0, positions[index(t)] - 1);
    }
  }
  changed.batch.positions = positions;
  return ReferenceKernels::run(op, changed.frame());
}

/// When a page becomes full during decode, its last slot keeps the old value.
Result<void> MutantKernels::keep_stale_values(const RopeAppend& op, const HostFrame& frame) {
  reference::KvPool& cache = pool(frame);
  const std::int32_t page_tokens = cache.spec().page_tokens;
  std::vector<std::pair<std::span<float>, std::vector<float>>> stale;
  for (std::size_t seq = 0; seq < frame.batch.kv_lengths.size(); ++seq) {
    if (frame.batch.q_starts[seq + 1] - frame.batch.q_starts[seq] != 1) continue;
    const std::int32_t slot = frame.batch.kv_slots[index(frame.batch.q_starts[seq])];
    if (slot < 0 || slot % page_tokens != page_tokens - 1) continue;
    for (std::int32_t head = 0; head < op.heads.n_kv_heads; ++head) {
      const std::span<float> value = cache.value(op.layer, head, slot);
      stale.emplace_back(value, std::vector<float>(value.begin(), value.end()));
    }
  }
  SS_TRY_VOID(ReferenceKernels::run(op, frame));
  for (const auto& [value, old] : stale) std::ranges::copy(old, value.begin());
  return {};
}

std::vector<std::int32_t> MutantKernels::visible_positions(std::int32_t position, std::int32_t kv_length,
                                                           std::int32_t window, std::int32_t page_tokens) const {
  std::int32_t first = window > 0 ? std::max(0, position - window + 1) : 0;
  std::int32_t last = position;
  if (bug_ == Bug::kMaskSeesNext) last = std::min(position + 1, kv_length - 1);
  if (bug_ == Bug::kMaskMissesSelf && last > first) --last;
  if (bug_ == Bug::kFirstKeyDropped && first == 0 && last > 0) first = 1;
  // Leaves out a partial last page unless it is the only one.
  if (bug_ == Bug::kLastPageDropped && kv_length % page_tokens != 0) {
    const std::int32_t whole = kv_length / page_tokens * page_tokens;
    if (whole > first) last = std::min(last, whole - 1);
  }
  std::vector<std::int32_t> positions;
  for (std::int32_t j = first; j <= last; ++j) positions.push_back(j);
  return positions;
}

/// A second implementation of attention, in which each bug is one line.
Result<void> MutantKernels::run(const Attention& op, const HostFrame& frame) {
  const MatrixView<float> q = frame.value(op.q);
  const MatrixView<float> out = frame.value(op.out);
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t value_dim = op.heads.value_dim();
  const Batch& batch = frame.batch;
  reference::KvPool& cache = pool(frame);
  const std::int32_t page_tokens = cache.spec().page_tokens;
  const float scale = bug_ == Bug::kAttentionScale ? op.scale * std::sqrt(op.scale) : op.scale;
  for (std::size_t seq = 0; seq < batch.kv_lengths.size(); ++seq) {
    const auto table = batch.block_table.subspan(seq * index(batch.max_pages_per_seq), index(batch.max_pages_per_seq));
    for (std::int64_t t = batch.q_starts[seq]; t < batch.q_starts[seq + 1]; ++t) {
      const auto visible = visible_positions(batch.positions[index(t)], batch.kv_lengths[seq], op.window, page_tokens);
      const std::vector<float> query(q.row(t).begin(), q.row(t).end());
      for (std::int32_t head = 0; head < op.heads.n_heads; ++head) {
        const std::int32_t kv_head =
            bug_ == Bug::kHeadGrouping ? head % op.heads.n_kv_heads : head / (op.heads.n_heads / op.heads.n_kv_heads);
        std::vector<double> scores;
        std::vector<std::int64_t> slots;
        for (const std::int32_t j : visible) {
          slots.push_back(std::int64_t{table[index(j / page_tokens)]} * page_tokens + j % page_tokens);
          const auto key = cache.key(op.layer, kv_head, slots.back());
          double product = 0.0;
          for (std::size_t d = 0; d < key.size(); ++d) {
            product += static_cast<double>(query[index(head * head_dim) + d]) * static_cast<double>(key[d]);
          }
          const double score = static_cast<double>(scale) * product;
          const auto cap = static_cast<double>(op.softcap);
          scores.push_back(op.softcap > 0.0F ? cap * std::tanh(score / cap) : score);
        }
        const double largest = *std::ranges::max_element(scores);
        double sum = op.sinks ? std::exp(static_cast<double>(weights().values(*op.sinks)[index(head)]) - largest) : 0.0;
        for (double& score : scores) sum += score = std::exp(score - largest);
        for (std::int64_t d = 0; d < value_dim; ++d) {
          double value = 0.0;
          for (std::size_t j = 0; j < slots.size(); ++j) {
            value += scores[j] * static_cast<double>(cache.value(op.layer, kv_head, slots[j])[index(d)]);
          }
          out(t, head * value_dim + d) = static_cast<float>(value / sum);
        }
      }
    }
  }
  for (std::int64_t t = batch.q_starts.back(); t < out.rows(); ++t) std::ranges::fill(out.row(t), 0.0F);
  return {};
}

}  // namespace secondsource::test

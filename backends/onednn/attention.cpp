// Attention over the paged cache with an online softmax (arXiv:2112.05682, algorithm 1): blocks of queries of one head
// against blocks of keys. With enough queries, oneDNN's sgemm multiplies keys and values that are decoded to f32; with one
// or a few, dot products read the cache directly. Scores, weights and sums are f32.

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "onednn/kernels.h"
#include "onednn/row_kernels.h"

namespace secondsource::onednn {
namespace {

constexpr std::int32_t kBlockQueries = 64;
constexpr std::int32_t kBlockKeys = 256;
/// With fewer queries, decoding the keys costs more than sgemm gains.
constexpr std::int32_t kMinProductQueries = 4;

/// Up to kBlockQueries tokens of one sequence, for one head.
struct Task {
  std::int32_t seq = 0;
  std::int32_t head = 0;
  std::int32_t first_token = 0;
  std::int32_t n_tokens = 0;
};

/// One thread's arrays, cut from the scratch memory. m, d and o are the online softmax of each query so far:
/// m = max_j s_j, d = sum_j exp(s_j - m), o = sum_j exp(s_j - m) v_j.
struct Buffers {
  float* queries;  // [kBlockQueries, D]
  float* keys;     // [kBlockKeys, D], then the values
  float* scores;   // [kBlockQueries, kBlockKeys]
  float* o;        // [kBlockQueries, D]
  float* m;        // [kBlockQueries]
  float* d;        // [kBlockQueries]

  Buffers(float* base, std::int32_t head_dim) {
    queries = base;
    keys = queries + kBlockQueries * head_dim;
    scores = keys + kBlockKeys * head_dim;
    o = scores + kBlockQueries * kBlockKeys;
    m = o + kBlockQueries * head_dim;
    d = m + kBlockQueries;
  }
};

class TaskRunner {
 public:
  TaskRunner(const Attention& op, const HostFrame& frame, const KvPool& pool, const float* sinks, const Task& task,
             Buffers buffers)
      : op_(op),
        batch_(frame.batch),
        pool_(pool),
        sinks_(sinks),
        task_(task),
        buffers_(buffers),
        q_(frame.value(op.q)),
        out_(frame.value(op.out)),
        kv_head_(task.head / (op.heads.n_heads / op.heads.n_kv_heads)),
        head_dim_(op.heads.head_dim) {}

  /// False when sgemm failed.
  bool run() {
    const std::int32_t last_position = position(task_.n_tokens - 1);
    for (std::int32_t i = 0; i < task_.n_tokens; ++i) {
      std::copy_n(head_of(q_, i), head_dim_, buffers_.queries + i * head_dim_);
      std::fill_n(buffers_.o + i * head_dim_, head_dim_, 0.0F);
      buffers_.m[i] = -std::numeric_limits<float>::infinity();
      buffers_.d[i] = 0.0F;
    }
    const std::int32_t first_key = first_visible(position(0)) / kBlockKeys * kBlockKeys;
    for (std::int32_t key = first_key; key <= last_position; key += kBlockKeys) {
      if (!run_block(key, std::min(kBlockKeys, last_position + 1 - key))) return false;
    }
    for (std::int32_t i = 0; i < task_.n_tokens; ++i) {
      float* const to = head_of(out_, i);
      // A sink so far above all scores that its weight is infinite leaves zeros, which the outputs would round to.
      const float sink = sinks_ == nullptr ? 0.0F : std::exp(sinks_[task_.head] - buffers_.m[i]);
      const float sum = buffers_.d[i] + sink;
      for (std::int32_t d = 0; d < head_dim_; ++d) to[d] = buffers_.o[i * head_dim_ + d] / sum;
    }
    return true;
  }

 private:
  [[nodiscard]] std::int32_t position(std::int32_t i) const {
    return batch_.positions[static_cast<std::size_t>(std::int64_t{task_.first_token} + i)];
  }
  [[nodiscard]] std::int32_t first_visible(std::int32_t at) const {
    return op_.window > 0 ? std::max(0, at - op_.window + 1) : 0;
  }
  [[nodiscard]] float* head_of(const MatrixView<float>& matrix, std::int32_t i) const {
    return matrix.row(task_.first_token + i).data() + task_.head * head_dim_;
  }
  [[nodiscard]] std::int64_t slot(std::int32_t key) const {
    const std::int32_t page_tokens = pool_.spec().page_tokens;
    const std::int32_t page =
        batch_.block_table[static_cast<std::size_t>(task_.seq) * static_cast<std::size_t>(batch_.max_pages_per_seq) +
                           static_cast<std::size_t>(key / page_tokens)];
    return std::int64_t{page} * page_tokens + key % page_tokens;
  }

  void decode(bool values, std::int32_t first_key, std::int32_t n_keys) {
    for (std::int32_t j = 0; j < n_keys; ++j) {
      const std::int64_t at = slot(first_key + j);
      const std::span<Bf16> from = values ? pool_.value(op_.layer, kv_head_, at) : pool_.key(op_.layer, kv_head_, at);
      decode_bf16_row(from.data(), 1.0F, {buffers_.keys + j * head_dim_, static_cast<std::size_t>(head_dim_)});
    }
  }

  bool run_block(std::int32_t first_key, std::int32_t n_keys) {
    const bool by_sgemm = task_.n_tokens >= kMinProductQueries;
    if (by_sgemm) {
      decode(false, first_key, n_keys);
      if (dnnl_sgemm('N', 'T', task_.n_tokens, n_keys, head_dim_, 1.0F, buffers_.queries, head_dim_, buffers_.keys,
                     head_dim_, 0.0F, buffers_.scores, kBlockKeys) != dnnl_success) {
        return false;
      }
    }
    for (std::int32_t i = 0; i < task_.n_tokens; ++i) softmax_row(i, first_key, n_keys, by_sgemm);
    if (by_sgemm) {
      decode(true, first_key, n_keys);
      return dnnl_sgemm('N', 'N', task_.n_tokens, head_dim_, n_keys, 1.0F, buffers_.scores, kBlockKeys, buffers_.keys,
                        head_dim_, 1.0F, buffers_.o, head_dim_) == dnnl_success;
    }
    return true;
  }

  /// Turns the scores of one query into weights exp(score - m), 0 for keys that it does not see, and updates its m and d.
  /// o is rescaled to the new m and, without sgemm, gets the block's values.
  void softmax_row(std::int32_t i, std::int32_t first_key, std::int32_t n_keys, bool by_sgemm) {
    float* const row = buffers_.scores + i * kBlockKeys;
    const std::int32_t begin = std::max(first_visible(position(i)) - first_key, 0);
    const std::int32_t end = std::min(position(i) + 1 - first_key, n_keys);
    if (begin >= end) {
      std::fill_n(row, n_keys, 0.0F);
      return;
    }
    const std::span<float> sum(buffers_.o + i * head_dim_, static_cast<std::size_t>(head_dim_));
    if (!by_sgemm) {
      for (std::int32_t j = begin; j < end; ++j) {
        const std::span<Bf16> key = pool_.key(op_.layer, kv_head_, slot(first_key + j));
        row[j] = dot_bf16(buffers_.queries + i * head_dim_, key.data(), head_dim_);
      }
    }
    const std::span<float> visible(row + begin, static_cast<std::size_t>(end - begin));
    soft_cap_row(visible, op_.scale, op_.softcap);
    const float row_max = std::max(buffers_.m[i], max_row(visible));
    const float rescale = std::exp(buffers_.m[i] - row_max);  // 0 at first
    buffers_.m[i] = row_max;
    buffers_.d[i] = buffers_.d[i] * rescale + exp_row(visible, row_max);
    if (rescale != 1.0F) scale_row(sum, rescale);
    if (by_sgemm) {
      std::fill_n(row, begin, 0.0F);
      std::fill(row + end, row + n_keys, 0.0F);
      return;
    }
    for (std::int32_t j = begin; j < end; ++j) {
      add_scaled_bf16(row[j], pool_.value(op_.layer, kv_head_, slot(first_key + j)).data(), sum);
    }
  }

  const Attention& op_;
  const Batch& batch_;
  const KvPool& pool_;
  const float* sinks_;  ///< [n_heads]; null: none
  const Task& task_;
  Buffers buffers_;
  MatrixView<float> q_;
  MatrixView<float> out_;
  std::int32_t kv_head_;
  std::int32_t head_dim_;
};

/// Checks that every key that a token sees is in a page of the pool.
Result<void> check_pages(const Batch& batch, const KvPool& pool) {
  const std::int32_t page_tokens = pool.spec().page_tokens;
  for (std::size_t seq = 0; seq < batch.kv_lengths.size(); ++seq) {
    if (batch.q_starts[seq] == batch.q_starts[seq + 1]) continue;
    const std::int32_t last = batch.positions[static_cast<std::size_t>(batch.q_starts[seq + 1]) - 1];
    if (last < 0 || last / page_tokens >= batch.max_pages_per_seq) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("sequence {}: position {} is not in the block table", seq, last)};
    }
    for (std::int32_t page = 0; page <= last / page_tokens; ++page) {
      const std::int32_t id =
          batch.block_table[seq * static_cast<std::size_t>(batch.max_pages_per_seq) + static_cast<std::size_t>(page)];
      if (id >= 0 && id < pool.n_pages()) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("sequence {}: page {}: expected an id in [0, {}), found {}",
                                                         seq, page, pool.n_pages(), id)};
    }
  }
  return {};
}

}  // namespace

std::size_t attention_scratch_floats(const HeadShape& heads) {
  return static_cast<std::size_t>((2 * kBlockQueries + kBlockKeys) * std::int64_t{heads.head_dim} +
                                  kBlockQueries * kBlockKeys + 2 * kBlockQueries);
}

Result<void> attend(const Attention& op, const HostFrame& frame, const KvPool& pool, const float* sinks, int n_threads,
                    std::span<float> scratch) {
  const Batch& batch = frame.batch;
  SS_TRY_VOID(check_pages(batch, pool));
  std::vector<Task> tasks;
  for (std::int32_t seq = 0; seq < batch.n_seqs(); ++seq) {
    const std::int32_t end = batch.q_starts[static_cast<std::size_t>(seq) + 1];
    for (std::int32_t t = batch.q_starts[static_cast<std::size_t>(seq)]; t < end; t += kBlockQueries) {
      for (std::int32_t head = 0; head < op.heads.n_heads; ++head) {
        tasks.push_back({.seq = seq, .head = head, .first_token = t, .n_tokens = std::min(kBlockQueries, end - t)});
      }
    }
  }
  std::reverse(tasks.begin(), tasks.end());  // later queries see more keys, and long tasks should start first
  const std::size_t per_thread = attention_scratch_floats(op.heads);
  std::atomic<bool> failed = false;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    TaskRunner runner(op, frame, pool, sinks, tasks[i],
                      Buffers(scratch.data() + thread * per_thread, op.heads.head_dim));
    if (!runner.run()) failed = true;
  }
  if (failed) return Error{ErrorCode::kInternal, "oneDNN: sgemm failed"};
  // Padding rows belong to no sequence. They get zeros, which stay finite in later layers.
  const MatrixView<float> out = frame.value(op.out);
  for (std::int64_t t = batch.q_starts.back(); t < out.rows(); ++t) std::ranges::fill(out.row(t), 0.0F);
  return {};
}

}  // namespace secondsource::onednn

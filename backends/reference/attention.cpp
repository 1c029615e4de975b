#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/vector_clones.h"
#include "reference/kernels.h"
#include "reference/matmul.h"

namespace secondsource::reference {
namespace {

/// products[j] = sum_i query[i] * keys[j][i] as eight interleaved f64 sums, which the compiler keeps in vector registers.
SS_VECTOR_CLONES void multiply_keys(std::span<const float> query, std::span<const float* const> keys,
                                    std::span<double> products) {
  constexpr std::size_t kLanes = 8;
  for (std::size_t j = 0; j < keys.size(); ++j) {
    const float* const key = keys[j];
    std::array<double, kLanes> sums{};
    std::size_t i = 0;
    for (; i + kLanes <= query.size(); i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        sums[lane] += static_cast<double>(query[i + lane]) * static_cast<double>(key[i + lane]);
      }
    }
    double sum = 0.0;
    for (; i < query.size(); ++i) sum += static_cast<double>(query[i]) * static_cast<double>(key[i]);
    for (const double lane : sums) sum += lane;
    products[j] = sum;
  }
}

/// sums[d] = sum_j weights[j] * values[j][d], in the order of j.
SS_VECTOR_CLONES void add_values(std::span<const double> weights, std::span<const float* const> values,
                                 std::span<double> sums) {
  std::ranges::fill(sums, 0.0);
  for (std::size_t j = 0; j < values.size(); ++j) {
    for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weights[j] * static_cast<double>(values[j][d]);
  }
}

}  // namespace

Result<void> ReferenceKernels::run(const Attention& op, const HostFrame& frame) {
  const MatrixView<float> q = frame.value(op.q);
  const MatrixView<float> out = frame.value(op.out);
  const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
  const auto value_dim = static_cast<std::size_t>(op.heads.value_dim());
  const std::int32_t heads_per_kv = op.heads.n_heads / op.heads.n_kv_heads;
  const Batch& batch = frame.batch;
  KvPool& cache = pool(frame);
  const std::int32_t page_tokens = cache.spec().page_tokens;
  std::vector<double> scores;
  std::vector<std::int64_t> slots;
  std::vector<const float*> keys;
  std::vector<const float*> values;
  std::vector<double> sum(value_dim);

  const auto attend = [&](std::int64_t t) {
    for (std::int32_t head = 0; head < op.heads.n_heads; ++head) {
      const std::size_t q_at = static_cast<std::size_t>(head) * head_dim;
      const std::int32_t kv_head = head / heads_per_kv;
      if (head % heads_per_kv == 0) {
        for (std::size_t j = 0; j < slots.size(); ++j) {
          keys[j] = cache.key(op.layer, kv_head, slots[j]).data();
          values[j] = cache.value(op.layer, kv_head, slots[j]).data();
        }
      }
      multiply_keys(q.row(t).subspan(q_at, head_dim), keys, scores);
      for (double& score : scores) score = soft_cap(static_cast<double>(op.scale) * score, op.softcap);
      const double row_max = *std::ranges::max_element(scores);
      for (double& score : scores) score = std::exp(score - row_max);
      const double sink =
          op.sinks
              ? std::exp(static_cast<double>(weights().values(*op.sinks)[static_cast<std::size_t>(head)]) - row_max)
              : 0.0;
      const double total = std::accumulate(scores.begin(), scores.end(), sink);
      round_softmax_weights(scores);
      for (double& score : scores) score /= total;
      add_values(scores, values, sum);
      // The head's query is read in full before its output is written: q may be out.
      std::ranges::transform(sum, out.row(t).subspan(static_cast<std::size_t>(head) * value_dim, value_dim).begin(),
                             [](double value) { return static_cast<float>(value); });
    }
  };

  for (std::size_t seq = 0; seq < batch.kv_lengths.size(); ++seq) {
    const auto table = batch.block_table.subspan(seq * static_cast<std::size_t>(batch.max_pages_per_seq),
                                                 static_cast<std::size_t>(batch.max_pages_per_seq));
    for (std::int64_t t = batch.q_starts[seq]; t < batch.q_starts[seq + 1]; ++t) {
      const std::int32_t position = batch.positions[static_cast<std::size_t>(t)];
      if (position < 0 || position / page_tokens >= batch.max_pages_per_seq) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("token {}: position {} is not in the block table", t, position)};
      }
      const std::int32_t first = op.window > 0 ? std::max(0, position - op.window + 1) : 0;
      slots.clear();
      for (std::int32_t j = first; j <= position; ++j) {
        const std::int64_t page = table[static_cast<std::size_t>(j / page_tokens)];
        if (page < 0 || page >= cache.n_pages()) {
          return Error{ErrorCode::kInvalidInput,
                       fmt::format("sequence {}: position {}: expected a page in [0, {}), found {}", seq, j,
                                   cache.n_pages(), page)};
        }
        slots.push_back(page * page_tokens + j % page_tokens);
      }
      scores.resize(slots.size());
      keys.resize(slots.size());
      values.resize(slots.size());
      attend(t);
    }
  }
  // Padding rows belong to no sequence. They get zeros, which stay finite in later layers.
  for (std::int64_t t = batch.q_starts.back(); t < out.rows(); ++t) std::ranges::fill(out.row(t), 0.0F);
  return {};
}

}  // namespace secondsource::reference

#include "cpu/row_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "backend_kit/query_growth.h"

namespace secondsource::cpu {
namespace {

// A loop over fewer values than this is over before another thread has woken up.
constexpr std::int64_t kSerialValues = 16384;

/// Calls body(first, end, thread) for chunks that make up [0, n_rows), on the caller alone when there is little to do.
template <typename Body>
void over_rows(ThreadPool& pool, std::int64_t n_rows, std::int64_t values_per_row, const Body& body) {
  if (n_rows * values_per_row <= kSerialValues) {
    body(std::int64_t{0}, n_rows, 0);
    return;
  }
  const std::int64_t rows_per_chunk =
      std::max<std::int64_t>(1, kSerialValues / 2 / std::max<std::int64_t>(1, values_per_row));
  const std::int64_t n_chunks = (n_rows + rows_per_chunk - 1) / rows_per_chunk;
  pool.run(n_chunks, [&](std::int64_t chunk, int thread) {
    const std::int64_t first = chunk * rows_per_chunk;
    body(first, std::min(n_rows, first + rows_per_chunk), thread);
  });
}

/// Errors: kInvalidInput.
Result<void> check_slots(std::span<const std::int32_t> slots, const KvPool& cache) {
  const std::int64_t n_slots = cache.n_pages() * cache.spec().page_tokens;
  for (std::size_t t = 0; t < slots.size(); ++t) {
    if (slots[t] < n_slots) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("token {}: expected a cache slot below {}, found {}", t, n_slots, slots[t])};
  }
  return {};
}

}  // namespace

ScratchNeed RowOpRunner::scratch_need(const LatentAppend& op, const Bucket& bucket) {
  const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
  const auto n_rotated = static_cast<std::size_t>(op.heads.head_dim - op.heads.latent_dim);
  return {.rotations = static_cast<std::size_t>(bucket.max_tokens) * n_rotated * sizeof(float),
          .per_thread = ScratchCutter::bytes_for<float>(head_dim) + ScratchCutter::bytes_for<float>(n_rotated)};
}

ScratchNeed RowOpRunner::scratch_need(const RopeAppend& op, const Bucket& bucket) {
  const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
  const auto q_dim = static_cast<std::size_t>(op.heads.n_heads) * head_dim;
  return {.rotations = static_cast<std::size_t>(bucket.max_tokens) * head_dim * sizeof(float),
          .per_thread = ScratchCutter::bytes_for<float>(q_dim) + 2 * ScratchCutter::bytes_for<float>(head_dim)};
}

void RowOpRunner::forget_rotations(std::int32_t max_tokens) {
  rotated_positions_.reserve(static_cast<std::size_t>(max_tokens));
  rotated_positions_.clear();
}

Result<void> RowOpRunner::run(const Embed& op, const HostFrame& frame) {
  const MatrixView<float> out = frame.value(op.out);
  const PackedWeight& table = weights_.at(op.table);
  for (std::int64_t t = 0; t < out.rows(); ++t) {
    const std::int32_t id = frame.token_ids[static_cast<std::size_t>(t)];
    if (id >= 0 && id < table.spec.n_rows) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("token {}: expected an id in [0, {}), found {}", t, table.spec.n_rows, id)};
  }
  over_rows(pool_, out.rows(), out.cols(), [&](std::int64_t first, std::int64_t end, int) {
    for (std::int64_t t = first; t < end; ++t) {
      unpack_row(table, frame.token_ids[static_cast<std::size_t>(t)], out.row(t));
      if (op.scale != 1.0F) table_.scale_into(out.row(t).data(), op.scale, out.cols(), out.row(t).data());
    }
  });
  return {};
}

void RowOpRunner::run(const RmsNorm& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const float* const weight = weights_.at(op.weight).vector.data();
  const float* const bias = op.bias ? weights_.at(*op.bias).vector.data() : nullptr;
  over_rows(pool_, x.rows(), x.cols(), [&](std::int64_t first, std::int64_t end, int) {
    for (std::int64_t row = first; row < end; ++row) {
      const auto row_of = [&](const std::optional<ValueId>& id) {
        return id ? frame.value(*id).row(row).data() : nullptr;
      };
      table_.rms_norm({.x = x.row(row).data(),
                       .add = row_of(op.add),
                       .weight = weight,
                       .bias = bias,
                       .residual = row_of(op.residual),
                       .centers = op.centers,
                       .eps = op.eps,
                       .n = x.cols(),
                       .sum_out = row_of(op.sum_out),
                       .out = out.row(row).data()});
    }
  });
}

void RowOpRunner::run(const SelectColumns& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const std::int32_t> columns = frame.columns(op.columns);
  // Each of a token's experts has a row of out and, with x_per_expert, of x.
  const std::int64_t per_token = op.expert ? op.n_top : 1;
  const std::int64_t rows_per_x = op.x_per_expert ? 1 : per_token;
  const std::int64_t n_inputs = x.cols() * rows_per_x / per_token;
  const std::int64_t n_columns = out.cols() / per_token;
  const std::int32_t* const expert = op.expert ? frame.value_i32(*op.expert).data() : nullptr;
  over_rows(pool_, out.rows() * per_token, n_columns, [&](std::int64_t first, std::int64_t end, int) {
    for (std::int64_t row = first; row < end; ++row) {
      const float* const from = x.data() + row / rows_per_x * n_inputs;
      const std::int32_t* const of_row = columns.data() + (expert == nullptr ? 0 : expert[row] * n_columns);
      float* const to = out.data() + row * n_columns;
      for (std::int64_t c = 0; c < n_columns; ++c) to[c] = from[of_row[c]];
    }
  });
}

void RowOpRunner::update_rotations(const RopeSpec& rope, std::span<const std::int32_t> positions) {
  const bool same_rope =
      rope.attention_factor == rotated_rope_.attention_factor && rope.inv_freq == rotated_rope_.inv_freq;
  if (same_rope && std::ranges::equal(rotated_positions_, positions)) return;
  if (!same_rope) rotated_rope_ = rope;
  rotated_positions_.assign(positions.begin(), positions.end());
  const auto half = static_cast<std::int64_t>(rope.inv_freq.size());
  const auto factor = static_cast<double>(rope.attention_factor);
  float* const angles = scratch_.rotations().data();
  // A cosine and a sine together count as 64 values, about what they cost.
  over_rows(pool_, static_cast<std::int64_t>(positions.size()), half * 64,
            [&](std::int64_t first, std::int64_t end, int) {
              for (std::int64_t t = first; t < end; ++t) {
                float* const cosines = angles + t * 2 * half;
                float* const sines = cosines + half;
                for (std::int64_t i = 0; i < half; ++i) {
                  const bool is_still = rope.inv_freq[static_cast<std::size_t>(i)] == 0.0F;
                  const double size = is_still ? 1.0 : factor;
                  // Rounded to f32, as every f32 implementation does; at position 30000 that is 0.001 radian.
                  const float angle = static_cast<float>(rotated_positions_[static_cast<std::size_t>(t)]) *
                                      rope.inv_freq[static_cast<std::size_t>(i)];
                  cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * size);
                  sines[i] = static_cast<float>(std::sin(static_cast<double>(angle)) * size);
                }
              }
            });
}

void RowOpRunner::enlarge_queries(const QueryGrowth& growth, std::int32_t position, std::span<float> queries) const {
  const float scale = query_scale(growth, position);
  if (scale == 1.0F) return;
  table_.scale_into(queries.data(), scale, static_cast<std::int64_t>(queries.size()), queries.data());
}

Result<void> RowOpRunner::run(const RopeAppend& op, const HostFrame& frame, KvPool& cache) {
  const MatrixView<float> qkv = frame.value(op.qkv);
  const MatrixView<float> k = frame.value(op.k.value_or(op.qkv));
  const MatrixView<float> v = frame.value(op.v.value_or(op.qkv));
  const MatrixView<float> q_out = frame.value(op.q_out);
  SS_TRY_VOID(check_slots(frame.batch.kv_slots, cache));
  const RopeSpec& rope = frame.graph.ropes[static_cast<std::size_t>(index_of(op.rope))];
  update_rotations(rope, frame.batch.positions);
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t half = head_dim / 2;
  over_rows(pool_, qkv.rows(), qkv.cols(), [&](std::int64_t first, std::int64_t end, int thread) {
    ScratchCutter cutter(scratch_.of_thread(thread));
    float* const normed = cutter.take<float>(static_cast<std::size_t>(op.heads.n_heads * head_dim)).data();
    const std::span<float> key = cutter.take<float>(static_cast<std::size_t>(head_dim));
    const std::span<float> value = cutter.take<float>(static_cast<std::size_t>(head_dim));
    for (std::int64_t t = first; t < end; ++t) {
      const float* const cosines = scratch_.rotations().data() + t * head_dim;
      /// Returns the heads after their norm: in `normed`, or where they are if there is no norm.
      const auto normalized = [&](const float* heads, std::int64_t n_heads, const std::optional<WeightId>& norm) {
        if (!norm) return heads;
        const bool centers = op.head_norm == HeadNorm::kLayerNormOfHead;
        const std::int64_t width = op.head_norm == HeadNorm::kRmsOfAllHeads ? n_heads * head_dim : head_dim;
        const float* const weight = weights_.at(*norm).vector.data();
        for (std::int64_t i = 0; i < n_heads * head_dim; i += width) {
          table_.rms_norm({.x = heads + i,
                           .weight = weight + (centers ? i : 0),
                           .centers = centers,
                           .eps = op.norm_eps,
                           .n = width,
                           .out = normed + i});
        }
        return static_cast<const float*>(normed);
      };
      const auto rotate = [&](const float* head, float* out) {
        table_.rotate(head, cosines, cosines + half, half, out);
      };
      const float* const queries = normalized(qkv.row(t).data(), op.heads.n_heads, op.q_norm);
      for (std::int64_t head = 0; head < op.heads.n_heads; ++head) {
        rotate(queries + head * head_dim, q_out.row(t).data() + head * head_dim);
      }
      enlarge_queries(rope.query_growth, frame.batch.positions[static_cast<std::size_t>(t)], q_out.row(t));
      const std::int32_t slot = frame.batch.kv_slots[static_cast<std::size_t>(t)];
      if (slot < 0) continue;  // a padding row
      const float* const values = v.row(t).last(static_cast<std::size_t>(op.heads.n_kv_heads * head_dim)).data();
      const float* const first_key = k.row(t).data() + (op.k ? 0 : op.heads.n_heads * head_dim);
      const float* const keys = normalized(first_key, op.heads.n_kv_heads, op.k_norm);
      for (std::int32_t head = 0; head < op.heads.n_kv_heads; ++head) {
        rotate(keys + head * head_dim, key.data());
        std::copy_n(values + head * head_dim, head_dim, value.begin());
        cache.write(op.layer, slot, head, key, value);
      }
    }
  });
  return {};
}

Result<void> RowOpRunner::run(const LatentAppend& op, const HostFrame& frame, KvPool& cache) {
  const MatrixView<float> latent = frame.value(op.latent);
  const MatrixView<float> q = frame.value(op.q);
  const MatrixView<float> q_out = frame.value(op.q_out);
  SS_TRY_VOID(check_slots(frame.batch.kv_slots, cache));
  const RopeSpec& rope = frame.graph.ropes[static_cast<std::size_t>(index_of(op.rope))];
  update_rotations(rope, frame.batch.positions);
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t latent_dim = op.heads.latent_dim;
  const std::int64_t half = (head_dim - latent_dim) / 2;
  const float* const norm = weights_.at(op.norm).vector.data();
  over_rows(pool_, latent.rows(), q.cols(), [&](std::int64_t first, std::int64_t end, int thread) {
    ScratchCutter cutter(scratch_.of_thread(thread));
    const std::span<float> key = cutter.take<float>(static_cast<std::size_t>(head_dim));
    float* const rotated = cutter.take<float>(static_cast<std::size_t>(2 * half)).data();
    for (std::int64_t t = first; t < end; ++t) {
      const float* const cosines = scratch_.rotations().data() + t * 2 * half;
      const auto rotate = [&](const float* from, float* out) {
        table_.rotate(from, cosines, cosines + half, half, out);
      };
      if (op.q != op.q_out) std::ranges::copy(q.row(t), q_out.row(t).begin());
      for (std::int64_t head = 0; head < op.heads.n_heads; ++head) {
        float* const part = q_out.row(t).data() + head * head_dim + latent_dim;
        rotate(part, rotated);
        std::copy_n(rotated, 2 * half, part);
      }
      enlarge_queries(rope.query_growth, frame.batch.positions[static_cast<std::size_t>(t)], q_out.row(t));
      const std::int32_t slot = frame.batch.kv_slots[static_cast<std::size_t>(t)];
      if (slot < 0) continue;  // a padding row
      const float* const row = latent.row(t).data();
      table_.rms_norm({.x = row, .weight = norm, .eps = op.norm_eps, .n = latent_dim, .out = key.data()});
      rotate(row + latent_dim, key.data() + latent_dim);
      cache.write(op.layer, slot, 0, key, {});
    }
  });
  return {};
}

}  // namespace secondsource::cpu

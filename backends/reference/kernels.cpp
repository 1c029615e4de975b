#include "reference/kernels.h"

#include <fmt/format.h>

#include <cmath>
#include <complex>

namespace secondsource::reference {
namespace {

/// The factor 1 / sqrt(mean(x^2) + eps) of RMSNorm.
double inverse_rms(std::span<const float> x, float eps) {
  double sum = 0.0;
  for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
  return 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + static_cast<double>(eps));
}

void normalize(std::span<const float> x, std::span<const float> weight, float eps, std::span<float> out) {
  const double factor = inverse_rms(x, eps);
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = static_cast<float>(static_cast<double>(x[i]) * factor * static_cast<double>(weight[i]));
  }
}

void layer_norm(std::span<const float> x, std::span<const float> weight, std::span<const float> bias, float eps,
                std::span<float> out) {
  const auto n = static_cast<double>(x.size());
  double mean = 0.0;
  for (const float value : x) mean += static_cast<double>(value) / n;
  double variance = 0.0;
  for (const float value : x) variance += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean) / n;
  const double factor = 1.0 / std::sqrt(variance + static_cast<double>(eps));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double normed = (static_cast<double>(x[i]) - mean) * factor * static_cast<double>(weight[i]);
    out[i] = static_cast<float>(normed + (bias.empty() ? 0.0 : static_cast<double>(bias[i])));
  }
}

/// Cosines and sines of every pair at one position.
std::vector<std::complex<double>> rotations(const RopeSpec& rope, std::int32_t position) {
  std::vector<std::complex<double>> result;
  for (const float inv_freq : rope.inv_freq) {
    // The product is rounded to f32 as every f32 implementation rounds it: at position 30000 that is 0.001 radian.
    const float size = inv_freq == 0.0F ? 1.0F : rope.attention_factor;  // without a frequency, a pair stays as it is
    result.push_back(
        std::polar(static_cast<double>(size), static_cast<double>(static_cast<float>(position) * inv_freq)));
  }
  return result;
}

/// The factor by which queries at one position are multiplied.
double query_scale(const QueryGrowth& growth, std::int32_t position) {
  if (growth.period == 0) return 1.0;
  const std::int32_t n_periods = position / growth.period;
  return 1.0 + static_cast<double>(growth.beta) * std::log1p(static_cast<double>(n_periods));
}

void multiply(std::span<float> values, double factor) {
  for (float& value : values) value = static_cast<float>(static_cast<double>(value) * factor);
}

/// Rotates one head in place: (a, b) = (x[i], x[i + half]) -> (a cos - b sin, b cos + a sin).
void rotate_head(std::span<float> head, std::span<const std::complex<double>> rotations) {
  const std::size_t half = head.size() / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const auto a = static_cast<double>(head[i]);
    const auto b = static_cast<double>(head[i + half]);
    head[i] = static_cast<float>(a * rotations[i].real() - b * rotations[i].imag());
    head[i + half] = static_cast<float>(b * rotations[i].real() + a * rotations[i].imag());
  }
}

}  // namespace

Result<void> ReferenceKernels::run(const Embed& op, const HostFrame& frame) {
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const float> table = weights().values(op.table);
  const std::int64_t n_ids = weights().spec(op.table).n_rows;
  for (std::int64_t t = 0; t < out.rows(); ++t) {
    const std::int32_t id = frame.token_ids[static_cast<std::size_t>(t)];
    if (id < 0 || id >= n_ids) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("token {}: expected an id in [0, {}), found {}", t, n_ids, id)};
    }
    for (std::int64_t i = 0; i < out.cols(); ++i) {
      out(t, i) = op.scale * table[static_cast<std::size_t>(id * out.cols() + i)];
    }
  }
  return {};
}

Result<void> ReferenceKernels::run(const RmsNorm& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const float> weight = weights().values(op.weight);
  std::vector<float> sum(static_cast<std::size_t>(x.cols()));
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    std::ranges::copy(x.row(row), sum.begin());
    if (op.add) {
      const std::span<const float> add = frame.value(*op.add).row(row);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += add[i];
    }
    if (op.sum_out) std::ranges::copy(sum, frame.value(*op.sum_out).row(row).begin());
    if (op.centers) {
      std::span<const float> bias;
      if (op.bias) bias = weights().values(*op.bias);
      layer_norm(sum, weight, bias, op.eps, sum);
    } else {
      normalize(sum, weight, op.eps, sum);
    }
    std::span<const float> residual;
    if (op.residual) residual = frame.value(*op.residual).row(row);
    for (std::size_t i = 0; i < sum.size(); ++i) out.row(row)[i] = residual.empty() ? sum[i] : residual[i] + sum[i];
  }
  return {};
}

Result<void> ReferenceKernels::run(const SelectColumns& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const std::int32_t> columns = frame.columns(op.columns);
  const std::int64_t n_blocks = op.expert ? op.n_top : 1;  // of a row of out, each with columns of its own
  const std::int64_t n_columns = out.cols() / n_blocks;
  const std::int64_t n_inputs = x.cols() / (op.x_per_expert ? n_blocks : 1);
  for (std::int64_t row = 0; row < out.rows(); ++row) {
    for (std::int64_t j = 0; j < n_blocks; ++j) {
      const std::int64_t part = op.expert ? frame.value_i32(*op.expert)(row, j) : 0;
      const std::int64_t first_input = op.x_per_expert ? j * n_inputs : 0;
      for (std::int64_t c = 0; c < n_columns; ++c) {
        out(row, j * n_columns + c) = x(row, first_input + columns[static_cast<std::size_t>(part * n_columns + c)]);
      }
    }
  }
  return {};
}

Result<void> ReferenceKernels::run(const RopeAppend& op, const HostFrame& frame) {
  const MatrixView<float> qkv = frame.value(op.qkv);
  const MatrixView<float> k = frame.value(op.k.value_or(op.qkv));
  const MatrixView<float> v = frame.value(op.v.value_or(op.qkv));
  const MatrixView<float> q_out = frame.value(op.q_out);
  const RopeSpec& rope = frame.graph.ropes[static_cast<std::size_t>(index_of(op.rope))];
  const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
  const std::size_t kv_width = static_cast<std::size_t>(op.heads.n_kv_heads) * head_dim;
  KvPool& cache = pool(frame);

  std::vector<std::complex<double>> turns;
  const auto transform = [&](std::span<float> heads, const std::optional<WeightId>& norm) {
    const std::size_t width = op.head_norm == HeadNorm::kRmsOfAllHeads ? heads.size() : head_dim;
    for (std::size_t first = 0; norm && first < heads.size(); first += width) {
      const std::span<float> normed = heads.subspan(first, width);
      const std::span<const float> weight = weights().values(*norm);
      if (op.head_norm == HeadNorm::kLayerNormOfHead) {
        layer_norm(normed, weight.subspan(first, width), {}, op.norm_eps, normed);
      } else {
        normalize(normed, weight, op.norm_eps, normed);
      }
    }
    for (std::size_t first = 0; first < heads.size(); first += head_dim) {
      rotate_head(heads.subspan(first, head_dim), turns);
    }
  };
  std::vector<float> keys(kv_width);
  for (std::int64_t t = 0; t < qkv.rows(); ++t) {
    const std::int32_t position = frame.batch.positions[static_cast<std::size_t>(t)];
    turns = rotations(rope, position);
    const std::int32_t slot = frame.batch.kv_slots[static_cast<std::size_t>(t)];
    const std::span<float> q = q_out.row(t);
    std::ranges::copy(qkv.row(t).first(q.size()), q.begin());
    transform(q, op.q_norm);
    multiply(q, query_scale(rope.query_growth, position));
    if (slot < 0) continue;  // a padding row
    if (slot >= cache.n_slots()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("token {}: expected a cache slot below {}, found {}", t, cache.n_slots(), slot)};
    }
    std::ranges::copy(k.row(t).subspan(op.k ? 0 : q.size(), kv_width), keys.begin());
    transform(keys, op.k_norm);
    const std::span<const float> values = v.row(t).last(kv_width);
    for (std::int32_t head = 0; head < op.heads.n_kv_heads; ++head) {
      const std::size_t at = static_cast<std::size_t>(head) * head_dim;
      const auto store = [&](std::span<const float> exact, std::span<float> stored) {
        std::ranges::copy(exact, stored.begin());
        round_cache_row(stored);
        cache.round(stored);
      };
      store(std::span(keys).subspan(at, head_dim), cache.key(op.layer, head, slot));
      store(values.subspan(at, head_dim), cache.value(op.layer, head, slot));
    }
  }
  return {};
}

Result<void> ReferenceKernels::run(const LatentAppend& op, const HostFrame& frame) {
  const MatrixView<float> latent = frame.value(op.latent);
  const MatrixView<float> q = frame.value(op.q);
  const MatrixView<float> q_out = frame.value(op.q_out);
  const RopeSpec& rope = frame.graph.ropes[static_cast<std::size_t>(index_of(op.rope))];
  const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
  const auto latent_dim = static_cast<std::size_t>(op.heads.latent_dim);
  KvPool& cache = pool(frame);
  std::vector<float> key(head_dim);
  for (std::int64_t t = 0; t < latent.rows(); ++t) {
    const std::int32_t position = frame.batch.positions[static_cast<std::size_t>(t)];
    const std::vector<std::complex<double>> turns = rotations(rope, position);
    const std::span<float> queries = q_out.row(t);
    if (op.q != op.q_out) std::ranges::copy(q.row(t), queries.begin());
    for (std::size_t first = 0; first < queries.size(); first += head_dim) {
      rotate_head(queries.subspan(first + latent_dim, head_dim - latent_dim), turns);
    }
    multiply(queries, query_scale(rope.query_growth, position));
    const std::int32_t slot = frame.batch.kv_slots[static_cast<std::size_t>(t)];
    if (slot < 0) continue;  // a padding row
    if (slot >= cache.n_slots()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("token {}: expected a cache slot below {}, found {}", t, cache.n_slots(), slot)};
    }
    std::ranges::copy(latent.row(t), key.begin());
    const std::span<float> normed = std::span(key).first(latent_dim);
    normalize(normed, weights().values(op.norm), op.norm_eps, normed);
    rotate_head(std::span(key).subspan(latent_dim), turns);
    const std::span<float> stored = cache.key(op.layer, 0, slot);
    std::ranges::copy(key, stored.begin());
    round_cache_row(stored);
    cache.round(stored);
  }
  return {};
}

OpGroup ReferenceKernels::describe(const Op& op, std::int32_t op_index, std::int64_t /*n_rows*/) const {
  return {{op_index}, fmt::format("{}_f32_f64acc_plain", op_name(op)), ""};
}

}  // namespace secondsource::reference

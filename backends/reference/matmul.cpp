#include "reference/matmul.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/vector_clones.h"
#include "reference/kernels.h"

namespace secondsource::reference {
namespace {

/// Rows of x that share one pass over the weight; the compiler keeps their sums in vector registers.
constexpr std::int64_t kBlockRows = 8;
/// Rows of the weight that one row of x is multiplied with at once: as many independent additions as an addition has
/// cycles of latency.
constexpr std::int64_t kBlockOutputs = 4;

SS_VECTOR_CLONES void multiply_block(MatrixView<const double> x, std::span<const float> weight, std::span<double> sums,
                                     std::vector<double>& transposed) {
  const std::int64_t n_inputs = x.cols();
  const std::int64_t n_outputs = static_cast<std::int64_t>(weight.size()) / n_inputs;
  transposed.assign(static_cast<std::size_t>(n_inputs * kBlockRows), 0.0);
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    for (std::int64_t k = 0; k < n_inputs; ++k) transposed[static_cast<std::size_t>(k * kBlockRows + row)] = x(row, k);
  }
  for (std::int64_t i = 0; i < n_outputs; ++i) {
    std::array<double, kBlockRows> sum{};
    const float* const weight_row = weight.data() + i * n_inputs;
    for (std::int64_t k = 0; k < n_inputs; ++k) {
      const auto w = static_cast<double>(weight_row[k]);
      const double* const column = transposed.data() + k * kBlockRows;
      for (std::size_t row = 0; row < kBlockRows; ++row) sum[row] += w * column[row];
    }
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      sums[static_cast<std::size_t>(row * n_outputs + i)] = sum[static_cast<std::size_t>(row)];
    }
  }
}

SS_VECTOR_CLONES void multiply_one(std::span<const double> x, std::span<const float> weight, std::span<double> sums) {
  const auto n_inputs = static_cast<std::int64_t>(x.size());
  const std::int64_t n_outputs = static_cast<std::int64_t>(weight.size()) / n_inputs;
  for (std::int64_t first = 0; first < n_outputs; first += kBlockOutputs) {
    const std::int64_t n = std::min(kBlockOutputs, n_outputs - first);
    std::array<double, kBlockOutputs> sum{};
    std::array<const float*, kBlockOutputs> rows{};
    for (std::int64_t i = 0; i < kBlockOutputs; ++i) {
      rows[static_cast<std::size_t>(i)] = weight.data() + (first + std::min(i, n - 1)) * n_inputs;
    }
    for (std::size_t k = 0; k < x.size(); ++k) {
      for (std::size_t i = 0; i < kBlockOutputs; ++i) sum[i] += static_cast<double>(rows[i][k]) * x[k];
    }
    for (std::int64_t i = 0; i < n; ++i) sums[static_cast<std::size_t>(first + i)] = sum[static_cast<std::size_t>(i)];
  }
}

double silu(double a) {
  return a / (1.0 + std::exp(-a));
}

/// a/2 (1 + tanh y) = a / (1 + e^-2y); the right form does not cancel for a < 0, where f64, too, would end at 0 near a = -7.
double gelu(double a) {
  return a / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / std::numbers::pi) * (a + 0.044715 * a * a * a)));
}

double clamped_swish(double gate, double up) {
  const auto limit = static_cast<double>(kClampedSwish.limit);
  const double g = std::min(gate, limit);  // NaN stays what it is
  return g / (1.0 + std::exp(-static_cast<double>(kClampedSwish.alpha) * g)) * (std::clamp(up, -limit, limit) + 1.0);
}

/// read_activations() for kNvfp4Static.
void read_nvfp4(std::span<const float> x, float global_scale, std::span<double> out) {
  if (!std::ranges::all_of(x, [](float value) { return std::isfinite(value); })) {
    std::ranges::fill(out, std::numeric_limits<double>::quiet_NaN());
    return;
  }
  constexpr auto kGroup = static_cast<std::size_t>(kNvfp4GroupSize);
  for (std::size_t first = 0; first < x.size(); first += kGroup) {
    const std::span<const float> part = x.subspan(first, std::min(kGroup, x.size() - first));
    float largest = 0.0F;
    for (const float value : part) largest = std::max(largest, std::fabs(value));
    const float scale = round_to_e4m3(largest / kE2m1Max / global_scale);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const float q = scale == 0.0F ? 0.0F : round_to_e2m1(part[i] / (scale * global_scale));
      out[first + i] = static_cast<double>(scale) * static_cast<double>(q) * static_cast<double>(global_scale);
    }
  }
}

}  // namespace

void read_activations(std::span<const float> x, ActQuant act, float act_scale, std::span<double> out) {
  if (act == ActQuant::kNone) {
    std::ranges::copy(x, out.begin());
    return;
  }
  if (act == ActQuant::kNvfp4Static) return read_nvfp4(x, act_scale, out);
  const bool is_fp8 = has_fp8_values(act);
  const float least_integer = act == ActQuant::kInt8Static ? -128.0F : -127.0F;
  const std::size_t group = has_fp8_groups(act) ? static_cast<std::size_t>(kFp8GroupSize) : x.size();
  for (std::size_t first = 0; first < x.size(); first += group) {
    const std::span<const float> part = x.subspan(first, std::min(group, x.size() - first));
    float largest = 0.0F;
    for (const float value : part) {
      if (std::fabs(value) > largest || std::isnan(value)) largest = std::fabs(value);
    }
    float scale = largest / (is_fp8 ? kE4m3Max : 127.0F);
    if (act == ActQuant::kFp8PerGroup128E8m0) scale = round_up_to_power_of_two(scale);
    if (has_stored_scale(act)) scale = std::isfinite(largest) ? act_scale : std::numeric_limits<float>::quiet_NaN();
    for (std::size_t i = 0; i < part.size(); ++i) {
      const float ratio = scale == 0.0F ? 0.0F : part[i] / scale;
      // nearbyint rounds half to even in the default rounding mode.
      const float q = is_fp8 ? round_to_e4m3(ratio) : std::clamp(std::nearbyint(ratio), least_integer, 127.0F);
      out[first + i] = static_cast<double>(scale) * static_cast<double>(q);
    }
  }
}

void multiply_rows(MatrixView<const double> x, std::span<const float> weight, std::span<double> sums) {
  const std::int64_t n_outputs = static_cast<std::int64_t>(weight.size()) / x.cols();
  std::vector<double> transposed;
  for (std::int64_t row = 0; row < x.rows(); row += kBlockRows) {
    const std::int64_t n = std::min(kBlockRows, x.rows() - row);
    const auto out = sums.subspan(static_cast<std::size_t>(row * n_outputs), static_cast<std::size_t>(n * n_outputs));
    if (n == 1) {
      multiply_one(x.row(row), weight, out);
    } else {
      multiply_block(x.sub_rows(row, n), weight, out, transposed);
    }
  }
}

void apply_epilogue(Epilogue epilogue, std::span<const double> sums, std::span<const float> aux_or_bias,
                    std::span<double> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    switch (epilogue) {
      case Epilogue::kNone:
        out[i] = sums[i];
        break;
      case Epilogue::kBias:
      case Epilogue::kAddResidual:
        out[i] = static_cast<double>(aux_or_bias[i]) + sums[i];
        break;
      case Epilogue::kGelu:
        out[i] = gelu(sums[i] + (aux_or_bias.empty() ? 0.0 : static_cast<double>(aux_or_bias[i])));
        break;
      case Epilogue::kGatedSilu:
      case Epilogue::kGatedGelu:
      case Epilogue::kGatedClampedSwish: {
        const double gate = sums[i] + (aux_or_bias.empty() ? 0.0 : static_cast<double>(aux_or_bias[i]));
        const double up =
            sums[out.size() + i] + (aux_or_bias.empty() ? 0.0 : static_cast<double>(aux_or_bias[out.size() + i]));
        if (epilogue == Epilogue::kGatedClampedSwish) {
          out[i] = clamped_swish(gate, up);
        } else {
          out[i] = (epilogue == Epilogue::kGatedSilu ? silu(gate) : gelu(gate)) * up;
        }
        break;
      }
    }
  }
}

double soft_cap(double x, float c) {
  if (c <= 0.0F) return x;
  return static_cast<double>(c) * std::tanh(x / static_cast<double>(c));
}

Result<void> ReferenceKernels::run(const Matmul& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const float> weight = weights().values(op.weight);
  const std::int64_t n_outputs = weights().spec(op.weight).n_rows;

  // In slices of rows, so that the f64 copies stay small compared with the weights.
  constexpr std::int64_t kSliceRows = 64;
  std::vector<double> inputs(static_cast<std::size_t>(std::min(kSliceRows, x.rows()) * x.cols()));
  std::vector<double> sums(static_cast<std::size_t>(std::min(kSliceRows, x.rows()) * n_outputs));
  std::vector<double> results(static_cast<std::size_t>(out.cols()));
  for (std::int64_t first = 0; first < x.rows(); first += kSliceRows) {
    const std::int64_t n_rows = std::min(kSliceRows, x.rows() - first);
    const MatrixView<double> slice(inputs.data(), n_rows, x.cols());
    for (std::int64_t row = 0; row < n_rows; ++row) {
      read_activations(x.row(first + row), op.act, op.act_scale, slice.row(row));
    }
    multiply_rows(slice, weight, sums);
    round_sums(slice, weight, op.act, std::span(sums).first(static_cast<std::size_t>(n_rows * n_outputs)));
    for (std::int64_t row = 0; row < n_rows; ++row) {
      std::span<const float> other;
      if (op.bias) other = weights().values(*op.bias);
      if (op.aux) other = frame.value(*op.aux).row(first + row);
      const auto row_sums = std::span<const double>(sums).subspan(static_cast<std::size_t>(row * n_outputs),
                                                                  static_cast<std::size_t>(n_outputs));
      apply_epilogue(op.epilogue, row_sums, other, results);
      std::ranges::transform(results, out.row(first + row).begin(),
                             [&](double value) { return static_cast<float>(soft_cap(value, op.softcap)); });
    }
  }
  return {};
}

}  // namespace secondsource::reference

#include "conformance/envelope.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "backend/op_access.h"
#include "conformance/tolerance.h"
#include "core/half.h"
#include "core/random.h"
#include "core/vector_clones.h"
#include "reference/backend.h"

namespace secondsource::conformance {
namespace {

using reference::KvPool;
using reference::ReferenceBackend;
using reference::ReferenceKernels;

/// Rounds to a grid: the BF16 numbers divided by a factor.
class Grid {
 public:
  explicit Grid(int draw) : factor_(std::exp2(static_cast<float>(draw) / kDraws)) {}
  [[nodiscard]] float round(float x) const {
    const float plain = round_to_bf16(x);
    return plain == x ? x : round_to_bf16(factor_ * x) / factor_;
  }
  void round_all(std::span<float> values) const {
    for (float& value : values) value = round(value);
  }

 private:
  float factor_;
};

/// Runs `call` with the value rounded, then restores the exact value, since other operations read it too.
template <typename Call>
Result<void> with_rounded(const Grid& grid, MatrixView<float> value, const Call& call) {
  std::vector<float> exact(value.data(), value.data() + value.rows() * value.cols());
  grid.round_all({value.data(), exact.size()});
  auto result = call();
  std::ranges::copy(exact, value.data());
  return result;
}

/// True if the value comes directly from an embedding table.
bool is_embedded(const StepGraph& graph, ValueId value) {
  bool embedded = false;
  for (const Op& op : graph.ops) {
    const OpAccess access = op_access(op);
    if (std::ranges::find(access.writes, value) != access.writes.end()) embedded = std::holds_alternative<Embed>(op);
  }
  return embedded;
}

/// sum_k |x[k] * weight[o][k]| for each row o of the weight, as eight interleaved sums.
SS_VECTOR_CLONES void sum_magnitudes(std::span<const double> x, std::span<const float> weight,
                                     std::span<double> magnitudes) {
  constexpr std::size_t kLanes = 8;
  for (std::size_t o = 0; o < magnitudes.size(); ++o) {
    const float* const row = weight.data() + o * x.size();
    std::array<double, kLanes> sums{};
    std::size_t k = 0;
    for (; k + kLanes <= x.size(); k += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        sums[lane] += std::fabs(x[k + lane] * static_cast<double>(row[k + lane]));
      }
    }
    double sum = 0.0;
    for (; k < x.size(); ++k) sum += std::fabs(x[k] * static_cast<double>(row[k]));
    for (const double lane : sums) sum += lane;
    magnitudes[o] = sum;
  }
}

/// The reference, but with sums of products that are off by as much as sums in f32 may be. A sequential sum of k products in f32 rounds k
/// partial sums. If the products have the magnitude s and random signs, the j-th partial sum is about s sqrt(j), and its rounding error is
/// about u s sqrt(j / 3) with u = 2^-24. All errors together are about u s k / sqrt(6); for products of normal numbers, this is 0.64 u
/// times the sum of the products' magnitudes. This class adds a uniform number in [-1, 1] times u times that sum, whose root mean square is
/// 0.58 u times the sum.
class F32SumKernels : public ReferenceKernels {
 public:
  F32SumKernels(int draw, const reference::Weights& weights, std::vector<KvPool>& pools)
      : ReferenceKernels(weights, pools), draw_(draw) {}

 protected:
  void round_sums(MatrixView<const double> x, std::span<const float> weight, ActQuant act,
                  std::span<double> sums) const override {
    if (has_int8_values(act)) return;  // sums of integers are exact
    const auto n_outputs = static_cast<std::size_t>(static_cast<std::int64_t>(weight.size()) / x.cols());
    std::vector<double> magnitudes(n_outputs);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      sum_magnitudes(x.row(row), weight, magnitudes);
      for (std::size_t o = 0; o < n_outputs; ++o) {
        const std::size_t i = static_cast<std::size_t>(row) * n_outputs + o;
        const std::uint64_t counter = random_bits(std::bit_cast<std::uint64_t>(sums[i]), i);
        const double unit = random_unit(static_cast<std::uint64_t>(draw_), counter);
        sums[i] += (2.0 * unit - 1.0) * kUnitRoundoffF32 * magnitudes[o];
      }
    }
  }

 private:
  int draw_;
};

class EnvelopeKernels final : public F32SumKernels {
 public:
  /// `rounded` has the same weights and ids as `weights`, but its matrices are rounded.
  EnvelopeKernels(int draw, const Grid& grid, const reference::Weights& weights, const reference::Weights& rounded,
                  std::vector<KvPool>& pools)
      : F32SumKernels(draw, weights, pools), grid_(grid), products_(draw, rounded, pools) {}
  using ReferenceKernels::run;

  Result<void> run(const Matmul& op, const HostFrame& frame) override { return run_product(op, frame); }
  Result<void> run(const GroupedMatmul& op, const HostFrame& frame) override { return run_product(op, frame); }
  Result<void> run(const HeadMatmul& op, const HostFrame& frame) override {
    const MatrixView<float> x = frame.value(op.x);
    SS_TRY_VOID(with_rounded(grid_, x, [&] { return products_.run(op, frame); }));
    // Columns that are only copied are not multiplied, so they are copied again with their exact values.
    const MatrixView<float> out = frame.value(op.out);
    const auto n_heads = static_cast<std::size_t>(op.n_heads);
    const std::size_t n_copied =
        static_cast<std::size_t>(x.cols()) / n_heads - static_cast<std::size_t>(weights().spec(op.weights).n_cols);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      for (std::size_t head = 1; head <= n_heads; ++head) {
        const std::size_t from = head * (x.row(row).size() / n_heads) - n_copied;
        const std::size_t to = head * (out.row(row).size() / n_heads) - n_copied;
        std::ranges::copy(x.row(row).subspan(from, n_copied), out.row(row).subspan(to, n_copied).begin());
      }
    }
    return {};
  }
  Result<void> run(const Attention& op, const HostFrame& frame) override {
    if (op.q != op.out) return with_rounded(grid_, frame.value(op.q), [&] { return ReferenceKernels::run(op, frame); });
    const MatrixView<float> q = frame.value(op.q);
    grid_.round_all({q.data(), static_cast<std::size_t>(q.rows() * q.cols())});
    return ReferenceKernels::run(op, frame);
  }

 private:
  void round_softmax_weights(std::span<double> weights) const override {
    for (double& weight : weights) weight = static_cast<double>(grid_.round(static_cast<float>(weight)));
  }
  // For an integer cache this rounding can change which integer a value near a tie becomes, so a backend may differ by one quantum.
  void round_cache_row(std::span<float> row) const override { grid_.round_all(row); }
  template <typename Product>
  Result<void> run_product(const Product& op, const HostFrame& frame) {
    if (op.act == ActQuant::kNone)
      return with_rounded(grid_, frame.value(op.x), [&] { return products_.run(op, frame); });
    // Quantized activations are exact in BF16 apart from their scale, so there is nothing to round. But if they were
    // computed rather than embedded, the last bit of an input can decide between two codes, so that a backend may differ by
    // one quantum.
    if (is_embedded(frame.graph, op.x)) return ReferenceKernels::run(op, frame);
    return with_rounded(grid_, frame.value(op.x), [&] { return ReferenceKernels::run(op, frame); });
  }

  Grid grid_;
  F32SumKernels products_;
};

/// A source of weights that rounds existing values.
class RoundedSource final : public WeightSource {
 public:
  RoundedSource(const Grid& grid, std::span<const float> values, std::int64_t n_cols)
      : grid_(grid), values_(values), n_cols_(n_cols) {}
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float>) const override {
    std::vector<float> rounded(static_cast<std::size_t>(n_rows * n_cols_));
    std::copy_n(values_.begin() + first_row * n_cols_, rounded.size(), rounded.begin());
    grid_.round_all(rounded);
    std::memcpy(values.data(), rounded.data(), values.size());
    return {};
  }

 private:
  Grid grid_;
  std::span<const float> values_;
  std::int64_t n_cols_;
};

class EnvelopeBackend final : public ReferenceBackend {
 public:
  EnvelopeBackend(const DeviceInfo& device, int draw) : ReferenceBackend(device, {}), grid_(draw) {
    set_kernels(std::make_unique<EnvelopeKernels>(draw, grid_, weights(), rounded_, pools()));
  }
  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    SS_TRY(const WeightId id, ReferenceBackend::prepare_weight(spec));
    if (spec.n_rows == 1) return rounded_.prepare(spec);  // norm weights and biases are not inputs of a matmul
    WeightSpec rounded = spec;
    rounded.encoding = WeightEncoding::kF32;
    rounded.parts.clear();
    // The joined weight is split into the parts of the original one again.
    std::int64_t first_row = 0;
    for (const WeightPart& part : spec.parts) {
      const auto offset = static_cast<std::size_t>(first_row * spec.n_cols);
      rounded.parts.push_back(
          {part.n_rows, std::make_shared<RoundedSource>(grid_, weights().values(id).subspan(offset), spec.n_cols)});
      first_row += part.n_rows;
    }
    return rounded_.prepare(rounded);
  }

 private:
  Grid grid_;
  MemoryAccount account_;
  reference::Weights rounded_{account_};
};

/// Rounding the cache to a float type is within the envelope; an integer cache is a different computation.
DType expected_cache(DType kv_dtype) {
  return kv_dtype == DType::kI8 ? DType::kI8 : DType::kF32;
}

}  // namespace

std::unique_ptr<Backend> make_envelope_backend(int draw, DType kv_dtype) {
  return std::make_unique<EnvelopeBackend>(reference::describe_device(expected_cache(kv_dtype)), draw);
}

std::unique_ptr<Backend> make_expected_backend(DType kv_dtype) {
  return std::make_unique<ReferenceBackend>(reference::describe_device(expected_cache(kv_dtype)),
                                            EagerOptions{.guards = true});
}

}  // namespace secondsource::conformance

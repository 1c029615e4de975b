#pragma once
// Multiplies small integers on the shim as sm_90a and compares with integer sums. Every sum is exact in any order, so a part that is
// lost or added twice cannot hide within a tolerance.

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <vector>

#include "core/half.h"
#include "core/random.h"
#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {

struct IntegerProduct {
  std::int32_t n_rows = 1;  ///< of x
  std::int32_t n_outputs = 1;
  std::int32_t n_inputs = 1;
  Epilogue epilogue = Epilogue::kNone;  ///< kNone or kAddResidual
  bool is_int8 = false;
  std::int32_t n_more_rows = 200;  ///< more rows for which the step was compiled, missing in this batch
};

class IntegerProductOnShim {
 public:
  IntegerProductOnShim(const IntegerProduct& product, shim::ShimOptions options)
      : product_(product), padded_((product.n_inputs + kWeightColumnStep - 1) / kWeightColumnStep * kWeightColumnStep) {
    options.target = "sm_90a";
    device_ = shim::make_shim_device(options);
    stream_ = device_->create_stream().value();
    x_ = integers(1000, product.n_rows);
    weight_ = integers(9000, product.n_outputs);
    arguments.n_rows = copy_of(std::vector<std::int32_t>{product.n_rows});
    arguments.max_rows = extent().n_rows;
    arguments.epilogue = product.epilogue;
    arguments.weight = {.row_bytes = extent().row_bytes,
                        .n_rows = product.n_outputs,
                        .n_cols = product.n_inputs,
                        .padded_cols = padded_,
                        .encoding = product.is_int8 ? WeightEncoding::kInt8PerRow : WeightEncoding::kBf16};
    if (product.is_int8) {
      const auto as_int8 = [](int value) { return static_cast<std::int8_t>(value); };
      arguments.quantized_x = operand<std::int8_t>(x_, arguments.max_rows, as_int8);
      arguments.x_scales = copy_of(std::vector<float>(static_cast<std::size_t>(product.n_rows), 0.5F));
      arguments.weight.values =
          reinterpret_cast<const std::byte*>(operand<std::int8_t>(weight_, product.n_outputs, as_int8));
      arguments.weight.row_scales = copy_of(std::vector<float>(static_cast<std::size_t>(product.n_outputs + 3), 2.0F));
    } else {
      const auto as_bf16 = [](int value) { return to_bf16(static_cast<float>(value)).bits; };
      arguments.narrow_x = reinterpret_cast<const Bf16*>(operand<std::uint16_t>(x_, arguments.max_rows, as_bf16));
      arguments.weight.values =
          reinterpret_cast<const std::byte*>(operand<std::uint16_t>(weight_, product.n_outputs, as_bf16));
    }
    arguments.out = copy_of(std::vector<float>(n_sums(arguments.max_rows)));
    if (product.epilogue == Epilogue::kAddResidual) {
      arguments.aux = copy_of(std::vector<float>(n_sums(arguments.max_rows), kResidual));
    }
  }

  [[nodiscard]] MatmulExtent extent() const {
    return {.n_rows = product_.n_rows + product_.n_more_rows,
            .n_outputs = product_.n_outputs,
            .row_bytes = padded_ * (product_.is_int8 ? 1 : 2)};
  }
  [[nodiscard]] Device& device() { return *device_; }

  /// A copy of `content` in device memory.
  template <typename T>
  T* copy_of(const std::vector<T>& content) {
    auto* const memory = static_cast<T*>(device_->allocate(content.size() * sizeof(T)).value());
    std::copy(content.begin(), content.end(), memory);
    return memory;
  }

  /// Calls multiply(LaunchContext), which must launch the product, and compares every element of the output.
  template <typename Multiply>
  void check(const Multiply& multiply) {
    const auto& [n_rows, n_outputs, n_inputs, epilogue, is_int8, n_more_rows] = product_;
    CAPTURE(n_rows, n_outputs, n_inputs, static_cast<int>(epilogue), is_int8, n_more_rows);
    constexpr float kUntouched = 12345.0F;
    std::fill_n(arguments.out, n_sums(arguments.max_rows), kUntouched);
    const LaunchContext context{.stream = *stream_, .warp_size = device_->properties().warp_size};
    REQUIRE_OK(multiply(context));
    REQUIRE_OK(stream_->synchronize());
    std::int64_t n_wrong = 0;
    for (std::int32_t row = 0; row < n_rows; ++row) {
      for (std::int32_t output = 0; output < n_outputs; ++output) {
        const auto row_of_x = x_.begin() + std::ptrdiff_t{row} * padded_;
        const int sum =
            std::inner_product(row_of_x, row_of_x + padded_, weight_.begin() + std::ptrdiff_t{output} * padded_, 0);
        const float expected = static_cast<float>(sum) + (epilogue == Epilogue::kAddResidual ? kResidual : 0.0F);
        n_wrong += arguments.out[n_sums(row) + static_cast<std::size_t>(output)] == expected ? 0 : 1;
      }
    }
    CHECK(n_wrong == 0);
    CHECK(std::all_of(arguments.out + n_sums(n_rows), arguments.out + n_sums(arguments.max_rows),
                      [](float one) { return one == kUntouched; }));
  }

  MatmulArguments arguments{};  ///< complete except for the plan and what it needs

 private:
  static constexpr float kResidual = 3.0F;

  /// The number of outputs of `n_rows` rows.
  [[nodiscard]] std::size_t n_sums(std::int32_t n_rows) const {
    return static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(product_.n_outputs);
  }

  /// A matrix [n_rows, padded_] of integers from -8 to 8, which are exact in BF16 and int8, with zeros in the padding columns.
  [[nodiscard]] std::vector<int> integers(std::uint64_t seed, std::int32_t n_rows) const {
    std::vector<int> values;
    for (std::int32_t row = 0; row < n_rows; ++row) {
      for (std::int32_t col = 0; col < padded_; ++col) {
        const auto bits = random_bits(seed + static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(col));
        values.push_back(col < product_.n_inputs ? static_cast<int>(bits % 17) - 8 : 0);
      }
    }
    return values;
  }

  /// The integers converted to the operand's type, in memory for `n_rows` rows. Rows that `values` does not have stay unwritten.
  template <typename T, typename Convert>
  T* operand(const std::vector<int>& values, std::int32_t n_rows, const Convert& convert) {
    const std::size_t n_values = static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(padded_);
    auto* const memory = static_cast<T*>(device_->allocate(n_values * sizeof(T)).value());
    std::ranges::transform(values, memory, convert);
    return memory;
  }

  IntegerProduct product_;
  std::int32_t padded_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
  std::vector<int> x_;
  std::vector<int> weight_;
};

}  // namespace secondsource::gpu

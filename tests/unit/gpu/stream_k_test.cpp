// Products whose steps are divided equally among blocks (stream_k_matmul.cpp), for many ways in which the shares of blocks and the panels
// of the weight can meet, beside sums of integers. All operands are small integers, so that every sum is exact whatever the order, and a part
// that is lost or added twice cannot hide in a tolerance.

#include <algorithm>
#include <iterator>
#include <numeric>
#include <vector>

#include "core/half.h"
#include "core/random.h"
#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {
namespace {

struct StreamedProduct {
  std::int32_t n_processors = 1;
  std::int32_t n_rows = 1;  ///< of x
  std::int32_t n_outputs = 1;
  std::int32_t n_inputs = 1;
  Epilogue epilogue = Epilogue::kNone;
  bool is_int8 = false;
  std::int32_t fewest_steps = 1;  ///< of a share
  int n_threads = 1;              ///< blocks that run at the same time
};

/// A whole number from -8 to 8, which BF16 and int8 hold.
int integer(std::uint64_t seed, std::int32_t row, std::int32_t col) {
  return static_cast<int>(random_bits(seed + static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(col)) % 17) -
         8;
}

class OnShim {
 public:
  explicit OnShim(std::int32_t n_processors, int n_threads = 1)
      : device_(shim::make_shim_device({.target = "sm_90a", .n_processors = n_processors, .n_threads = n_threads})),
        stream_(device_->create_stream().value()) {}

  template <typename T>
  T* copy_of(const std::vector<T>& content) {
    auto* const memory = static_cast<T*>(device_->allocate(content.size() * sizeof(T)).value());
    std::copy(content.begin(), content.end(), memory);
    return memory;
  }
  void multiply(const MatmulArguments& arguments) {
    const LaunchContext context{.stream = *stream_, .warp_size = device_->properties().warp_size};
    REQUIRE_OK(shim_sm_90a::kernel_table().matmul(context, arguments));
    REQUIRE_OK(stream_->synchronize());
  }

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
};

/// A matrix [n_rows, padded] of integers, with zeros from column n_cols on.
std::vector<int> integers(std::uint64_t seed, std::int32_t n_rows, std::int32_t n_cols, std::int32_t padded) {
  std::vector<int> values;
  for (std::int32_t row = 0; row < n_rows; ++row) {
    for (std::int32_t col = 0; col < padded; ++col) values.push_back(col < n_cols ? integer(seed, row, col) : 0);
  }
  return values;
}

/// The integers in the type that is multiplied.
template <typename T, typename Convert>
std::vector<T> converted(const std::vector<int>& values, const Convert& convert) {
  std::vector<T> result;
  std::ranges::transform(values, std::back_inserter(result), convert);
  return result;
}

constexpr std::uint64_t kX = 1000;
constexpr std::uint64_t kWeight = 9000;
constexpr std::int32_t kMoreRows = 200;  ///< that the step was compiled for, and this batch does not have
constexpr float kUntouched = 12345.0F;
constexpr std::int32_t kNoSum = 0x7fc12345;  ///< a NaN as f32

/// Multiplies, and compares with the sums of integers; n_runs times, since the counters of the blocks that share a tile have to be 0 again.
/// Returns how many parts of tiles were stored in the last run.
std::int64_t check(const StreamedProduct& product, int n_runs = 2) {
  const auto& [n_processors, n_rows, n_outputs, n_inputs, epilogue, is_int8, fewest_steps, n_threads] = product;
  CAPTURE(n_processors, n_rows, n_outputs, n_inputs, static_cast<int>(epilogue), is_int8, fewest_steps);
  OnShim shim(n_processors, n_threads);
  const std::int32_t padded = (n_inputs + kWeightColumnStep - 1) / kWeightColumnStep * kWeightColumnStep;
  const std::vector<int> x = integers(kX, n_rows, n_inputs, padded);
  const std::vector<int> weight = integers(kWeight, n_outputs, n_inputs, padded);
  const std::int32_t value_bytes = is_int8 ? 1 : 2;
  const MatmulExtent extent{.n_rows = n_rows + kMoreRows, .n_outputs = n_outputs, .row_bytes = padded * value_bytes};
  MatmulArguments a{};
  a.n_rows = shim.copy_of(std::vector<std::int32_t>{n_rows});
  a.max_rows = extent.n_rows;
  a.epilogue = epilogue;
  a.plan = plan_stream_k(extent, n_processors);
  a.plan.split_steps = fewest_steps;
  const StreamKScratch scratch = stream_k_scratch(extent, a.plan);
  const std::size_t n_partial = scratch.partial_bytes / sizeof(float);
  a.partial = shim.copy_of(std::vector<std::int32_t>(n_partial));
  a.n_arrived = shim.copy_of(std::vector<std::uint32_t>(static_cast<std::size_t>(scratch.n_counters)));
  a.weight = {.row_bytes = extent.row_bytes,
              .n_rows = n_outputs,
              .n_cols = n_inputs,
              .padded_cols = padded,
              .encoding = is_int8 ? WeightEncoding::kInt8PerRow : WeightEncoding::kBf16};
  if (is_int8) {
    const auto as_int8 = [](int value) { return static_cast<std::int8_t>(value); };
    a.quantized_x = shim.copy_of(converted<std::int8_t>(x, as_int8));
    a.x_scales = shim.copy_of(std::vector<float>(static_cast<std::size_t>(n_rows), 0.5F));
    a.weight.values = reinterpret_cast<const std::byte*>(shim.copy_of(converted<std::int8_t>(weight, as_int8)));
    a.weight.row_scales = shim.copy_of(std::vector<float>(static_cast<std::size_t>(n_outputs + 3), 2.0F));
  } else {
    const auto as_bf16 = [](int value) { return to_bf16(static_cast<float>(value)).bits; };
    a.narrow_x = reinterpret_cast<const Bf16*>(shim.copy_of(converted<std::uint16_t>(x, as_bf16)));
    a.weight.values = reinterpret_cast<const std::byte*>(shim.copy_of(converted<std::uint16_t>(weight, as_bf16)));
  }
  const std::size_t n_sums = static_cast<std::size_t>(extent.n_rows) * static_cast<std::size_t>(n_outputs);
  a.out = shim.copy_of(std::vector<float>(n_sums, kUntouched));
  if (epilogue == Epilogue::kAddResidual) a.aux = shim.copy_of(std::vector<float>(n_sums, 3.0F));
  constexpr std::size_t kPartSums = std::size_t{128} * 256;
  std::int64_t n_stored = 0;
  for (int run = 0; run < n_runs; ++run) {
    std::fill_n(a.out, n_sums, kUntouched);
    std::fill_n(a.partial, n_partial, kNoSum);
    shim.multiply(a);
    std::int64_t n_wrong = 0;
    for (std::int32_t row = 0; row < n_rows; ++row) {
      for (std::int32_t output = 0; output < n_outputs; ++output) {
        const auto row_of_x = x.begin() + std::ptrdiff_t{row} * padded;
        const int sum =
            std::inner_product(row_of_x, row_of_x + padded, weight.begin() + std::ptrdiff_t{output} * padded, 0);
        const int expected = sum + (epilogue == Epilogue::kAddResidual ? 3 : 0);
        const float found = a.out[static_cast<std::size_t>(row) * static_cast<std::size_t>(n_outputs) +
                                  static_cast<std::size_t>(output)];
        n_wrong += found == static_cast<float>(expected) ? 0 : 1;
      }
    }
    CHECK(n_wrong == 0);
    const float* const behind = a.out + static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_outputs);
    CHECK(std::all_of(behind, static_cast<const float*>(a.out) + n_sums, [](float one) { return one == kUntouched; }));
    CHECK(std::all_of(a.n_arrived, a.n_arrived + scratch.n_counters, [](std::uint32_t n) { return n == 0; }));
    n_stored = 0;
    for (std::size_t at = 0; at < n_partial; at += kPartSums) n_stored += a.partial[at] == kNoSum ? 0 : 1;
  }
  return n_stored;
}

TEST_CASE("equal shares of steps give every sum once, wherever a share begins and ends") {
  int n_products = 0;
  for (const std::int32_t n_processors : {1, 2, 3, 7, 40}) {
    for (const std::int32_t n_outputs : {9, 256, 257, 770}) {
      for (const std::int32_t n_inputs : {40, 200, 700}) {
        const std::int32_t n_rows = n_products % 4 == 3 ? 150 : 17 + n_products % 3;
        const Epilogue epilogue = n_products % 2 == 0 ? Epilogue::kNone : Epilogue::kAddResidual;
        check({n_processors, n_rows, n_outputs, n_inputs, epilogue, n_products % 5 >= 3});
        ++n_products;
      }
    }
  }
}

TEST_CASE(
    "three tiles of rows on two processors have a block each, and more processors share the panels among groups of three") {
  for (const std::int32_t n_processors : {2, 3, 8, 11}) check({n_processors, 300, 600, 330, Epilogue::kNone, false});
}

TEST_CASE("the last block to have its part of a tile does not store it where the others are done") {
  CHECK(check({.n_processors = 2, .n_rows = 20, .n_outputs = 200, .n_inputs = 500}) == 1);
  CHECK(check({.n_processors = 3, .n_rows = 20, .n_outputs = 200, .n_inputs = 500}) == 2);
  // The share of the second of three blocks ends and begins within a panel.
  CHECK(check({.n_processors = 3, .n_rows = 20, .n_outputs = 400, .n_inputs = 500}) == 2);
}

TEST_CASE("blocks that have their parts of a tile at the same time all store them, and the last one adds them") {
  const StreamedProduct product{.n_processors = 2, .n_rows = 20, .n_outputs = 200, .n_inputs = 500, .n_threads = 2};
  bool both_stored = false;
  for (int attempt = 0; attempt < 1000 && !both_stored; ++attempt) both_stored = check(product, 1) == 2;
  CHECK(both_stored);
}

TEST_CASE("a share has so many steps as are worth a part of a tile") {
  // 32 steps for 40 processors: two shares of 16, of which the first is stored.
  StreamedProduct product{.n_processors = 40, .n_rows = 20, .n_outputs = 200, .n_inputs = 2048};
  product.fewest_steps = plan_stream_k({.n_rows = 20, .n_outputs = 200, .row_bytes = 4096}, 40).split_steps;
  CHECK(product.fewest_steps == kMinSplitSteps);
  CHECK(check(product) == 1);
  product.n_inputs = 960;  // 15 steps
  CHECK(check(product) == 0);
}

TEST_CASE("the plan of equal shares has room for what every block may store, and a counter for every tile") {
  const MatmulExtent extent{.n_rows = 512, .n_outputs = 28672, .row_bytes = 8192};
  const MatmulPlan plan = plan_stream_k(extent, 132);
  CHECK(plan.n_blocks == 132);
  CHECK(plan.n_splits == 1);
  const StreamKScratch scratch = stream_k_scratch(extent, plan);
  CHECK(scratch.n_counters == 4 * 112);
  CHECK(scratch.partial_bytes == std::size_t{132} * 2 * 128 * 256 * 4);
  CHECK(plan_stream_k({.n_rows = 1000, .n_outputs = 256, .row_bytes = 128}, 2).n_blocks == 8);
}

}  // namespace
}  // namespace secondsource::gpu

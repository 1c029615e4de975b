// wgmma on the shim as sm_90a: the results are matrix products, the layouts are CuTe's, and every use that PTX leaves
// undefined is detected.

#include "gpu/portable/warpgroup.h"

#include <array>
#include <cmath>
#include <vector>

#include "core/random.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {
namespace {

constexpr int kThreads = kWarpgroupRows * 2;
constexpr int kDepth = 64;  ///< BF16 values of one 128-byte line
constexpr int kMaxColumns = 256;

/// A [64, 64], B [columns, 64] or transposed [64, columns], both row-major; sums [64, columns].
struct Arguments {
  const std::byte* a;
  const std::byte* b;
  float* sums;
};

struct alignas(kSwizzleAlignment) Tiles {
  std::byte a[kWarpgroupRows * kSwizzledLineBytes];
  std::byte b[kMaxColumns * kSwizzledLineBytes];
};

enum class Mistake {
  kNone,
  kNotShown,
  kNoBarrier,
  kNoFence,
  kNoWait,
  kReadEarly,
  kWrittenEarly,
  kSumsTouched,
  kNotSwizzled,
  kWrongStride,
  kMisplaced,
  kPastTheEnd,
  kThreeWarps,
  kDivergentFence,
  kDivergentCommit,
  kDivergentWait,
  kDivergentProduct,
  kDivergentLanes,
  kThreeWarpsWait,
  kOtherOperands,
};

/// Copies lines [0, n_lines) of a matrix whose rows have `n_vecs` vectors of 16 bytes; the tile takes the first eight.
template <bool kSwizzled = true>
void fill(std::byte* tile, const std::byte* from, int n_lines, int n_vecs = 8) {
  for (int i = thread_x(); i < n_lines * 8; i += kThreads) {
    if (i % 8 >= n_vecs) continue;
    const int place = kSwizzled ? swizzled_offset(i / 8, i % 8) : i * 16;
    store_chunk(tile + place, load_chunk(from + (i / 8 * n_vecs + i % 8) * 16));
  }
}

template <typename Input, int kColTiles>
void store(const Accumulator<Input> (&sums)[kColTiles], float* out) {
  for (int j = 0; j < kColTiles; ++j) {
    for (int v = 0; v < kAccumulators; ++v) {
      const int row = warp() * kTile + accumulator_row(v);
      out[row * kColTiles * kTile + j * kTile + accumulator_col(v)] = static_cast<float>(sums[j].value[v]);
    }
  }
}

template <typename Input, int kColTiles, Mistake kMistake = Mistake::kNone, Sums kFirst = Sums::kAdded>
SS_KERNEL(kThreads)
product_kernel(Arguments args) {
  wait_for_earlier_kernels();
  auto& tiles = shared_memory<Tiles>();
  fill<kMistake != Mistake::kNotSwizzled>(tiles.a, args.a, kWarpgroupRows);
  fill(tiles.b, args.b, kColTiles * kTile);
  if constexpr (kMistake != Mistake::kNotShown) fence_proxy_async();
  if constexpr (kMistake != Mistake::kNoBarrier) sync_block();
  Accumulator<Input> sums[kColTiles] = {};
  if constexpr (kFirst == Sums::kNew) sums[0].value[0] = 1234;
  if (kMistake == Mistake::kThreeWarps && warp() == 3) return;
  const bool other_branch = warp() % 2 == 1;
  if (kMistake == Mistake::kDivergentFence && other_branch) {
    fence_products();
  } else if constexpr (kMistake != Mistake::kNoFence) {
    fence_products();
  }
  for (int k = 0; k < kSwizzledLineBytes / static_cast<int>(sizeof(Input)); k += kTileDepth<Input>) {
    SharedOperand a = lines_of<Input>(tiles.a, k);
    if constexpr (kMistake == Mistake::kWrongStride) a.bits ^= std::uint64_t{1} << 32;
    if constexpr (kMistake == Mistake::kMisplaced) a = lines_of<Input>(tiles.a + kSwizzledLineBytes, k);
    if constexpr (kMistake == Mistake::kPastTheEnd) a = lines_of<Input>(tiles.b + sizeof(tiles.b) - 1024, k);
    if (kMistake == Mistake::kOtherOperands && warp() == 2) a = lines_of<Input>(tiles.b, k);
    if (k == 0) {
      multiply_lines<kFirst>(sums, a, lines_of<Input>(tiles.b, k));
    } else if (kMistake == Mistake::kDivergentProduct && other_branch) {
      multiply_lines(sums, a, lines_of<Input>(tiles.b, k));
    } else {
      multiply_lines(sums, a, lines_of<Input>(tiles.b, k));
    }
  }
  if (kMistake == Mistake::kDivergentCommit && other_branch) {
    commit_products();
  } else {
    commit_products();
  }
  if constexpr (kMistake == Mistake::kReadEarly) store(sums, args.sums);
  if constexpr (kMistake == Mistake::kWrittenEarly) store_chunk(tiles.b + swizzled_offset(thread_x() % 64, 3), Chunk{});
  if constexpr (kMistake == Mistake::kSumsTouched) sums[0].value[3] = 0;
  if ((kMistake == Mistake::kDivergentWait && other_branch) ||
      (kMistake == Mistake::kDivergentLanes && lane() % 2 == 1)) {
    wait_for_products<0>(sums);
  } else if constexpr (kMistake != Mistake::kNoWait) {
    wait_for_products<0>(sums);
  }
  if (kMistake == Mistake::kThreeWarpsWait && warp() != 2) wait_for_products<0>(sums);
  if constexpr (kMistake != Mistake::kReadEarly) store(sums, args.sums);
}

/// The same with A in registers, B transposed, and a group still pending when the next one is issued.
template <int kColTiles, bool kFragmentWritten = false>
SS_KERNEL(kThreads)
transposed_kernel(Arguments args) {
  wait_for_earlier_kernels();
  constexpr int kHalfBytes = kDepth * kSwizzledLineBytes;
  auto& tiles = shared_memory<Tiles>();
  fill(tiles.a, args.a, kWarpgroupRows);
  for (int half = 0; half < (kColTiles + 3) / 4; ++half) {
    fill(tiles.b + half * kHalfBytes, args.b + half * kSwizzledLineBytes, kDepth, kColTiles * 2);
  }
  fence_proxy_async();
  sync_block();
  RegisterOperand a[kDepth / kTile];
  for (int i = 0; i < kDepth / kTile; ++i) {
    Fragment<Bf16> rows;
    for (int v = 0; v < kInputs<Bf16>; ++v) {
      const int row = warp() * kTile + accumulator_row(v);
      const int k = i * kTile + accumulator_col(v);
      rows.value[v] = reinterpret_cast<const Bf16*>(args.a)[row * kDepth + k];
    }
    a[i] = bits_as<RegisterOperand>(rows);
  }
  const SharedOperand b = transposed_lines_of(tiles.b, 0, kHalfBytes);
  Accumulator<Bf16> sums[kColTiles] = {};
  for (int i = 0; i < kDepth / kTile; ++i) {
    fence_products();
    multiply_transposed(sums, a[i], offset_by(b, i * kTile * kSwizzledLineBytes));
    commit_products();
    if constexpr (kFragmentWritten) a[i].word[0] = 0;
    wait_for_products<1>(sums);
  }
  wait_for_products<0>(sums);
  store(sums, args.sums);
}

/// Small integers: exact in BF16 and int8, and so are their sums in f32.
std::vector<int> numbers(std::size_t n, std::uint64_t seed) {
  std::vector<int> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<int>(random_bits(seed, i) % 15) - 7;
  return values;
}

template <typename Input>
std::byte* upload(Device& device, const std::vector<int>& values) {
  auto* const memory = static_cast<Input*>(device.allocate(values.size() * sizeof(Input)).value());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if constexpr (sizeof(Input) == 1) {
      memory[i] = static_cast<Input>(values[i]);
    } else {
      memory[i] = to_bf16(static_cast<float>(values[i]));
    }
  }
  return reinterpret_cast<std::byte*>(memory);
}

struct Outcome {
  std::vector<float> found;
  std::vector<float> expected;  ///< by three loops over integers
};

template <typename Input>
Result<Outcome> run_warpgroup_kernel(void (*kernel)(Arguments), int n_cols, bool b_transposed,
                                     shim::ThreadOrder order) {
  const int depth = kSwizzledLineBytes / static_cast<int>(sizeof(Input));
  const auto device = shim::make_shim_device({.target = "sm_90a", .order = order});
  const auto stream = device->create_stream().value();
  const auto a = numbers(static_cast<std::size_t>(kWarpgroupRows * depth), 1);
  const auto b = numbers(static_cast<std::size_t>(n_cols * depth), 2);
  const auto n_sums = static_cast<std::size_t>(kWarpgroupRows * n_cols);
  auto* const sums = static_cast<float*>(device->allocate(n_sums * sizeof(float)).value());
  Arguments arguments{upload<Input>(*device, a), upload<Input>(*device, b), sums};
  SS_TRY_VOID(
      launch(*stream, "product", kernel, {.grid = {}, .threads = kThreads, .shared_bytes = sizeof(Tiles)}, arguments));
  SS_TRY_VOID(stream->synchronize());
  Outcome outcome{{sums, sums + n_sums}, std::vector<float>(n_sums)};
  for (int row = 0; row < kWarpgroupRows; ++row) {
    for (int col = 0; col < n_cols; ++col) {
      int sum = 0;
      for (int k = 0; k < depth; ++k) {
        sum += a[static_cast<std::size_t>(row * depth + k)] *
               b[static_cast<std::size_t>(b_transposed ? k * n_cols + col : col * depth + k)];
      }
      outcome.expected[static_cast<std::size_t>(row * n_cols + col)] = static_cast<float>(sum);
    }
  }
  return outcome;
}

const std::array kOrders = {shim::ThreadOrder::kForward, shim::ThreadOrder::kReverse, shim::ThreadOrder::kSeeded};

template <typename Input>
void check_product(void (*kernel)(Arguments), int n_cols, bool b_transposed) {
  for (const shim::ThreadOrder order : kOrders) {
    const auto outcome = run_warpgroup_kernel<Input>(kernel, n_cols, b_transposed, order);
    REQUIRE_OK(outcome);
    CHECK(outcome->found == outcome->expected);
  }
}

template <Mistake kMistake>
void check_error(const std::string& expected) {
  for (const shim::ThreadOrder order : kOrders) {
    CHECK_ERROR(run_warpgroup_kernel<Bf16>(product_kernel<Bf16, 8, kMistake>, 128, false, order),
                ErrorCode::kDeviceLost, expected);
  }
}

template <Mistake kMistake>
bool gives_nan() {
  return std::ranges::all_of(kOrders, [](shim::ThreadOrder order) {
    const auto outcome = run_warpgroup_kernel<Bf16>(product_kernel<Bf16, 8, kMistake>, 128, false, order);
    REQUIRE_OK(outcome);
    return std::ranges::any_of(outcome->found, [](float value) { return std::isnan(value); });
  });
}

TEST_CASE("products of a warpgroup are matrix products, for every shape and in every order of threads") {
  check_product<Bf16>(product_kernel<Bf16, 4>, 64, false);
  check_product<Bf16>(product_kernel<Bf16, 8>, 128, false);
  check_product<std::int8_t>(product_kernel<std::int8_t, 8>, 128, false);
  check_product<Bf16>(product_kernel<Bf16, 16>, 256, false);
  check_product<std::int8_t>(product_kernel<std::int8_t, 16>, 256, false);
  check_product<Bf16>(product_kernel<Bf16, 8, Mistake::kNone, Sums::kNew>, 128, false);
  check_product<std::int8_t>(product_kernel<std::int8_t, 8, Mistake::kNone, Sums::kNew>, 128, false);
  check_product<Bf16>(transposed_kernel<2>, 32, true);
  check_product<Bf16>(transposed_kernel<4>, 64, true);
  check_product<Bf16>(transposed_kernel<8>, 128, true);
}

TEST_CASE("tiles, sums and descriptors are laid out as CuTe has them") {
  // Printed by a program built with CuTe's headers; all elements were compared once (portable/warpgroup.h).
  // tile_to_shape(Layout_K_SW128_Atom<bfloat16_t>, Shape<128, 64>): line, k, bytes.
  for (const auto& [line, k, place] :
       {std::array{0, 8, 16}, {3, 17, 402}, {7, 63, 910}, {77, 42, 9860}, {127, 5, 16378}}) {
    CHECK(swizzled_offset(line, k * 2 / 16) + k * 2 % 16 == place);
  }
  // Layout_K_SW128_Atom<int8_t>, Shape<128, 128>.
  for (const auto& [line, k, place] : {std::array{5, 33, 753}, {126, 127, 16159}}) {
    CHECK(swizzled_offset(line, k / 16) + k % 16 == place);
  }
  // Layout_MN_SW128_Atom<bfloat16_t>, Shape<128, 64>, along k first: n, k, bytes.
  for (const auto& [n, k, place] :
       {std::array{3, 1, 150}, {42, 13, 1668}, {63, 63, 8078}, {64, 0, 8192}, {125, 38, 13082}}) {
    CHECK(n / 64 * 8192 + swizzled_offset(k, n % 64 * 2 / 16) + n * 2 % 16 == place);
  }
}

/// Descriptors are computed in a block, because their addresses are in its shared memory.
SS_KERNEL(kThreads) descriptor_kernel(Arguments args) {
  wait_for_earlier_kernels();
  auto& tiles = shared_memory<Tiles>();
  auto* const bits = reinterpret_cast<std::uint64_t*>(args.sums);
  if (thread_x() != 0) return;
  bits[0] = lines_of<Bf16>(tiles.a, 0).bits;
  bits[1] = lines_of<std::int8_t>(tiles.a, 32).bits;
  bits[2] = transposed_lines_of(tiles.a, 16, 8192).bits;
}

TEST_CASE("descriptors are CuTe's, and advance along k by units of 16 bytes") {
  const auto device = shim::make_shim_device({.target = "sm_90a"});
  const auto stream = device->create_stream().value();
  auto* const bits = static_cast<std::uint64_t*>(device->allocate(3 * sizeof(std::uint64_t)).value());
  REQUIRE_OK(launch(*stream, "descriptors", descriptor_kernel,
                    {.grid = {}, .threads = kThreads, .shared_bytes = sizeof(Tiles)},
                    Arguments{nullptr, nullptr, reinterpret_cast<float*>(bits)}));
  REQUIRE_OK(stream->synchronize());
  CHECK(bits[0] == 0x4000004000010000);  // make_gmma_desc<Major::K>
  CHECK(bits[1] == 0x4000004000010002);
  CHECK(bits[2] == 0x4000004002000080);  // make_gmma_desc<Major::MN>
}

TEST_CASE("writes that were not shown to warpgroups, or not by all threads before a barrier, are found") {
  check_error<Mistake::kNotShown>("not shown to warpgroups");
  CHECK(gives_nan<Mistake::kNoBarrier>());
}

TEST_CASE("products without a fence, without a wait, and sums that are read or written before it are found") {
  check_error<Mistake::kNoFence>("a product without a fence");
  check_error<Mistake::kNoWait>("ends while its products are under way");
  CHECK(gives_nan<Mistake::kReadEarly>());
  check_error<Mistake::kSumsTouched>("sums were written while a product adds to them");
}

TEST_CASE("operands that are written before the wait are found, in shared memory and in registers") {
  check_error<Mistake::kWrittenEarly>("written while a product could still read it");
  for (const shim::ThreadOrder order : kOrders) {
    CHECK_ERROR(run_warpgroup_kernel<Bf16>(transposed_kernel<8, true>, 128, true, order), ErrorCode::kDeviceLost,
                "a fragment was written while a product could still read it");
  }
}

TEST_CASE("tiles in another order give other sums") {
  const auto outcome = run_warpgroup_kernel<Bf16>(product_kernel<Bf16, 8, Mistake::kNotSwizzled>, 128, false,
                                                  shim::ThreadOrder::kForward);
  REQUIRE_OK(outcome);
  CHECK(outcome->found != outcome->expected);
}

TEST_CASE("descriptors with another stride, start or end are errors") {
  check_error<Mistake::kWrongStride>("a matrix descriptor that no kernel should make");
  check_error<Mistake::kMisplaced>("a matrix descriptor that no kernel should make");
  check_error<Mistake::kPastTheEnd>("of a block's 40960 of shared memory");
}

TEST_CASE("all four warps take part in a product, with the same operands") {
  check_error<Mistake::kThreeWarps>("takes part in 0 products of its warpgroup's 4");
  check_error<Mistake::kOtherOperands>("different operands of a product");
}

TEST_CASE("all four warps come to the same fence, product, commit and wait, and all lanes of a warp") {
  check_error<Mistake::kDivergentFence>("comes to a fence at warpgroup_test.cpp:");
  check_error<Mistake::kDivergentProduct>("comes to a product at warpgroup_test.cpp:");
  check_error<Mistake::kDivergentCommit>("comes to a commit at warpgroup_test.cpp:");
  check_error<Mistake::kDivergentWait>("comes to a wait at warpgroup_test.cpp:");
  check_error<Mistake::kDivergentLanes>("divergent warp: lane 0 comes to a wait at warpgroup_test.cpp:");
  check_error<Mistake::kThreeWarpsWait>("divergent warpgroup: warp 2 does not come to the wait at warpgroup_test.cpp:");
}

}  // namespace
}  // namespace secondsource::gpu

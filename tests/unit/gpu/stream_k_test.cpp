// Compares products whose steps are divided equally among blocks (stream_k_matmul.cpp) with integer sums, for many ways in which the
// blocks' shares and the weight's panels can overlap.

#include "integer_product.h"

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

constexpr std::int32_t kNoSum = 0x7fc12345;  ///< a NaN as f32

/// Multiplies and compares with integer sums, n_runs times, because each run must leave the counters of shared tiles at 0.
/// Returns how many parts of tiles were stored in the last run.
std::int64_t check(const StreamedProduct& product, int n_runs = 2) {
  CAPTURE(product.n_processors, product.fewest_steps);
  IntegerProductOnShim shim({.n_rows = product.n_rows,
                             .n_outputs = product.n_outputs,
                             .n_inputs = product.n_inputs,
                             .epilogue = product.epilogue,
                             .is_int8 = product.is_int8},
                            {.n_processors = product.n_processors, .n_threads = product.n_threads});
  MatmulArguments& a = shim.arguments;
  a.plan = plan_stream_k(shim.extent(), product.n_processors);
  a.plan.split_steps = product.fewest_steps;
  const StreamKScratch scratch = stream_k_scratch(shim.extent(), a.plan);
  const std::size_t n_partial = scratch.partial_bytes / sizeof(float);
  a.partial = shim.copy_of(std::vector<std::int32_t>(n_partial));
  a.n_arrived = shim.copy_of(std::vector<std::uint32_t>(static_cast<std::size_t>(scratch.n_counters)));
  constexpr std::size_t kPartSums = std::size_t{128} * 256;
  std::int64_t n_stored = 0;
  for (int run = 0; run < n_runs; ++run) {
    std::fill_n(a.partial, n_partial, kNoSum);
    shim.check([&](const LaunchContext& context) { return shim_sm_90a::kernel_table().matmul(context, a); });
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

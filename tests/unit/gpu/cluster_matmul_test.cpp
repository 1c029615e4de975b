// Compares products by clusters of two blocks (cluster_matmul.cpp) with exact sums of integers. The cases cover all sizes that the
// kernel handles differently: one tile of rows or several, an odd number of them, panels without a partner, few steps and many.

#include "integer_product.h"

namespace secondsource::gpu {
namespace {

constexpr MatmulTiles kNarrow = MatmulTiles::kCluster128x128;
constexpr MatmulTiles kWide = MatmulTiles::kCluster128x256;

/// Checks a product with these tiles, which the plan must distribute over `n_blocks` blocks.
void check(MatmulTiles tiles, const IntegerProduct& product, const shim::ShimOptions& options, std::int32_t n_blocks) {
  CAPTURE(to_string(tiles), options.n_processors, static_cast<int>(options.order), options.seed);
  IntegerProductOnShim shim(product, options);
  ClusterMatmulArguments a{shim.arguments, {}, {}};
  a.plan = plan_clusters(tiles, shim.extent(), options.n_processors);
  CHECK(a.plan.n_blocks == n_blocks);
  const WeightView& weight = a.weight;
  TiledMatrix matrix{.values = product.is_int8 ? static_cast<const void*>(a.quantized_x) : a.narrow_x,
                     .value_bytes = product.is_int8 ? 1 : 2,
                     .n_rows = a.max_rows,
                     .n_cols = weight.padded_cols,
                     .row_bytes = weight.row_bytes,
                     .tile_rows = kClusterXRows};
  a.x_map = shim.device().tensor_map(matrix).value();
  matrix.values = weight.values;
  matrix.n_rows = weight.n_rows;
  matrix.tile_rows = cluster_weight_rows(tiles);
  a.weight_map = shim.device().tensor_map(matrix).value();
  shim.check([&](const LaunchContext& context) { return shim_sm_90a::kernel_table().cluster_matmul(context, a); });
}

TEST_CASE("two blocks that share the weight give every sum once, with any number of tiles of rows") {
  int n_products = 0;
  // The weight has three or five panels. The steps of a tile fill the ring of stages partly, once or several times.
  for (const std::int32_t n_rows : {1, 20, 128, 129, 256, 300, 520}) {
    for (const std::int32_t n_inputs : {40, 256, 700}) {
      const shim::ThreadOrder order = n_products % 3 == 0   ? shim::ThreadOrder::kForward
                                      : n_products % 3 == 1 ? shim::ThreadOrder::kReverse
                                                            : shim::ThreadOrder::kSeeded;
      check(n_products % 2 == 0 ? kWide : kNarrow,
            {.n_rows = n_rows,
             .n_outputs = 530,
             .n_inputs = n_inputs,
             .epilogue = n_products % 3 == 0 ? Epilogue::kNone : Epilogue::kAddResidual,
             .is_int8 = n_products % 4 >= 2},
            {.order = order, .n_processors = 5}, 4);
      ++n_products;
    }
  }
}

TEST_CASE("two blocks that share x have different rows of the weight, also where the second one has none") {
  for (const std::int32_t n_outputs : {9, 256, 257, 512, 700, 1290}) {
    for (const bool is_int8 : {false, true}) {
      for (const MatmulTiles tiles : {kNarrow, kWide}) {
        const std::int32_t n_panels = (n_outputs + block_cols(tiles) - 1) / block_cols(tiles);
        check(tiles, {.n_rows = 50, .n_outputs = n_outputs, .n_inputs = 330, .is_int8 = is_int8, .n_more_rows = 70},
              {.order = shim::ThreadOrder::kSeeded, .n_processors = 40}, (n_panels + 1) / 2 * 2);
      }
    }
  }
}

TEST_CASE("a cluster goes through many tiles with the same ring of stages") {
  for (const int n_processors : {1, 2, 3, 7}) {
    for (const std::uint64_t seed : {1, 2, 3}) {
      check(seed % 2 == 0 ? kNarrow : kWide, {.n_rows = 300, .n_outputs = 1100, .n_inputs = 200, .n_more_rows = 0},
            {.order = shim::ThreadOrder::kSeeded, .seed = seed, .n_processors = n_processors},
            std::max(n_processors / 2, 1) * 2);
    }
  }
}

TEST_CASE("clusters run at the same time") {
  check(kWide, {.n_rows = 300, .n_outputs = 1100, .n_inputs = 200},
        {.order = shim::ThreadOrder::kSeeded, .n_processors = 8, .n_threads = 2}, 8);
}

TEST_CASE("a batch without rows leaves the output as it is") {
  check(kWide, {.n_rows = 0, .n_outputs = 300, .n_inputs = 64}, {.n_processors = 4}, 4);
}

TEST_CASE("the plan of clusters has no more blocks than processors or tiles, and always whole clusters") {
  const auto n_blocks = [](std::int32_t n_rows, std::int32_t n_outputs, std::int32_t n_processors) {
    return plan_clusters(kWide, {.n_rows = n_rows, .n_outputs = n_outputs, .row_bytes = 8192}, n_processors).n_blocks;
  };
  CHECK(n_blocks(512, 28672, 132) == 132);
  CHECK(n_blocks(512, 28672, 131) == 130);
  CHECK(n_blocks(512, 4096, 132) == 64);  // 2 pairs of tiles of rows, 16 panels
  CHECK(n_blocks(129, 4096, 132) == 32);  // 1 pair
  CHECK(n_blocks(128, 4096, 132) == 16);  // 8 pairs of panels
  CHECK(n_blocks(64, 4096 + 1, 132) == 18);
  CHECK(n_blocks(64, 9, 1) == 2);
  CHECK(plan_clusters(kNarrow, {.n_rows = 512, .n_outputs = 4096, .row_bytes = 8192}, 132).n_blocks == 128);
}

}  // namespace
}  // namespace secondsource::gpu

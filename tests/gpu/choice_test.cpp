// Which kernel is chosen for a matmul by default, and when the options request one that cannot compute it.

#include "conformance/build.h"
#include "conformance/cases.h"
#include "conformance/run_case.h"
#include "gpu/host/backend.h"
#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::gpu;

namespace {

struct Product {
  WeightEncoding encoding = WeightEncoding::kBf16;
  ActQuant act = ActQuant::kNone;
  std::optional<MatmulTiles> tiles = std::nullopt;  ///< requested by the options
  std::int32_t n_rows = 100;
  std::int32_t n_inputs = 64;
  int n_processors = 2;
};

/// The group of operations with the matmul, in a step that ends with it.
OpGroup group_of_product(const Product& product) {
  const auto& [encoding, act, tiles, n_rows, n_inputs, n_processors] = product;
  auto backend = make_backend(shim::make_shim_device({.target = "sm_90a", .n_processors = n_processors}),
                              shim_sm_90a::kernel_table(), {.backend = "gpu-shim", .tiles = tiles});
  REQUIRE_OK(backend);
  conformance::CaseBuilder b("choice", 1);
  const ValueId x = b.input(n_inputs, 7);
  const WeightId weight = b.matrix(300, n_inputs, encoding);
  b.add(Matmul{.x = x, .weight = weight, .out = b.value(300), .act = act, .aux = {}, .bias = {}});
  std::vector<WeightId> ids;
  for (const conformance::CaseWeight& one : b.result.weights) {
    const auto id = (*backend)->prepare_weight(one.spec);
    REQUIRE_OK(id);
    ids.push_back(*id);
  }
  const auto pool =
      (*backend)->create_kv_pool({.n_layers = 1, .n_kv_heads = 1, .head_dim = 64, .dtype = DType::kBf16}, 8);
  REQUIRE_OK(pool);
  const auto step =
      (*backend)->compile(conformance::with_weights(b.graph(), ids), {n_rows, 1, 1, 8}, *pool, GroupTiming::kOff);
  REQUIRE_OK(step);
  return (*step)->groups().back();
}

}  // namespace

TEST_CASE(
    "groups of int8 with quantized activations are never made by warpgroups, and a report says where that was asked") {
  constexpr auto kGroups = WeightEncoding::kInt8Group32;
  const OpGroup chosen = group_of_product({kGroups, ActQuant::kInt8PerRow});
  CHECK(chosen.kernel.find("wgmma") == std::string::npos);
  CHECK(chosen.fallback.empty());
  const OpGroup asked = group_of_product({kGroups, ActQuant::kInt8PerRow, MatmulTiles::kWgmma128x128});
  CHECK(asked.kernel == chosen.kernel);
  CHECK(asked.fallback.find("tiles=wgmma128x128: sums of warpgroups take no scales") == 0);
}

TEST_CASE("FP8 in blocks is never multiplied by large tiles, with or without quantized activations") {
  for (const ActQuant act : {ActQuant::kNone, ActQuant::kFp8PerGroup128}) {
    const OpGroup chosen = group_of_product({WeightEncoding::kFp8Group128, act});
    CHECK(chosen.fallback.empty());
    for (const MatmulTiles tiles : {MatmulTiles::kWgmma128x128, MatmulTiles::k128x128}) {
      const OpGroup asked = group_of_product({WeightEncoding::kFp8Group128, act, tiles});
      CHECK(asked.kernel == chosen.kernel);
      CHECK(asked.fallback.find("sums of ") != std::string::npos);
    }
  }
}

TEST_CASE("other products get the tiles that were asked for") {
  for (const auto& [encoding, act] : {std::pair{WeightEncoding::kInt8Group32, ActQuant::kNone},
                                      std::pair{WeightEncoding::kInt8PerRow, ActQuant::kInt8PerRow}}) {
    const OpGroup asked = group_of_product({encoding, act, MatmulTiles::kWgmma128x128});
    CHECK(asked.kernel.starts_with("tiled_matmul_wgmma128x128_"));
    CHECK(asked.fallback.empty());
  }
}

TEST_CASE("equal shares of steps, and clusters, are for weights that are multiplied as they are stored") {
  for (const MatmulTiles tiles :
       {MatmulTiles::kStreamK128x256, MatmulTiles::kCluster128x128, MatmulTiles::kCluster128x256}) {
    const std::string name(to_string(tiles));
    CHECK(group_of_product({WeightEncoding::kBf16, ActQuant::kNone, tiles})
              .kernel.starts_with("tiled_matmul_" + name + "_bf16"));
    CHECK(group_of_product({WeightEncoding::kInt8PerRow, ActQuant::kInt8PerRow, tiles}).fallback.empty());
    const OpGroup chosen = group_of_product({WeightEncoding::kInt4Group32, ActQuant::kNone});
    const OpGroup asked = group_of_product({WeightEncoding::kInt4Group32, ActQuant::kNone, tiles});
    CHECK(asked.kernel == chosen.kernel);
    CHECK(asked.fallback == "tiles=" + name + ": weights that are decoded have other tiles");
  }
}

TEST_CASE(
    "blocks of warpgroups share K on a device of eight processors, which is what gpu_warpgroups_split multiplies") {
  for (const std::int32_t n_rows : {25, 33, 64}) {
    const OpGroup chosen = group_of_product({.n_rows = n_rows, .n_inputs = 3100, .n_processors = 8});
    CHECK(chosen.kernel.starts_with("tiled_matmul_wgmma128x128_k2_"));
  }
}

// Which kernel a product gets if the options demand one that cannot compute it.

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

/// The group of the product in a step of 100 rows, which is the step's last.
OpGroup group_of_product(WeightEncoding encoding, ActQuant act, std::optional<MatmulTiles> tiles) {
  auto backend = make_backend(shim::make_shim_device({.target = "sm_90a"}), shim_sm_90a::kernel_table(),
                              {.backend = "gpu-shim", .tiles = tiles});
  REQUIRE_OK(backend);
  conformance::CaseBuilder b("choice", 1);
  const ValueId x = b.input(64, 7);
  const WeightId weight = b.matrix(300, 64, encoding);
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
      (*backend)->compile(conformance::with_weights(b.graph(), ids), {100, 1, 1, 8}, *pool, GroupTiming::kOff);
  REQUIRE_OK(step);
  return (*step)->groups().back();
}

}  // namespace

TEST_CASE(
    "groups of int8 with quantized activations are never made by warpgroups, and a report says where that was asked") {
  constexpr auto kGroups = WeightEncoding::kInt8Group32;
  const OpGroup chosen = group_of_product(kGroups, ActQuant::kInt8PerRow, std::nullopt);
  CHECK(chosen.kernel.find("wgmma") == std::string::npos);
  CHECK(chosen.fallback.empty());
  const OpGroup asked = group_of_product(kGroups, ActQuant::kInt8PerRow, MatmulTiles::kWgmma128x128);
  CHECK(asked.kernel == chosen.kernel);
  CHECK(asked.fallback.find("tiles=wgmma128x128: sums of warpgroups take no scales") == 0);
}

TEST_CASE("FP8 in blocks is never multiplied by large tiles, with or without quantized activations") {
  for (const ActQuant act : {ActQuant::kNone, ActQuant::kFp8PerGroup128}) {
    const OpGroup chosen = group_of_product(WeightEncoding::kFp8Group128, act, std::nullopt);
    CHECK(chosen.fallback.empty());
    for (const MatmulTiles tiles : {MatmulTiles::kWgmma128x128, MatmulTiles::k128x128}) {
      const OpGroup asked = group_of_product(WeightEncoding::kFp8Group128, act, tiles);
      CHECK(asked.kernel == chosen.kernel);
      CHECK(asked.fallback.find("sums of ") != std::string::npos);
    }
  }
}

TEST_CASE("other products get the tiles that were asked for") {
  for (const auto& [encoding, act] : {std::pair{WeightEncoding::kInt8Group32, ActQuant::kNone},
                                      std::pair{WeightEncoding::kInt8PerRow, ActQuant::kInt8PerRow}}) {
    const OpGroup asked = group_of_product(encoding, act, MatmulTiles::kWgmma128x128);
    CHECK(asked.kernel.starts_with("tiled_matmul_wgmma128x128_"));
    CHECK(asked.fallback.empty());
  }
}

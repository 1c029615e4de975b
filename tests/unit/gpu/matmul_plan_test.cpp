// Tests how matmuls are divided into blocks on devices with the processor counts of an A100, an H100 and an MI300X.

#include "gpu/kernels/matmul_plan.h"

#include <algorithm>

#include "support/catch.h"

namespace secondsource::gpu {
namespace {

MatmulPlan plan(std::int32_t rows, std::int32_t outputs, std::int32_t inputs, std::int32_t n_processors) {
  return plan_matmul({.n_rows = rows, .n_outputs = outputs, .row_bytes = inputs * 2}, {n_processors});
}

TEST_CASE("many rows and outputs get the largest tiles, and no splits") {
  for (const std::int32_t n_processors : {108, 132, 304}) {
    const MatmulPlan found = plan(4096, 28672, 4096, n_processors);
    CHECK(found.tiles == MatmulTiles::k128x128);
    CHECK(found.n_splits == 1);
    CHECK(found.split_steps == 128);
  }
}

TEST_CASE("large tiles that would leave processors idle are not taken") {
  // 4 x 32 tiles of 128 x 128.
  CHECK(plan(512, 4096, 4096, 132).tiles == MatmulTiles::k128x128);
  CHECK(plan(512, 4096, 4096, 304).tiles == MatmulTiles::k64x64);
  CHECK(plan(512, 4096, 4096, 304).n_splits == 1);  // 8 x 64 tiles
}

constexpr MatmulDevice kH100{.n_processors = 132, .has_warpgroups = true};

MatmulPlan on_h100(std::int32_t rows, std::int32_t outputs, std::int32_t inputs) {
  return plan_matmul({.n_rows = rows, .n_outputs = outputs, .row_bytes = inputs * 2}, kH100);
}

// The comments give times on an H100 with the chosen and with other tiles (docs/gpu-results.md).
TEST_CASE("with warpgroups unsplit products have the tiles that were the fastest, in steps of twice the bytes") {
  CHECK(on_h100(512, 6144, 4096).tiles == MatmulTiles::kWgmma128x256);   // 61 us; 128 x 128: 74
  CHECK(on_h100(512, 4096, 4096).tiles == MatmulTiles::kWgmma128x128);   // 41 us; 128 x 256: 60
  CHECK(on_h100(512, 28672, 4096).tiles == MatmulTiles::kWgmma128x256);  // 253 us; 128 x 128: 271
  CHECK(on_h100(64, 28672, 4096).tiles == MatmulTiles::kWgmma128x128);   // 94 us; 64 x 64: 144
  for (const std::int32_t rows : {64, 512}) CHECK(on_h100(rows, 28672, 4096).n_splits == 1);
  CHECK(on_h100(512, 28672, 4096).split_steps == 64);
}

TEST_CASE("tiles of warpgroups share K where they are too few for the processors") {
  for (const std::int32_t rows : {17, 64, 128}) {
    const MatmulPlan found = on_h100(rows, 4096, 14336);
    CAPTURE(rows, to_string(found.tiles));
    CHECK(found.tiles == MatmulTiles::kWgmma128x128);
    CHECK(found.n_splits == 4);  // 128 blocks on 132 processors
    CHECK(found.n_splits * found.split_steps == 224);
  }
  CHECK(on_h100(64, 128256, 4096).n_splits == 1);  // 1002 tiles of 128 x 128 are more than the processors
}

TEST_CASE("weights that are decoded have tiles of warpgroups from 65 rows on, where these give the processors work") {
  MatmulDevice device = kH100;
  device.copies_weight = false;
  const auto tiles = [&](std::int32_t rows, std::int32_t outputs) {
    return plan_matmul({.n_rows = rows, .n_outputs = outputs, .row_bytes = 8192}, device).tiles;
  };
  CHECK(tiles(64, 28672) == MatmulTiles::k64x64);
  CHECK(tiles(65, 28672) == MatmulTiles::kWgmma128x256);
  CHECK(tiles(512, 4096) == MatmulTiles::kWgmma128x128);
  CHECK(tiles(128, 4096) == MatmulTiles::k64x64);
}

TEST_CASE("weights that cannot have large tiles have small ones with warpgroups, too") {
  MatmulDevice device = kH100;
  device.has_large_tiles = false;
  CHECK(plan_matmul({.n_rows = 512, .n_outputs = 28672, .row_bytes = 4096}, device).tiles == MatmulTiles::k64x64);
  CHECK(plan_grouped({.n_rows = 1024, .n_experts = 8, .n_expert_rows = 28672, .row_bytes = 4096}, device) ==
        MatmulTiles::k64x64);
}

TEST_CASE("few rows get flat tiles, and share K where the outputs are few") {
  const MatmulPlan wide = plan(16, 28672, 4096, 132);  // 448 tiles
  CHECK(wide.tiles == MatmulTiles::k16x64);
  CHECK(wide.n_splits == 1);
  const MatmulPlan narrow = plan(16, 4096, 4096, 132);  // 64 tiles, where 264 blocks fit
  CHECK(narrow.tiles == MatmulTiles::k16x64);
  CHECK(narrow.n_splits == 4);
  CHECK(narrow.split_steps == 32);
  CHECK(plan(17, 4096, 4096, 132).tiles == MatmulTiles::k64x64);
}

TEST_CASE("splits cover every step once, none is empty, and none is short unless it is the last") {
  for (std::int32_t rows = 5; rows <= 300; rows += 59) {
    for (std::int32_t outputs = 1; outputs <= 2000; outputs += 333) {
      for (std::int32_t n_steps = 1; n_steps <= 500; n_steps += 7) {
        for (const MatmulDevice& device :
             {MatmulDevice{1}, MatmulDevice{2}, MatmulDevice{108}, MatmulDevice{304}, kH100}) {
          const MatmulExtent extent{rows, outputs, 64 * n_steps};
          const MatmulPlan found = plan_matmul(extent, device);
          const std::int32_t n_plan_steps = by_warpgroups(found.tiles) ? (n_steps + 1) / 2 : n_steps;
          CAPTURE(rows, outputs, n_steps, device.n_processors, device.has_warpgroups);
          CHECK(found.n_splits >= 1);
          CHECK(found.n_splits <= kMaxMatmulSplits);
          CHECK(found.n_splits * found.split_steps >= n_plan_steps);
          CHECK((found.n_splits - 1) * found.split_steps < n_plan_steps);
          if (found.n_splits == 1) continue;
          CHECK(found.split_steps >= kMinSplitSteps);
          CHECK(found.split_steps % kSplitStep == 0);
        }
      }
    }
  }
}

TEST_CASE("experts get tiles as high as what they have to multiply") {
  const auto tiles = [](std::int32_t rows, std::int32_t experts, bool has_warpgroups) {
    return plan_grouped({.n_rows = rows, .n_experts = experts, .n_expert_rows = 28672, .row_bytes = 8192},
                        {.n_processors = 132, .has_warpgroups = has_warpgroups});
  };
  CHECK(tiles(64 * 8, 128, false) == MatmulTiles::k16x64);
  CHECK(tiles(64 * 8, 128, true) == MatmulTiles::k16x64);
  CHECK(tiles(512 * 2, 8, false) == MatmulTiles::k128x128);
  CHECK(tiles(512 * 2, 8, true) == MatmulTiles::kWgmma128x256);
  CHECK(tiles(512 * 2, 16, false) == MatmulTiles::k64x64);
  CHECK(by_warpgroups(tiles(512 * 2, 16, true)));  // 64 rows each
}

TEST_CASE("there are blocks for every way in which rows can fall to experts, and one that needs them all") {
  for (const MatmulTiles tiles : kAllMatmulTiles) {
    const std::int32_t tile_rows = block_rows(tiles);
    const auto tiles_of = [&](std::int32_t rows) { return (rows + tile_rows - 1) / tile_rows; };
    for (const std::int32_t n_experts : {1, 2, 3, 8}) {
      for (std::int32_t n_rows = 1; n_rows <= 600; n_rows += 23) {
        CAPTURE(to_string(tiles), n_experts, n_rows);
        const std::int32_t bound =
            max_grouped_tiles({.n_rows = n_rows, .n_experts = n_experts, .n_expert_rows = 64}, tiles);
        // The worst case: `with_one` experts have one row each, and one expert has all other rows.
        std::int32_t most = 0;
        for (std::int32_t with_one = 0; with_one < std::min(n_experts, n_rows); ++with_one) {
          most = std::max(most, with_one + tiles_of(n_rows - with_one));
        }
        CHECK(bound >= most);
        CHECK(bound <= most + 1);
      }
    }
  }
}

}  // namespace
}  // namespace secondsource::gpu

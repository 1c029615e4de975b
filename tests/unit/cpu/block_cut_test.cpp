// How products of many rows are cut into blocks, groups, slices and panels. Expected values were computed by hand from the rules of
// block_cut.h.

#include "cpu/block_cut.h"

#include "support/catch.h"

namespace secondsource::cpu {
namespace {

constexpr std::int64_t kCache = std::int64_t{2} << 20;
constexpr std::int64_t kStepBytes = 64;

}  // namespace

TEST_CASE("a group's activations take at most half of the cache, and all rows and columns are in one") {
  for (const std::int64_t n_rows : {1, 2, 17, 32, 33, 100, 512, 513, 4096}) {
    for (const std::int64_t n_steps : {1, 9, 16, 18, 64, 85, 86, 96, 256, 448, 1000}) {
      for (const std::int64_t n_tiles : {1, 2, 36, 128, 1024}) {
        CAPTURE(n_rows, n_steps, n_tiles);
        const BlockCut cut = cut_blocks(n_rows, n_steps, kStepBytes, n_tiles, 2, kCache);
        CHECK(std::int64_t{cut.n_blocks} * kMaxRowBlock >= n_rows);
        CHECK(std::int64_t{cut.block_rows} * cut.n_blocks >= n_rows);
        CHECK(cut.block_rows <= kMaxRowBlock);
        CHECK(cut.group_begin(0) == 0);
        CHECK(cut.group_begin(cut.n_groups) == cut.n_blocks);
        int most = 0;
        for (int i = 0; i < cut.n_groups; ++i) most = std::max(most, cut.group_begin(i + 1) - cut.group_begin(i));
        CHECK(most == cut.group_blocks());
        CHECK(most >= 1);
        CHECK(most <= kMaxGroupBlocks);
        CHECK(cut.n_slices * cut.slice_steps >= n_steps);
        CHECK((cut.n_slices - 1) * cut.slice_steps < n_steps);
        CHECK((cut.n_slices == 1 || cut.slice_steps % kPassSteps == 0));
        const std::int64_t bytes = most * kMaxRowBlock * 64 * cut.slice_steps;
        CHECK(bytes <= kCache / 2);
        CHECK(cut.panel_tiles % 2 == 0);
        CHECK(cut.panel_tiles >= 2);
        CHECK(cut.panel_tiles <= kSlicedPanelTiles);
      }
    }
  }
}

TEST_CASE("512 rows of 2048 BF16 columns are two groups of 256 rows and one slice; 8192 columns are four slices") {
  const BlockCut narrow = cut_blocks(512, 64, kStepBytes, 1024, 2, kCache);
  CHECK(narrow.n_groups == 2);
  CHECK(narrow.n_slices == 1);
  CHECK(narrow.panel_sums() == 8 * 32 * 32);
  const BlockCut wide = cut_blocks(512, 256, kStepBytes, 128, 2, kCache);
  CHECK(wide.n_groups == 2);
  CHECK(wide.n_slices == 4);
  CHECK(wide.slice_steps == 64);
  CHECK(wide.panel_sums() == 16 * 8 * 32 * 32);
}

TEST_CASE("a cache that holds less than one block still gives a cut") {
  const BlockCut cut = cut_blocks(100, 64, kStepBytes, 8, 64, 4096);
  CHECK(cut.group_blocks() == 1);
  CHECK(cut.slice_steps == kPassSteps);
  CHECK(cut.panel_tiles == 2);
}

}  // namespace secondsource::cpu

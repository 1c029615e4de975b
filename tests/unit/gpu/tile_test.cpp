// The fragment tables of the shim say of every element of a tile who holds it, each exactly as often as the target
// does.

#include <array>

#include "gpu/shim/fragments.h"
#include "support/catch.h"

namespace secondsource::gpu::shim {
namespace {

TEST_CASE("every element of a tile has its holders in each target's tables") {
  for (const TileLayout layout : {TileLayout::shim_sm_80, TileLayout::shim_gfx90a, TileLayout::shim_gfx1100}) {
    const FragmentTable& table = fragment_table(layout);
    std::array<std::array<int, 16>, 16> a{};
    std::array<std::array<int, 16>, 16> b{};
    std::array<std::array<int, 16>, 16> c{};
    for (int lane = 0; lane < table.warp_size; ++lane) {
      for (int i = 0; i < table.n_inputs; ++i) {
        ++a.at(static_cast<std::size_t>(table.a_row.at(lane, i))).at(static_cast<std::size_t>(table.a_k.at(lane, i)));
        ++b.at(static_cast<std::size_t>(table.b_k.at(lane, i))).at(static_cast<std::size_t>(table.b_col.at(lane, i)));
      }
      for (int i = 0; i < table.n_accumulators; ++i) {
        ++c.at(static_cast<std::size_t>(table.c_row.at(lane, i))).at(static_cast<std::size_t>(table.c_col.at(lane, i)));
      }
    }
    CAPTURE(static_cast<int>(layout));
    // RDNA3's waves hold their inputs twice.
    const int n_inputs = layout == TileLayout::shim_gfx1100 ? 2 : 1;
    for (std::size_t row = 0; row < 16; ++row) {
      for (std::size_t col = 0; col < 16; ++col) {
        CHECK(a[row][col] == n_inputs);
        CHECK(b[row][col] == n_inputs);
        CHECK(c[row][col] == 1);
      }
    }
  }
}

}  // namespace
}  // namespace secondsource::gpu::shim

// The shim's fragment tables assign every element of a tile to lanes, exactly as often as the target holds it.

#include <array>
#include <utility>

#include "gpu/shim/fragments.h"
#include "support/catch.h"

namespace secondsource::gpu::shim {
namespace {

constexpr std::array<std::pair<TileLayout, bool>, 8> kTables = {{{TileLayout::shim_sm_80, false},
                                                                 {TileLayout::shim_gfx90a, false},
                                                                 {TileLayout::shim_gfx942, false},
                                                                 {TileLayout::shim_gfx1100, false},
                                                                 {TileLayout::shim_sm_80, true},
                                                                 {TileLayout::shim_gfx90a, true},
                                                                 {TileLayout::shim_gfx942, true},
                                                                 {TileLayout::shim_gfx1100, true}}};

TEST_CASE("every element of a tile has its holders in each target's tables") {
  for (const auto& [layout, is_int8] : kTables) {
    const FragmentTable& table = is_int8 ? int8_fragment_table(layout) : fragment_table(layout);
    std::array<std::array<int, 32>, 16> a{};
    std::array<std::array<int, 16>, 32> b{};
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
    CAPTURE(static_cast<int>(layout), is_int8);
    // RDNA3 holds each input element in two lanes.
    const int n_inputs = layout == TileLayout::shim_gfx1100 ? 2 : 1;
    for (std::size_t row = 0; row < 16; ++row) {
      for (std::size_t col = 0; col < 16; ++col) CHECK(c[row][col] == 1);
      for (std::size_t k = 0; k < 32; ++k) {
        CHECK(a[row][k] == (k < static_cast<std::size_t>(table.depth) ? n_inputs : 0));
        CHECK(b[k][row] == (k < static_cast<std::size_t>(table.depth) ? n_inputs : 0));
      }
    }
  }
}

}  // namespace
}  // namespace secondsource::gpu::shim

#pragma once
// What the kernels of a target do with tiles, asked on the shim: which element of a tile each lane loads, and where it
// stores its sums. fragment_probe.cpp is compiled once a target.

#include <cstdint>
#include <vector>

#include "gpu/portable/target.h"

namespace secondsource::gpu {

/// Row and column of an element: of A row and k, of B k and column, of C row and column.
struct Element {
  int row = 0, col = 0;
  bool operator==(const Element&) const = default;
};

/// The elements of a lane in the order of its registers.
using LaneElements = std::vector<std::vector<Element>>;

struct ProbedTile {
  LaneElements a, b;
  LaneElements b_transposed;  ///< empty for int8, which no kernel loads that way
  LaneElements c;
};

namespace shim_sm_80 {
ProbedTile probe_tile(bool is_int8);
}
namespace shim_gfx90a {
ProbedTile probe_tile(bool is_int8);
}
namespace shim_gfx942 {
ProbedTile probe_tile(bool is_int8);
}
namespace shim_gfx1100 {
ProbedTile probe_tile(bool is_int8);
}

}  // namespace secondsource::gpu

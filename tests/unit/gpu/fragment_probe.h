#pragma once
// Determines on the shim which element of a tile each lane loads and where it stores its sums, by running the portable code
// that the kernels use. fragment_probe.cpp is compiled once per target.

#include <cstdint>
#include <vector>

#include "gpu/portable/target.h"

namespace secondsource::gpu {

/// Coordinates of an element: row and k of A, k and column of B, row and column of C.
struct Element {
  int row = 0, col = 0;
  bool operator==(const Element&) const = default;
};

/// The elements of each lane, in the order of its registers.
using LaneElements = std::vector<std::vector<Element>>;

struct ProbedTile {
  LaneElements a, b;
  LaneElements b_transposed;  ///< empty for int8, which no kernel loads transposed
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

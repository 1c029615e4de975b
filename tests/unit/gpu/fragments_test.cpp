// Compares the shim's fragment tables and the kernels' arithmetic with the output of AMD's matrix instruction calculator
// and of NVIDIA's CUTLASS (fragments.txt, which states versions and commands).

#include "gpu/shim/fragments.h"

#include <array>
#include <fstream>
#include <map>
#include <sstream>

#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"
#include "unit/gpu/fragment_probe.h"

namespace secondsource::gpu {
namespace {

/// The tables of fragments.txt by the first three words of their title: "gfx90a bf16 A", "sm_80 ldmatrix x4".
std::map<std::string, LaneElements> read_tables() {
  std::ifstream file(SS_FRAGMENTS);
  REQUIRE(file);
  std::map<std::string, LaneElements> tables;
  LaneElements* table = nullptr;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    if (!line.starts_with(" ")) {
      std::string target, type, matrix;
      words >> target >> type >> matrix;
      table = &tables[target.append(" ").append(type).append(" ").append(matrix)];
      continue;
    }
    REQUIRE(table != nullptr);
    for (std::string word; words >> word;) {
      std::vector<Element> lane;
      for (std::size_t i = 0; i < word.size(); i += 2) {
        lane.push_back({std::stoi(word.substr(i, 1), nullptr, 32), std::stoi(word.substr(i + 1, 1), nullptr, 32)});
      }
      table->push_back(lane);
    }
  }
  return tables;
}

/// NVIDIA's instructions are 8 columns wide; a tile here is two of them side by side.
LaneElements two_of(const LaneElements& half) {
  LaneElements whole = half;
  for (auto& lane : whole) {
    const std::size_t n = lane.size();
    for (std::size_t i = 0; i < n; ++i) lane.push_back({lane[i].row, lane[i].col + 8});
  }
  return whole;
}

/// One matrix (A, B or C) of the shim's table.
LaneElements of_shim(const shim::FragmentTable& table, int n_values, const shim::Coordinate& row,
                     const shim::Coordinate& col) {
  LaneElements lanes;
  for (int lane = 0; lane < table.warp_size; ++lane) {
    lanes.emplace_back();
    for (int i = 0; i < n_values; ++i) lanes.back().push_back({row.at(lane, i), col.at(lane, i)});
  }
  return lanes;
}

struct FragmentTarget {
  const char* name;
  shim::TileLayout layout;
  ProbedTile (*probe)(bool is_int8);
};
constexpr std::array<FragmentTarget, 4> kFragmentTargets = {
    {{"sm_80", shim::TileLayout::shim_sm_80, shim_sm_80::probe_tile},
     {"gfx90a", shim::TileLayout::shim_gfx90a, shim_gfx90a::probe_tile},
     {"gfx942", shim::TileLayout::shim_gfx942, shim_gfx942::probe_tile},
     {"gfx1100", shim::TileLayout::shim_gfx1100, shim_gfx1100::probe_tile}}};

TEST_CASE("lanes hold what the vendors' own programs say, in the shim's tables and in the kernels' arithmetic") {
  const auto tables = read_tables();
  for (const FragmentTarget& target : kFragmentTargets) {
    for (const bool is_int8 : {false, true}) {
      const std::string name = std::string(target.name) + (is_int8 ? " int8 " : " bf16 ");
      CAPTURE(name);
      const LaneElements& a = tables.at(name + "A");
      const bool is_mma = target.layout == shim::TileLayout::shim_sm_80;
      const LaneElements b = is_mma ? two_of(tables.at(name + "B")) : tables.at(name + "B");
      const LaneElements c = is_mma ? two_of(tables.at(name + "C")) : tables.at(name + "C");

      const auto& shim = is_int8 ? shim::int8_fragment_table(target.layout) : shim::fragment_table(target.layout);
      CHECK((of_shim(shim, shim.n_inputs, shim.a_row, shim.a_k) == a));
      CHECK((of_shim(shim, shim.n_inputs, shim.b_k, shim.b_col) == b));
      CHECK((of_shim(shim, shim.n_accumulators, shim.c_row, shim.c_col) == c));

      const ProbedTile kernels = target.probe(is_int8);
      CHECK((kernels.a == a));
      CHECK((kernels.b == b));
      if (!is_int8) CHECK((kernels.b_transposed == b));
      CHECK((kernels.c == c));
    }
  }
}

struct MatrixArguments {
  bool transposed;
  std::uint16_t* values;  // [32 lanes, 8]
};

SS_KERNEL(32) exchange_kernel(MatrixArguments arguments) {
  wait_for_earlier_kernels();
  shim::MatrixRow row;
  for (int i = 0; i < 8; ++i) row.value[i] = static_cast<std::uint16_t>(lane() * 8 + i);
  const shim::MatrixRow taken = shim::exchange_matrices(row, arguments.transposed);
  for (int i = 0; i < 8; ++i) arguments.values[lane() * 8 + i] = taken.value[i];
}

TEST_CASE("ldmatrix hands out what CUTLASS says") {
  const auto tables = read_tables();
  const auto device = shim::make_shim_device({.target = "sm_80"});
  const auto stream = device->create_stream().value();
  auto* const values = static_cast<std::uint16_t*>(device->allocate(32 * 8 * sizeof(std::uint16_t)).value());
  for (const bool transposed : {false, true}) {
    REQUIRE_OK(launch(*stream, "exchange", exchange_kernel, {.grid = {}, .threads = 32, .shared_bytes = 0},
                      MatrixArguments{transposed, values}));
    REQUIRE_OK(stream->synchronize());
    const LaneElements& table = tables.at(transposed ? "sm_80 ldmatrix x4.trans" : "sm_80 ldmatrix x4");
    REQUIRE(table.size() == 32);
    for (std::size_t lane = 0; lane < 32; ++lane) {
      for (std::size_t i = 0; i < 8; ++i) {
        CAPTURE(transposed, lane, i);
        CHECK(values[lane * 8 + i] == table[lane].at(i).row * 8 + table[lane][i].col);
      }
    }
  }
  device->free(values);
}

}  // namespace
}  // namespace secondsource::gpu

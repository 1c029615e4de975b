#include "unit/gpu/fragment_probe.h"

#include <array>
#include <cstddef>

#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/shim/device.h"
#include "support/result.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kStride = 32;  // row stride of a tile in shared memory, for the deepest tile

#define SS_TEXT_OF(name) #name
#define SS_TEXT(name) SS_TEXT_OF(name)
const std::string kTargetName = std::string(SS_TEXT(SS_GPU_TARGET)).substr(sizeof "shim_" - 1);

/// What each lane loads from a tile whose elements hold their own row, or their own column.
struct Found {
  std::array<int, 16> a, b, b_transposed, c_row, c_col;
};

struct Arguments {
  bool of_rows;
  Found* lanes;
};

float plain(Bf16 value) {
  return to_float(value);
}
int plain(std::int8_t value) {
  return value;
}

template <typename Input>
SS_KERNEL(kWarpSize)
probe_kernel(Arguments arguments) {
  wait_for_earlier_kernels();
  auto& tile = shared_memory<std::array<Input, static_cast<std::size_t>(kStride * kStride)>>();
  for (int i = thread_x(); i < kStride * kStride; i += n_threads()) {
    const int value = arguments.of_rows ? i / kStride : i % kStride;
    if constexpr (std::is_same_v<Input, Bf16>) {
      tile[static_cast<std::size_t>(i)] = to_bf16(static_cast<float>(value));
    } else {
      tile[static_cast<std::size_t>(i)] = static_cast<Input>(value);
    }
  }
  sync_block();
  Found& found = arguments.lanes[lane()];
  const Fragment<Input> a = load_a(tile.data(), kStride);
  const Fragment<Input> b = load_b(tile.data(), kStride);
  for (int i = 0; i < kInputs<Input>; ++i) {
    found.a[static_cast<std::size_t>(i)] = static_cast<int>(plain(a.value[i]));
    found.b[static_cast<std::size_t>(i)] = static_cast<int>(plain(b.value[i]));
  }
  if constexpr (std::is_same_v<Input, Bf16>) {
    const Fragment<Input> transposed = load_b_transposed(tile.data(), kStride);
    for (int i = 0; i < kInputs<Input>; ++i) {
      found.b_transposed[static_cast<std::size_t>(i)] = static_cast<int>(plain(transposed.value[i]));
    }
  }
  for (int i = 0; i < kAccumulators; ++i) {
    found.c_row[static_cast<std::size_t>(i)] = accumulator_row(i);
    found.c_col[static_cast<std::size_t>(i)] = accumulator_col(i);
  }
}

template <typename Input>
ProbedTile probe() {
  const auto device = shim::make_shim_device({.target = kTargetName});
  const auto stream = device->create_stream().value();
  auto* const lanes = static_cast<Found*>(device->allocate(sizeof(Found) * kWarpSize).value());
  const LaunchShape shape{.grid = {}, .threads = kWarpSize, .shared_bytes = sizeof(Input) * kStride * kStride};
  std::array<std::vector<Found>, 2> passes;  // one with rows as values, one with columns
  for (const bool of_rows : {true, false}) {
    REQUIRE_OK(launch(*stream, "probe", probe_kernel<Input>, shape, Arguments{of_rows, lanes}));
    REQUIRE_OK(stream->synchronize());
    passes[of_rows ? 0 : 1].assign(lanes, lanes + kWarpSize);
  }
  device->free(lanes);

  ProbedTile tile;
  for (std::size_t lane = 0; lane < kWarpSize; ++lane) {
    const Found& rows = passes[0][lane];
    const Found& cols = passes[1][lane];
    for (auto* const part : {&tile.a, &tile.b, &tile.c}) part->emplace_back();
    if (std::is_same_v<Input, Bf16>) tile.b_transposed.emplace_back();
    for (std::size_t i = 0; i < static_cast<std::size_t>(kInputs<Input>); ++i) {
      tile.a[lane].push_back({rows.a[i], cols.a[i]});
      tile.b[lane].push_back({cols.b[i], rows.b[i]});  // the tile's rows are columns of B
      if (std::is_same_v<Input, Bf16>) tile.b_transposed[lane].push_back({rows.b_transposed[i], cols.b_transposed[i]});
    }
    for (std::size_t i = 0; i < kAccumulators; ++i) tile.c[lane].push_back({rows.c_row[i], rows.c_col[i]});
  }
  return tile;
}

}  // namespace

ProbedTile probe_tile(bool is_int8) {
  return is_int8 ? probe<std::int8_t>() : probe<Bf16>();
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu

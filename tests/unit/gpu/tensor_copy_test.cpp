// Tests tensor copies (TMA) for the blocks of a cluster on the shim as sm_90a: tiles arrive as the matrix with zeros around it, at the
// places that swizzled_offset() gives, and uses that PTX leaves undefined are detected.

#include "gpu/portable/tensor_copy.h"

#include <algorithm>
#include <vector>

#include "core/random.h"
#include "gpu/portable/cluster.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/warpgroup.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {
namespace {

constexpr int kThreads = 64;
constexpr int kBlocks = 2;
constexpr int kTileRows = 24;  ///< rows of one copy; each block makes one for itself and one for both
constexpr int kTileBytes = kTileRows * kTensorLineBytes;

struct Arguments {
  alignas(kTensorMapAlignment) TensorMap map;
  std::byte* out;  ///< [blocks, 1 + blocks, kTileBytes], lines in order
  int col;
  int row;
};

enum class Mistake {
  kNone,
  kNotInitialized,
  kInitializedTwice,
  kNotShown,
  kShownByOther,
  kDivergentBarrier,
  kNoBarrierFirst,
  kNoWait,
  kOtherParity,
  kTooManyBytes,
  kTooFewBytes,
  kOverwritten,
  kTwoToOnePlace,
  kMisplaced,
  kWrittenBefore,
  kNoMap,
  kNoBarrierLast,
  kThirdBlock,
};

struct Shared {
  alignas(kSwizzleAlignment) std::byte tile[1 + kBlocks][kTileBytes];
  ArrivalBarrier filled;
  ArrivalBarrier other;
};

/// Each block copies one tile for itself and one for both. The tiles begin kTileRows apart: tile 0 is only for block 0, tile 1 only for
/// block 1, and tiles 2 and 3 are those that the blocks copy for both.
template <Mistake kMistake>
SS_KERNEL(kThreads)
copy_kernel(SS_TENSOR_ARGUMENT Arguments args) {
  wait_for_earlier_kernels();
  auto& shared = shared_memory<Shared>();
  const int block = block_of_cluster();
  const auto row_of = [&](int tile) { return args.row + tile * kTileRows; };
  if (thread_x() == 0) {
    if (kMistake != Mistake::kNotInitialized) init_arrivals(shared.filled, 1);
    if (kMistake == Mistake::kInitializedTwice) init_arrivals(shared.filled, 1);
    init_arrivals(shared.other, kBlocks);
    if (kMistake != Mistake::kNotShown && kMistake != Mistake::kShownByOther) show_barriers_to_cluster();
  }
  if (kMistake == Mistake::kShownByOther && thread_x() == 1) show_barriers_to_cluster();
  if (kMistake == Mistake::kDivergentBarrier && lane() % 2 == 1) {
    sync_cluster();
  } else if (kMistake != Mistake::kNoBarrierFirst)
    sync_cluster();
  if (thread_x() == 0) {
    if (kMistake == Mistake::kWrittenBefore) store_chunk(shared.tile[0] + 16, Chunk{});
    if (kMistake == Mistake::kOverwritten) shared.filled.state = 0;
    const int n_bytes = (1 + kBlocks) * kTileBytes;
    arrive_expecting(shared.filled, kMistake == Mistake::kTooManyBytes  ? n_bytes + 16
                                    : kMistake == Mistake::kTooFewBytes ? n_bytes - kTileBytes
                                                                        : n_bytes);
    copy_tile(shared.tile[0] + (kMistake == Mistake::kMisplaced ? 128 : 0), args.map, args.col, row_of(block),
              shared.filled);
    if (kMistake == Mistake::kTwoToOnePlace)
      copy_tile(shared.tile[0], args.map, args.col, row_of(block), shared.filled);
    copy_tile_to_blocks(shared.tile[1 + block], args.map, args.col, row_of(2 + block), shared.filled,
                        kMistake == Mistake::kThirdBlock ? 7 : 3);
  }
  if (kMistake != Mistake::kNoWait) wait_for_phase(shared.filled, kMistake == Mistake::kOtherParity ? 1 : 0);
  for (int i = thread_x(); i < (1 + kBlocks) * kTileBytes / 16; i += kThreads) {
    const int line = i / 8 % kTileRows;
    const Chunk chunk = load_chunk(shared.tile[i / 8 / kTileRows] + swizzled_offset(line, i % 8));
    store_chunk(args.out + block * (1 + kBlocks) * kTileBytes + i * 16, chunk);
  }
  if (kMistake == Mistake::kNoBarrierLast) {
    if (thread_x() == 0) arrive_at(shared.other, 1 - block);
    return;
  }
  if (thread_x() == 0) {
    for (int to = 0; to < kBlocks; ++to) arrive_at(shared.other, to);
  }
  wait_for_phase(shared.other, 0);
  sync_cluster();
}

struct Matrix {
  int n_rows = 200;
  int n_cols = 200;
  int value_bytes = 2;
  int row_bytes = 416;
};

struct Outcome {
  std::vector<int> found;  ///< bytes
  std::vector<int> expected;
};

template <Mistake kMistake>
Result<Outcome> run(const Matrix& matrix, int col, int row, shim::ThreadOrder order, std::uint64_t seed = 1) {
  const auto device = shim::make_shim_device({.target = "sm_90a", .order = order, .seed = seed});
  const auto stream = device->create_stream().value();
  const auto n_bytes = static_cast<std::size_t>(matrix.n_rows) * static_cast<std::size_t>(matrix.row_bytes);
  auto* const values = static_cast<std::byte*>(device->allocate(n_bytes).value());
  for (std::size_t i = 0; i < n_bytes; ++i) values[i] = static_cast<std::byte>(random_bits(5, i) % 200);
  constexpr std::size_t kOutBytes = std::size_t{kBlocks} * (1 + kBlocks) * kTileBytes;
  Arguments arguments{
      .map = {}, .out = static_cast<std::byte*>(device->allocate(kOutBytes).value()), .col = col, .row = row};
  if (kMistake != Mistake::kNoMap) {
    SS_TRY(arguments.map, device->tensor_map({.values = values,
                                              .value_bytes = matrix.value_bytes,
                                              .n_rows = matrix.n_rows,
                                              .n_cols = matrix.n_cols,
                                              .row_bytes = matrix.row_bytes,
                                              .tile_rows = kTileRows}));
  }
  SS_TRY_VOID(
      launch(*stream, "copy", copy_kernel<kMistake>,
             {.grid = {.x = kBlocks}, .threads = kThreads, .shared_bytes = sizeof(Shared), .cluster_blocks = kBlocks},
             arguments));
  SS_TRY_VOID(stream->synchronize());
  Outcome outcome;
  for (int block = 0; block < kBlocks; ++block) {
    for (const int tile : {block, 2, 3}) {
      for (int i = 0; i < kTileBytes; ++i) {
        const int from_row = row + tile * kTileRows + i / kTensorLineBytes;
        const int from_byte = col * matrix.value_bytes + i % kTensorLineBytes;
        const bool is_inside = from_row >= 0 && from_row < matrix.n_rows && from_byte >= 0 &&
                               from_byte < matrix.n_cols * matrix.value_bytes;
        outcome.expected.push_back(
            is_inside ? static_cast<int>(values[std::ptrdiff_t{from_row} * matrix.row_bytes + from_byte]) : 0);
      }
    }
  }
  for (std::size_t i = 0; i < kOutBytes; ++i) outcome.found.push_back(static_cast<int>(arguments.out[i]));
  return outcome;
}

constexpr shim::ThreadOrder kOrders[] = {shim::ThreadOrder::kForward, shim::ThreadOrder::kReverse,
                                         shim::ThreadOrder::kSeeded};

TEST_CASE("tiles come with zeros from outside of the matrix, to one block of a cluster or to both") {
  for (const shim::ThreadOrder order : kOrders) {
    for (const Matrix& matrix :
         {Matrix{}, Matrix{.n_rows = 90, .n_cols = 97}, Matrix{.n_cols = 411, .value_bytes = 1}}) {
      for (const auto& [col, row] : {std::pair{0, 0}, {64, 8}, {160, 100}, {384, 150}, {-8, -30}}) {
        CAPTURE(static_cast<int>(order), matrix.n_cols, col, row);
        const auto outcome = run<Mistake::kNone>(matrix, col, row, order);
        REQUIRE_OK(outcome);
        CHECK(outcome->found == outcome->expected);
      }
    }
  }
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto outcome = run<Mistake::kNone>({}, 0, 0, shim::ThreadOrder::kSeeded, seed);
    REQUIRE_OK(outcome);
    CHECK(outcome->found == outcome->expected);
  }
}

template <Mistake kMistake>
void check_error(const std::string& expected) {
  for (const shim::ThreadOrder order : kOrders) {
    CAPTURE(static_cast<int>(order));
    CHECK_ERROR(run<kMistake>({}, 0, 0, order), ErrorCode::kDeviceLost, expected);
  }
}

/// True if the mistake causes an error with this text in at least one thread order.
template <Mistake kMistake>
bool is_found_in_some_order(const std::string& expected) {
  return std::ranges::any_of(kOrders, [&](shim::ThreadOrder order) {
    const auto outcome = run<kMistake>({}, 0, 0, order);
    return !outcome && outcome.error().message.find(expected) != std::string::npos;
  });
}

TEST_CASE("barriers that are not there, not shown, or overwritten are found") {
  check_error<Mistake::kNotInitialized>("nobody has initialized a barrier at byte 9216");
  check_error<Mistake::kInitializedTwice>("initialized a second time");
  check_error<Mistake::kNotShown>("was not shown to");
  check_error<Mistake::kShownByOther>("was not shown to");
  check_error<Mistake::kOverwritten>("the barrier at byte 9216 was overwritten");
  CHECK(is_found_in_some_order<Mistake::kNoBarrierFirst>("nobody has initialized"));
}

TEST_CASE("tiles that are not waited for are found") {
  for (const shim::ThreadOrder order : kOrders) {
    const auto unwaited = run<Mistake::kNoWait>({}, 0, 0, order);
    CHECK((!unwaited || unwaited->found != unwaited->expected));
    const auto of_last_phase = run<Mistake::kOtherParity>({}, 0, 0, order);
    CHECK((!of_last_phase || of_last_phase->found != of_last_phase->expected));
    const auto too_early = run<Mistake::kTooFewBytes>({}, 0, 0, order);
    CHECK((!too_early || too_early->found != too_early->expected));
  }
  check_error<Mistake::kTooManyBytes>("for arrivals that never come: 1 of 1 arrivals, 16 bytes missing");
}

TEST_CASE(
    "copies to a place where another is under way, that is no tile's, or that was written just before are found") {
  check_error<Mistake::kTwoToOnePlace>("two copies at the same time to byte 0");
  check_error<Mistake::kMisplaced>("a tile at byte 128, no multiple of 1024");
  check_error<Mistake::kWrittenBefore>("a copy to byte 0 of shared memory, which was written and not shown to copies");
  check_error<Mistake::kNoMap>("without a map");
}

TEST_CASE("lanes of a warp that come to the barrier of a cluster at different places are found") {
  check_error<Mistake::kDivergentBarrier>(
      "divergent warp: its lanes come to the barrier of a cluster at tensor_copy_test.cpp:");
}

TEST_CASE("a block that is reached after its end, or is not there, is found") {
  check_error<Mistake::kNoBarrierLast>("of its cluster, which has ended or is not there");
  check_error<Mistake::kThirdBlock>("it reaches block 2 of its cluster, which has ended or is not there");
}

TEST_CASE("matrices that the driver refuses are refused, and devices without such copies say so") {
  const auto device = shim::make_shim_device({.target = "sm_90a"});
  alignas(16) static const std::byte values[1024] = {};
  const TiledMatrix good{
      .values = values, .value_bytes = 2, .n_rows = 4, .n_cols = 64, .row_bytes = 128, .tile_rows = 64};
  REQUIRE_OK(device->tensor_map(good));
  const auto refused = [&](const auto& change, const std::string& expected) {
    TiledMatrix matrix = good;
    change(matrix);
    CHECK_ERROR(device->tensor_map(matrix), ErrorCode::kInternal, expected);
  };
  refused([](TiledMatrix& m) { m.values = values + 8; }, "values at");
  refused([](TiledMatrix& m) { m.value_bytes = 4; }, "values of bytes 4");
  refused([](TiledMatrix& m) { m.n_rows = 0; }, "rows 0");
  refused([](TiledMatrix& m) { m.n_cols = 0; }, "columns 0");
  refused([](TiledMatrix& m) { m.row_bytes = 136; }, "rows of bytes 136");
  refused([](TiledMatrix& m) { m.row_bytes = 112; }, "rows of bytes 112");
  refused([](TiledMatrix& m) { m.tile_rows = 257; }, "tiles of rows 257");
  const auto older = shim::make_shim_device({.target = "sm_80"});
  CHECK_ERROR(older->tensor_map(good), ErrorCode::kUnavailable, "copies no tiles of matrices by itself");
}

TEST_CASE("clusters that no device can run are refused") {
  const auto device = shim::make_shim_device({.target = "sm_90a"});
  const auto stream = device->create_stream().value();
  const auto launched = [&](std::uint32_t n_blocks, std::uint32_t cluster_blocks) {
    (void)launch(*stream, "copy", copy_kernel<Mistake::kNone>,
                 {.grid = {.x = n_blocks},
                  .threads = kThreads,
                  .shared_bytes = sizeof(Shared),
                  .cluster_blocks = cluster_blocks},
                 Arguments{});
    return stream->synchronize();
  };
  CHECK_ERROR(launched(3, 2), ErrorCode::kDeviceLost, "a cluster of 2 blocks, of 3 along x");
}

}  // namespace
}  // namespace secondsource::gpu

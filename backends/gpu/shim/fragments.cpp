#include "gpu/shim/fragments.h"

#include <array>
#include <utility>

namespace secondsource::gpu::shim {
namespace {

constexpr std::array<std::uint8_t, 16> kZero{};

// NVIDIA: PTX ISA 8.0, 9.7.13.4.8 "Matrix Fragments for mma.m16n8k16 with floating point type", figures of A, B and C/D
// for .bf16. groupID = laneid >> 2 is a lane's row of A and C and its column of B; threadID_in_group = laneid % 4 times
// two is its k of A and B and its column of C. Two such operations side by side make 16 columns.
constexpr std::array<std::uint8_t, 32> kGroup = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3,
                                                 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7};
constexpr std::array<std::uint8_t, 32> kPairInGroup = {0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6,
                                                       0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6};
constexpr std::array<std::uint8_t, 8> kMmaARow = {0, 0, 8, 8, 0, 0, 8, 8};  // a0 .. a7
constexpr std::array<std::uint8_t, 8> kMmaAK = {0, 1, 0, 1, 8, 9, 8, 9};
constexpr std::array<std::uint8_t, 8> kMmaBK = {0, 1, 8, 9, 0, 1, 8, 9};  // b0 .. b3 of columns 0-7, then of 8-15
constexpr std::array<std::uint8_t, 8> kMmaBCol = {0, 0, 0, 0, 8, 8, 8, 8};
constexpr std::array<std::uint8_t, 8> kMmaCRow = {0, 0, 8, 8, 0, 0, 8, 8};  // c0 .. c3 of columns 0-7, then of 8-15
constexpr std::array<std::uint8_t, 8> kMmaCCol = {0, 1, 0, 1, 8, 9, 8, 9};

// AMD CDNA: "AMD Instinct MI200 Instruction Set Architecture", 2.4.3, V_MFMA_F32_16X16X16_BF16_1K, as AMD's matrix
// instruction calculator prints it: A[i][k] is in lane i + 16 * (k / 4), value k % 4; B[k][j] in lane j + 16 * (k / 4),
// value k % 4; D[i][j] in lane j + 16 * (i / 4), value i % 4.
constexpr std::array<std::uint8_t, 64> kMod16 = {
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr std::array<std::uint8_t, 64> kQuarterBy4 = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12};

// AMD RDNA3: "RDNA3 Instruction Set Architecture", 7.9, V_WMMA_F32_16X16X16_BF16 with waves of 32: lane i and lane
// i + 16 both hold row i of A and column i of B, value k in half k; value r of C in lanes 0-15 is row 2 r, in lanes
// 16-31 row 2 r + 1, and the column is the lane modulo 16.
constexpr std::array<std::uint8_t, 32> kHalf = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
constexpr std::array<std::uint8_t, 64> kNoLane{};
constexpr std::array<std::uint8_t, 16> kCount = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr std::array<std::uint8_t, 8> kEven = {0, 2, 4, 6, 8, 10, 12, 14};

constexpr FragmentTable kMma{.warp_size = 32,
                             .depth = 16,
                             .n_inputs = 8,
                             .n_accumulators = 8,
                             .a_row = {kGroup, kMmaARow},
                             .a_k = {kPairInGroup, kMmaAK},
                             .b_k = {kPairInGroup, kMmaBK},
                             .b_col = {kGroup, kMmaBCol},
                             .c_row = {kGroup, kMmaCRow},
                             .c_col = {kPairInGroup, kMmaCCol}};
constexpr FragmentTable kMfma{.warp_size = 64,
                              .depth = 16,
                              .n_inputs = 4,
                              .n_accumulators = 4,
                              .a_row = {kMod16, kZero},
                              .a_k = {kQuarterBy4, kCount},
                              .b_k = {kQuarterBy4, kCount},
                              .b_col = {kMod16, kZero},
                              .c_row = {kQuarterBy4, kCount},
                              .c_col = {kMod16, kZero}};
constexpr FragmentTable kWmma{.warp_size = 32,
                              .depth = 16,
                              .n_inputs = 16,
                              .n_accumulators = 8,
                              .a_row = {kMod16, kZero},
                              .a_k = {kNoLane, kCount},
                              .b_k = {kNoLane, kCount},
                              .b_col = {kMod16, kZero},
                              .c_row = {kHalf, kEven},
                              .c_col = {kMod16, kZero}};

// int8. NVIDIA: the same chapter, "Matrix Fragments for mma.m16n8k32", figures for .s8: a0 .. a3 are row groupID,
// columns threadID_in_group * 4 + 0 .. 3; a4 .. a7 row groupID + 8; a8 .. a15 the same two rows, columns 16 higher. b0
// .. b3 are rows threadID_in_group * 4 + 0 .. 3, b4 .. b7 rows 16 higher, both column groupID.
constexpr std::array<std::uint8_t, 32> kQuadInGroup = {0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12,
                                                       0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12};
constexpr std::array<std::uint8_t, 16> kMma8ARow = {0, 0, 0, 0, 8, 8, 8, 8, 0, 0, 0, 0, 8, 8, 8, 8};
constexpr std::array<std::uint8_t, 16> kMma8AK = {0, 1, 2, 3, 0, 1, 2, 3, 16, 17, 18, 19, 16, 17, 18, 19};
constexpr std::array<std::uint8_t, 16> kMma8BK = {0, 1, 2, 3, 16, 17, 18, 19, 0, 1, 2, 3, 16, 17, 18, 19};
constexpr std::array<std::uint8_t, 16> kMma8BCol = {0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8};
// AMD CDNA3: V_MFMA_I32_16X16X32_I8: A[i][k] is in lane i + 16 * (k / 8), byte k % 8; B alike. CDNA2's 16X16X16I8 has
// four bytes a lane, spread as the BF16 of the instruction above; RDNA3's V_WMMA_I32_16X16X16_IU8 byte k in place k.
constexpr std::array<std::uint8_t, 64> kQuarterBy8 = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                                      8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
                                                      16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
                                                      24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24};
constexpr FragmentTable kMma8{.warp_size = 32,
                              .depth = 32,
                              .n_inputs = 16,
                              .n_accumulators = 8,
                              .a_row = {kGroup, kMma8ARow},
                              .a_k = {kQuadInGroup, kMma8AK},
                              .b_k = {kQuadInGroup, kMma8BK},
                              .b_col = {kGroup, kMma8BCol},
                              .c_row = {kGroup, kMmaCRow},
                              .c_col = {kPairInGroup, kMmaCCol}};
constexpr FragmentTable kDeepMfma8{.warp_size = 64,
                                   .depth = 32,
                                   .n_inputs = 8,
                                   .n_accumulators = 4,
                                   .a_row = {kMod16, kZero},
                                   .a_k = {kQuarterBy8, kCount},
                                   .b_k = {kQuarterBy8, kCount},
                                   .b_col = {kMod16, kZero},
                                   .c_row = {kQuarterBy4, kCount},
                                   .c_col = {kMod16, kZero}};

constexpr int kTile = 16;
constexpr int kMaxDepth = 32;

template <typename Input, typename Sum>
struct LaneShare {
  Sum* c;
  const Input* a;
  const Input* b;
};

float exact(Bf16 value) {
  return to_float(value);
}
std::int32_t exact(std::int8_t value) {
  return value;
}

/// One multiplication for the whole warp, in the order of k, with sums in f32 or, exactly, in int32.
template <typename Input, typename Sum>
void multiply_lanes(const FragmentTable& table, void* const* lanes) {
  std::array<std::array<Sum, kMaxDepth>, kTile> a{};  // [row][k]
  std::array<std::array<Sum, kTile>, kMaxDepth> b{};  // [k][col]
  std::array<std::array<Sum, kTile>, kTile> sum{};
  for (int lane = 0; lane < table.warp_size; ++lane) {
    const auto& share = *static_cast<const LaneShare<Input, Sum>*>(lanes[lane]);
    for (int i = 0; i < table.n_inputs; ++i) {
      a[table.a_row.at(lane, i)][table.a_k.at(lane, i)] = exact(share.a[i]);
      b[table.b_k.at(lane, i)][table.b_col.at(lane, i)] = exact(share.b[i]);
    }
    for (int i = 0; i < table.n_accumulators; ++i) {
      sum[table.c_row.at(lane, i)][table.c_col.at(lane, i)] = share.c[i];
    }
  }
  for (std::size_t row = 0; row < kTile; ++row) {
    for (std::size_t k = 0; k < static_cast<std::size_t>(table.depth); ++k) {
      for (std::size_t col = 0; col < kTile; ++col) sum[row][col] += a[row][k] * b[k][col];
    }
  }
  for (int lane = 0; lane < table.warp_size; ++lane) {
    const auto& share = *static_cast<const LaneShare<Input, Sum>*>(lanes[lane]);
    for (int i = 0; i < table.n_accumulators; ++i) {
      share.c[i] = sum[table.c_row.at(lane, i)][table.c_col.at(lane, i)];
    }
  }
}

}  // namespace

MatrixRow exchange_matrices(const MatrixRow& row, bool transposed) {
  struct Exchange {
    MatrixRow given;
    MatrixRow taken;
  };
  Exchange exchange{row, {}};
  meet_warp(
      32, &exchange,
      [](void* const* lanes, int, int mirrored) {
        // PTX ISA 8.0, 9.7.13.4.15 "ldmatrix": thread 4 r + c holds row r, columns 2 c and 2 c + 1, of each matrix.
        for (std::size_t thread = 0; thread < 32; ++thread) {
          for (std::size_t i = 0; i < 8; ++i) {
            std::size_t matrix_row = thread / 4;
            std::size_t column = 2 * (thread % 4) + i % 2;
            if (mirrored != 0) std::swap(matrix_row, column);
            const auto* const from = static_cast<const Exchange*>(lanes[8 * (i / 2) + matrix_row]);
            static_cast<Exchange*>(lanes[thread])->taken.value[i] = from->given.value[column];
          }
        }
      },
      transposed ? 1 : 0);
  return exchange.taken;
}

const FragmentTable& fragment_table(TileLayout layout) {
  switch (layout) {
    case TileLayout::shim_sm_80:
    case TileLayout::shim_sm_90a:
      return kMma;
    case TileLayout::shim_gfx90a:
    case TileLayout::shim_gfx942:
      return kMfma;
    case TileLayout::shim_gfx1100:
      return kWmma;
  }
  return kMma;
}

const FragmentTable& int8_fragment_table(TileLayout layout) {
  switch (layout) {
    case TileLayout::shim_sm_80:
    case TileLayout::shim_sm_90a:
      return kMma8;
    case TileLayout::shim_gfx942:
      return kDeepMfma8;
    case TileLayout::shim_gfx90a:
    case TileLayout::shim_gfx1100:
      break;
  }
  return fragment_table(layout);
}

void multiply_tile(TileLayout layout, float* c, const Bf16* a, const Bf16* b) {
  LaneShare<Bf16, float> share{c, a, b};
  meet_warp(
      fragment_table(layout).warp_size, &share,
      [](void* const* lanes, int, int which) {
        multiply_lanes<Bf16, float>(fragment_table(static_cast<TileLayout>(which)), lanes);
      },
      static_cast<int>(layout));
}

void multiply_tile(TileLayout layout, std::int32_t* c, const std::int8_t* a, const std::int8_t* b) {
  LaneShare<std::int8_t, std::int32_t> share{c, a, b};
  meet_warp(
      fragment_table(layout).warp_size, &share,
      [](void* const* lanes, int, int which) {
        multiply_lanes<std::int8_t, std::int32_t>(int8_fragment_table(static_cast<TileLayout>(which)), lanes);
      },
      static_cast<int>(layout));
}

}  // namespace secondsource::gpu::shim

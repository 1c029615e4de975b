// AMX tiles (BF16, INT8) above AVX-512: Sapphire Rapids and later.

#define SS_CPU_ISA amx
#define SS_CPU_SIMD_AVX512

#include "cpu/kernels/attention_amx-inl.h"
#include "cpu/kernels/matmul_amx-inl.h"
#include "cpu/kernels/matmul_amx_blocks-inl.h"
#include "cpu/kernels/matmul_bf16_dot-inl.h"
#include "cpu/kernels/matmul_vnni-inl.h"

namespace secondsource::cpu {
namespace amx {

/// The AMX instructions. The register numbers are part of the instruction, and GCC's intrinsics accept literals only.
struct Tiles {
  static void configure(const TileConfig& config) { _tile_loadconfig(&config); }
  static void release() { _tile_release(); }
  static void fence_stores() { _mm_sfence(); }
  template <int kTile>
  static void zero() {
    static_assert(kTile <= kSum11);
    if constexpr (kTile == 0) _tile_zero(0);
    if constexpr (kTile == 1) _tile_zero(1);
    if constexpr (kTile == 2) _tile_zero(2);
    if constexpr (kTile == 3) _tile_zero(3);
  }
  template <int kTile>
  static void load(const std::byte* from) {
    static_assert(kTile >= kRows0 && kTile <= kWeights1);
    if constexpr (kTile == 4) _tile_loadd(4, from, kLineBytes);
    if constexpr (kTile == 5) _tile_loadd(5, from, kLineBytes);
    if constexpr (kTile == 6) _tile_loadd(6, from, kLineBytes);
    if constexpr (kTile == 7) _tile_loadd(7, from, kLineBytes);
  }
  /// By the load that leaves the first-level cache as it is.
  template <int kTile>
  static void stream_load(const std::byte* from) {
    static_assert(kTile == kRows0 || kTile == kRows1);
    if constexpr (kTile == 4) _tile_stream_loadd(4, from, kLineBytes);
    if constexpr (kTile == 5) _tile_stream_loadd(5, from, kLineBytes);
  }
  template <int kTile>
  static void load_sum(const float* from, std::int64_t stride_bytes) {
    static_assert(kTile <= kSum11);
    if constexpr (kTile == 0) _tile_loadd(0, from, stride_bytes);
    if constexpr (kTile == 1) _tile_loadd(1, from, stride_bytes);
    if constexpr (kTile == 2) _tile_loadd(2, from, stride_bytes);
    if constexpr (kTile == 3) _tile_loadd(3, from, stride_bytes);
  }
  template <int kTile>
  static void store_sum(float* to, std::int64_t stride_bytes) {
    static_assert(kTile <= kSum11);
    if constexpr (kTile == 0) _tile_stored(0, to, stride_bytes);
    if constexpr (kTile == 1) _tile_stored(1, to, stride_bytes);
    if constexpr (kTile == 2) _tile_stored(2, to, stride_bytes);
    if constexpr (kTile == 3) _tile_stored(3, to, stride_bytes);
  }
  template <int kTile>
  static void store(std::byte* to) {
    static_assert(kTile <= kSum11);
    if constexpr (kTile == 0) _tile_stored(0, to, kLineBytes);
    if constexpr (kTile == 1) _tile_stored(1, to, kLineBytes);
    if constexpr (kTile == 2) _tile_stored(2, to, kLineBytes);
    if constexpr (kTile == 3) _tile_stored(3, to, kLineBytes);
  }
  template <int kSum, int kLeft, int kRight>
  static void dot_bf16() {
    check<kSum, kLeft, kRight>();
    if constexpr (kSum == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (kSum == 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (kSum == 2) _tile_dpbf16ps(2, 5, 6);
    if constexpr (kSum == 3) _tile_dpbf16ps(3, 5, 7);
  }
  template <int kSum, int kLeft, int kRight>
  static void dot_u8_i8() {
    check<kSum, kLeft, kRight>();
    if constexpr (kSum == 0) _tile_dpbusd(0, 4, 6);
    if constexpr (kSum == 1) _tile_dpbusd(1, 4, 7);
    if constexpr (kSum == 2) _tile_dpbusd(2, 5, 6);
    if constexpr (kSum == 3) _tile_dpbusd(3, 5, 7);
  }

 private:
  /// Each sum has fixed operand registers, which the products above use.
  template <int kSum, int kLeft, int kRight>
  static void check() {
    static_assert(kSum <= kSum11);
    static_assert(kLeft == (kSum < kSum10 ? kRows0 : kRows1));
    static_assert(kRight == (kSum % 2 == 0 ? kWeights0 : kWeights1));
  }
};

inline constexpr int kUnpackFromAmxRows = 9;

inline constexpr BlockKernel kBf16Blocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxBf16>, nullptr,
                                            release_blocks<Tiles>};
inline constexpr BlockKernel kU8Blocks = {configure_blocks<Tiles>, multiply_blocks<Tiles, AmxU8>, convert_sums<DotU8>,
                                          release_blocks<Tiles>};

/// The instructions as attention uses them: any registers, and rows that are not adjacent. Assembly instead of intrinsics,
/// because GCC's take the numbers of registers as literals only and do not tell the compiler that a load reads memory,
/// which here was written just before.
struct AttentionTiles {
  static void configure(const TileConfig& config) { _tile_loadconfig(&config); }
  static void release() { _tile_release(); }
  template <int kTile>
  static void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  static void load(const void* from, std::int64_t row_bytes) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(row_bytes), "i"(kTile) : "memory");
  }
  template <int kTile>
  static void store(void* to, std::int64_t row_bytes) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(row_bytes), "i"(kTile) : "memory");
  }
  template <int kSum, int kLeftTile, int kRightTile>
  static void dot_bf16() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeftTile), "i"(kRightTile));
  }
};

inline void use_attention_tiles(KernelTable& table) {
  table.attend_many_bf16 = {.act = ActType::kBf16,
                            .vec = kOperandDepth,
                            .max_rows = kTileLines,
                            .attend = attend_amx<AttentionTiles, Bf16Cache>,
                            .name = table.attend_bf16.name,
                            .from_rows = 7,
                            .row_multiple = kTileLines,
                            .operand_bytes = attention_operand_bytes};
  table.attend_many_int8 = table.attend_many_bf16;
  table.attend_many_int8.attend = attend_amx<AttentionTiles, Int8Cache<int8_tile_to_bf16>>;
  table.attend_many_int8.name = table.attend_int8.name;
  table.attend_many_int8.from_rows = 8;
}

inline KernelTable table_over(const KernelTable& base) {
  KernelTable table = base;
  table.isa = "amx";
  table.products[int(Product::kBf16)] = {
      ActType::kBf16, 32, 2, kAmxRows, multiply_amx<Tiles, AmxBf16, DotBf16>, "matmul_bf16_bf16_f32acc", "",
      &kBf16Blocks};
  table.products[int(Product::kInt8Quantized)] = {
      ActType::kU8, 64, 4, kAmxRows, multiply_amx<Tiles, AmxU8, DotU8>, "matmul_int8_int8_i32acc", "", &kU8Blocks};
  // Tiles multiply BF16 so much faster than vdpbf16ps that unpacking int4 for many rows pays, too.
  table.unpack[int(Product::kInt4)] = {Product::kBf16, int4_tile_to_bf16, kUnpackFromAmxRows};
  table.unpack[int(Product::kInt8)] = {Product::kBf16, int8_tile_to_bf16, kUnpackFromAmxRows};
  table.unpack[int(Product::kInt8Group)] = {Product::kBf16, int8_group_tile_to_bf16, kUnpackFromAmxRows};
  use_attention_tiles(table);
  return table;
}

}  // namespace amx

const KernelTable& kernels_amx() {
  static const KernelTable table = amx::table_over(kernels_avx512_bf16());
  return table;
}

}  // namespace secondsource::cpu

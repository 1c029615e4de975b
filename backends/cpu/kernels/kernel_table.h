#pragma once
// The arithmetic of the cpu backend as plain functions over packed memory: one table of functions per instruction set,
// chosen once at create(). This header and everything else under kernels/ is compiled several times with different
// flags. It therefore uses no templates and no inline functions of the standard library: of several copies of such a
// function the linker keeps one, which might be the one that needs AVX-512.
//
// Vocabulary. A tile is 16 rows of a weight matrix, packed so that the 16 values of one column (or of 2 or 4 adjacent columns) are
// adjacent: one load of a vector register is one step of 16 dot products. A vec is the run of adjacent columns of one row of activations
// (1, 2, 4 or 8; 32 or 64 for AMX and for activations in groups). Activations are packed in row blocks of at most `max_rows` rows as
// [step][row][vec], so that a kernel reads both operands as one forward stream.

#include <cstddef>
#include <cstdint>

namespace secondsource::cpu {

inline constexpr int kTileRows = 16;
/// The most rows of activations that any kernel multiplies at once.
inline constexpr int kMaxRowBlock = 32;
/// Columns that share a scale in tiles of int8-g32 and int4, and the bytes of one such group: 16 rows x 32 values, then
/// 16 FP16 scales.
inline constexpr int kGroupColumns = 32;
inline constexpr int kInt8GroupBytes = 16 * kGroupColumns + 16 * 2;
inline constexpr int kInt4GroupBytes = 16 * kGroupColumns / 2 + 16 * 2;
/// Bytes of a group of int4 with zero points: the group of int4, then 16 zero points in int8.
inline constexpr int kInt4ZeroGroupBytes = kInt4GroupBytes + 16;
/// Bytes of a group of mxfp4: nibbles as in int4, then 16 scales in E8M0.
inline constexpr int kMxfp4GroupBytes = 16 * kGroupColumns / 2 + 16;
/// Columns of a block of q4_k, q5_k and q6_k, and its groups of 32 columns, each of which begins with nibbles as in int4.
/// - In q4_k, 16 scales and 16 minima in int8 follow in each group. After the eighth group come 16 FP16 units of scales and 16 of minima.
/// - q5_k is the same, but before its scales a group has the fifth bits of its codes, in one lane of 32 bits for each row. The fifth bit of
/// a column is in the same byte of this lane as its nibble is in the lane of its vector v (0 to 3): in bit 2 v of the byte for a low
/// nibble, and in bit 2 v + 1 for a high one. One shift therefore puts the fifth bits of four columns above their nibbles.
/// - In q6_k a group has the upper two bits of its codes in the same way, in one lane for its first two vectors and in another for the
/// other two. In these lanes v is 0 or 1, and the bits are 4 v and 4 v + 1 for a low nibble, and 4 v + 2 and 4 v + 3 for a high one. Then
/// follow 16 int8 scales of the first 16 columns and 16 of the others. After the eighth group come 16 FP16 units. The codes of q6_k are
/// stored plus 32.
inline constexpr int kBlockColumns = 256;
inline constexpr int kBlockGroups = kBlockColumns / kGroupColumns;
inline constexpr int kQ4KGroupBytes = 16 * kGroupColumns / 2 + 2 * 16;
inline constexpr int kQ4KBlockBytes = kBlockGroups * kQ4KGroupBytes + 2 * 16 * 2;
inline constexpr int kQ5KGroupBytes = 16 * kGroupColumns * 5 / 8 + 2 * 16;
inline constexpr int kQ5KBlockBytes = kBlockGroups * kQ5KGroupBytes + 2 * 16 * 2;
inline constexpr int kQ6KGroupBytes = 16 * kGroupColumns * 6 / 8 + 2 * 16;
inline constexpr int kQ6KBlockBytes = kBlockGroups * kQ6KGroupBytes + 16 * 2;
/// The other blocks of GGUF with 32 columns (q4_1, q5_0, q5_1, iq4_nl) are one group: nibbles as in int4 (in iq4_nl, indices in
/// kFourBitCurve), in q5_0 and q5_1 fifth bits as in q5_k, 16 FP16 scales, and in q4_1 and q5_1 16 FP16 minima, which are subtracted. The
/// codes of q5_0 are stored plus 16.
inline constexpr int kQ41GroupBytes = 16 * kGroupColumns * 4 / 8 + 2 * 16 * 2;
inline constexpr int kQ50GroupBytes = 16 * kGroupColumns * 5 / 8 + 16 * 2;
inline constexpr int kQ51GroupBytes = 16 * kGroupColumns * 5 / 8 + 2 * 16 * 2;
inline constexpr int kIq4NlGroupBytes = 16 * kGroupColumns * 4 / 8 + 16 * 2;
/// kFourBitCurve plus 128.
inline constexpr std::uint8_t kCurvePlus128[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                   129, 141, 153, 166, 181, 197, 217, 241};
/// Twice the E2M1 numbers, plus 12.
inline constexpr std::uint8_t kDoubledE2m1Plus12[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/// A group of iq4_xs has nibbles as in iq4_nl and 16 int8 scales. After the eighth group come 16 FP16 units.
inline constexpr int kIq4XsGroupBytes = 16 * kGroupColumns * 4 / 8 + 16;
inline constexpr int kIq4XsBlockBytes = kBlockGroups * kIq4XsGroupBytes + 16 * 2;
/// A block of q2_k or q3_k is four quads of four parts of 16 columns. A vector has the lower two bits of the codes of a part. Columns 8 h
/// to 8 h + 7 of the part (h is 0 or 1) have theirs in those bytes of the lane of their row in which nibbles of eight columns would be:
/// from bit 4 h on in the place of a low nibble, and from bit 4 h + 2 on in that of a high one. In q3_k two vectors with the third bits
/// follow, for parts 0 and 1 and for parts 2 and 3 of the quad; those of part p are in the same bytes, in bits 4 (p % 2) + 2 h and 4 (p %
/// 2) + 2 h + 1. Then follow the scales: byte p of the lane of a row is the scale of part p; in q2_k the scale is in its lower four bits
/// and the minimum in its upper ones. The scales of q3_k are stored plus 32, and its codes plus 4. After the fourth quad come 16 FP16 units
/// of scales, and in q2_k 16 of minima.
inline constexpr int kPartColumns = 16;
inline constexpr int kQuadParts = 4;
inline constexpr int kBlockQuads = kBlockColumns / (kQuadParts * kPartColumns);
inline constexpr int kQ2KQuadBytes = 64 * kQuadParts + 64;
inline constexpr int kQ2KBlockBytes = kBlockQuads * kQ2KQuadBytes + 2 * 16 * 2;
inline constexpr int kQ3KQuadBytes = 64 * kQuadParts + 2 * 64 + 64;
inline constexpr int kQ3KBlockBytes = kBlockQuads * kQ3KQuadBytes + 16 * 2;
/// A block of nvfp4 is four parts of 16 columns with nibbles as those of mxfp4, and then a lane for each row, whose byte p is the scale of
/// part p in E4M3.
inline constexpr int kNvfp4BlockColumns = 4 * kPartColumns;
inline constexpr int kNvfp4BlockBytes = 16 * kNvfp4BlockColumns / 2 + 64;
/// Columns that share a scale in tiles of fp8-g128, and the bytes of one such group: 16 rows x 128 codes, then 16 f32 scales.
inline constexpr int kFp8GroupColumns = 128;
inline constexpr int kFp8GroupBytes = 16 * kFp8GroupColumns + 16 * 4;
/// Bytes of one group of Product::kInt8GroupOffset: the values of int8-g32, 16 f32 scales, then 16 int32 offsets.
inline constexpr int kOffsetGroupBytes = 16 * kGroupColumns + 16 * 4 + 16 * 4;

/// The first row of block `index` when n_rows rows are cut into ceil(n_rows / max_rows) blocks whose sizes differ by at
/// most one. Internal linkage for the reason at the top of this file.
static inline int row_block_begin(int n_rows, int max_rows, int index) {
  const int n_blocks = (n_rows + max_rows - 1) / max_rows;
  const int longer = n_rows % n_blocks;
  return index * (n_rows / n_blocks) + (index < longer ? index : longer);
}

/// The packed format of the weight that a matmul kernel reads and, for integers, whether its activations are quantized.
/// The last three are not formats of stored weights, but what others may be unpacked to (Unpacking).
enum class Product : std::uint8_t {
  kF32,
  kBf16,
  kF16,
  kInt8,
  kInt8Group,
  kInt4,
  kInt8Quantized,
  kInt8GroupQuantized,
  kInt4Quantized,
  kFp8,
  kInt4Zero,
  kFp8Group,
  kMxfp4,
  kQ4K,
  kQ5K,
  kQ6K,
  kQ2K,
  kQ3K,
  kIq4Xs,
  kQ41,
  kQ50,
  kQ51,
  kIq4Nl,
  kNvfp4,
  kNvfp4Quantized,
  kInt8GroupOffset,
  kTwoPieces,
  kTwoPiecesQuantized
};
inline constexpr int kProducts = 28;

/// Element type in which a kernel reads its activations.
enum class ActType : std::uint8_t {
  kF32,
  kBf16,
  kE4m3InF32,       ///< value quantized to E4M3, as f32
  kE4m3InBf16,      ///< value quantized to E4M3, as BF16, which holds it exactly
  kE4m3Groups,      ///< value quantized to E4M3 in groups of kFp8GroupColumns, times the scale of its group, as f32
  kE4m3GroupsE8m0,  ///< the same with scales that are rounded up to powers of two
  kNvfp4InF32,      ///< value quantized to E2M1 times the scale of its 16 columns in E4M3, as f32
  kNvfp4InBf16,     ///< the same as BF16, which holds it exactly
  kI8InBf16,        ///< quantized value as BF16, which holds it exactly, in column order
  kU8,              ///< quantized value + 128, in column order
  kI16,             ///< quantized value, quads in the order 0, 2, 1, 3
  kU8Nibbles,       ///< as kU8, but eight columns in the order of an int4 tile's nibbles: 0, 4, 1, 5, 2, 6, 3, 7
  kI16Nibbles,  ///< as kI16, but the quads are 0, 4, 1, 5 and 2, 6, 3, 7, so that the order is 0, 1, 4, 5, 2, 3, 6, 7
  kI8,          ///< quantized value, in column order
  kI8Nibbles,   ///< as kI8, but in the order of kU8Nibbles
  kI8Groups,    ///< quantized value, 32 columns are an Int8Group (int8_groups-inl.h)
  kI8GroupsInOrder,  ///< as kI8Groups, but in column order
  kDigits,  ///< not quantized: three int8 digits (activation_digits-inl.h), those of the same place of a vec side by side
  kDigitGroups,         ///< not quantized: 32 columns are a DigitGroup (digit_groups-inl.h)
  kDigitGroupsInOrder,  ///< as kDigitGroups, but in column order
  kDigitPairs,          ///< not quantized: two digits of a byte (attention_digits-inl.h), for attention
  kWords,       ///< not quantized: one int16 (attention_words-inl.h), quads in the order 0, 2, 1, 3; for attention
  kDigitWords,  ///< not quantized: two digits of 16 bits (matmul_word_digits-inl.h), those of a quad side by side
  kBf16Groups,  ///< 32 columns are a Bf16Group (bf16_sums-inl.h)
  kBf16Pieces   ///< two BF16 whose sum is nearly the value (matmul_amx_pieces-inl.h), side by side as digits are
};

static inline bool has_digits(ActType act) {
  return act == ActType::kDigits || act == ActType::kDigitGroups || act == ActType::kDigitGroupsInOrder ||
         act == ActType::kDigitWords;
}

/// Whether activations are quantized to E4M3 with a scale for each group of kFp8GroupColumns.
static constexpr bool has_e4m3_groups(ActType act) {
  return act == ActType::kE4m3Groups || act == ActType::kE4m3GroupsE8m0;
}

/// Whether packed activations are to be multiplied by a scale of their row.
static constexpr bool has_row_scale(ActType act) {
  return act != ActType::kF32 && act != ActType::kBf16 && act != ActType::kBf16Groups && act != ActType::kBf16Pieces &&
         !has_e4m3_groups(act);
}

/// The type in which activations quantized to E4M3 are packed for a kernel that reads `act`. Every E4M3 number is exact in both.
static inline ActType with_e4m3(ActType act) {
  return act == ActType::kBf16 ? ActType::kE4m3InBf16 : ActType::kE4m3InF32;
}

/// The same for activations quantized to NVFP4. Without the stored scale their values are exact in both, too.
static inline ActType with_nvfp4(ActType act) {
  return act == ActType::kBf16 ? ActType::kNvfp4InBf16 : ActType::kNvfp4InF32;
}

/// Bytes of one packed activation.
static constexpr std::int64_t act_bytes(ActType act) {
  switch (act) {
    case ActType::kF32:
    case ActType::kE4m3InF32:
    case ActType::kNvfp4InF32:
    case ActType::kE4m3Groups:
    case ActType::kE4m3GroupsE8m0:
    case ActType::kBf16Pieces:
    case ActType::kDigitGroups:
    case ActType::kDigitGroupsInOrder:
    case ActType::kDigitWords:
      return 4;
    case ActType::kDigits:
    case ActType::kBf16Groups:
      return 3;
    case ActType::kBf16:
    case ActType::kE4m3InBf16:
    case ActType::kNvfp4InBf16:
    case ActType::kI8InBf16:
    case ActType::kI16:
    case ActType::kI16Nibbles:
    case ActType::kI8Groups:
    case ActType::kI8GroupsInOrder:
    case ActType::kDigitPairs:
    case ActType::kWords:
      return 2;
    default:
      return 1;
  }
}

/// One row block of activations times `n_tiles` weight tiles:
///
///   c[m, 16 t + r] = sum_k a[m, k] * tile_t[r, k]
///
/// c is f32. The epilogue multiplies it by the scales of rows: by those of the activations and, in int8, fp8 and nvfp4, by those of the
/// weight (in nvfp4, the global scale). All other scales of a weight are in c already. Products are summed in f32, where some kernels have
/// several sums for each of a few rows and add them at the end, or exactly in int32 where both factors are integers. c overlaps neither
/// operand.
struct TileArgs {
  const void* a = nullptr;           ///< packed activations, [k_padded / vec][n_rows][vec]
  int n_rows = 1;                    ///< 1 .. max_rows
  const std::byte* tiles = nullptr;  ///< tile t at tiles + t * tile_bytes, 64-byte aligned
  std::int64_t tile_bytes = 0;
  std::int64_t n_tiles = 0;
  std::int64_t k = 0;  ///< padded: a multiple of the product's k_multiple
  float* c = nullptr;
  std::int64_t c_stride = 0;               ///< floats
  bool accumulate = false;                 ///< add to c instead of replacing it; Product::kF32 only
  const std::int32_t* row_sums = nullptr;  ///< kInt8Quantized: sum_k of each weight row, [16 * n_tiles]
  // Prefetched into the second-level cache meanwhile, when there are several row blocks; null: nothing.
  const void* next_a = nullptr;           ///< activations of the next block
  const std::byte* next_tiles = nullptr;  ///< one line of it per step of `vec` columns, `next_tiles_step` bytes apart
  std::int64_t next_tiles_step = 0;
};

/// Packed activations of adjacent rows, [steps][n_rows][64 bytes].
struct ActivationBlock {
  const std::byte* rows = nullptr;
  int n_rows = 0;
};

/// The most row blocks of one call of BlockKernel::multiply, and the values of the sums of each: 32 rows x 2 tiles.
inline constexpr int kMaxGroupBlocks = 16;
inline constexpr int kBlockSumStride = 2 * kTileRows;
inline constexpr int kBlockSums = kMaxRowBlock * kBlockSumStride;

/// Some rows of each row block in the matrix that an epilogue writes, and the columns of a pair of tiles in them.
struct OutputRows {
  const std::byte* first = nullptr;  ///< the first of these columns in the first row of the first block
  std::int64_t row_bytes = 0;        ///< of these columns
  std::int64_t stride_bytes = 0;
  int begin_row = 0;  ///< of each block
  int end_row = 0;
};

/// Several row blocks times a pair of weight tiles, over a slice of the columns:
///
///   c[block][m][16 t + r] (+)= sum_{k in slice} a[block][m, k] * tile_t[r, k]
///
/// c: [n_blocks][32][32], f32 or, for quantized activations, int32. Where a block has fewer rows than block_rows, the sums of the missing
/// rows are undefined. The bytes of one step of a row may be read after the last block. c overlaps neither operand.
struct BlockArgs {
  const ActivationBlock* blocks = nullptr;  ///< at the first column of the slice; n_rows differs by at most one
  int n_blocks = 0;
  int block_rows = 0;                   ///< of the largest block, for which the tiles were configured
  const std::byte* tiles[2] = {};       ///< the slice of each weight tile; the second may be null
  std::int64_t slice_bytes = 0;         ///< of one weight tile
  float* c = nullptr;                   ///< 64-byte aligned
  bool accumulate = false;              ///< add to c instead of replacing it
  const std::byte* next_tiles[2] = {};  ///< prefetched into the second-level cache meanwhile; null: nothing
  std::int64_t next_bytes = 0;          ///< of each
  OutputRows outputs = {};              ///< likewise
};

/// The kernel of a product for many rows on CPUs with tile registers. One thread calls configure(), then multiply() any number
/// of times, then release().
struct BlockKernel {
  void (*configure)(int block_rows) = nullptr;
  void (*multiply)(const BlockArgs&) = nullptr;
  /// Converts the int32 sums of a block to f32 in place. row_sums: sum_k of each weight row of the pair. Null: sums are f32 already.
  void (*convert)(float* c, int n_rows, int n_tiles, const std::int32_t* row_sums) = nullptr;
  void (*release)() = nullptr;
};

struct ProductKernel {
  ActType act = ActType::kF32;
  int vec = 1;         ///< adjacent activations of one row in the packed order
  int k_multiple = 1;  ///< columns are padded with zeros to a multiple of this
  int max_rows = 1;
  void (*multiply)(const TileArgs&) = nullptr;
  const char* name = "";  ///< for example "matmul_bf16_f32acc"
  const char* isa = "";   ///< of a kernel that comes from another table (product_choice.h); else empty
  const BlockKernel* blocks =
      nullptr;  ///< multiplies several row blocks at once; null: multiply() does one after the other
  /// Another kernel for products of at least many_from_rows rows; null: this one is for any number of rows.
  const ProductKernel* many = nullptr;
  int many_from_rows = 0;
};

/// The kernel for a product that has n_rows rows in total.
static inline const ProductKernel& kernel_for_rows(const ProductKernel& kernel, std::int64_t n_rows) {
  return kernel.many != nullptr && n_rows >= kernel.many_from_rows ? *kernel.many : kernel;
}

/// From this many rows on, tiles are unpacked first unless an instruction set has another number: at least three row blocks
/// share the cost.
inline constexpr int kUnpackFromRows = 25;

/// Converts the tiles of one product to those of another, which for many rows is cheaper than decoding them again for
/// every row block:
///
/// - to f32 [k][16] or to BF16 [k / 2][16][2]. Codes are multiplied by the scales of groups; where BF16 cannot hold the product, it is
/// rounded half to even;
/// - to kInt8GroupOffset, whose offsets every row block would otherwise compute anew;
/// - to two pieces, [k / 32][2][16][16][2] BF16, whose sum is the code multiplied by the scale of its group (unpack_pieces-inl.h). The
/// columns are padded with zeros to a multiple of 32.
struct Unpacking {
  Product into = Product::kF32;

  /// `tile`: k columns of one tile, k a multiple of the product's k_multiple. out: 64-byte aligned, does not overlap
  /// the tile. Null: this product is multiplied from its own tiles.
  void (*unpack)(const std::byte* tile, std::int64_t k, std::byte* out) = nullptr;
  int from_rows = kUnpackFromRows;  ///< fewer rows are multiplied from the tile as it is
};

/// Packs `n_rows` rows of x into [k_padded / vec][n_rows][vec], with zeros in the columns from k on. For quantized types:
/// s = max|x| / 127, q = clamp(round-half-even(x / s), +-127), and s = 0 gives q = 0. For types of E4M3, s = max|x| / 448 and q = x / s
/// rounded to E4M3, half to even. With kE4m3Groups each group of columns has an s of its own; with kE4m3GroupsE8m0 this s is rounded up to
/// a power of two, 2^-126 at least. If there is a static_scale, it is the s of all rows, and integers are from -128 to 127. Types of NVFP4
/// are quantized as kNvfp4Static of op.h says, with static_scale as g, which is left out of the packed values. A vec has 4, 8, 16 or 64
/// bytes; for int8, digits, BF16 groups and BF16 pieces it has 32 or 64 columns, for kDigitPairs, kWords and kDigitWords 4.
struct PackArgs {
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  int n_rows = 1;
  std::int64_t k = 0;
  std::int64_t k_padded = 0;
  int vec = 1;
  ActType act = ActType::kF32;
  float static_scale = 0.0F;    ///< of quantized types; 0: rows have scales of their own
  void* out = nullptr;          ///< does not overlap x
  float* row_scales = nullptr;  ///< [n_rows]: s, written if has_row_scale(act); NaN if any x of the row is not finite
};

enum class Finish : std::uint8_t { kNone, kBias, kAdd, kGelu, kGatedSilu, kGatedGelu, kGatedClampedSwish };

/// The constants of kGatedClampedSwish; matmul.cpp holds them equal to those of op.h, which kernels cannot include.
inline constexpr float kClampedSwishLimit = 7.0F;
inline constexpr float kClampedSwishAlpha = 1.702F;

/// The epilogue of one row block, in f32:
///
///   y = c * weight_scales * row_scales
///   kNone: out = y        kBias: out = y + bias        kAdd: out = y + aux        kGelu: out = gelu(y + bias), bias may be null
///   kGatedSilu, kGatedGelu: out[:, 16 t + r] = f(y[:, 32 t + r]) * y[:, 32 t + 16 + r]   (tiles alternate gate, up),
///                           after bias and up_bias are added to the two, if they are not null
///   kGatedClampedSwish: likewise, f(gate) * (up + 1) with both clamped, as Epilogue::kGatedClampedSwish of op.h defines
///
/// then out = softcap * tanh(out / softcap) when softcap > 0. out may be aux.
struct FinishArgs {
  const float* c = nullptr;
  std::int64_t c_stride = 0;
  int n_rows = 0;
  std::int64_t n_cols = 0;  ///< of out, may end inside a tile
  float* out = nullptr;
  std::int64_t out_stride = 0;
  const float* weight_scales = nullptr;  ///< padded to whole tiles; null: 1
  const float* row_scales = nullptr;     ///< [n_rows]; null: 1
  const float* bias = nullptr;           ///< [n_cols]
  const float* up_bias = nullptr;        ///< [n_cols], where bias is that of the gate
  const float* aux = nullptr;            ///< kAdd: [n_rows, n_cols]; may be out
  std::int64_t aux_stride = 0;
  Finish finish = Finish::kNone;
  float softcap = 0.0F;
  /// Writes `out` past the caches where that is possible. Only between configure() and release() of a BlockKernel; release() makes the
  /// outputs visible to other threads.
  bool past_caches = false;
};

/// Tokens of one attention block: 8 tiles of 16 tokens.
inline constexpr int kBlockTiles = 8;
inline constexpr int kBlockTokens = kBlockTiles * kTileRows;
/// Query rows (tokens x heads that share a KV head) of one attention call; a multiple of every row block size.
inline constexpr int kMaxQueryRows = 48;

/// The online softmax of some rows over the keys j that they have seen so far (arXiv:2205.14135, algorithm 1), with
/// s_j = log2(e) * score_j:
///
///   m = max_j s_j        d = sum_j 2^(s_j - m)        o[:] = sum_j 2^(s_j - m) * v_j[:]
///
/// The attention output is o / d. Two states of the same row over different keys can be merged (attention.cpp).
struct SoftmaxState {
  float* m = nullptr;  ///< [n_rows] with room for a multiple of 16, starts at kInitialRowMax
  float* d = nullptr;  ///< likewise, starts at 0
  float* o = nullptr;  ///< [n_rows, 16 * n_dim_tiles], starts at 0
};
/// Below every score, yet finite: m - m is 0 and not NaN for a row that has seen nothing.
inline constexpr float kInitialRowMax = -1e30F;

/// Memory that will be read soon: `n_slices` slices of `slice_bytes` each.
struct PrefetchList {
  const std::byte* const* slices = nullptr;
  int n_slices = 0;
  std::int64_t slice_bytes = 0;
};

/// One block of online softmax: up to 48 query rows against up to 128 cached tokens of one KV head.
///
///   score[r, j] = softcap(scale * sum_i q[r, i] * k[j, i]), -inf where j is not visible; state <- state with score, v
///
/// Sums are f32, or exact in int32 where q is digits; softmax weights are rounded to the type of q before they multiply V. Scores never
/// leave the cache. Nothing overlaps.
struct AttendArgs {
  const void* q = nullptr;          ///< packed like activations, row blocks of at most max_rows, one after the other
  const float* q_scales = nullptr;  ///< [n_rows]: PackArgs::row_scales, of types that have them
  int n_rows = 0;
  std::int64_t head_dim = 0;                  ///< of q, padded to a multiple of the kernel's vec
  std::int64_t k_dim = 0;                     ///< of the tiles of K
  int n_dim_tiles = 0;                        ///< of V: ceil(head_dim / 16), or of latents ceil(latent_dim / 16)
  const std::byte* const* k_tiles = nullptr;  ///< [n_tiles]: 16 tokens, [k_dim / vec][16 tokens][vec]
  const std::byte* const* v_tiles = nullptr;  ///< [n_tiles]: 16 tokens, [16 / vec][16 dims][vec]
  std::int64_t v_dim_stride = 0;              ///< bytes from one 16-dim tile of V to the next
  const float* const* k_scales = nullptr;     ///< [n_tiles]: scales of 16 tokens each; null: 1
  const float* const* v_scales = nullptr;
  int n_tiles = 0;
  PrefetchList v_prefetch = {};                 ///< V of this block
  PrefetchList k_prefetch = {};                 ///< K of the next block
  std::int64_t first_token = 0;                 ///< position of the first token of the block
  const std::int64_t* first_visible = nullptr;  ///< [n_rows] first and last position that the row sees, inclusive
  const std::int64_t* last_visible = nullptr;
  float scale = 1.0F;
  float softcap = 0.0F;
  SoftmaxState state = {};
  float* scores = nullptr;        ///< scratch: n_rows * kBlockTokens floats, 64-byte aligned
  void* weights = nullptr;        ///< scratch: n_rows * kBlockTokens of the type of q, 64-byte aligned
  std::byte* operands = nullptr;  ///< scratch of kernels that have operand_bytes, 64-byte aligned
};

struct AttendKernel {
  ActType act = ActType::kF32;  ///< type of the packed query
  int vec = 1;
  int max_rows = 1;
  void (*attend)(const AttendArgs&) = nullptr;
  const char* name = "";
  int from_rows = 1;  ///< fewer rows are left to the table's other kernel
  /// Rows of q, of the state and of scratch memory are padded to a multiple of this; what padding rows hold is not used.
  int row_multiple = 1;
  /// Bytes of AttendArgs::operands for these sizes; null: none.
  std::int64_t (*operand_bytes)(std::int64_t head_dim, int n_dim_tiles) = nullptr;
};

/// RMSNorm of a row, arXiv:1910.07467, eq. 4: sum = x + add; out = residual + sum * weight / sqrt(mean(sum^2) + eps), [n]
/// each, f32; the squares are summed in f32. If `centers`, the mean of sum is subtracted from sum first (but not from sum_out), and bias is
/// added to the product. add, bias, residual and sum_out may be null; all may alias.
struct NormArgs {
  const float* x = nullptr;
  const float* add = nullptr;
  const float* weight = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;
  bool centers = false;
  float eps = 0.0F;
  std::int64_t n = 0;
  float* sum_out = nullptr;
  float* out = nullptr;
};

/// The kernels of one instruction set, or of two that product_choice.h combines. Rows may start at any address that is aligned for their
/// element type.
struct KernelTable {
  const char* isa = "";
  ProductKernel products[kProducts];
  Unpacking unpack[kProducts];  ///< indexed by the product whose tiles are converted
  AttendKernel attend_bf16;     ///< BF16 cache
  AttendKernel attend_f32;      ///< f32 cache
  AttendKernel attend_f16;      ///< FP16 cache
  AttendKernel attend_int8;     ///< int8 cache with a scale per token
  /// The same for at least `from_rows` rows; without `attend`: the kernels above take any number.
  AttendKernel attend_many_bf16;
  AttendKernel attend_many_int8;
  void (*pack)(const PackArgs&) = nullptr;
  void (*finish)(const FinishArgs&) = nullptr;
  void (*rms_norm)(const NormArgs&) = nullptr;
  /// out[i] = x[i] cos[i] - x[i + n] sin[i]; out[i + n] = x[i + n] cos[i] + x[i] sin[i], i < n: RoPE in the half-rotation
  /// layout, arXiv:2104.09864. x, out: [2 n] f32, which may not alias. cos, sin: [n].
  void (*rotate)(const float* x, const float* cos, const float* sin, std::int64_t n, float* out) = nullptr;
  /// sum_i x[i] * y[i] in f32; x and y may alias.
  float (*dot)(const float* x, const float* y, std::int64_t n) = nullptr;
  /// out[i] = scale * x[i]; out may be x.
  void (*scale_into)(const float* x, float scale, std::int64_t n, float* out) = nullptr;
  /// out[i] = the BF16 bits of x[i], rounded half to even. May not alias.
  void (*to_bf16)(const float* x, std::int64_t n, std::uint16_t* out) = nullptr;
};

const KernelTable& kernels_scalar();
const KernelTable& kernels_avx2();
const KernelTable& kernels_avx2_vnni();
const KernelTable& kernels_avx512();
const KernelTable& kernels_avx512_vnni();
const KernelTable& kernels_avx512_bf16();
const KernelTable& kernels_amx();
const KernelTable& kernels_neon();
const KernelTable& kernels_neon_bf16();
const KernelTable& kernels_sve256();

}  // namespace secondsource::cpu

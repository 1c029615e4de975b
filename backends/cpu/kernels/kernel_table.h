#pragma once
// The arithmetic of the cpu backend as plain functions over packed memory: one table an instruction set, chosen once at
// create(). This header and everything under kernels/ is compiled several times with different flags, so it uses no
// templates or inline functions of the standard library: the linker might keep the copy that needs AVX-512.
//
// Vocabulary: a tile is 16 rows of a weight matrix, packed so that the 16 values of one column (or of 2 or 4 adjacent
// columns) are adjacent: one vector register holds one step of 16 dot products. Activations are packed in row blocks of
// at most `max_rows` rows, [step][row][unit], so that a kernel reads both sides as one forward stream.

#include <cstddef>
#include <cstdint>

namespace secondsource::cpu {

inline constexpr int kTileRows = 16;
/// Rows of activations that the largest kernel multiplies at once.
inline constexpr int kMaxRowBlock = 32;
/// Columns that share a scale in tiles of int8-g32 and int4, and bytes of such a group: 16 rows x 32 values, then 16
/// FP16 scales.
inline constexpr int kGroupColumns = 32;
inline constexpr int kInt8GroupBytes = 16 * kGroupColumns + 16 * 2;
inline constexpr int kInt4GroupBytes = 16 * kGroupColumns / 2 + 16 * 2;
/// Bytes of a group of Product::kInt8GroupOffset: as int8-g32 has it, but with f32 scales, then 16 int32.
inline constexpr int kOffsetGroupBytes = 16 * kGroupColumns + 16 * 4 + 16 * 4;

/// Rows are cut into ceil(n_rows / max_rows) blocks of nearly equal size; this is the first row of block `index`.
/// Internal linkage: see the top of this file.
static inline int row_block_begin(int n_rows, int max_rows, int index) {
  const int n_blocks = (n_rows + max_rows - 1) / max_rows;
  const int longer = n_rows % n_blocks;
  return index * (n_rows / n_blocks) + (index < longer ? index : longer);
}

/// What a matmul kernel multiplies: the packed format of the weight, and for int8 whether activations are quantized.
/// kInt8GroupOffset is what kInt8GroupQuantized may be unpacked to, and no weight's own format.
enum class Product : std::uint8_t {
  kF32,
  kBf16,
  kF16,
  kInt8,
  kInt8Group,
  kInt4,
  kInt8Quantized,
  kInt8GroupQuantized,
  kInt8GroupOffset
};
inline constexpr int kProducts = 9;

/// How a kernel wants its activations.
enum class ActType : std::uint8_t {
  kF32,
  kBf16,
  kU8,   ///< quantized value + 128, quads in column order
  kI16,  ///< quantized value, quads in the order 0, 2, 1, 3
};

/// Bytes of one packed activation.
static inline std::int64_t act_bytes(ActType act) {
  return act == ActType::kF32 ? 4 : act == ActType::kU8 ? 1 : 2;
}

/// c[m, 16 t + r] = sum_k a[m, k] * tile_t[r, k] for the rows of one block and `n_tiles` tiles, f32. Unscaled for int8
/// (the epilogue multiplies by the row's scale), scaled for groups.
struct TileArgs {
  const void* a = nullptr;           ///< packed activations, [k_padded / unit][n_rows][unit]
  int n_rows = 1;                    ///< 1 .. max_rows
  const std::byte* tiles = nullptr;  ///< tile t at tiles + t * tile_bytes, 64-byte aligned
  std::int64_t tile_bytes = 0;
  std::int64_t n_tiles = 0;
  std::int64_t k = 0;  ///< padded: a multiple of the product's k_multiple
  float* c = nullptr;
  std::int64_t c_stride = 0;               ///< floats
  bool adds = false;                       ///< to c, instead of replacing it: Product::kF32 alone knows this
  const std::int32_t* row_sums = nullptr;  ///< kInt8Quantized: sum_k of each weight row, [16 * n_tiles]
  // What is asked for meanwhile, into the second-level cache, where there are several blocks; null: nothing.
  const void* next_a = nullptr;           ///< activations of the next block
  const std::byte* next_tiles = nullptr;  ///< `next_tiles_step` bytes for each `unit` of columns
  std::int64_t next_tiles_step = 0;
};

struct ProductKernel {
  ActType act = ActType::kF32;
  int unit = 1;        ///< adjacent activations of one row in the packed order
  int k_multiple = 1;  ///< columns are padded with zeros to a multiple of this
  int max_rows = 1;
  void (*multiply)(const TileArgs&) = nullptr;
  const char* name = "";  ///< "bf16_f32acc"
};

/// Tiles of one product turned into those of another, which is cheaper for many rows than decoding them anew for each
/// block of rows: f32 [k][16], or BF16 [k / 2][16][2], the numbers the same, scaled by the scales of groups; where
/// BF16 cannot hold that, rounded half to even. Or groups as they are, with what every row would compute of them.
struct Unpacking {
  Product into = Product::kF32;
  /// `tile`: k columns of one, of which k is a multiple of the product's k_multiple. Null: nothing does.
  void (*unpack)(const std::byte* tile, std::int64_t k, std::byte* out) = nullptr;
};

/// Packs `n_rows` rows of x into [k_padded / unit][n_rows][unit]. A unit has 4, 8, 16 or 64 bytes.
struct PackArgs {
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  int n_rows = 1;
  std::int64_t k = 0;
  std::int64_t k_padded = 0;
  int unit = 1;
  ActType act = ActType::kF32;
  void* out = nullptr;
  float* row_scales = nullptr;  ///< [n_rows], written for kU8 and kI16
};

enum class Finish : std::uint8_t { kNone, kBias, kAdd, kGatedSilu, kGatedGelu };

/// out = softcap(epilogue(c * weight_scales * row_scales)) for one block of rows. The gated forms read tile pairs
/// (gate, up) and write 16 columns a pair.
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
  const float* aux = nullptr;            ///< kAdd: [n_rows, n_cols]; may be out
  std::int64_t aux_stride = 0;
  Finish finish = Finish::kNone;
  float softcap = 0.0F;
};

/// Tokens of one attention block: 8 tiles of 16 tokens.
inline constexpr int kBlockTiles = 8;
inline constexpr int kBlockTokens = kBlockTiles * kTileRows;
/// Query rows (tokens x heads that share a KV head) of one attention call; a multiple of every row block size.
inline constexpr int kMaxQueryRows = 48;

/// Memory that will be read soon: pieces of `piece_bytes` each.
struct AheadBytes {
  const std::byte* const* pieces = nullptr;
  int n_pieces = 0;
  std::int64_t piece_bytes = 0;
};

/// One block of online softmax (arXiv:2205.14135, algorithm 1): up to 48 query rows against up to 128 cached tokens of
/// one KV head. Scores never leave the cache; m, l and o carry the running maximum, sum and output of each row.
struct AttendArgs {
  const void* q = nullptr;  ///< packed like activations, row blocks of at most max_rows, one after the other
  int n_rows = 0;
  std::int64_t head_dim = 0;                  ///< padded to the kernel's unit
  int n_dim_tiles = 0;                        ///< ceil(head_dim / 16)
  const std::byte* const* k_tiles = nullptr;  ///< [n_tiles]: 16 tokens, [head_dim / unit][16 tokens][unit]
  const std::byte* const* v_tiles = nullptr;  ///< [n_tiles]: 16 tokens, [16 / unit][16 dims][unit]
  std::int64_t v_dim_stride = 0;              ///< bytes from one 16-dim tile of V to the next
  const float* const* k_scales = nullptr;     ///< [n_tiles]: of 16 tokens; null: 1
  const float* const* v_scales = nullptr;
  int n_tiles = 0;
  AheadBytes values_ahead = {};              ///< V of this block
  AheadBytes keys_ahead = {};                ///< K of the next block
  std::int64_t first_token = 0;              ///< position of the first token of the block
  const std::int64_t* first_seen = nullptr;  ///< [n_rows] positions that the row may look at, both inclusive
  const std::int64_t* last_seen = nullptr;
  float scale = 1.0F;
  float softcap = 0.0F;
  float* o = nullptr;       ///< [n_rows, 16 * n_dim_tiles]
  float* m = nullptr;       ///< [n_rows], in units of log2; starts at kNoMaximum
  float* l = nullptr;       ///< [n_rows], starts at 0
  float* scores = nullptr;  ///< scratch: n_rows * kBlockTokens floats, 64-byte aligned
  void* weights = nullptr;  ///< scratch: n_rows * kBlockTokens of the type of q, 64-byte aligned
};
inline constexpr float kNoMaximum = -1e30F;

struct AttendKernel {
  ActType act = ActType::kF32;  ///< of the packed query
  int unit = 1;
  int max_rows = 1;
  void (*attend)(const AttendArgs&) = nullptr;
  const char* name = "";
};

struct KernelTable {
  const char* isa = "";
  ProductKernel products[kProducts];
  Unpacking unpack[kProducts];  ///< by the product whose tiles are turned
  AttendKernel attend_bf16;     ///< BF16 cache
  AttendKernel attend_f32;      ///< f32 cache
  AttendKernel attend_f16;      ///< FP16 cache
  AttendKernel attend_int8;     ///< int8 cache with a scale per token
  void (*pack)(const PackArgs&) = nullptr;
  void (*finish)(const FinishArgs&) = nullptr;
  /// sum = x + add; out = sum * weight / sqrt(mean(sum^2) + eps). add and sum_out may be null; all may alias.
  void (*rms_norm)(const float* x, const float* add, const float* weight, float eps, std::int64_t n, float* sum_out,
                   float* out) = nullptr;
  /// out[i] = x[i] cos[i] - x[i + n] sin[i]; out[i + n] = x[i + n] cos[i] + x[i] sin[i], i < n. May not alias.
  void (*rotate)(const float* x, const float* cos, const float* sin, std::int64_t n, float* out) = nullptr;
  float (*dot)(const float* x, const float* y, std::int64_t n) = nullptr;
  void (*scale_into)(const float* x, float scale, std::int64_t n, float* out) = nullptr;
  /// Round-half-even to BF16 bits.
  void (*to_bf16)(const float* x, std::int64_t n, std::uint16_t* out) = nullptr;
};

const KernelTable& kernels_scalar();
const KernelTable& kernels_avx2();
const KernelTable& kernels_avx512();
const KernelTable& kernels_avx512_vnni();
const KernelTable& kernels_avx512_bf16();
const KernelTable& kernels_amx();
const KernelTable& kernels_neon();
const KernelTable& kernels_neon_bf16();
const KernelTable& kernels_sve256();

}  // namespace secondsource::cpu

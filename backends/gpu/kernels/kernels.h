#pragma once
// Every kernel of the GPU backends as the host sees it: a plain struct of arguments, which a captured graph keeps by
// value, and a function that launches it. Shapes are those of backend/op.h; values are f32, row-major, unless said
// otherwise. This header says what a kernel computes; its file says how. All pointers are device memory.

#include <bit>
#include <cstdint>

#include "backend/batch.h"
#include "backend/op.h"
#include "backend/weights.h"
#include "core/e2m1.h"
#include "core/half.h"
#include "gpu/device.h"
#include "gpu/kernels/matmul_plan.h"

namespace secondsource::gpu {

/// How the codes of an encoding in blocks of GGUF are stored. Codes are whole numbers from 0 on; those of signed types are stored plus
/// `zero`, and those on the curve are indices into it.
struct BlockCodes {
  std::int32_t low_bits = 0;        ///< of a code in the first plane: 2 or 4
  std::int32_t high_bits = 0;       ///< in the second plane: 0, 1 or 2
  std::int32_t zero = 0;            ///< the code of the value 0
  std::int32_t part_cols_log2 = 5;  ///< columns that share a scale: 16 or 32
  bool is_on_curve = false;         ///< core/four_bit_curve.h
  bool has_minima = false;
};

[[nodiscard]] constexpr BlockCodes block_codes(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return {.low_bits = 2, .part_cols_log2 = 4, .has_minima = true};
    case WeightEncoding::kQ3K:
      return {.low_bits = 2, .high_bits = 1, .zero = 4, .part_cols_log2 = 4};
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ41:
      return {.low_bits = 4, .has_minima = true};
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ51:
      return {.low_bits = 4, .high_bits = 1, .has_minima = true};
    case WeightEncoding::kQ50:
      return {.low_bits = 4, .high_bits = 1, .zero = 16};
    case WeightEncoding::kQ6K:
      return {.low_bits = 4, .high_bits = 2, .zero = 32, .part_cols_log2 = 4};
    case WeightEncoding::kIq4Xs:
    case WeightEncoding::kIq4Nl:
      return {.low_bits = 4, .is_on_curve = true};
    default:
      return {};
  }
}

/// A row of a weight in blocks. Its planes follow each other:
///
///   low bits of all codes | their high bits | units of all blocks | scales of all parts | minima of all parts
///
/// Units are d, with minima d and dmin, in FP16. Scales and minima are bytes, signed and unsigned; where a block is one part, all blocks of
/// the row share one scale and one minimum, which are 1. In a plane of b bits a code, the bits of column c begin at bit b * (c % 8 / 2) +
/// 16 * (c % 2) + 4 * b * (c / 8) % 16 of word b * (c / 8) / 4: neighbouring columns lie at one place of a word's halves, as those of
/// kInt4Shifts do.
struct BlockRow {
  BlockCodes codes = {};
  std::int32_t block_cols_log2 = 5;
  bool has_parts = false;
  std::int32_t high_at = 0;  ///< bytes from the beginning of the row to the plane; 0 where there is none
  std::int32_t units_at = 0;
  std::int32_t scales_at = 0;
  std::int32_t minima_at = 0;
  std::int32_t n_bytes = 0;  ///< of a row: a multiple of 16
};

/// `n_cols`: with an encoding in blocks, a multiple of a block's columns.
[[nodiscard]] constexpr BlockRow block_row(WeightEncoding encoding, std::int32_t n_cols) {
  const BlockForm form = block_form(encoding);
  BlockRow row{.codes = block_codes(encoding)};
  if (form.n_cols == 0) return row;
  row.block_cols_log2 = std::bit_width(static_cast<std::uint32_t>(form.n_cols)) - 1;
  row.has_parts = form.n_parts() > 0;
  std::int32_t end = n_cols / 8 * row.codes.low_bits;
  const auto place = [&](std::int32_t& plane_at, std::int32_t n_bytes) {
    if (n_bytes > 0) plane_at = end;
    end += n_bytes;
  };
  const std::int32_t n_blocks = n_cols >> row.block_cols_log2;
  const std::int32_t n_parts = row.has_parts ? n_cols >> row.codes.part_cols_log2 : 1;
  place(row.high_at, n_cols / 8 * row.codes.high_bits);
  place(row.units_at, n_blocks * (row.codes.has_minima ? 4 : 2));
  place(row.scales_at, n_parts);
  place(row.minima_at, row.codes.has_minima ? n_parts : 0);
  row.n_bytes = (end + 15) / 16 * 16;
  return row;
}

/// The scales in E4M3 of 32 columns of kNvfp4Group16; that of the first 16 is in the low byte.
struct E4m3Pair {
  std::uint16_t bits = 0;
};

/// A prepared weight. Rows are contiguous and padded with zeros to a multiple of kWeightColumnStep columns; with
/// kInterleaveGateUp row 2 j is gate j and row 2 j + 1 is up j.
struct WeightView {
  const std::byte* values = nullptr;
  /// [n_rows]: the scales of kInt8PerRow and kFp8PerRow, and the global scale of kNvfp4Group16. For other encodings, on devices with
  /// has_f16_tiles only: the power of two by which tiles divide a row, to bring its largest value into [2^14, 2^15), and multiply its sums.
  const float* row_scales = nullptr;
  const F16* group_scales = nullptr;      ///< kInt8Group32, kInt4Group32, kInt4Group32Zero: [n_rows, padded_cols / 32]
  const E8m0* group_powers = nullptr;     ///< kMxfp4Group32: [n_rows, padded_cols / 32]
  const E4m3Pair* scale_pairs = nullptr;  ///< kNvfp4Group16: [n_rows, padded_cols / 32]
  const std::uint8_t* group_zeros = nullptr;  ///< kInt4Group32Zero: zero points + kInt4Zero, [n_rows, padded_cols / 32]
  const float* wide_scales = nullptr;         ///< kFp8Group128: [n_rows, n_wide_groups(n_cols)]
  BlockRow blocks = {};                       ///< of an encoding in blocks, whose rows are whole in `values`
  std::int64_t row_bytes = 0;
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::int32_t padded_cols = 0;
  WeightEncoding encoding = WeightEncoding::kBf16;
};

/// kInt4Group32 and kInt4Group32Zero store q + 8, eight columns in a word of 32 bits: column c at bit
/// kInt4Shifts >> (c % 8 * 8) & 31. Neighbouring columns lie at the same place of the word's two halves, so that they become two FP16
/// numbers together (portable/packed_numbers.h).
inline constexpr std::uint64_t kInt4Shifts = 0x1c0c180814041000U;
inline constexpr std::int32_t kInt4Zero = 8;

/// kMxfp4Group32 and kNvfp4Group16 store eight columns in a word, too. The exponent and mantissa of the E2M1 code of column c begin at bit
/// kE2m1Shifts >> (c % 8 * 8) & 31, and its sign is bit kE2m1SignShifts >> (c % 8 * 8) & 31. Neighbouring columns lie at the same place of
/// the word's two halves. To bring such a pair to its places in FP16 takes one shift among the first four columns, and among the last four
/// one for exponents and mantissas and one for signs.
inline constexpr std::uint64_t kE2m1Shifts = 0x1000130316061909U;
inline constexpr std::uint64_t kE2m1SignShifts = 0x1d0d1e0e1c0c1f0fU;

/// The number of groups of kFp8GroupSize columns, each of which has a scale in weights of kFp8Group128 and in activations with
/// has_fp8_groups() (op.h). The last group may be shorter.
[[nodiscard]] constexpr std::int32_t n_wide_groups(std::int32_t n_cols) {
  constexpr auto kColumns = static_cast<std::int32_t>(kFp8GroupSize);
  return (n_cols + kColumns - 1) / kColumns;
}

/// Rows are padded to a multiple of this many columns: 16 bytes of the smallest type, and the K step of matrix tiles.
inline constexpr std::int32_t kWeightColumnStep = 32;

/// Division by a number that is known at run time, with one multiplication (Granlund and Montgomery, 1994, theorem 4.2).
struct Divisor {
  std::uint32_t multiplier = 0x80000001U;  ///< floor(2^shift / divisor) + 1
  std::int32_t shift = 31;                 ///< 31 + ceil(log2(divisor))
};

/// `divisor` is at least 1. The device divides numbers below 2^31 by it (divide.h).
[[nodiscard]] constexpr Divisor make_divisor(std::int32_t divisor) {
  const auto d = static_cast<std::uint64_t>(divisor);
  const int shift = 31 + static_cast<int>(std::bit_width(d - 1));
  return {.multiplier = static_cast<std::uint32_t>((std::uint64_t{1} << shift) / d + 1), .shift = shift};
}

/// The paged cache of one layer: keys and values, each [n_pages, n_kv_heads, page_tokens, head_dim] BF16. A cache of latents has keys
/// alone.
struct KvView {
  Bf16* keys = nullptr;
  Bf16* values = nullptr;  ///< null: a cache of latents
  std::int32_t n_kv_heads = 0;
  std::int32_t page_tokens = 0;
  std::int32_t head_dim = 0;
  Divisor by_page = {};  ///< by page_tokens
};

inline constexpr std::int32_t kMaxHeadDim = 256;
inline constexpr std::int32_t kHeadDimStep = 8;  ///< head_dim is a multiple of this: 16 bytes of BF16
/// The most dimensions of a key in attention over latents, and of the latent in it: those of DeepSeek's models.
inline constexpr std::int32_t kMaxLatentHeadDim = 576;
inline constexpr std::int32_t kMaxLatentDim = 512;

/// Consecutive tokens of one sequence that prefill attention processes together, at most kQueryTileTokens; seq -1:
/// padding.
inline constexpr std::int32_t kQueryTileTokens = 128;
struct QueryTile {
  std::int32_t first_token = 0;
  std::int32_t n_tokens = 0;
  std::int32_t seq = 0;
};

/// One share of the cache that the only new token of a sequence attends to (host/decode_splits.h). All shares of a
/// sequence follow each other. A layer with a window divides what it sees into as many shares. seq -1: padding.
struct alignas(16) DecodeSplit {
  std::int32_t seq = -1;
  std::int32_t token = 0;
  std::int32_t position = 0;  ///< of the token
  std::int32_t index = 0;     ///< of this share, in [0, n_splits)
  std::int32_t n_splits = 1;
  Divisor by_splits = {};  ///< by n_splits
  std::int32_t padding = 0;
};
/// The most shares of one sequence.
inline constexpr std::int32_t kMaxDecodeSplits = 128;
/// Shares begin at multiples of this many positions from the first one that is seen.
inline constexpr std::int32_t kDecodeSplitStep = 8;
/// The most query heads of one KV head that one block takes.
inline constexpr std::int32_t kMaxDecodeHeads = 8;
/// The same for attention over latents.
inline constexpr std::int32_t kMaxLatentHeads = 32;

/// Parameters of sampling one row: SamplingParams, and where the id is stored.
struct SampleRow {
  double uniform = 0.0;  ///< uniform in [0, 1): random_unit(seed, position)
  float temperature = 0.0F;
  float top_p = 1.0F;
  std::int32_t top_k = 0;
  std::int32_t forced_id = -1;
  std::int32_t forbidden_id = -1;
  std::int32_t slot = -1;  ///< index into last_sampled; -1: not stored
};

/// The inputs that change from step to step. The addresses are those of the step's batch buffer and never change, so that
/// a replayed graph reads the content of the current step.
struct BatchView {
  const std::int32_t* n_tokens = nullptr;  ///< one number each
  const std::int32_t* n_logit_rows = nullptr;
  const std::int32_t* n_query_tiles = nullptr;
  const std::int32_t* token_ids = nullptr;     ///< [T]; -1: last_sampled[token_slots[t]]
  const std::int32_t* token_slots = nullptr;   ///< [T]
  const std::int32_t* positions = nullptr;     ///< [T]
  const std::int32_t* kv_slots = nullptr;      ///< [T]; -1: padding
  const std::int32_t* token_seqs = nullptr;    ///< [T]; -1: padding
  const std::int32_t* block_table = nullptr;   ///< [S, max_pages_per_seq]
  const std::int32_t* logit_rows = nullptr;    ///< [L]
  const SampleRow* samples = nullptr;          ///< [L]
  const QueryTile* query_tiles = nullptr;      ///< tokens of sequences with more than one token, and padding (seq -1)
  const DecodeSplit* decode_splits = nullptr;  ///< of sequences with one token, and padding (seq -1)
  std::int32_t max_pages_per_seq = 0;
};

/// What a launch needs besides its arguments.
struct LaunchContext {
  Stream& stream;
  std::int32_t warp_size = 32;
};

/// out[t] = scale * table[id of t]
struct EmbedArguments {
  BatchView batch;
  WeightView table;
  const std::int32_t* last_sampled;
  float* out;
  float scale;
  std::int32_t max_rows;
};

/// sum = x + add; out = residual + sum * weight / sqrt(mean(sum^2) + eps), per row. add, sum_out and residual may be null.
struct RmsNormArguments {
  const std::int32_t* n_rows;
  const float* x;
  const float* add;
  const float* weight;
  const float* bias;  ///< null: none
  float* sum_out;
  const float* residual;
  float* out;
  float eps;
  std::int32_t centers;  ///< 1: LayerNorm
  std::int32_t n_cols;
  std::int32_t max_rows;
};

/// out[r] = x[rows[r]]
struct SelectRowsArguments {
  const std::int32_t* n_rows;
  const std::int32_t* rows;
  const float* x;
  float* out;
  std::int32_t n_cols;
  std::int32_t max_rows;
};

/// out[r, c] = x[r / rows_per_x, columns[c]], or columns[expert[r], c] where experts are given
struct SelectColumnsArguments {
  const std::int32_t* n_tokens;
  const std::int32_t* columns;  ///< [out_cols], or [n_experts, out_cols]; each in [0, x_cols)
  const std::int32_t* expert;   ///< [tokens, rows_per_token] in [0, n_experts), or null
  const float* x;               ///< [tokens or rows of out, x_cols]
  float* out;                   ///< [tokens * rows_per_token, out_cols]
  std::int32_t x_cols;
  std::int32_t out_cols;
  std::int32_t rows_per_token;  ///< 1, or the number of a token's experts
  Divisor by_rows_per_x;        ///< by the rows of out that share a row of x: rows_per_token, or 1
  std::int32_t max_tokens;
};

/// q[r] = round-half-even(x[r] / s), scales[r] = s = max|x[r]| / 127, NaN if any x is NaN; every `n_cols` values of x are
/// one row. A static_scale is the s of all rows; q[r] is then bounded to [-128, 127], and scales[r] is NaN if any x is NaN or infinite.
struct QuantizeRowsArguments {
  const std::int32_t* n_tokens;
  const float* x;
  std::int8_t* q;  ///< [rows, padded_cols], zeros past n_cols
  float* scales;
  float static_scale;  ///< of kInt8Static; else 0
  std::int32_t rows_per_token;
  std::int32_t n_cols;
  std::int32_t padded_cols;
  std::int32_t max_tokens;
};

/// The values that narrow_rows makes of a row.
enum class NarrowTo : std::uint8_t {
  kBf16,  ///< x[r] in BF16; no scales
  /// x[r] / scales[r] in FP16, where the scale is a power of two: with has_f16_tiles the one that brings the largest finite number of
  /// the row into [2^14, 2^15), else 1 unless the row would leave FP16's range.
  kF16,
  kE4m3,  ///< op.h's ActQuant::kFp8PerRow and kFp8Static: the E4M3 numbers of x[r] / scales[r] as BF16, in which they are exact
  kE4m3Groups,  ///< the same for ActQuant::kFp8PerGroup128, with a scale for each group of columns: [rows, n_wide_groups(n_cols)]
  kE4m3GroupsE8m0,  ///< the same for ActQuant::kFp8PerGroup128E8m0: scales are powers of two
  kNvfp4,  ///< ActQuant::kNvfp4Static: E2M1 numbers times the scale of their 16 columns as BF16, exactly; scales[r] is the stored scale
};

/// Rounds x to the type that tiles, products with E4M3 weights or the vendor's library multiply. Zeros past n_cols.
struct NarrowRowsArguments {
  const std::int32_t* n_tokens;
  const float* x;
  std::uint16_t* out;  ///< [rows, padded_cols]
  float* scales;       ///< [rows], or as kE4m3Groups says; null for kBf16
  NarrowTo to;
  float static_scale;  ///< of kE4m3 with kFp8Static, and of kNvfp4; else 0
  std::int32_t rows_per_token;
  std::int32_t n_cols;
  std::int32_t x_stride;  ///< values from one row of x to the next
  std::int32_t padded_cols;
  Divisor by_vecs;  ///< by the vectors of eight values of a padded row
  std::int32_t max_tokens;
};

/// op.h's Matmul: out = epilogue(x W^T). If `quantized_x` is set, it is read with x_scales; else tiles read `narrow_x`, and matvec reads x.
/// x_scales without quantized_x mean that `narrow_x` has activations in E4M3 or NVFP4, which matvec reads as well, or FP16 numbers for
/// tiles (NarrowTo::kF16). x_scales are [rows], or with NarrowTo::kE4m3Groups or kE4m3GroupsE8m0 [rows, n_wide_groups(K)].
struct MatmulArguments {
  const std::int32_t* n_rows;
  const float* x;
  const Bf16* narrow_x;            ///< [rows, padded_cols of the weight], as narrow_to says
  const std::int8_t* quantized_x;  ///< [rows, padded_cols of the weight] or null
  const float* x_scales;
  WeightView weight;
  float* out;
  const float* aux;   ///< kAddResidual: [rows, N], may be out
  const float* bias;  ///< kBias: [N]; kGelu and gated epilogues: [N] or null
  float softcap;
  Epilogue epilogue;
  std::int32_t max_rows;
  MatmulPlan plan;  ///< for tiles; matvec ignores it
  /// Partial sums in f32, or int32 with quantized_x: [n_splits, max_rows, N]; with kStreamK128x256 [n_blocks, kStreamKParts, 128, 256];
  /// else unused with one split.
  std::int32_t* partial;
  /// With kStreamK128x256: for each tile, the number of its blocks that have stored their partial sums; 0 before and after. Else null.
  std::uint32_t* n_arrived = nullptr;
  NarrowTo narrow_to = NarrowTo::kBf16;
  /// With matvec and f32 x: rows of x are normalized first, x * norm_weight / sqrt(mean(x^2) + norm_eps). Null: they are not.
  const float* norm_weight = nullptr;
  float norm_eps = 0;
};

/// A product with tiles that are in_clusters(), whose operands the device copies by itself.
struct ClusterMatmulArguments : MatmulArguments {
  alignas(kTensorMapAlignment)
      TensorMap x_map;  ///< of narrow_x or quantized_x, [max_rows, padded_cols], in tiles of kClusterXRows
  alignas(kTensorMapAlignment) TensorMap weight_map;  ///< [n_rows, padded_cols], in tiles of cluster_weight_rows()
};

/// Epilogue after the library's sums: product.out = epilogue(scales * sums). The scales are the product's x_scales, if not
/// null, and those of an int8 weight.
struct FinishProductArguments {
  MatmulArguments product;
  const void* sums;         ///< [rows, N]
  std::int32_t int32_sums;  ///< 1: sums are int32; 0: f32
};

/// op.h's RopeAppend. Norm weights may be null.
struct RopeAppendArguments {
  BatchView batch;
  const float* qkv;  ///< q heads of the first token, at the beginning of its row
  const float* k;    ///< k heads of the first token: in its row of qkv, or in a matrix of their own
  const float* v;    ///< v heads likewise
  float* q_out;
  KvView kv;
  const float* inv_freq;
  const float* q_norm;
  const float* k_norm;
  HeadNorm head_norm;
  float attention_factor;
  float query_beta;           ///< of op.h's QueryGrowth
  std::int32_t query_period;  ///< 0: queries do not grow
  float norm_eps;
  std::int32_t n_heads;
  std::int32_t qkv_stride;  ///< values from one token to the next
  std::int32_t k_stride;
  std::int32_t v_stride;
  std::int32_t max_rows;
};

/// op.h's LatentAppend.
struct LatentAppendArguments {
  BatchView batch;
  const float* latent;  ///< [T, head_dim]
  const float* q;       ///< [T, n_heads, head_dim]
  float* q_out;         ///< may be q
  KvView kv;
  const float* inv_freq;  ///< [(head_dim - latent_dim) / 2]
  const float* norm;      ///< [latent_dim]
  float attention_factor;
  float query_beta;  ///< as in RopeAppendArguments
  std::int32_t query_period;
  float norm_eps;
  std::int32_t n_heads;
  std::int32_t latent_dim;
  std::int32_t max_rows;
};

/// op.h's HeadMatmul. The weights are f32, BF16 or FP16. Dot products read x, whose heads begin at multiples of 16 bytes then; tiles
/// read narrow_x, which is BF16, or with x_scales FP16.
struct HeadMatmulArguments {
  const std::int32_t* n_rows;
  const float* x;
  const Bf16* narrow_x;   ///< [rows, n_heads, padded_cols of the weights], as narrow_to says, or null: dot products
  const float* x_scales;  ///< [rows, n_heads] with NarrowTo::kF16, else null
  NarrowTo narrow_to;     ///< kBf16 or kF16
  WeightView weights;     ///< of all heads
  float* out;
  std::int32_t n_heads;
  std::int32_t n_outputs;   ///< rows of a head's weight
  std::int32_t n_copied;    ///< elements after a head's inputs, which are copied to after its outputs
  std::int32_t x_stride;    ///< elements of a head in x
  std::int32_t out_stride;  ///< elements of a head in out
  std::int32_t max_rows;
  MatmulTiles tiles;  ///< 16x64 or 64x64
};

/// Kernel for the attention of sequences with several tokens: prefill_attention (mma, MFMA, WMMA) or
/// warpgroup_attention (wgmma).
enum class PrefillBy : std::uint8_t { kWarps, kWarpgroups };

/// op.h's Attention. Sequences with one token go through split_attention; those of a cache of latents, with one token or several, through
/// the kernels of latent_attention.
struct AttentionArguments {
  BatchView batch;
  const float* q;
  float* out;  ///< may be q
  KvView kv;
  const float* sinks;      ///< [n_heads] or null
  float* partial;          ///< [max_decode_splits, n_heads, value_dim]: sums of values
  float* partial_softmax;  ///< [max_decode_splits, n_heads, 2]: largest score, in powers of 2, and sum of exponentials
  /// [max_decode_splits, blocks of a share]: blocks that have stored their share; 0 between launches. Not used by latents.
  std::uint32_t* n_arrived;
  float scale;
  float softcap;
  std::int32_t window;
  std::int32_t n_heads;
  std::int32_t value_dim;  ///< of a head in out: head_dim, or of latents latent_dim
  std::int32_t max_query_tiles;
  std::int32_t max_decode_splits;
  PrefillBy prefill;  ///< kWarpgroups only on devices that have them
};

/// Result of sampling one row.
struct SampledRow {
  std::int32_t id;
  float logprob;
  std::int32_t finite;
  std::int32_t padding;
};

/// Summary of a piece: kSamplePieceLogits neighbouring logits of one row.
inline constexpr std::int32_t kSamplePieceLogits = 4096;
struct SamplePiece {
  unsigned long long best;  ///< rank of its first token in sampling.h's order: key of the logit, then the id
  double sum;               ///< sum of exp(logit - that token's logit)
};

/// The tokens of a row that is drawn from, counted by how far their logits are below the largest. Its content is used only
/// between the kernels of one operation.
inline constexpr std::int32_t kSampleBins = 256;
struct SampleBins {
  unsigned long long mass[kSampleBins];
  std::uint32_t count[kSampleBins];
  std::uint32_t n_arrived;  ///< blocks whose tokens are counted
  std::uint32_t padding;
};

/// op.h's Sample, by backend_kit/sampling.h's rule.
struct SampleArguments {
  BatchView batch;
  const float* logits;
  SamplePiece* pieces;  ///< [L, ceil(vocab_size / kSamplePieceLogits)]
  SampleBins* bins;     ///< [L]
  SampledRow* sampled;
  TokenLogprob* top;  ///< [L, n_top]
  std::int32_t* last_sampled;
  std::int32_t n_top;
  std::int32_t vocab_size;
  std::int32_t max_rows;
};

inline constexpr std::int32_t kMaxExperts = 512;

/// op.h's Route.
struct RouteArguments {
  const std::int32_t* n_rows;
  const float* x;
  WeightView gate;
  const float* bias;         ///< [n_experts] or null
  const float* choice_bias;  ///< [n_experts] or null
  float* scores;             ///< scratch: [max_rows, n_experts]
  std::uint32_t* n_arrived;  ///< [max_rows]: blocks that have scored their experts; 0 between launches
  std::int32_t* expert;
  float* weight;
  std::int32_t n_top;
  std::int32_t renormalize;
  RouteScore score;
  std::int32_t n_groups;
  std::int32_t n_top_groups;
  std::int32_t group_size;  ///< experts of a group
  GroupScore group_score;
  float scale;
  std::int32_t n_blocks;  ///< for each token; set by the launcher
  std::int32_t max_rows;
};

/// The rows of a mixture's product grouped by expert. A row is a (token, expert slot) pair, numbered token * n_top + slot.
/// Each expert's rows, in ascending order, start a tile of their own; its last tile is filled up with -1. Computed on the
/// device, so that a replayed graph follows the router's choice.
struct ExpertRows {
  std::int32_t* rows;     ///< [max_tiles, rows per tile]; null: not grouped, matvec
  std::int32_t* experts;  ///< [max_tiles]: the expert of each tile
  std::int32_t* n_tiles;  ///< one number
  std::int32_t max_tiles;
};

/// op.h's GroupedMatmul: the first product if `share` is null, else the second. If `quantized_x` is set, it is read with
/// x_scales; else tiles read `narrow_x`, and matvec reads x. x_scales without quantized_x mean that `narrow_x` has activations in E4M3 or
/// NVFP4, which matvec reads as well, or FP16 numbers for tiles.
struct GroupedMatmulArguments {
  const std::int32_t* n_rows;
  const float* x;
  const Bf16* narrow_x;  ///< [rows, padded_cols], or [rows, n_top, padded_cols] with x_per_expert; as narrow_to says
  const std::int8_t* quantized_x;  ///< the same, or null
  const float* x_scales;
  const std::int32_t* expert;
  const float* share;
  WeightView weights;  ///< of all experts
  const float* bias;   ///< [n_experts, n_expert_rows] or null
  std::int32_t n_experts;
  std::int32_t n_expert_rows;
  float* out;
  const float* aux;
  Epilogue epilogue;
  std::int32_t n_top;
  Divisor by_top;             ///< by n_top
  std::int32_t x_per_expert;  ///< 1 if each of a token's experts has a row of x, as in every second product
  std::int32_t max_rows;
  MatmulTiles tiles;  ///< used if by_expert.rows is set
  ExpertRows by_expert;
  float* partial;  ///< second product by tiles: [max_rows, n_top, n_expert_rows]
  NarrowTo narrow_to = NarrowTo::kBf16;
};

/// Sums the 32-bit words of [memory, memory + n_vecs * 16), each read n_passes times, to measure read bandwidth. Every thread
/// writes the sum of the words it read, modulo 2^32, to sums [n_blocks * kReadMemoryThreads].
struct ReadMemoryArguments {
  const std::byte* memory = nullptr;
  std::uint32_t* sums = nullptr;
  std::int64_t n_vecs = 0;
  std::int32_t n_blocks = 0;
  std::int32_t n_passes = 1;
};
inline constexpr std::int32_t kReadMemoryThreads = 256;

/// The units whose peak is measured.
enum class ComputeUnit : std::uint8_t {
  kF32,           ///< multiply-adds of f32, by threads
  kBf16,          ///< matrix cores, BF16 to f32, by warps; with has_f16_tiles FP16 to f32
  kInt8,          ///< matrix cores, int8 to int32, by warps
  kBf16Together,  ///< the same by warpgroups (sm_90a)
  kInt8Together,
};

/// Multiplies without reading memory, to measure a peak. Every multiply-add adds 1; every thread writes the total of its
/// sums, n_steps * compute_of_thread(), to results [n_blocks * kComputeThreads].
struct ComputeArguments {
  ComputeUnit unit = ComputeUnit::kF32;
  float* results = nullptr;
  std::int32_t n_blocks = 0;
  std::int32_t n_steps = 0;
  float one = 1;  ///< a value that the compiler must not know
};
inline constexpr std::int32_t kComputeThreads = 256;
inline constexpr std::int32_t kF32Chains = 16;            ///< sums of a thread
inline constexpr std::int32_t kF32Depth = 16;             ///< multiply-adds of one sum in a step
inline constexpr std::int32_t kComputeTiles = 8;          ///< tiles of 16 x 16 sums of a warp
inline constexpr std::int32_t kComputeDepth = 32;         ///< K of a warp's step
inline constexpr std::int32_t kTogetherDepthBytes = 128;  ///< K of a step of 64 x 128 sums of a warpgroup, in bytes

/// Multiply-adds that are added to one sum in a step.
[[nodiscard]] constexpr std::int32_t compute_depth(ComputeUnit unit) {
  switch (unit) {
    case ComputeUnit::kF32:
      return kF32Depth;
    case ComputeUnit::kBf16:
    case ComputeUnit::kInt8:
      return kComputeDepth;
    case ComputeUnit::kBf16Together:
      return kTogetherDepthBytes / 2;
    case ComputeUnit::kInt8Together:
      return kTogetherDepthBytes;
  }
  return 0;
}
/// Sums of a thread.
[[nodiscard]] constexpr std::int32_t compute_sums(ComputeUnit unit, int warp_size) {
  switch (unit) {
    case ComputeUnit::kF32:
      return kF32Chains;
    case ComputeUnit::kBf16:
    case ComputeUnit::kInt8:
      return kComputeTiles * 16 * 16 / warp_size;
    case ComputeUnit::kBf16Together:
    case ComputeUnit::kInt8Together:
      return 64 * 128 / 128;
  }
  return 0;
}
/// Multiply-adds of a thread in a step.
[[nodiscard]] constexpr double compute_of_thread(ComputeUnit unit, int warp_size) {
  return static_cast<double>(compute_sums(unit, warp_size)) * compute_depth(unit);
}

/// The launchers of one target.
struct KernelTable {
  Result<void> (*embed)(const LaunchContext&, const EmbedArguments&);
  Result<void> (*rms_norm)(const LaunchContext&, const RmsNormArguments&);
  Result<void> (*select_rows)(const LaunchContext&, const SelectRowsArguments&);
  Result<void> (*select_columns)(const LaunchContext&, const SelectColumnsArguments&);
  Result<void> (*quantize_rows)(const LaunchContext&, const QuantizeRowsArguments&);
  Result<void> (*narrow_rows)(const LaunchContext&, const NarrowRowsArguments&);
  Result<void> (*matmul)(const LaunchContext&, const MatmulArguments&);
  /// Null where no device of the table has clusters.
  Result<void> (*cluster_matmul)(const LaunchContext&, const ClusterMatmulArguments&) = nullptr;
  Result<void> (*finish_product)(const LaunchContext&, const FinishProductArguments&);
  Result<void> (*rope_append)(const LaunchContext&, const RopeAppendArguments&);
  Result<void> (*latent_append)(const LaunchContext&, const LatentAppendArguments&);
  Result<void> (*head_matmul)(const LaunchContext&, const HeadMatmulArguments&);
  Result<void> (*attention)(const LaunchContext&, const AttentionArguments&);
  Result<void> (*sample)(const LaunchContext&, const SampleArguments&);
  Result<void> (*route)(const LaunchContext&, const RouteArguments&);
  Result<void> (*grouped_matmul)(const LaunchContext&, const GroupedMatmulArguments&);
  Result<void> (*read_memory)(const LaunchContext&, const ReadMemoryArguments&);
  Result<void> (*compute)(const LaunchContext&, const ComputeArguments&);
};

}  // namespace secondsource::gpu

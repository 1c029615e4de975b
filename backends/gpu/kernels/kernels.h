#pragma once
// Every kernel of the GPU backends as the host part sees it: a plain struct of arguments, which a captured graph keeps
// by value, and a function that launches it. Shapes are those of backend/op.h; values are f32, row-major. What a kernel
// computes is said here; how, in its file. All pointers are device memory.

#include <cstdint>

#include "backend/batch.h"
#include "backend/op.h"
#include "backend/weights.h"
#include "core/half.h"
#include "gpu/device.h"
#include "gpu/kernels/matmul_plan.h"

namespace secondsource::gpu {

/// A prepared weight. Rows are padded with zeros to a multiple of kWeightColumnStep columns and lie one after the
/// other; with kInterleaveGateUp row 2 j is gate j and row 2 j + 1 is up j.
struct WeightView {
  const std::byte* values = nullptr;
  const float* row_scales = nullptr;  ///< kInt8PerRow: [n_rows]
  const F16* group_scales = nullptr;  ///< kInt8Group32, kInt4Group32: [n_rows, padded_cols / 32]
  std::int64_t row_bytes = 0;
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::int32_t padded_cols = 0;
  WeightEncoding encoding = WeightEncoding::kBf16;
};

/// Columns of a row are padded to this: 16 bytes of the smallest type, and the inner step of the matrix tiles.
inline constexpr std::int32_t kWeightColumnStep = 32;

/// The paged cache of one layer: keys and values, each [n_pages, n_kv_heads, page_tokens, head_dim] BF16.
struct KvView {
  Bf16* keys = nullptr;
  Bf16* values = nullptr;
  std::int32_t n_kv_heads = 0;
  std::int32_t page_tokens = 0;
  std::int32_t head_dim = 0;
};

inline constexpr std::int32_t kMaxHeadDim = 256;
inline constexpr std::int32_t kHeadDimStep = 8;  ///< head_dim is a multiple: 16 bytes of BF16

/// Tokens that the prefill attention takes together: neighbours of one sequence, at most kQueryTileTokens.
inline constexpr std::int32_t kQueryTileTokens = 128;
struct QueryTile {
  std::int32_t first_token = 0;
  std::int32_t n_tokens = 0;
  std::int32_t seq = 0;
};

/// What sampling one row needs: SamplingParams, and where the id goes.
struct SampleRow {
  double unit = 0.0;  ///< random_unit(seed, position)
  float temperature = 0.0F;
  float top_p = 1.0F;
  std::int32_t top_k = 0;
  std::int32_t forced_id = -1;
  std::int32_t forbidden_id = -1;
  std::int32_t slot = -1;  ///< of last_sampled; -1: none
};

/// What changes from step to step. The addresses are those of the backend's batch buffer and never change, so that a
/// captured graph reads the step's own content.
struct BatchView {
  const std::int32_t* n_tokens = nullptr;  ///< one number each
  const std::int32_t* n_logit_rows = nullptr;
  const std::int32_t* n_query_tiles = nullptr;
  const std::int32_t* n_decodes = nullptr;
  const std::int32_t* token_ids = nullptr;      ///< [T]; -1: last_sampled[token_slots[t]]
  const std::int32_t* token_slots = nullptr;    ///< [T]
  const std::int32_t* positions = nullptr;      ///< [T]
  const std::int32_t* kv_slots = nullptr;       ///< [T]; -1: padding
  const std::int32_t* token_seqs = nullptr;     ///< [T]; -1: padding
  const std::int32_t* block_table = nullptr;    ///< [S, max_pages_per_seq]
  const std::int32_t* logit_rows = nullptr;     ///< [L]
  const SampleRow* samples = nullptr;           ///< [L]
  const QueryTile* query_tiles = nullptr;       ///< tokens of sequences with more than one token, and padding (seq -1)
  const std::int32_t* decode_tokens = nullptr;  ///< tokens of sequences with one token
  std::int32_t max_pages_per_seq = 0;
};

/// What a launch needs beside its arguments.
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

/// sum = x + add; out = sum * weight / sqrt(mean(sum^2) + eps), a row at a time. add and sum_out may be null.
struct RmsNormArguments {
  const std::int32_t* n_rows;
  const float* x;
  const float* add;
  const float* weight;
  float* sum_out;
  float* out;
  float eps;
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

/// q[r] = round-half-even(x[r] / s), scales[r] = s = max|x[r]| / 127, NaN if any x is; each `n_cols` of x are one row.
struct QuantizeRowsArguments {
  const std::int32_t* n_tokens;
  const float* x;
  std::int8_t* q;  ///< [rows, padded_cols], zeros behind n_cols
  float* scales;
  std::int32_t rows_per_token;
  std::int32_t n_cols;
  std::int32_t padded_cols;
  std::int32_t max_tokens;
};

/// x as tiles or a vendor's library multiply it: BF16, or for the library FP16 of x[r] / scales[r], a power of two that
/// is 1 unless the row would leave FP16's range. Zeros behind n_cols.
struct NarrowRowsArguments {
  const std::int32_t* n_tokens;
  const float* x;
  std::uint16_t* out;  ///< [rows, padded_cols]
  float* scales;       ///< null: BF16
  std::int32_t rows_per_token;
  std::int32_t n_cols;
  std::int32_t padded_cols;
  std::int32_t max_tokens;
};

/// out = epilogue(x W^T), as op.h's Matmul. With `quantized_x`, x is that times x_scales; else tiles read `narrow_x`,
/// and dot products x.
struct MatmulArguments {
  const std::int32_t* n_rows;
  const float* x;
  const Bf16* narrow_x;            ///< [rows, padded_cols of the weight]
  const std::int8_t* quantized_x;  ///< [rows, padded_cols of the weight] or null
  const float* x_scales;
  WeightView weight;
  float* out;
  const float* aux;   ///< kAddResidual: [rows, N], may be out
  const float* bias;  ///< kBias: [N]
  float softcap;
  Epilogue epilogue;
  std::int32_t max_rows;
  MatmulPlan plan;        ///< of a product by tiles
  std::int32_t* partial;  ///< [n_splits, max_rows, N] f32, or int32 with quantized_x; unused with one split
};

/// What is left of a product after the library's sums: product.out = epilogue(scales * sums). The scales are the
/// product's x_scales, where there are any, and an int8 weight's.
struct FinishProductArguments {
  MatmulArguments product;
  const void* sums;         ///< [rows, weight's rows]
  std::int32_t whole_sums;  ///< 1: they are int32, else f32
};

/// op.h's RopeAppend. Norm weights may be null.
struct RopeAppendArguments {
  BatchView batch;
  const float* qkv;
  float* q_out;
  KvView kv;
  const float* inv_freq;
  const float* q_norm;
  const float* k_norm;
  float attention_factor;
  float norm_eps;
  std::int32_t n_heads;
  std::int32_t max_rows;
};

/// Who multiplies in the attention of several tokens of a sequence: warps by `mma` or its like, or warpgroups by
/// `wgmma`.
enum class PrefillBy : std::uint8_t { kWarps, kWarpgroups };

/// op.h's Attention. Tokens alone in their sequence go through split_attention and combine_attention.
struct AttentionArguments {
  BatchView batch;
  const float* q;
  float* out;  ///< may be q
  KvView kv;
  float* partial;  ///< [decodes, n_heads, n_splits, head_dim + 2]: sums, largest score, sum of weights
  float scale;
  float softcap;
  std::int32_t window;
  std::int32_t n_heads;
  std::int32_t n_splits;
  std::int32_t split_tokens;  ///< positions of one split
  std::int32_t max_query_tiles;
  std::int32_t max_decodes;
  PrefillBy prefill;  ///< by warpgroups where the device has them
};

/// What sampling gave, a row each.
struct SampledRow {
  std::int32_t id;
  float logprob;
  std::int32_t finite;
  std::int32_t padding;
};

/// What a first look at kSamplePieceLogits neighbouring logits of a row gives.
inline constexpr std::int32_t kSamplePieceLogits = 4096;
struct SamplePiece {
  unsigned long long best;  ///< the first of its tokens in sampling.h's order: key of the logit, then the id
  double sum;               ///< of exp(logit - that token's)
};

/// sampling.h's rule, and the n_top most likely.
struct SampleArguments {
  BatchView batch;
  const float* logits;
  SamplePiece* pieces;  ///< [L, ceil(vocab_size / kSamplePieceLogits)]
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
  std::int32_t* expert;
  float* weight;
  std::int32_t n_top;
  std::int32_t renormalize;
  std::int32_t max_rows;
};

/// The rows of a mixture's product by expert, as tiles take them: a row is a token with one of its experts, by the
/// number token * n_top + slot. Each expert's rows, in the order of their numbers, begin a tile of their own, and -1
/// fills up its last one. Made on the device, so that a captured graph follows whatever the router chose.
struct ExpertRows {
  std::int32_t* rows;     ///< [max_tiles, rows of a tile]; null: there are no tiles
  std::int32_t* experts;  ///< [max_tiles]: of each tile
  std::int32_t* n_tiles;  ///< one number
  std::int32_t max_tiles;
};

/// op.h's GroupedMatmul: the first product when `share` is null, else the second. With `quantized_x`, x is that times
/// x_scales; else tiles read `narrow_x`, and dot products x.
struct GroupedMatmulArguments {
  const std::int32_t* n_rows;
  const float* x;
  const Bf16* narrow_x;            ///< [rows, padded_cols], or [rows, n_top, padded_cols] in the second product
  const std::int8_t* quantized_x;  ///< the same, or null
  const float* x_scales;
  const std::int32_t* expert;
  const float* share;
  WeightView weights;  ///< of all experts
  std::int32_t n_experts;
  std::int32_t n_expert_rows;
  float* out;
  const float* aux;
  Epilogue epilogue;
  std::int32_t n_top;
  std::int32_t max_rows;
  MatmulTiles tiles;  ///< of a product by tiles
  ExpertRows by_expert;
  float* partial;  ///< of the second product by tiles: [max_rows, n_top, n_expert_rows]
};

/// The sum of the 32-bit words of [memory, memory + n_units * 16), each read once: what reading costs and nothing else,
/// to measure it by. Every thread writes what it read to sums [n_blocks * kReadMemoryThreads], modulo 2^32.
struct ReadMemoryArguments {
  const std::byte* memory = nullptr;
  std::uint32_t* sums = nullptr;
  std::int64_t n_units = 0;
  std::int32_t n_blocks = 0;
};
inline constexpr std::int32_t kReadMemoryThreads = 256;

/// The kernels as one target has them.
struct KernelTable {
  Result<void> (*embed)(const LaunchContext&, const EmbedArguments&);
  Result<void> (*rms_norm)(const LaunchContext&, const RmsNormArguments&);
  Result<void> (*select_rows)(const LaunchContext&, const SelectRowsArguments&);
  Result<void> (*quantize_rows)(const LaunchContext&, const QuantizeRowsArguments&);
  Result<void> (*narrow_rows)(const LaunchContext&, const NarrowRowsArguments&);
  Result<void> (*matmul)(const LaunchContext&, const MatmulArguments&);
  Result<void> (*finish_product)(const LaunchContext&, const FinishProductArguments&);
  Result<void> (*rope_append)(const LaunchContext&, const RopeAppendArguments&);
  Result<void> (*attention)(const LaunchContext&, const AttentionArguments&);
  Result<void> (*sample)(const LaunchContext&, const SampleArguments&);
  Result<void> (*route)(const LaunchContext&, const RouteArguments&);
  Result<void> (*grouped_matmul)(const LaunchContext&, const GroupedMatmulArguments&);
  Result<void> (*read_memory)(const LaunchContext&, const ReadMemoryArguments&);
};

}  // namespace secondsource::gpu

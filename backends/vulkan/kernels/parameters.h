// Declares the parameters of every kernel. C++ and GLSL both include this file, which uses only what is valid in both, so that the host
// stores every struct in the layout in which a kernel reads it (GL_EXT_scalar_block_layout). Shapes and meanings are those of
// gpu/kernels/kernels.h. An address is a 64-bit number (GL_EXT_buffer_reference), 0 where kernels.h has a null pointer. Addresses come
// first in a struct, and the number of 32-bit members is even, so that no struct has padding.

#ifdef __cplusplus
#pragma once
#include <cstdint>

#include "backend/weights.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::vulkan {

using std::uint64_t;
using uint = std::uint32_t;
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
#endif

/// WeightEncoding, checked in launch_products.cpp.
const int kEncodingF32 = 0;
const int kEncodingBf16 = 1;
const int kEncodingF16 = 2;
const int kEncodingInt8 = 3;
const int kEncodingInt8Group = 4;
const int kEncodingInt4 = 5;
const int kEncodingFp8 = 6;
const int kEncodingInt4Zero = 7;
const int kEncodingFp8Group = 8;
const int kEncodingMxfp4 = 9;
const int kEncodingNvfp4 = 10;
const int kEncodingQ2K = 11;
const int kEncodingQ3K = 12;
const int kEncodingQ4K = 13;
const int kEncodingQ5K = 14;
const int kEncodingQ6K = 15;
const int kEncodingIq4Xs = 16;
const int kEncodingQ41 = 17;
const int kEncodingQ50 = 18;
const int kEncodingQ51 = 19;
const int kEncodingIq4Nl = 20;

/// What the x of a product is in memory.
const int kXF32 = 0;         ///< f32, as the graph has it
const int kXBf16 = 1;        ///< BF16, rows of padded_cols
const int kXInt8 = 2;        ///< int8, rows of padded_cols, with a scale for each row
const int kXBf16Scaled = 3;  ///< E4M3 or NVFP4 numbers as BF16, rows of padded_cols, with a scale for each row
const int kXBf16Groups = 4;  ///< the same with a scale for each 128 columns
const int kXF16Scaled = 5;   ///< FP16, rows of padded_cols, with a power of two for each row: NarrowTo::kF16

/// Epilogue, checked in launch_products.cpp.
const int kEpilogueNone = 0;
const int kEpilogueBias = 1;
const int kEpilogueGelu = 2;
const int kEpilogueAddResidual = 3;
const int kEpilogueGatedSilu = 4;
const int kEpilogueGatedGelu = 5;
const int kEpilogueGatedClampedSwish = 6;

/// NarrowTo, checked in launch_rows.cpp.
const int kNarrowToBf16 = 0;
const int kNarrowToF16 = 1;
const int kNarrowToE4m3 = 2;
const int kNarrowToE4m3Groups = 3;
const int kNarrowToE4m3GroupsE8m0 = 4;
const int kNarrowToNvfp4 = 5;

/// RouteScore and GroupScore, checked in launch_choices.cpp, as are the sizes.
const int kScoreSoftmax = 0;
const int kScoreSigmoid = 1;
const int kGroupScoreLargest = 0;
const int kGroupScoreSumOfTwo = 1;
const int kMaxExperts = 512;
const int kSamplePieceLogits = 4096;
const int kSampleBins = 256;

/// The fewest threads of a subgroup for which dot_products.glsl has shared memory, checked in physical_devices.cpp.
const int kLeastSubgroup = 4;

/// Checked in launch_rates.cpp.
const int kF32Chains = 16;
const int kF32Depth = 16;
const int kComputeTiles = 8;
const int kComputeDepth = 32;

/// The first of the specialization constants that say what matrices a kernel multiplies, checked in launch_matrices.cpp.
const int kMatrixConstants = 4;

/// HeadNorm, checked in launch_attention.cpp.
const int kHeadNormRmsOfHead = 0;
const int kHeadNormRmsOfAllHeads = 1;
const int kHeadNormLayerNormOfHead = 2;

/// WeightView and its BlockRow.
struct Weight {
  uint64_t values;
  uint64_t row_scales;
  uint64_t group_scales;
  uint64_t group_powers;
  uint64_t scale_pairs;
  uint64_t group_zeros;
  uint64_t wide_scales;
  int row_bytes;
  int n_rows;
  int n_cols;
  int padded_cols;
  int block_cols_log2;
  int has_parts;
  int high_at;
  int units_at;
  int scales_at;
  int minima_at;
};

/// BatchView.
struct BatchTables {
  uint64_t n_tokens;
  uint64_t n_logit_rows;
  uint64_t n_query_tiles;
  uint64_t token_ids;
  uint64_t token_slots;
  uint64_t positions;
  uint64_t kv_slots;
  uint64_t token_seqs;
  uint64_t block_table;
  uint64_t logit_rows;
  uint64_t samples;
  uint64_t query_tiles;
  uint64_t decode_splits;
  int max_pages_per_seq;
  int unused;
};

/// KvView.
struct KvCache {
  uint64_t keys;
  uint64_t values;
  int n_kv_heads;
  int page_tokens;
  int head_dim;
  int unused;
};

struct EmbedParameters {
  BatchTables batch;
  Weight table;
  uint64_t last_sampled;
  uint64_t result;
  float scale;
  int unused;
};

struct RmsNormParameters {
  uint64_t n_rows;
  uint64_t x;
  uint64_t add;
  uint64_t weight;
  uint64_t bias;
  uint64_t sum_out;
  uint64_t residual;
  uint64_t result;
  float eps;
  int centers;
  int n_cols;
  int unused;
};

struct SelectRowsParameters {
  uint64_t n_rows;
  uint64_t rows;
  uint64_t x;
  uint64_t result;
  int n_cols;
  int unused;
};

struct SelectColumnsParameters {
  uint64_t n_tokens;
  uint64_t columns;
  uint64_t expert;
  uint64_t x;
  uint64_t result;
  int x_cols;
  int out_cols;
  int rows_per_token;
  int rows_per_x;
};

/// QuantizeRowsArguments and NarrowRowsArguments. Values of `result` are int8, or 16 bits wide; the specialization constant kNarrowTo
/// says what they are.
struct NarrowParameters {
  uint64_t n_tokens;
  uint64_t x;
  uint64_t result;
  uint64_t scales;
  float static_scale;
  int rows_per_token;
  int n_cols;
  int x_stride;
  int padded_cols;
  int unused;
};

/// MatmulArguments, and FinishProductArguments where only partial sums are finished. The specialization constants say what x is, and
/// which encoding the weight has.
struct MatmulParameters {
  Weight weight;
  uint64_t n_rows;
  uint64_t x;
  uint64_t x_scales;
  uint64_t result;
  uint64_t aux;
  uint64_t bias;
  uint64_t partial;
  uint64_t norm_weight;
  float softcap;
  float norm_eps;
  int epilogue;
  int max_rows;
  int n_splits;
  int split_cols;  ///< columns of K of a split, a multiple of 32
};

/// HeadMatmulArguments; x is f32, and narrow_x BF16, or FP16 with x_scales.
struct HeadMatmulParameters {
  Weight weight;
  uint64_t n_rows;
  uint64_t x;
  uint64_t narrow_x;
  uint64_t x_scales;
  uint64_t result;
  int n_heads;
  int n_outputs;
  int n_copied;
  int x_stride;
  int out_stride;
  int unused;
};

/// GroupedMatmulArguments, with its ExpertRows; also of the kernels that group rows and that combine experts.
struct GroupedMatmulParameters {
  Weight weight;
  uint64_t n_rows;
  uint64_t x;
  uint64_t x_scales;
  uint64_t expert;
  uint64_t share;
  uint64_t bias;
  uint64_t result;
  uint64_t aux;
  uint64_t partial;
  uint64_t tile_rows;
  uint64_t tile_experts;
  uint64_t n_tiles;
  int n_experts;
  int n_expert_rows;
  int epilogue;
  int n_top;
  int x_per_expert;
  int max_rows;
  int max_tiles;
  int unused;
};

struct RopeAppendParameters {
  BatchTables batch;
  KvCache kv;
  uint64_t qkv;
  uint64_t k;
  uint64_t v;
  uint64_t q_out;
  uint64_t inv_freq;
  uint64_t q_norm;
  uint64_t k_norm;
  float attention_factor;
  float query_beta;
  float norm_eps;
  int query_period;
  int head_norm;
  int n_heads;
  int qkv_stride;
  int k_stride;
  int v_stride;
  int unused;
};

struct LatentAppendParameters {
  BatchTables batch;
  KvCache kv;
  uint64_t latent;
  uint64_t q;
  uint64_t q_out;
  uint64_t inv_freq;
  uint64_t norm;
  float attention_factor;
  float query_beta;
  float norm_eps;
  int query_period;
  int n_heads;
  int latent_dim;
};

struct AttentionParameters {
  BatchTables batch;
  KvCache kv;
  uint64_t q;
  uint64_t result;
  uint64_t sinks;
  uint64_t partial;
  uint64_t partial_softmax;
  float scale;
  float softcap;
  int window;
  int n_heads;
  int value_dim;
  int unused;
};

struct SampleParameters {
  BatchTables batch;
  uint64_t logits;
  uint64_t pieces;
  uint64_t bins;
  uint64_t sampled;
  uint64_t top;
  uint64_t last_sampled;
  int n_top;
  int vocab_size;
};

struct RouteParameters {
  Weight gate;
  uint64_t n_rows;
  uint64_t x;
  uint64_t bias;
  uint64_t choice_bias;
  uint64_t scores;
  uint64_t expert;
  uint64_t weight;
  int n_top;
  int renormalize;
  int score;
  int n_groups;
  int n_top_groups;
  int group_size;
  int group_score;
  float scale;
};

struct ReadMemoryParameters {
  uint64_t memory;
  uint64_t sums;
  uint64_t n_vecs;
  int n_blocks;
  int n_passes;
};

struct ComputeParameters {
  uint64_t results;
  int n_steps;
  float one;
};

#ifdef __cplusplus
#pragma GCC diagnostic pop
}  // namespace secondsource::vulkan
#endif

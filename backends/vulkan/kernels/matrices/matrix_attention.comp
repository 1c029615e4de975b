#version 460
// Attention of sequences with several new tokens, after FlashAttention-2, by cooperative matrices (VK_KHR_cooperative_matrix).
//
//   result[t, h] = sum_j w[j] v[j],   w = softmax_j(softcap(scale * q[t, h] . k[j])),   j <= position of t,
//   and j > position - window when window > 0; with sinks, exp(sinks[h]) joins the sum of the softmax
//
// In a cache of latents (multi-head latent attention) the value of a position is the beginning of its key, and all heads share it.
//
// Grid         query_rows.glsl
// Shapes       q: [T, n_heads, head_dim]; result: [T, n_heads, value_dim]; KV cache: [n_pages, n_kv_heads, page_tokens, head_dim]
// Types        q, result: f32; KV cache: BF16; all operands of matrices: FP16
// Accumulator  f32: scores, running maximum, running sum, results
// Constants    0 kRows, 1 kKeySlabs, 2 kValueSlabs, 4 to 7 the shape of the matrices and kSubgroups, as matrix_tile.glsl has them
// Aliasing     result may be q: a workgroup reads its own queries before it writes its own rows
// Alignment    lines of the cache, q and result to 16 bytes, as head_dim and value_dim are multiples of 8
// Source       FlashAttention-2, arXiv:2307.08691, algorithm 1; online softmax: arXiv:1805.02867; attention.glsl
//
// So that no number leaves FP16's range, each row of the queries and each key is divided by a power of two that brings its largest finite
// number into [2^14, 2^15), and the score is multiplied by both. Values have one power for all positions of the tiles so far, seen or not:
// that of the largest value. When it grows, the sums of earlier tiles are scaled down. Weights of the softmax are in units of 2^-15. A BF16
// number is then exact, unless it is more than 2^28 times smaller than the largest one; queries and weights are rounded to 11 bits.
//
// A workgroup walks over the cache in tiles of 32 positions. The queries stay in shared memory. The keys and values of a tile are loaded
// into registers together, and pass from there through shared memory, 64 dimensions at a time. Each subgroup multiplies a rectangle of the
// matrices. The scores of a row go through shared memory to the kRowThreads threads that compute its softmax. They write the row's weights
// over its scores, and after the weights the factor for the results of earlier tiles, once for each column of a matrix. These factors are
// loaded as a matrix, by which the sums are multiplied in registers.
#extension GL_GOOGLE_include_directive : require
#include "../common.glsl"

layout(constant_id = 0) const int kRows = 64;       ///< 16, 32 or 64
layout(constant_id = 1) const int kKeySlabs = 2;    ///< head_dim / 64, rounded up
layout(constant_id = 2) const int kValueSlabs = 2;  ///< value_dim / 64, rounded up
layout(constant_id = 4) const int kMatrixRows = 16;
layout(constant_id = 5) const int kMatrixCols = 16;
layout(constant_id = 6) const int kMatrixDepth = 16;
layout(constant_id = 7) const int kSubgroups = 8;  ///< of the workgroup

layout(local_size_x = 256) in;
PARAMETERS(AttentionParameters)
#include "../attention.glsl"
#include "../query_rows.glsl"

const int kTile = 32;  ///< positions of a tile
const int kSlab = 64;  ///< dimensions of a slab
const int kSlabChunks = kSlab / 8;
const int kThreadPositions = kTile / kRowThreads;          ///< positions of the tile whose softmax a thread computes
const int kQueryStride = (kKeySlabs * kSlab + 8) / 4;      ///< f16vec4 of a row
const int kLineStride = (kSlab + 8) / 4;                   ///< f16vec4 of a position
const int kScoreStride = kTile + 4;                        ///< words of a row
const int kFactorsAt = kTile / 2;                          ///< words of a row's weights, behind which its factors are
const int kMostMatrixCols = 16;
const float kWeightUnits = 32768.0;

// At most 31.9 KiB.
shared f16vec4 queries[kRows * kQueryStride];
shared f16vec4 staged[kTile * kLineStride];  ///< a slab of the tile's keys or values
shared uint scores[kRows * kScoreStride];    ///< f32; then FP16 weights and f32 factors; at the end results
shared uint row_parts[256];                  ///< maxima of lines, maxima and sums of rows: a part for each thread
shared uint key_maxima[kTile];               ///< the largest finite magnitude of each key, BF16
shared uint value_maximum_so_far;            ///< the same of all values, those of this tile included

// The subgroups form a rectangle. Each has a rectangle of the matrices of scores, and one of those of a slab of the results.
const int kRowMatrices = kRows / kMatrixRows;
const int kSubgroupsDown = kRowMatrices < kSubgroups ? kRowMatrices : kSubgroups;
const int kSubgroupsAcross = kSubgroups / kSubgroupsDown;
const int kOwnDown = kRowMatrices / kSubgroupsDown;
const int kScoreMatrices = kTile / kMatrixCols;
const int kScoreSubgroups = kScoreMatrices < kSubgroupsAcross ? kScoreMatrices : kSubgroupsAcross;
const int kOwnScores = kScoreMatrices / kScoreSubgroups;
const int kValueMatrices = kSlab / kMatrixCols;
const int kValueSubgroups = kValueMatrices < kSubgroupsAcross ? kValueMatrices : kSubgroupsAcross;
const int kOwnValues = kValueMatrices / kValueSubgroups;

coopmat<float, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator> products[kOwnDown * kOwnScores];
coopmat<float, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator> sums[kValueSlabs * kOwnDown * kOwnValues];

/// The row of the first of this subgroup's matrices, of those that are i further down.
int matrix_row(int i) { return (int(gl_SubgroupID) / kSubgroupsAcross * kOwnDown + i) * kMatrixRows; }
int subgroup_across() { return int(gl_SubgroupID) % kSubgroupsAcross; }
int score_col(int j) { return (subgroup_across() * kOwnScores + j) * kMatrixCols; }
int value_col(int j) { return (subgroup_across() * kOwnValues + j) * kMatrixCols; }

/// The larger of `largest` and the finite magnitudes of eight BF16.
uint largest_finite(uvec4 words, uint largest) {
  [[unroll]] for (int i = 0; i < 4; ++i) {
    const uint low = words[i] & 0x7fffu;
    const uint high = words[i] >> 16 & 0x7fffu;
    if (low < 0x7f80u) largest = max(largest, low);
    if (high < 0x7f80u) largest = max(largest, high);
  }
  return largest;
}

/// The power for numbers whose largest magnitude is this BF16.
float power_of_bf16(uint magnitude) { return power_into_f16(magnitude << 16); }

/// Four values divided by a power, as FP16.
f16vec4 narrowed(vec4 values, float inverse) { return f16vec4(inverse * values); }

/// Stores one chunk of this thread's line.
void stage(uvec4 words, float inverse) {
  const int at = int(gl_LocalInvocationID.x) / kSlabChunks * kLineStride + int(gl_LocalInvocationID.x) % kSlabChunks * 2;
  staged[at] = narrowed(widen_pairs(words.xy), inverse);
  staged[at + 1] = narrowed(widen_pairs(words.zw), inverse);
}

/// Stores this thread's part of its row of the queries, and returns the row's power.
float store_queries(int row, int lane, int head_dim) {
  const uint64_t query = p.q + uint64_t(row_numbers[row]) * uint64_t(head_dim) * 4;
  uint largest = 0u;
  for (int i = lane; i < head_dim; i += kRowThreads) {
    const uint magnitude = U32(query).at[i] & 0x7fffffffu;
    if (magnitude < 0x7f800000u) largest = max(largest, magnitude);
  }
  row_parts[row * kRowThreads + lane] = largest;
  barrier();  // the parts are stored
  for (int k = 0; k < kRowThreads; ++k) largest = max(largest, row_parts[row * kRowThreads + k]);
  const float power = power_into_f16(largest);
  const float inverse = inverse_of_power(power);
  for (int quad = lane; quad < kKeySlabs * (kSlab / 4); quad += kRowThreads) {
    vec4 values = vec4(0.0);
    if (quad * 4 < head_dim) values = F32x4(query).at[quad];
    queries[row * kQueryStride + quad] = narrowed(values, inverse);
  }
  return power;
}

/// Adds the products of slab `slab` of the queries and the staged keys to `products`.
void multiply_keys(int slab, int head_dim) {
  const int n_steps = (min(head_dim - slab * kSlab, kSlab) + kMatrixDepth - 1) / kMatrixDepth;
  for (int k = 0; k < n_steps; ++k) {
    coopmat<float16_t, gl_ScopeSubgroup, kMatrixRows, kMatrixDepth, gl_MatrixUseA> of_queries[kOwnDown];
    [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
      coopMatLoad(of_queries[i], queries, matrix_row(i) * kQueryStride + (slab * kSlab + k * kMatrixDepth) / 4, kQueryStride,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
    [[unroll]] for (int j = 0; j < kOwnScores; ++j) {
      coopmat<float16_t, gl_ScopeSubgroup, kMatrixDepth, kMatrixCols, gl_MatrixUseB> of_keys;
      coopMatLoad(of_keys, staged, score_col(j) * kLineStride + k * kMatrixDepth / 4, kLineStride,
                  gl_CooperativeMatrixLayoutColumnMajor);
      [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
        products[i * kOwnScores + j] = coopMatMulAdd(of_queries[i], of_keys, products[i * kOwnScores + j]);
      }
    }
  }
}

/// Multiplies the sums of slab `slab` by the factors of their rows, and adds the products of the weights and the staged values. `slab` is
/// the variable of an unrolled loop.
void multiply_values(int slab) {
  [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
    coopmat<float, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator> factors;
    coopMatLoad(factors, scores, matrix_row(i) * kScoreStride + kFactorsAt, kScoreStride, gl_CooperativeMatrixLayoutRowMajor);
    [[unroll]] for (int j = 0; j < kOwnValues; ++j) {
      const int at = (slab * kOwnDown + i) * kOwnValues + j;
      sums[at] = sums[at] * factors;
    }
  }
  [[unroll]] for (int k = 0; k < kTile / kMatrixDepth; ++k) {
    coopmat<float16_t, gl_ScopeSubgroup, kMatrixRows, kMatrixDepth, gl_MatrixUseA> weights[kOwnDown];
    [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
      coopMatLoad(weights[i], scores, matrix_row(i) * kScoreStride + k * kMatrixDepth / 2, kScoreStride,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
    [[unroll]] for (int j = 0; j < kOwnValues; ++j) {
      coopmat<float16_t, gl_ScopeSubgroup, kMatrixDepth, kMatrixCols, gl_MatrixUseB> of_values;
      coopMatLoad(of_values, staged, k * kMatrixDepth * kLineStride + value_col(j) / 4, kLineStride,
                  gl_CooperativeMatrixLayoutRowMajor);
      [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
        const int at = (slab * kOwnDown + i) * kOwnValues + j;
        sums[at] = coopMatMulAdd(weights[i], of_values, sums[at]);
      }
    }
  }
}

void main() {
  QueryRows rows;
  if (!find_rows(rows)) return;  // all threads of the workgroup
  int begin;
  int end;
  find_positions(rows, begin, end);
  const int thread = int(gl_LocalInvocationID.x);
  const uint64_t pages = pages_of(rows.seq);
  const uint64_t values = values_of_cache();
  const int head_dim = p.kv.head_dim;
  const int value_dim = p.value_dim;
  const int row = thread / kRowThreads;  // of which this thread computes a part of the softmax
  const int lane = thread % kRowThreads;
  const int position = row < rows.n_rows ? position_of_row(row) : -1;  // a row that does not exist sees nothing
  const float query_power = store_queries(row, lane, head_dim);
  const bool has_scores = int(gl_SubgroupID) < kSubgroupsDown * kSubgroupsAcross && subgroup_across() < kScoreSubgroups;
  const bool has_values = int(gl_SubgroupID) < kSubgroupsDown * kSubgroupsAcross && subgroup_across() < kValueSubgroups;

  float row_max = kNoScore;
  float row_sum = 0.0;      // of this thread's positions
  uint largest_value = 0u;  // value_maximum_so_far of the tile before
  [[unroll]] for (int i = 0; i < kValueSlabs * kOwnDown * kOwnValues; ++i) {
    sums[i] = coopmat<float, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator>(0);
  }
  if (thread == 0) value_maximum_so_far = 0u;
  barrier();  // the maxima of the queries have been read

  for (int first = begin; first < end; first += kTile) {
    const int line_position = first + thread / kSlabChunks;
    const int line = line_of(pages, rows.kv_head, min(line_position, end - 1));
    uvec4 key_words[kKeySlabs];
    uvec4 value_words[kValueSlabs];
    uint key_maximum = 0u;
    uint value_maximum = 0u;
    [[unroll]] for (int slab = 0; slab < kKeySlabs; ++slab) {
      const int chunk = slab * kSlabChunks + thread % kSlabChunks;
      key_words[slab] = uvec4(0u);
      if (line_position < end && chunk < head_dim / 8) key_words[slab] = read_chunk(p.kv.keys, line, chunk);
      key_maximum = largest_finite(key_words[slab], key_maximum);
    }
    [[unroll]] for (int slab = 0; slab < kValueSlabs; ++slab) {
      const int chunk = slab * kSlabChunks + thread % kSlabChunks;
      value_words[slab] = uvec4(0u);
      if (line_position < end && chunk < value_dim / 8) value_words[slab] = read_chunk(values, line, chunk);
      value_maximum = largest_finite(value_words[slab], value_maximum);
    }
    row_parts[thread] = key_maximum | value_maximum << 16;
    barrier();  // the maxima are stored, and the tile before is multiplied
    for (int k = 0; k < kSlabChunks; ++k) {
      const uint part = row_parts[thread / kSlabChunks * kSlabChunks + k];
      key_maximum = max(key_maximum, part & 0xffffu);
      value_maximum = max(value_maximum, part >> 16);
    }
    if (thread % kSlabChunks == 0) {
      key_maxima[thread / kSlabChunks] = key_maximum;
      atomicMax(value_maximum_so_far, value_maximum);
    }
    const float inverse_of_key = inverse_of_power(power_of_bf16(key_maximum));

    [[unroll]] for (int i = 0; i < kOwnDown * kOwnScores; ++i) {
      products[i] = coopmat<float, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator>(0);
    }
    [[unroll]] for (int slab = 0; slab < kKeySlabs; ++slab) {
      if (slab > 0) barrier();  // the keys that were staged before are multiplied
      stage(key_words[slab], inverse_of_key);
      barrier();  // the slab is staged; the first time also: the queries and the maxima are stored
      if (has_scores) multiply_keys(slab, head_dim);
    }
    if (has_scores) {
      [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
        [[unroll]] for (int j = 0; j < kOwnScores; ++j) {
          coopMatStore(products[i * kOwnScores + j], scores, matrix_row(i) * kScoreStride + score_col(j), kScoreStride,
                       gl_CooperativeMatrixLayoutRowMajor);
        }
      }
    }
    const uint new_largest_value = value_maximum_so_far;
    const float inverse_of_value = inverse_of_power(power_of_bf16(new_largest_value));
    barrier();  // the scores are stored, and the keys are multiplied

    float own_scores[kThreadPositions];
    float part_max = kNoScore;
    [[unroll]] for (int i = 0; i < kThreadPositions; ++i) {
      const int k = lane * kThreadPositions + i;
      const int at = first + k;
      const bool is_seen = at <= position && (p.window <= 0 || at > position - p.window);
      const float key_power = power_of_bf16(key_maxima[k]);
      // The smaller power is multiplied first, so that no intermediate result overflows where the score does not.
      const float product = uintBitsToFloat(scores[row * kScoreStride + k]) * min(query_power, key_power) * max(query_power, key_power);
      own_scores[i] = is_seen ? score_of(product) : kNoScore;
      part_max = own_scores[i] > part_max ? own_scores[i] : part_max;
    }
    row_parts[thread] = floatBitsToUint(part_max);
    barrier();  // the maxima are stored, and the scores have been read
    float new_max = row_max;
    for (int k = 0; k < kRowThreads; ++k) {
      const float m = uintBitsToFloat(row_parts[row * kRowThreads + k]);
      new_max = m > new_max ? m : new_max;
    }
    const float shift = shift_of(new_max);
    const float rescale = exp2(row_max - shift);
    row_max = new_max;
    row_sum *= rescale;
    [[unroll]] for (int i = 0; i < kThreadPositions; i += 2) {
      const vec2 weights = vec2(exp2(own_scores[i] - shift), exp2(own_scores[i + 1] - shift));
      scores[row * kScoreStride + (lane * kThreadPositions + i) / 2] = packFloat2x16(f16vec2(kWeightUnits * weights));
      row_sum += weights.x + weights.y;
    }
    // Before the first value the sums are zeros, whatever their power is.
    const float factor = rescale * (power_of_bf16(largest_value) * inverse_of_value);
    for (int i = lane; i < kMostMatrixCols; i += kRowThreads) scores[row * kScoreStride + kFactorsAt + i] = floatBitsToUint(factor);
    largest_value = new_largest_value;

    [[unroll]] for (int slab = 0; slab < kValueSlabs; ++slab) {
      if (slab > 0) barrier();  // the values that were staged before are multiplied
      stage(value_words[slab], inverse_of_value);
      barrier();  // the slab is staged; the first time also: the weights and the factors are stored
      if (has_values) multiply_values(slab);
    }
  }

  row_parts[thread] = floatBitsToUint(row_sum);
  barrier();  // the sums are stored
  float divisor = weight_of_sink(row_numbers[row] % p.n_heads, row_max);
  for (int k = 0; k < kRowThreads; ++k) divisor += uintBitsToFloat(row_parts[row * kRowThreads + k]);
  const float result_power = power_of_bf16(largest_value);
  const uint64_t written = p.result + uint64_t(row_numbers[row]) * uint64_t(value_dim) * 4;
  // The results pass through shared memory, as many dimensions at a time as a tile has positions.
  [[unroll]] for (int part = 0; part < kValueSlabs * (kSlab / kTile); ++part) {
    const int slab = part / (kSlab / kTile);
    const int first_col = part % (kSlab / kTile) * kTile;
    if (part > 0) barrier();  // the results that were stored before have been read
    if (has_values) {
      [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
        [[unroll]] for (int j = 0; j < kOwnValues; ++j) {
          const int col = value_col(j) - first_col;
          if (col >= 0 && col < kTile) {
            coopMatStore(sums[(slab * kOwnDown + i) * kOwnValues + j], scores, matrix_row(i) * kScoreStride + col, kScoreStride,
                         gl_CooperativeMatrixLayoutRowMajor);
          }
        }
      }
    }
    barrier();  // the results are stored
    [[unroll]] for (int i = 0; i < kThreadPositions; ++i) {
      const int col = i * kRowThreads + lane;
      const int dim = slab * kSlab + first_col + col;
      const float sum = uintBitsToFloat(scores[row * kScoreStride + col]) / kWeightUnits * result_power;
      if (row < rows.n_rows && dim < value_dim) F32(written).at[dim] = sum / divisor;
    }
  }
}

#version 460
// Attention of sequences with several new tokens, after FlashAttention-2, by f32 multiply-adds.
//
//   result[t, h] = sum_j w[j] v[j],   w = softmax_j(softcap(scale * q[t, h] . k[j])),   j <= position of t,
//   and j > position - window when window > 0; with sinks, exp(sinks[h]) joins the sum of the softmax
//
// In a cache of latents (multi-head latent attention) the value of a position is the beginning of its key, and all heads share it.
//
// Grid         query_rows.glsl
// Shapes       q: [T, n_heads, head_dim]; result: [T, n_heads, value_dim]; KV cache: [n_pages, n_kv_heads, page_tokens, head_dim]
// Types        q, result: f32; KV cache: BF16, widened to f32
// Accumulator  f32: scores, running maximum, running sum, results
// Aliasing     result may be q: a workgroup reads its own queries before it writes its own rows
// Alignment    lines of the cache, q and result to 16 bytes, as head_dim and value_dim are multiples of 8
// Source       FlashAttention-2, arXiv:2307.08691, algorithm 1; online softmax: arXiv:1805.02867; attention.glsl
//
// A workgroup walks over the cache in tiles of 32 positions. Both products of a tile are divided along the dimensions of heads, 64 at a
// time, which is what shared memory holds. The threads are 16 x 16: a thread has kRows / 16 neighbouring rows and, of the scores, two
// positions, of the results, four dimensions of each 64. For the softmax, kRowThreads threads share a row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 0) const int kRows = 64;       ///< 32 or 64
layout(constant_id = 1) const int kValueSlabs = 2;  ///< value_dim / 64, rounded up

layout(local_size_x = 256) in;
PARAMETERS(AttentionParameters)
#include "attention.glsl"
#include "query_rows.glsl"

const int kThreads = 256;
const int kSide = 16;                            ///< threads along rows, and along positions or dimensions
const int kOwnRows = kRows / kSide;
const int kTile = 32;                            ///< positions of a tile
const int kSlab = 64;                            ///< dimensions of a slab
const int kSlabChunks = kSlab / 8;
const int kQueryStride = kSlab / 4 + 1;          ///< vec4 of a row
const int kLineStride = kSlab / 4 + 1;           ///< uvec2 of a position: four BF16 each
const int kScoreStride = kTile + 4;

// 31.8 KiB with 64 rows.
shared vec4 queries[kRows * kQueryStride];
shared uvec2 staged[kTile * kLineStride];        ///< a slab of the tile's keys or values
shared float scores[kRows * kScoreStride];       ///< then the weights
shared float row_parts[kThreads];                ///< [kRows, kRowThreads]: maxima of a tile; at the end sums
shared float row_factors[kRows];                 ///< the factor for the results of earlier tiles; at the end the sink's weight

/// Stores slab `slab` of a line, of which this thread takes one chunk; zeros where there is none.
void stage(uint64_t cache, int line, bool exists, int slab, int n_chunks) {
  const int chunk_of_slab = int(gl_LocalInvocationID.x) % kSlabChunks;
  const int chunk = slab * kSlabChunks + chunk_of_slab;
  uvec4 words = uvec4(0u);
  if (exists && chunk < n_chunks) words = read_chunk(cache, line, chunk);
  const int at = int(gl_LocalInvocationID.x) / kSlabChunks * kLineStride + chunk_of_slab * 2;
  staged[at] = words.xy;
  staged[at + 1] = words.zw;
}

void main() {
  QueryRows rows;
  if (!find_rows(rows)) return;  // all threads of the workgroup
  const int n_rows = rows.n_rows;
  const int kv_head = rows.kv_head;
  int begin;
  int end;
  find_positions(rows, begin, end);
  const int thread = int(gl_LocalInvocationID.x);
  const int value_dim = p.value_dim;
  const uint64_t pages = pages_of(rows.seq);
  const uint64_t values = values_of_cache();
  const int head_dim = p.kv.head_dim;
  const int n_key_slabs = (head_dim + kSlab - 1) / kSlab;
  const int own_row = thread / kSide * kOwnRows;  // the first of the thread's rows in both products
  const int column = thread % kSide;
  const int softmax_row = thread / kRowThreads;
  const int softmax_lane = thread % kRowThreads;
  int positions[kOwnRows];  // -1 for rows that do not exist, which see nothing
  [[unroll]] for (int r = 0; r < kOwnRows; ++r) {
    const bool is_row = own_row + r < n_rows;
    positions[r] = is_row ? position_of_row(own_row + r) : -1;
  }

  float row_max = kNoScore;
  float row_sum = 0.0;  // of this thread's positions
  vec4 sums[kValueSlabs * kOwnRows];
  [[unroll]] for (int i = 0; i < kValueSlabs * kOwnRows; ++i) sums[i] = vec4(0.0);

  for (int first = begin; first < end; first += kTile) {
    const int staged_position = first + thread / kSlabChunks;
    const bool exists = staged_position < end;
    const int line = line_of(pages, kv_head, min(staged_position, end - 1));

    float products[kOwnRows * 2];
    [[unroll]] for (int i = 0; i < kOwnRows * 2; ++i) products[i] = 0.0;
    for (int slab = 0; slab < n_key_slabs; ++slab) {
      barrier();  // all have read the queries and keys, or values, that were staged before
      stage(p.kv.keys, line, exists, slab, head_dim / 8);
      for (int i = thread; i < kRows * kSlab / 4; i += kThreads) {
        const int row = i / (kSlab / 4);
        const int quad = i % (kSlab / 4);
        const bool is_there = slab * kSlab + quad * 4 < head_dim;
        const uint64_t query = p.q + uint64_t(row_numbers[row]) * uint64_t(head_dim) * 4;
        queries[row * kQueryStride + quad] = is_there ? F32x4(query).at[slab * (kSlab / 4) + quad] : vec4(0.0);
      }
      barrier();  // the slabs are staged
      const int n_chunks = min(head_dim / 8 - slab * kSlabChunks, kSlabChunks);
      for (int chunk = 0; chunk < n_chunks; ++chunk) {
        vec4 keys[4];  // the beginnings and ends of two chunks
        [[unroll]] for (int c = 0; c < 2; ++c) {
          const int at = (column + c * kSide) * kLineStride + chunk * 2;
          keys[c * 2] = widen_pairs(staged[at]);
          keys[c * 2 + 1] = widen_pairs(staged[at + 1]);
        }
        [[unroll]] for (int r = 0; r < kOwnRows; ++r) {
          const int at = (own_row + r) * kQueryStride + chunk * 2;
          const vec4 query_begin = queries[at];
          const vec4 query_end = queries[at + 1];
          [[unroll]] for (int c = 0; c < 2; ++c) {
            products[r * 2 + c] += dot(query_begin, keys[c * 2]) + dot(query_end, keys[c * 2 + 1]);
          }
        }
      }
    }
    [[unroll]] for (int r = 0; r < kOwnRows; ++r) {
      [[unroll]] for (int c = 0; c < 2; ++c) {
        const int at = first + column + c * kSide;
        const bool is_seen = at <= positions[r] && (p.window <= 0 || at > positions[r] - p.window);
        scores[(own_row + r) * kScoreStride + column + c * kSide] = is_seen ? score_of(products[r * 2 + c]) : kNoScore;
      }
    }
    barrier();  // the scores are stored, and the keys have been read

    float part_max = kNoScore;
    for (int k = softmax_lane; k < kTile; k += kRowThreads) {
      const float score = scores[softmax_row * kScoreStride + k];
      part_max = score > part_max ? score : part_max;
    }
    row_parts[thread] = part_max;
    barrier();  // the maxima are stored
    float new_max = row_max;
    for (int k = 0; k < kRowThreads; ++k) {
      const float m = row_parts[softmax_row * kRowThreads + k];
      new_max = m > new_max ? m : new_max;
    }
    const float shift = shift_of(new_max);
    const float rescale = exp2(row_max - shift);
    row_max = new_max;
    row_sum *= rescale;
    for (int k = softmax_lane; k < kTile; k += kRowThreads) {
      const float weight = exp2(scores[softmax_row * kScoreStride + k] - shift);
      scores[softmax_row * kScoreStride + k] = weight;
      row_sum += weight;
    }
    if (softmax_lane == 0) row_factors[softmax_row] = rescale;

    [[unroll]] for (int slab = 0; slab < kValueSlabs; ++slab) {
      if (slab > 0) barrier();  // the values that were staged before have been read
      stage(values, line, exists, slab, value_dim / 8);
      barrier();  // the slab is staged; the first time also: the weights and the factors are stored
      [[unroll]] for (int r = 0; r < kOwnRows; ++r) sums[slab * kOwnRows + r] *= row_factors[own_row + r];
      for (int k = 0; k < kTile; k += 4) {
        [[unroll]] for (int u = 0; u < 4; ++u) {
          const vec4 value = widen_pairs(staged[(k + u) * kLineStride + column]);
          [[unroll]] for (int r = 0; r < kOwnRows; ++r) {
            sums[slab * kOwnRows + r] += scores[(own_row + r) * kScoreStride + k + u] * value;
          }
        }
      }
    }
  }

  barrier();  // the factors of the last tile have been read
  row_parts[thread] = row_sum;
  if (softmax_lane == 0) row_factors[softmax_row] = weight_of_sink(row_numbers[softmax_row] % p.n_heads, row_max);
  barrier();  // the sums are stored
  [[unroll]] for (int r = 0; r < kOwnRows; ++r) {
    const int row = own_row + r;
    if (row < n_rows) {
      float divisor = row_factors[row];
      for (int k = 0; k < kRowThreads; ++k) divisor += row_parts[row * kRowThreads + k];
      const uint64_t written = p.result + uint64_t(row_numbers[row]) * uint64_t(value_dim) * 4;
      [[unroll]] for (int slab = 0; slab < kValueSlabs; ++slab) {
        const int dim = slab * kSlab + column * 4;
        if (dim < value_dim) F32x4(written).at[dim / 4] = sums[slab * kOwnRows + r] / divisor;
      }
    }
  }
}

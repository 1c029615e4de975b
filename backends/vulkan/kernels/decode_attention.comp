#version 460
// Decode attention, one new token per sequence, split along the KV cache so that one long sequence fills the device (Flash-Decoding).
// attention.glsl has the sums of a share and how those of all shares are combined, with
//
//   score_j = log2(e) * softcap(scale * q . k_j), over positions j <= position, and j > position - window when window > 0
//
// In a cache of latents (multi-head latent attention) the value of a position is the beginning of its key, and all heads share it.
//
// Grid         (n_kv_heads * ceil(n_heads / n_kv_heads / kHeads), max_decode_splits)
// Shapes       q: [T, n_heads, head_dim]; result: [T, n_heads, value_dim]; KV cache: [n_pages, n_kv_heads, page_tokens, head_dim];
//              partial: [shares, n_heads, value_dim] = o_s; partial_softmax: [shares, n_heads, 2] = m_s, d_s
// Types        q, result, partial: f32; KV cache: BF16, widened to f32
// Accumulator  f32, in an order that does not depend on timing
// Aliasing     result may be q: only the one share of a sequence writes its result here, after it has read its queries
// Alignment    lines of the cache, q, result and partial to 16 bytes, as head_dim and value_dim are multiples of 8
// Source       Flash-Decoding (Dao, Haziza, Massa, Sizov, 2023); online softmax: arXiv:1805.02867
//
// A workgroup takes one share for up to kHeads query heads of one KV head, so that the cache is read once for all of them, and goes
// through its positions in tiles of kTile. Keys come to shared memory in the order in which they lie in the cache. For the scores a thread
// has one position and one of kParts parts of the dimensions; for the results it has eight dimensions and one of kGroups groups of
// positions, whose values it loads before the scores are computed. The groups' sums are added at the end.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 0) const int kHeads = 4;         ///< 1, 2, 4 or 8
layout(constant_id = 1) const int kChunks = 16;       ///< head_dim / 8, at most 72
layout(constant_id = 2) const int kValueChunks = 16;  ///< value_dim / 8, at most 64 and kChunks
layout(constant_id = 3) const int kTile = 32;         ///< positions of a tile, 16 or 32
layout(constant_id = 4) const int kGroups = 8;        ///< at most kTile and kThreads / kValueChunks

layout(local_size_x = 128) in;
PARAMETERS(AttentionParameters)
#include "attention.glsl"

const int kThreads = 128;
const int kParts = kThreads / kTile;
const int kHeadThreads = kThreads / kHeads;          ///< that compute the softmax of a head
const int kStride = kChunks | 1;                     ///< of keys in shared memory: odd, so that neighbouring positions are in other banks
const int kOwn = (kTile + kGroups - 1) / kGroups;    ///< positions of a thread

// At most 32 KiB: 31.2 KiB with 8 heads of 256 dimensions, 30.4 KiB with 4 heads of 576 and tiles of 16 positions.
shared vec4 queries[kHeads * kChunks * 2];
shared uvec4 keys[kTile * kStride];  ///< at the end the sums of values, f32 [kHeads, value_dim]
shared float part_products[kParts * kHeads * kTile];
shared float scores[kHeads * kTile];
shared float weights[kHeads * kTile];
shared int lines[kTile];  ///< of the tile's positions; past the last position the last one's
shared float softmax_sums[kThreads];
shared float rescales[kHeads];  ///< the factor for the sums of earlier tiles
shared float largest[kHeads];
shared float divisors[kHeads];

void main() {
  const int thread = int(gl_LocalInvocationID.x);
  const int share_number = int(gl_WorkGroupID.y);
  const DecodeShare share = read_share(share_number);
  if (share.seq < 0) return;
  const Span span = span_of(share);
  if (span.begin >= span.end) return;
  const int group_heads = p.n_heads / p.kv.n_kv_heads;  // query heads of one KV head
  const int n_blocks = (group_heads + kHeads - 1) / kHeads;
  const int kv_head = int(gl_WorkGroupID.x) / n_blocks;
  const int before = (int(gl_WorkGroupID.x) - kv_head * n_blocks) * kHeads;  // heads of the KV head that other workgroups take
  const int first_head = kv_head * group_heads + before;
  const int n_heads = min(group_heads - before, kHeads);
  const uint64_t pages = pages_of(share.seq);
  const uint64_t values = values_of_cache();

  const uint64_t first_query = p.q + (uint64_t(share.token) * uint64_t(p.n_heads) + uint64_t(first_head)) *
                               uint64_t(p.kv.head_dim) * 4;
  for (int i = thread; i < kHeads * kChunks * 2; i += kThreads) {
    queries[i] = i < n_heads * kChunks * 2 ? F32x4(first_query).at[i] : vec4(0.0);
  }
  if (thread < kTile) lines[thread] = line_of(pages, kv_head, min(span.begin + thread, span.end - 1));
  barrier();  // the queries and the lines are stored

  // The thread's position and dimensions of scores, its head of the softmax, and its dimensions and positions of results.
  const int column = thread % kTile;
  const int part = thread / kTile;
  const int softmax_head = thread / kHeadThreads;
  const int softmax_lane = thread % kHeadThreads;
  const int value_chunk = thread % kValueChunks;
  const int group = thread / kValueChunks;
  const bool has_values = group < kGroups;

  float row_max = kNoScore;
  float row_sum = 0.0;  // of this thread's positions
  vec4 sums[kHeads * 2];
  [[unroll]] for (int i = 0; i < kHeads * 2; ++i) sums[i] = vec4(0.0);

  for (int first = span.begin; first < span.end; first += kTile) {
    for (int i = thread; i < kTile * kChunks; i += kThreads) {
      const int line = i / kChunks;
      const int chunk = i - line * kChunks;
      keys[line * kStride + chunk] = read_chunk(p.kv.keys, lines[line], chunk);
    }
    uvec4 own_values[kOwn];
    [[unroll]] for (int i = 0; i < kOwn; ++i) {
      own_values[i] = read_chunk(values, lines[min(group + i * kGroups, kTile - 1)], value_chunk);
    }
    barrier();  // the keys are stored, and the lines have been read

    float products[kHeads];
    [[unroll]] for (int h = 0; h < kHeads; ++h) products[h] = 0.0;
    for (int chunk = part; chunk < kChunks; chunk += kParts) {
      const uvec4 key = keys[column * kStride + chunk];
      const vec4 key_begin = widen_pairs(key.xy);
      const vec4 key_end = widen_pairs(key.zw);
      [[unroll]] for (int h = 0; h < kHeads; ++h) {
        const int at = (h * kChunks + chunk) * 2;
        products[h] += dot(queries[at], key_begin) + dot(queries[at + 1], key_end);
      }
    }
    [[unroll]] for (int h = 0; h < kHeads; ++h) part_products[(part * kHeads + h) * kTile + column] = products[h];
    if (thread < kTile) lines[thread] = line_of(pages, kv_head, min(first + kTile + thread, span.end - 1));
    barrier();  // the parts of the products are stored, and the keys have been read

    for (int i = thread; i < kHeads * kTile; i += kThreads) {
      float product = 0.0;
      for (int k = 0; k < kParts; ++k) product += part_products[k * kHeads * kTile + i];
      scores[i] = first + i % kTile < span.end ? score_of(product) : kNoScore;
    }
    barrier();  // the scores are stored

    // Every thread finds the maximum of its head, and computes the weights of some positions.
    float new_max = row_max;
    for (int k = 0; k < kTile; ++k) {
      const float score = scores[softmax_head * kTile + k];
      new_max = score > new_max ? score : new_max;
    }
    const float shift = shift_of(new_max);
    const float rescale = exp2(row_max - shift);
    row_max = new_max;
    row_sum *= rescale;
    for (int k = softmax_lane; k < kTile; k += kHeadThreads) {
      const float weight = exp2(scores[softmax_head * kTile + k] - shift);
      weights[softmax_head * kTile + k] = weight;
      row_sum += weight;
    }
    if (softmax_lane == 0) rescales[softmax_head] = rescale;
    barrier();  // the weights and the factors are stored

    [[unroll]] for (int h = 0; h < kHeads; ++h) {
      sums[h * 2] *= rescales[h];
      sums[h * 2 + 1] *= rescales[h];
    }
    [[unroll]] for (int i = 0; i < kOwn; ++i) {
      const int k = group + i * kGroups;
      if (!has_values || k >= kTile) continue;
      const vec4 value_begin = widen_pairs(own_values[i].xy);
      const vec4 value_end = widen_pairs(own_values[i].zw);
      [[unroll]] for (int h = 0; h < kHeads; ++h) {
        const float weight = weights[h * kTile + k];
        sums[h * 2] += weight * value_begin;
        sums[h * 2 + 1] += weight * value_end;
      }
    }
  }

  const bool is_whole = share.n_shares == 1;
  const uint64_t first_row =
      uint64_t(is_whole ? share.token : share_number) * uint64_t(p.n_heads) + uint64_t(first_head);  // of result or partial
  softmax_sums[thread] = row_sum;
  if (softmax_lane == 0) largest[softmax_head] = row_max;
  barrier();  // the sums of the softmax and the maxima are stored
  if (thread < n_heads) {
    float sum = 0.0;
    for (int k = 0; k < kHeadThreads; ++k) sum += softmax_sums[thread * kHeadThreads + k];
    divisors[thread] = is_whole ? sum + weight_of_sink(first_head + thread, largest[thread]) : 1.0;
    if (!is_whole) {
      const uint64_t softmax = p.partial_softmax + (first_row + uint64_t(thread)) * 8;
      F32(softmax).at[0] = largest[thread];
      F32(softmax).at[1] = sum;
    }
  }
  // The groups add their sums one after the other, in the shared memory of the keys.
  for (int turn = 0; turn < kGroups; ++turn) {
    if (group == turn) {
      [[unroll]] for (int h = 0; h < kHeads; ++h) {
        const int at = (h * kValueChunks + value_chunk) * 2;
        vec4 begin = sums[h * 2];
        vec4 end = sums[h * 2 + 1];
        if (turn > 0) {
          begin += uintBitsToFloat(keys[at]);
          end += uintBitsToFloat(keys[at + 1]);
        }
        keys[at] = floatBitsToUint(begin);
        keys[at + 1] = floatBitsToUint(end);
      }
    }
    barrier();  // the sums of this group are added
  }
  const uint64_t written = (is_whole ? p.result : p.partial) + first_row * uint64_t(p.value_dim) * 4;
  for (int i = thread; i < n_heads * kValueChunks * 2; i += kThreads) {
    F32x4(written).at[i] = uintBitsToFloat(keys[i]) / divisors[i / (kValueChunks * 2)];
  }
}

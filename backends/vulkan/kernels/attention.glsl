// What the attention kernels share: shares of the cache of a decode step, places in the paged cache, and scores.
//
// Scores are in powers of 2: log2(e) times those of op.h's Attention, so that the softmax needs exp2() alone.
//
//   share s:  m_s = max_j score_j,  d_s = sum_j 2^(score_j - m_s),  o_s = sum_j 2^(score_j - m_s) v_j
//   combine:  m = max_s m_s,  result = sum_s 2^(m_s - m) o_s / (2^(sink - m) + sum_s 2^(m_s - m) d_s), without sinks 0 in the place of
//             2^(sink - m)
//
// Source: Flash-Decoding (Dao, Haziza, Massa, Sizov, 2023); online softmax: arXiv:1805.02867.

const float kLog2E = 1.4426950409;
/// Less than every finite score: the score of a position that is not seen, and the maximum of no scores. It is finite, since GLSL promises
/// nothing about infinity; exp2() of it is 0. A NaN compares as not greater, so that it never becomes the maximum, but it enters the sums.
const float kNoScore = -3.0e38;

/// gpu/kernels/kernels.h's DecodeSplit.
struct DecodeShare {
  int seq;
  int token;
  int position;
  int index;
  int n_shares;
};
const int kDecodeShareBytes = 32;

DecodeShare read_share(int i) {
  const uint64_t share = p.batch.decode_splits + uint64_t(i) * kDecodeShareBytes;
  return DecodeShare(I32(share).at[0], I32(share).at[1], I32(share).at[2], I32(share).at[3], I32(share).at[4]);
}

/// What a token sees, and the part of it that is one share.
struct Span {
  int n_seen;  ///< positions that the token sees, up to its own
  int step;    ///< positions of a share
  int begin;
  int end;
};

/// Shares begin at multiples of eight positions from the first one that is seen. The last ones of a sequence may be empty.
Span span_of(DecodeShare share) {
  const int n_positions = share.position + 1;
  Span span;
  span.n_seen = p.window > 0 && p.window < n_positions ? p.window : n_positions;
  const int first_seen = n_positions - span.n_seen;
  span.step = ((span.n_seen + share.n_shares - 1) / share.n_shares + 7) / 8 * 8;
  span.begin = first_seen + share.index * span.step;
  span.end = min(span.begin + span.step, n_positions);
  return span;
}

/// The address of a sequence's row in the block table.
uint64_t pages_of(int seq) { return p.batch.block_table + uint64_t(seq) * uint64_t(p.batch.max_pages_per_seq) * 4; }

/// The number of a position's line in the cache. Keys and values have lines of head_dim elements.
int line_of(uint64_t pages, int kv_head, int position) {
  const int page_number = position / p.kv.page_tokens;
  const int page = I32(pages).at[page_number];
  return (page * p.kv.n_kv_heads + kv_head) * p.kv.page_tokens + position - page_number * p.kv.page_tokens;
}

/// Eight neighbouring BF16 of a line. `cache`: p.kv.keys or values_of_cache(); chunk: the first of them, divided by eight.
uvec4 read_chunk(uint64_t cache, int line, int chunk) {
  return U32x4(cache + uint64_t(line) * uint64_t(p.kv.head_dim) * 2).at[chunk];
}

/// The values. In a cache of latents the value of a position is the beginning of its key.
uint64_t values_of_cache() { return p.kv.values == 0 ? p.kv.keys : p.kv.values; }

/// Four BF16 in two words.
vec4 widen_pairs(uvec2 words) {
  return vec4(uintBitsToFloat(words.x << 16), uintBitsToFloat(words.x & 0xffff0000u), uintBitsToFloat(words.y << 16),
              uintBitsToFloat(words.y & 0xffff0000u));
}

/// c * tanh(x / c), or x if c is 0. NaN stays NaN, and large x give c, which GLSL's tanh() does not promise.
float soft_cap(float x, float c) {
  if (!(c > 0.0)) return x;
  const float y = x / c;
  const float size = abs(y);
  const float square = y * y;
  if (size < 0.25) {
    return c * (y + y * square * (-0.333333333 + square * (0.133333333 + square * (-0.0539682540 + square * 0.0218694885))));
  }
  const float power = exp2(-2.0 * kLog2E * size);
  const float tanh_of_size = (1.0 - power) / (1.0 + power);
  return c * (y < 0.0 ? -tanh_of_size : tanh_of_size);
}

/// The score of the product of a query and a key.
float score_of(float product) { return kLog2E * soft_cap(p.scale * product, p.softcap); }

/// What is subtracted from scores whose maximum is m. Where every score is -infinity or NaN, it is 0.
float shift_of(float m) { return m == kNoScore ? 0.0 : m; }

/// The weight of a part of the positions whose largest score is m; 1 if it has no largest one: its sums are then 0, or NaN, which must
/// propagate.
float weight_of_part(float m, float largest) { return m == kNoScore ? 1.0 : exp2(m - largest); }

/// What a head's sink adds to the sum of exponentials; 0 without sinks.
float weight_of_sink(int head, float m) { return p.sinks == 0 ? 0.0 : exp2(kLog2E * F32(p.sinks).at[head] - shift_of(m)); }

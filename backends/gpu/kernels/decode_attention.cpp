// Decode attention, one new token per sequence, split along the KV cache so that one long sequence fills the device
// (Flash-Decoding). decode_split.h has the sums of a share and how those of all shares are combined, with
//
//   score_j = log2(e) * softcap(scale * q . k_j), over positions j <= position, and j > position - window when window > 0
//
// Shapes       q, out: [T, n_heads, head_dim]; KV cache: [n_pages, n_kv_heads, page_tokens, head_dim];
//              partial: [splits, n_heads, head_dim] = o_s; partial_softmax: [splits, n_heads, 2] = m_s, d_s
// Dtypes       q, out, partial: f32; KV cache: BF16, widened to f32
// Accumulator  f32, in an order that does not depend on timing
// Aliasing     out may be q: the last block of the heads writes it, after all of them have read q
// Alignment    cache rows to 16 bytes, as head_dim is a multiple of 8
// Source       Flash-Decoding (Dao, Haziza, Massa, Sizov, 2023); online softmax: arXiv:1805.02867
//
// A block computes one split for up to kHeads query heads of one KV head, so the cache is read once for all of them. A group of
// kLanes neighbouring lanes takes one position, each lane 8 dimensions of its key and of its value. The group requests the keys
// of the next four positions as soon as it has multiplied the last ones, then their values, so that up to eight loads of 16 bytes
// are in flight (at least four with eight heads). Each group has a softmax of its own, so that no warp waits for another before
// the end. The last block to finish its split combines them all.

#include "gpu/kernels/decode_split.h"
#include "gpu/kernels/launchers.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/last_block.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kWarps = 4;
constexpr int kDims = 8;  ///< dimensions of a lane: 16 bytes of a row of the cache
/// Positions of a group of lanes at a time. With eight heads, four would take more registers than gfx1100 has.
template <int kHeads>
inline constexpr int kPositions = kHeads < 8 ? 4 : 2;

struct DecodeAttentionArguments {
  AttentionArguments attention;
  std::int32_t group_heads;  ///< query heads of one KV head
  std::int32_t n_parts;      ///< blocks that share a KV head
  Divisor by_parts;          ///< by n_parts
  std::int32_t n_blocks;     ///< blocks of a split
};

/// Shared memory of a block that takes kHeads query heads.
template <int kHeads, int kLanes>
struct Shared {
  /// The first four dimensions of every lane, then the other four: neighbouring lanes read neighbouring 16 bytes.
  Quad queries[kHeads][2][kLanes];
  float sums[kWarps][kHeads][kLanes * kDims];
  float row_max[kWarps][kHeads];
  float sum[kWarps][kHeads];
  float weights[kHeads][kMaxDecodeSplits];
  int flag;
};

/// The softmax of kHeads rows of scores over some positions, and this lane's dimensions of the sums of values.
template <int kHeads>
struct Sums {
  float row_max[kHeads];
  float sum[kHeads];
  float values[kHeads][kDims];
};

/// The pages of the rows that a lane reads next. On AMD, loads complete in order, and a wait for the pages is a wait for every load before
/// them. So they are requested before the keys of the current rows, which are needed earlier.
template <int kHeads>
struct Pages {
  std::int32_t page[kPositions<kHeads>];
};

/// The rows of the cache that a lane reads.
template <int kHeads>
struct Rows {
  std::int64_t offset[kPositions<kHeads>];
};

template <int kHeads, int kLanes>
class SplitReader {
 public:
  static constexpr int kGroups = kWarps * kWarpSize / kLanes;
  static constexpr int kBatch = kGroups * kPositions<kHeads>;  ///< positions that the block takes at a time

  SS_DEVICE SplitReader(const AttentionArguments& a, const std::int32_t* pages, int kv_head, int end)
      : a_(a),
        pages_(pages),
        kv_head_(kv_head),
        end_(end),
        group_(thread_x() / kLanes),
        dim_(thread_x() % kLanes * kDims),
        holds_(dim_ < a.kv.head_dim) {}

  SS_DEVICE int position(int first, int i) const { return first + i * kGroups + group_; }

  /// Requests the pages of the rows that begin with position `first`.
  SS_DEVICE void look_up(int first, Pages<kHeads>& pages) const {
    SS_UNROLL
    for (int i = 0; i < kPositions<kHeads>; ++i) pages.page[i] = pages_[divide(row(first, i), a_.kv.by_page)];
  }

  /// Computes where the rows that begin with position `first` lie in the cache, from their pages.
  SS_DEVICE void find(int first, const Pages<kHeads>& pages, Rows<kHeads>& rows) const {
    SS_UNROLL
    for (int i = 0; i < kPositions<kHeads>; ++i) {
      const int at = row(first, i);
      const std::int64_t line = (std::int64_t{pages.page[i]} * a_.kv.n_kv_heads + kv_head_) * a_.kv.page_tokens +
                                (at - divide(at, a_.kv.by_page) * a_.kv.page_tokens);
      rows.offset[i] = line * a_.kv.head_dim + (holds_ ? dim_ : 0);
    }
  }

  /// Lanes past head_dim load what other lanes load: a conditional load would be a branch on AMD.
  SS_DEVICE void load(const Bf16* cache, const Rows<kHeads>& rows, Chunk (&chunks)[kPositions<kHeads>]) const {
    SS_UNROLL
    for (int i = 0; i < kPositions<kHeads>; ++i) chunks[i] = load_chunk(cache + rows.offset[i]);
  }

  /// scores[h][i] = log2(e) * softcap(scale * q[h] . k[i]) in every lane of the group; -inf past the end.
  SS_DEVICE void score(const Shared<kHeads, kLanes>& shared, const Chunk (&keys)[kPositions<kHeads>], int first,
                       float (&scores)[kHeads][kPositions<kHeads>]) const {
    float key[kPositions<kHeads>][kDims];
    SS_UNROLL
    for (int i = 0; i < kPositions<kHeads>; ++i) unpack<WeightEncoding::kBf16>(keys[i], key[i]);
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      float query[kDims];
      SS_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Quad quad = shared.queries[h][half][thread_x() % kLanes];
        SS_UNROLL
        for (int d = 0; d < 4; ++d) query[half * 4 + d] = quad.value[d];
      }
      SS_UNROLL
      for (int i = 0; i < kPositions<kHeads>; ++i) {
        float product = 0.0F;
        SS_UNROLL
        for (int d = 0; d < kDims; ++d) product += query[d] * key[i][d];
        product = sum_lanes(holds_ ? product : 0.0F, kLanes);
        scores[h][i] = a_.scale * product;
      }
    }
    if (a_.softcap > 0.0F) {
      SS_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        SS_UNROLL
        for (int i = 0; i < kPositions<kHeads>; ++i)
          scores[h][i] = a_.softcap * fast_tanh(fast_divide(scores[h][i], a_.softcap));
      }
    }
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      SS_UNROLL
      for (int i = 0; i < kPositions<kHeads>; ++i)
        scores[h][i] = position(first, i) < end_ ? kLog2E * scores[h][i] : kNegInf;
    }
  }

  SS_DEVICE bool holds() const { return holds_; }
  SS_DEVICE int dim() const { return dim_; }

 private:
  /// Rows past the end repeat the last one.
  SS_DEVICE int row(int first, int i) const {
    const int wanted = position(first, i);
    return wanted < end_ ? wanted : end_ - 1;
  }

  const AttentionArguments& a_;
  const std::int32_t* pages_;
  int kv_head_;
  int end_;
  int group_;
  int dim_;
  bool holds_;
};

/// Replaces scores by 2^(score - row_max), and rescales what was summed before.
template <int kHeads>
SS_DEVICE void update_softmax(float (&scores)[kHeads][kPositions<kHeads>], Sums<kHeads>& sums) {
  SS_UNROLL
  for (int h = 0; h < kHeads; ++h) {
    float row_max = sums.row_max[h];
    SS_UNROLL
    for (int i = 0; i < kPositions<kHeads>; ++i) row_max = larger(scores[h][i], row_max);
    const float shift = SoftmaxState::shift(row_max);
    const float rescale = fast_exp2(sums.row_max[h] - shift);
    float sum = 0.0F;
    SS_UNROLL
    for (int i = 0; i < kPositions<kHeads>; ++i) {
      scores[h][i] = fast_exp2(scores[h][i] - shift);
      sum += scores[h][i];
    }
    sums.row_max[h] = row_max;
    sums.sum[h] = sums.sum[h] * rescale + sum;
    SS_UNROLL
    for (int d = 0; d < kDims; ++d) sums.values[h][d] *= rescale;
  }
}

template <int kHeads>
SS_DEVICE void add_values(const float (&weights)[kHeads][kPositions<kHeads>], const Chunk (&chunks)[kPositions<kHeads>],
                          Sums<kHeads>& sums) {
  SS_UNROLL
  for (int i = 0; i < kPositions<kHeads>; ++i) {
    float value[kDims];
    unpack<WeightEncoding::kBf16>(chunks[i], value);
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      SS_UNROLL
      for (int d = 0; d < kDims; ++d) sums.values[h][d] += weights[h][i] * value[d];
    }
  }
}

/// Adds up the sums of a warp's groups; every lane then has its dimensions of the total.
template <int kHeads, int kLanes>
SS_DEVICE void add_groups(Sums<kHeads>& sums) {
  SS_UNROLL
  for (int mask = kLanes; mask < kWarpSize; mask *= 2) {
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      const float row_max = larger(sums.row_max[h], shuffle_xor(sums.row_max[h], mask));
      const float rescale = fast_exp2(sums.row_max[h] - SoftmaxState::shift(row_max));
      sums.row_max[h] = row_max;
      sums.sum[h] *= rescale;
      sums.sum[h] += shuffle_xor(sums.sum[h], mask);
      SS_UNROLL
      for (int d = 0; d < kDims; ++d) {
        sums.values[h][d] *= rescale;
        sums.values[h][d] += shuffle_xor(sums.values[h][d], mask);
      }
    }
  }
}

template <int kHeads, int kLanes>
SS_KERNEL(kMaxThreads)
split_attention_kernel(DecodeAttentionArguments arguments) {
  wait_for_earlier_kernels();
  const AttentionArguments& a = arguments.attention;
  const DecodeSplit split = a.batch.decode_splits[block_y()];
  if (split.seq < 0) return;
  const int kv_head = divide(block_x(), arguments.by_parts);
  const int before = (block_x() - kv_head * arguments.n_parts) * kHeads;  // the KV head's heads of earlier blocks
  const int first_head = kv_head * arguments.group_heads + before;
  const int n_heads = arguments.group_heads - before < kHeads ? arguments.group_heads - before : kHeads;
  const int head_dim = a.kv.head_dim;
  const Span span = span_of(split, a.window);
  auto& shared = shared_memory<Shared<kHeads, kLanes>>();

  if (span.begin < span.end) {
    const SplitReader<kHeads, kLanes> reader(
        a, a.batch.block_table + std::int64_t{split.seq} * a.batch.max_pages_per_seq, kv_head, span.end);
    constexpr int kBatch = SplitReader<kHeads, kLanes>::kBatch;
    Pages<kHeads> pages;
    Rows<kHeads> rows;
    Chunk keys[kPositions<kHeads>];
    Chunk values[kPositions<kHeads>];
    reader.look_up(span.begin, pages);
    reader.find(span.begin, pages, rows);
    reader.look_up(span.begin + kBatch, pages);
    reader.load(a.kv.keys, rows, keys);
    reader.load(a.kv.values, rows, values);

    for (int h = warp(); h < kHeads; h += kWarps) {
      const float* const query = a.q + (std::int64_t{split.token} * a.n_heads + first_head + h) * head_dim;
      for (int i = lane(); i < 2 * kLanes; i += kWarpSize) {
        const bool is_there = h < n_heads && 4 * i < head_dim;
        shared.queries[h][i % 2][i / 2] = is_there ? load_words<Quad>(query + 4 * i) : Quad{};
      }
    }
    Sums<kHeads> sums;
    SS_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      sums.row_max[h] = kNegInf;
      sums.sum[h] = 0.0F;
      SS_UNROLL
      for (int d = 0; d < kDims; ++d) sums.values[h][d] = 0.0F;
    }
    sync_block();  // queries are stored
    for (int first = span.begin; first < span.end; first += kBatch) {
      float weights[kHeads][kPositions<kHeads>];
      reader.score(shared, keys, first, weights);
      // These loads happen past the end as well, where they repeat the last row. AMD's compiler counts the loads in flight to know what to
      // wait for; after a branch around some of them it can only wait for all.
      reader.find(first + kBatch, pages, rows);
      reader.look_up(first + 2 * kBatch, pages);
      reader.load(a.kv.keys, rows, keys);
      schedule_barrier();  // keeps these loads before the softmax
      update_softmax<kHeads>(weights, sums);
      add_values<kHeads>(weights, values, sums);
      reader.load(a.kv.values, rows, values);
    }

    add_groups<kHeads, kLanes>(sums);
    if (lane() < kLanes) {
      SS_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        SS_UNROLL
        for (int d = 0; d < kDims; ++d) shared.sums[warp()][h][reader.dim() + d] = sums.values[h][d];
        if (lane() == 0) shared.row_max[warp()][h] = sums.row_max[h];
        if (lane() == 0) shared.sum[warp()][h] = sums.sum[h];
      }
    }
    sync_block();  // the sums of every warp are stored
    const bool is_whole = split.n_splits == 1;
    for (int h = warp(); h < n_heads; h += kWarps) {
      const int head = first_head + h;
      float row_max = kNegInf;
      for (int w = 0; w < kWarps; ++w) row_max = larger(shared.row_max[w][h], row_max);
      float total = 0.0F;
      float weights[kWarps];
      SS_UNROLL
      for (int w = 0; w < kWarps; ++w) {
        weights[w] = weight_of_part(shared.row_max[w][h], row_max);
        total += weights[w] * shared.sum[w][h];
      }
      const float divisor = is_whole ? total + weight_of_sink_in_base_2(a, head, row_max) : 1.0F;
      const std::int64_t row = std::int64_t{is_whole ? split.token : block_y()} * a.n_heads + head;
      float* const out = (is_whole ? a.out : a.partial) + row * head_dim;
      for (int dim = lane() * 4; dim < head_dim; dim += kWarpSize * 4) {
        Quad sum{};
        SS_UNROLL
        for (int w = 0; w < kWarps; ++w) {
          SS_UNROLL
          for (int d = 0; d < 4; ++d) sum.value[d] += weights[w] * shared.sums[w][h][dim + d];
        }
        SS_UNROLL
        for (int d = 0; d < 4; ++d) sum.value[d] /= divisor;
        store_chunk(out + dim, bits_as<Chunk>(sum));
      }
      if (is_whole || lane() != 0) continue;
      store_pair(a.partial_softmax + row * 2, row_max, total);
    }
  }
  if (split.n_splits == 1) return;
  const int first_split = block_y() - split.index;
  std::uint32_t* const n_arrived = a.n_arrived + std::int64_t{first_split} * arguments.n_blocks + block_x();
  if (!is_last_block(n_arrived, split.n_splits, shared.flag)) return;
  for (int h = warp(); h < n_heads; h += kWarps) {
    combine_splits(a, split, span, first_split, first_head + h, {0, head_dim}, shared.weights[h]);
  }
}

template <int kHeads, int kLanes>
Result<void> launch_with(const LaunchContext& context, const AttentionArguments& arguments) {
  const std::int32_t group_heads = arguments.n_heads / arguments.kv.n_kv_heads;
  const std::int32_t n_parts = (group_heads + kHeads - 1) / kHeads;
  return launch(context.stream, "split_attention", split_attention_kernel<kHeads, kLanes>,
                {.grid = {static_cast<std::uint32_t>(arguments.kv.n_kv_heads * n_parts),
                          static_cast<std::uint32_t>(arguments.max_decode_splits)},
                 .threads = static_cast<std::uint32_t>(kWarps * context.warp_size),
                 .shared_bytes = sizeof(Shared<kHeads, kLanes>)},
                DecodeAttentionArguments{.attention = arguments,
                                         .group_heads = group_heads,
                                         .n_parts = n_parts,
                                         .by_parts = make_divisor(n_parts),
                                         .n_blocks = arguments.kv.n_kv_heads * n_parts});
}

template <int kHeads>
Result<void> launch_for(const LaunchContext& context, const AttentionArguments& arguments) {
  if (arguments.kv.head_dim <= 8 * kDims) return launch_with<kHeads, 8>(context, arguments);
  if (arguments.kv.head_dim <= 16 * kDims) return launch_with<kHeads, 16>(context, arguments);
  return launch_with<kHeads, 32>(context, arguments);
}

}  // namespace

Result<void> launch_decode_attention(const LaunchContext& context, const AttentionArguments& arguments) {
  const std::int32_t group_heads = arguments.n_heads / arguments.kv.n_kv_heads;
  static_assert(kMaxDecodeHeads == 8 && kMaxHeadDim <= 32 * kDims);
  return group_heads == 1   ? launch_for<1>(context, arguments)
         : group_heads == 2 ? launch_for<2>(context, arguments)
         : group_heads <= 4 ? launch_for<4>(context, arguments)
                            : launch_for<8>(context, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu

#pragma once
// The main loop of tiles of 16 x 64 and 64 x 64 on NVIDIA. Weights are loaded from memory straight into the registers that mma multiplies.
// Only x goes through shared memory.
//
//   sums[m, n] += sum_k x[m, k] * weight[n, k]
//
// Shapes       as in matmul_tile.h; each of the block's four warps multiplies all rows of x with 16 rows of the weight
// Dtypes       x: BF16 or int8; weight: every encoding except f32, blocks of GGUF, and int8-g32 multiplied with int8 x
// Accumulator  f32; int8 by int8 in int32; with scales of 128 columns each such group in f32, scaled and added in f32
// Alignment    rows of x and of the weight to 16 bytes
// Source       own; mma gets the columns of K in another order, the same for x and for the weight, as in Marlin (arXiv:2408.11743)
//
// With few rows a product takes as long as the weight takes to arrive. Four lanes load 64 neighbouring bytes of a row of the weight, in
// whichever encoding, and have up to kWindowsAhead such loads of two rows in flight, 4 KiB a warp, without a barrier: a lane requests a
// later window of K as soon as it has multiplied the one in the same registers. The loop of matmul_tile.h requests a weight that has to
// be decoded only one step of 32 columns ahead, and 32 four-bit codes are just 16 bytes of a row.

#include "gpu/kernels/tile_loader.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// A build with SS_GPU_STAGED_TILES brings all weights to shared memory, to show on hardware which is faster.
#if defined(SS_GPU_STAGED_TILES)
inline constexpr bool kStreamsTiles = false;
#else
inline constexpr bool kStreamsTiles = kHasMmaFragments;
#endif

/// Whether the weights of these tiles are streamed.
template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
inline constexpr bool kStreams = kStreamsTiles && !is_large(kTiles) && kEncoding != WeightEncoding::kF32 &&
                                 !kIsBlocks<kEncoding> && !kScalesGroups<kEncoding, kQuantized>;

/// A block whose stages hold x alone, 256 bytes of each row.
template <MatmulTiles kTiles>
struct StreamedShape : BlockShape<kTiles, 1, 4, kTiles == MatmulTiles::k16x64 ? 4 : 3> {
  static constexpr bool kStreamsWeights = true;
  static constexpr int kStepBytes = 256;
  static constexpr int kPlanSteps = kStepBytes / step_bytes(kTiles);
  static constexpr int kVecsPerLine = kStepBytes / kVecBytes;
  static constexpr int kLineBytes = kStepBytes;
  /// Eight lanes that load in the same wavefront have four vectors of two neighbouring rows, 1, 2 or 4 vectors apart. They lie in
  /// different banks, as do eight neighbouring vectors of a row.
  static SS_DEVICE int vec_offset(int line, int vec) {
    return line * kLineBytes + (vec ^ vec / 4 % 4 ^ line % 2 * 4) * kVecBytes;
  }
};

/// Takes the place of the TileLoader for weights that are streamed.
struct NoLoader {};

/// The shape of the tiles of a weight.
template <MatmulTiles kTiles, WeightEncoding kEncoding, bool kQuantized>
using ShapeFor = std::conditional_t<kStreams<kTiles, kEncoding, kQuantized>, StreamedShape<kTiles>, ShapeOf<kTiles>>;

/// A lane's part of the rows of the weight that its warp multiplies: of two rows, eight apart, every fourth chunk of 16 bytes. A window is
/// what the four lanes of a row load at a time.
template <WeightEncoding kEncoding, bool kQuantized>
class WeightStream {
 public:
  /// Vectors of 16 bytes of BF16, or of int8, in a chunk.
  static constexpr int kChunkVecs = kQuantized ? 1 : kChunkValues<kEncoding> / 8;
  static constexpr int kWindowVecs = 4 * kChunkVecs;
  /// The chunks of one window.
  struct Window {
    Chunk codes[2];
    ChunkGroup<kEncoding> group[2];
  };

  /// `end`: the number of the first window that is not multiplied.
  SS_DEVICE WeightStream(const WeightView& weight, int first_row, int end) : weight_(weight) {
    SS_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + lane() / 4 + half * 8;
      // Padding rows repeat the last valid row of the weight. Their sums are never stored.
      row_[half] = row < weight.n_rows ? row : weight.n_rows - 1;
      begin_[half] = weight.values + std::int64_t{row_[half]} * weight.row_bytes;
    }
    const int n_chunks = weight.padded_cols / (kQuantized ? 16 : kChunkValues<kEncoding>);
    n_chunks_ = end * 4 < n_chunks ? end * 4 : n_chunks;
  }
  /// Requests a window. Its values are zeros past the last column of the weight, and from window `end` on.
  SS_DEVICE void request(Window& window, int index) const {
    window = {};
    const int chunk = index * 4 + lane() % 4;
    if (chunk >= n_chunks_) return;
    SS_UNROLL
    for (int half = 0; half < 2; ++half)
      window.codes[half] = load_chunk(begin_[half] + chunk * std::int64_t{sizeof(Chunk)});
    if constexpr (kHasGroups<kEncoding> && !kQuantized) {
      SS_UNROLL
      for (int half = 0; half < 2; ++half)
        window.group[half].load(weight_, row_[half], chunk * kChunkValues<kEncoding>);
    }
  }
  /// Vector `vec` of a chunk, in the type that is multiplied.
  [[nodiscard]] static SS_DEVICE Chunk narrowed(const Window& window, int half, int vec) {
    if constexpr (kQuantized) {
      return window.codes[half];
    } else {
      return narrow_words<kEncoding>(window.codes[half].word + vec * kWordsOfEight<kEncoding>, window.group[half], vec);
    }
  }

 private:
  const WeightView& weight_;
  const std::byte* begin_[2];
  int row_[2];
  int n_chunks_;
};

/// Adds the products of one window to this warp's sums. `place`: of the window among those of the stage.
template <typename Shape, typename Input, typename Stream, int kRowTiles>
SS_DEVICE void multiply_window(const std::byte* x, const typename Stream::Window& window, int place,
                               Accumulator<Input> (&sums)[kRowTiles][1]) {
  SS_UNROLL
  for (int vec = 0; vec < Stream::kChunkVecs; ++vec) {
    const Chunk first = Stream::narrowed(window, 0, vec);
    const Chunk second = Stream::narrowed(window, 1, vec);
    const std::byte* const from =
        x + Shape::vec_offset(lane() / 4, place * Stream::kWindowVecs + lane() % 4 * Stream::kChunkVecs + vec);
    SS_UNROLL
    for (int i = 0; i < kRowTiles; ++i) {
      const Chunk upper = load_chunk(from + i * kTile * Shape::kLineBytes);
      const Chunk lower = load_chunk(from + (i * kTile + kTile / 2) * Shape::kLineBytes);
      SS_UNROLL
      for (int part = 0; part < 2; ++part) {
        multiply(sums[i][0], fragment_a<Input>(upper, lower, part), fragment_b<Input>(first, second, part));
      }
    }
  }
}

inline constexpr int kWindowsAhead = 4;
static_assert(kSplitStep % StreamedShape<MatmulTiles::k16x64>::kPlanSteps == 0 &&
                  kSplitStep % StreamedShape<MatmulTiles::k64x64>::kPlanSteps == 0,
              "a split of K begins and ends where a step of the tiles does");

/// Multiplies the steps [begin, end) of K. `fetch(step)` begins to load a stage of x into `stages`; `finish(step)` is called when that
/// stage has been multiplied.
template <typename Shape, typename Input, WeightEncoding kEncoding, bool kQuantized, typename Stage, int kRowTiles,
          typename Fetch, typename Finish>
SS_DEVICE void multiply_streamed(const WeightView& weight, int first_row, const Stage* stages, int begin, int end,
                                 Accumulator<Input> (&sums)[kRowTiles][1], const Fetch& fetch, const Finish& finish) {
  using Stream = WeightStream<kEncoding, kQuantized>;
  constexpr int kWindows = Shape::kVecsPerLine / Stream::kWindowVecs;  // of a stage
  static_assert(kWindows * Stream::kWindowVecs == Shape::kVecsPerLine && kWindowsAhead % kWindows == 0);
  const Stream stream(weight, first_row, end * kWindows);
  const int n_windows = (end - begin) * kWindows;
  typename Stream::Window held[kWindowsAhead];
  SS_UNROLL
  for (int i = 0; i < kWindowsAhead; ++i) stream.request(held[i], begin * kWindows + i);
  for (int first = 0; first < n_windows; first += kWindowsAhead) {
    SS_UNROLL
    for (int i = 0; i < kWindowsAhead; ++i) {
      if (first + i >= n_windows) break;
      const int step = begin + (first + i) / kWindows;
      if (i % kWindows == 0) {
        wait_for_copies<Shape::kStagesAhead - 1>();
        sync_block();  // this stage of x has arrived, and all reads of the stage that is filled next are done
        if (step + Shape::kStagesAhead < end) fetch(step + Shape::kStagesAhead);
        commit_copies();
      }
      multiply_window<Shape, Input, Stream>(stages[step % Shape::kStages].x, held[i], i % kWindows, sums);
      stream.request(held[i], begin * kWindows + first + i + kWindowsAhead);
      sync_warp();  // keeps ptxas from moving all requests behind the last product, where a warp would wait for them at once
      if (i % kWindows == kWindows - 1) finish(step);
    }
  }
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu

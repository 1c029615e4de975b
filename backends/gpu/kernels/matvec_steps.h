#pragma once
// The steps of dot products with few rows of x, for one weight (matvec.cpp) and for a mixture's experts (grouped_matvec.cpp). Their speed
// is limited by reading the weight once.
//
// A warp multiplies kOutputs neighbouring rows of the weight. It reads x from shared memory once for all of these rows, so that it reads
// no more bytes of x than of the weight. Each lane has 128 bytes of the weight in flight: as soon as a vector has been multiplied, the next
// one is requested into the same registers, even while the block stores the next part of x. Where there are few outputs, several warps
// of a block share the columns of the same rows, so that the device has enough warps.

#include <algorithm>

#include "core/checked.h"
#include "gpu/kernels/activation_tile.h"
#include "gpu/kernels/dot_product.h"
#include "gpu/kernels/kernels.h"
#include "gpu/portable/launch.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

inline constexpr int kMatvecWarps = 4;     ///< warps of a block
inline constexpr int kMatvecLoads = 8;     ///< 16-byte loads of the weight that a lane has in flight
inline constexpr int kEnoughWarps = 2048;  ///< warps of a grid: 16 on each of 128 processors
inline constexpr int kMaxColumnWarps = 4;  ///< the most warps that share the columns of a row

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
inline constexpr bool kIsSm100 = true;
#else
inline constexpr bool kIsSm100 = false;
#endif

#if defined(SS_GPU_TILE_WMMA)
inline constexpr bool kIsGfx11 = true;
#else
inline constexpr bool kIsGfx11 = false;
#endif

/// Whether, with one row of x, a vector is decoded strictly part by part. On sm_100a the compiler otherwise computes the addends of zero
/// points, or the scales of NVFP4, for all parts first: more than the registers hold. On older targets it costs 0.3 instructions a weight.
inline constexpr bool kPartsInTurn = kIsSm100;

/// Whether a lane has only half of the loads in flight. gfx1100 has too few registers for all of them with Q6_K and four rows of x, and
/// with experts in blocks of GGUF.
template <WeightEncoding kEncoding, int kRows, bool kIsOfExperts>
constexpr bool has_half_the_loads() {
  return kIsGfx11 && (kIsOfExperts ? kIsBlocks<kEncoding> : kEncoding == WeightEncoding::kQ6K && kRows > 1);
}

/// One product by one kernel.
template <WeightEncoding kEncodingOf, bool kIsQuantized, int kRowsOf, bool kIsOfExperts = false>
struct Matvec {
  static constexpr WeightEncoding kEncoding = kEncodingOf;
  static constexpr bool kQuantized = kIsQuantized;
  static constexpr int kRows = kRowsOf;                       ///< rows of x at a time
  static constexpr int kValues = kChunkValues<kEncoding>;     ///< values of a 16-byte vector of the weight
  static constexpr int kVecs = kQuantized ? 1 : kValues / 4;  ///< vectors of x that are multiplied with it
  /// Rows of the weight that a warp multiplies: enough that a lane reads no more bytes of one row of x than of these rows. With more rows
  /// of x, eight rows of int4 do not fit AMD's registers, nor do eight rows of experts in blocks of GGUF.
  static constexpr int kOutputs = kVecs == 8 && kRows == 1 && !(kIsOfExperts && kIsBlocks<kEncoding>) ? 8 : 4;
  static constexpr int kXVecs = kRows == 1 ? 1024 : 2048;  ///< 16-byte vectors of x in shared memory
  using Sum = std::conditional_t<kQuantized, QuantizedSum<kEncoding>, float>;

  /// Steps of x in shared memory. In one step each lane multiplies one vector of each row of the weight.
  static constexpr int kSteps = kXVecs / (kRows * kVecs * kWarpSize);
  /// Vectors of one row of the weight in flight. Every part of x has a multiple of them.
  static constexpr int kDepthOfLoads =
      (has_half_the_loads<kEncoding, kRows, kIsOfExperts>() ? kMatvecLoads / 2 : kMatvecLoads) / kOutputs;
  static constexpr int kDepth = kDepthOfLoads < kSteps ? kDepthOfLoads : kSteps;
  static_assert(kDepth > 0 && kSteps % kDepth == 0);

  struct Shared {
    Chunk x[kXVecs];
    Sum sums[kMatvecWarps][kOutputs][kRows];
    float squares[kMatvecWarps][kRows];  ///< of x, where it is normalized
  };
};

/// The weight's vectors that a lane has in flight, with the scales and zero points of their groups of columns.
template <typename M>
struct InFlight {
  Chunk chunk[M::kDepth][M::kOutputs];
  GroupOf<M::kEncoding> group[M::kDepth][M::kOutputs];
};

/// One warp's share of a weight with n_rows rows, or of a weight that has n_rows rows for each expert.
template <typename M>
class WeightReader {
 public:
  /// The warp takes step `first_step` and every n_apart-th after it.
  SS_DEVICE WeightReader(const WeightView& weight, int n_rows, int first_output, int first_step, int n_apart)
      : weight_(weight), first_step_(first_step), n_apart_(n_apart) {
    SS_UNROLL
    for (int o = 0; o < M::kOutputs; ++o) {
      // Rows past the last one repeat it and are not stored.
      row_[o] = first_output + o < n_rows ? first_output + o : n_rows - 1;
    }
  }

  /// Requests the vectors of the warp's `index`-th step, one of each row, where the weight's or the expert's rows begin at `first_row`.
  /// Past the last column it requests the last vectors again, for which x has zeros: on AMD a conditional load would be a branch, with a
  /// wait for the load in it.
  SS_DEVICE void request(int index, Chunk (&chunks)[M::kOutputs], GroupOf<M::kEncoding> (&groups)[M::kOutputs],
                         std::int64_t first_row = 0) const {
    const int wanted = (first_step_ + index * n_apart_) * kWarpSize + lane();
    const int last = (weight_.n_cols - 1) / M::kValues;
    const int chunk = wanted < last ? wanted : last;
    SS_UNROLL
    for (int o = 0; o < M::kOutputs; ++o) {
      chunks[o] = load_codes<M::kEncoding>(weight_, first_row + row_[o], chunk);
      groups[o].load(weight_, first_row + row_[o], chunk * M::kValues);
    }
  }

 private:
  const WeightView& weight_;
  std::int64_t row_[M::kOutputs];
  int first_step_;
  int n_apart_;
};

/// x of a product, as MatmulArguments and GroupedMatmulArguments have it.
struct MatvecInputs {
  const float* x;
  const Bf16* narrow_x;
  const std::int8_t* quantized_x;
  const float* x_scales;
  const float* norm_weight;  ///< null: x is not normalized
  std::int32_t n_cols;
  std::int32_t padded_cols;
};

/// Whether x is quantized to E4M3 or NVFP4 and given as BF16, with a scale per row, or per group of columns where an E4M3 weight has such
/// groups.
template <WeightEncoding kEncoding>
SS_DEVICE bool has_narrow_inputs(const float* x_scales) {
  if constexpr (kIsE4m3<kEncoding> || kIsNvfp4<kEncoding>) return x_scales != nullptr;
  return false;
}

/// Four values of BF16 as f32; the address is a multiple of 8 bytes.
SS_DEVICE Chunk widened_vec(const Bf16* values) {
  struct alignas(8) Pairs {
    std::uint32_t word[2];
  };
  const auto pairs = load_words<Pairs>(values);
  Chunk chunk;
  SS_UNROLL
  for (int i = 0; i < 2; ++i) {
    chunk.word[2 * i] = pairs.word[i] << 16;
    chunk.word[2 * i + 1] = pairs.word[i] & 0xffff0000U;
  }
  return chunk;
}

/// Stores n_steps steps of x from `first_step` on in shared memory, with zeros past the last column. All threads of the block call it.
/// E4M3 numbers with group scales are multiplied by these, which rounds to f32 once. Where x is normalized, it is multiplied by the norm's
/// weight, and this thread's squares are added to `squares`.
template <typename M>
SS_DEVICE void store_x(const MatvecInputs& a, int first_row, int n_rows, int first_step, int n_steps,
                       Chunk (&stored)[M::kXVecs], float (&squares)[M::kRows]) {
  constexpr int kStepVecs = M::kVecs * kWarpSize;
  const bool aligned = a.n_cols % 4 == 0;
  SS_UNROLL
  for (int m = 0; m < M::kRows; ++m) {
    const std::int64_t row = first_row + m < n_rows ? first_row + m : n_rows - 1;
    for (int i = thread_x(); i < n_steps * kStepVecs; i += n_threads()) {
      const int vec = first_step * kStepVecs + i;
      Chunk chunk{};
      if constexpr (M::kQuantized) {
        if (vec * 16 < a.padded_cols) chunk = load_chunk(a.quantized_x + row * a.padded_cols + vec * 16);
      } else if (has_narrow_inputs<M::kEncoding>(a.x_scales)) {
        if (vec * 4 < a.padded_cols) chunk = widened_vec(a.narrow_x + row * a.padded_cols + vec * 4);
        if constexpr (kHasWideGroups<M::kEncoding>) {
          if (vec * 4 < a.n_cols) {
            const int group = vec * 4 / static_cast<int>(kFp8GroupSize);
            const float scale = a.x_scales[row * n_wide_groups_on_device(a.n_cols) + group];
            SS_UNROLL
            for (int j = 0; j < 4; ++j) chunk.word[j] = bits_as<std::uint32_t>(scale * bits_as<float>(chunk.word[j]));
          }
        }
      } else {
        float values[4];
        load_activations<4>(a.x + row * a.n_cols, vec * 4, a.n_cols, aligned, values);
        if (a.norm_weight != nullptr) {
          float norm[4];
          load_activations<4>(a.norm_weight, vec * 4, a.n_cols, aligned, norm);
          SS_UNROLL
          for (int j = 0; j < 4; ++j) {
            squares[m] += values[j] * values[j];
            values[j] *= norm[j];
          }
        }
        SS_UNROLL
        for (int j = 0; j < 4; ++j) chunk.word[j] = bits_as<std::uint32_t>(values[j]);
      }
      const int in_step = i % kStepVecs;
      const int place = activation_place<M::kVecs>(in_step % M::kVecs, in_step / M::kVecs, kWarpSize);
      store_chunk(&stored[(m * M::kSteps + i / kStepVecs) * kStepVecs + place], chunk);
    }
  }
}

/// c + a . b, where a and b hold four int8 values each.
SS_DEVICE int dot4(std::uint32_t a, std::uint32_t b, int c) {
#if defined(__CUDA_ARCH__)
  return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
#else
  SS_UNROLL
  for (int i = 0; i < 4; ++i) c += static_cast<std::int8_t>(a >> (8 * i)) * static_cast<std::int8_t>(b >> (8 * i));
  return c;
#endif
}

/// Decodes values kPart * part to kPart * part + kPart - 1 of a vector of the weight. They lack the scale, which the group's scaled() or
/// add_scaled() multiplies into their sum. kPart is 4, or 8 for codes of four bits and for blocks.
template <WeightEncoding kEncoding, int kPart>
SS_DEVICE void unpack_part(const Chunk& chunk, [[maybe_unused]] const GroupOf<kEncoding>& group, int part,
                           float* values) {
  static_assert(kPart == 4 || (kPart == 8 && (kIsFourBit<kEncoding> || kIsBlocks<kEncoding>)));
  if constexpr (kIsBlocks<kEncoding>) {
    unpack_block_part<kEncoding, kPart>(chunk.word, group.high, part, values);
  } else if constexpr (kPart == 8 && kIsE2m1<kEncoding>) {
    unpack_e2m1(chunk.word[part], values);
  } else if constexpr (kPart == 8) {
    unpack_int4(chunk.word[part], values, group.addends());
  } else if constexpr (kIsE2m1<kEncoding>) {
    unpack_half_of_e2m1(chunk.word[part / 2], part % 2, values);
  } else if constexpr (kIsInt4<kEncoding>) {
    unpack_half_of_int4(chunk.word[part / 2], part % 2, values, group.addends());
  } else if constexpr (kIsInt8<kEncoding>) {
    unpack_int8(chunk.word[part], values);
  } else if constexpr (kIsE4m3<kEncoding>) {
    unpack_e4m3(chunk.word[part], values);
  } else if constexpr (kEncoding == WeightEncoding::kF32) {
    unpack<kEncoding>(chunk, values);
  } else {
    using Stored = std::conditional_t<kEncoding == WeightEncoding::kBf16, Bf16, F16>;
    SS_UNROLL
    for (int i = 0; i < 4; ++i) {
      values[i] = widen(Stored{static_cast<std::uint16_t>(chunk.word[2 * part + i / 2] >> (16 * (i % 2)))});
    }
  }
}

/// sums[o][m] += chunk[o] . x[m], where `step` is the step's place in shared memory.
template <typename M>
SS_DEVICE void multiply_step(const Chunk (&stored)[M::kXVecs], int step, const Chunk (&chunks)[M::kOutputs],
                             const GroupOf<M::kEncoding> (&groups)[M::kOutputs],
                             typename M::Sum (&sums)[M::kOutputs][M::kRows]) {
  constexpr int kStepVecs = M::kVecs * kWarpSize;
  const auto load_x = [&](int m, int vec) {
    return load_chunk(stored + (m * M::kSteps + step) * kStepVecs + activation_place<M::kVecs>(vec, lane(), kWarpSize));
  };
  if constexpr (M::kQuantized) {
    SS_UNROLL
    for (int m = 0; m < M::kRows; ++m) {
      const Chunk values = load_x(m, 0);
      SS_UNROLL
      for (int o = 0; o < M::kOutputs; ++o) {
        int sum = 0;
        SS_UNROLL
        for (int i = 0; i < 4; ++i) sum = dot4(chunks[o].word[i], values.word[i], sum);
        if constexpr (kHasGroups<M::kEncoding>) {
          sums[o][m] += groups[o].scale() * static_cast<float>(sum);
        } else {
          sums[o][m] += sum;
        }
      }
    }
  } else {
    // A vector of the weight is decoded part by part, because the registers cannot hold all of its values and those of x at the same time.
    // Each part is decoded once and multiplied by all rows of x. With four rows of x, even a part of eight values is too large.
    constexpr int kPart = M::kVecs == 8 && M::kRows < 4 ? 8 : 4;
    SS_UNROLL
    for (int part = 0; part < M::kValues / kPart; ++part) {
      if constexpr (kPartsInTurn && (kHasZeros<M::kEncoding> || kIsNvfp4<M::kEncoding>)&&M::kRows == 1) sync_warp();
      // gfx1100 has too few registers for the scales of all parts as well.
      if constexpr (kIsGfx11 && kIsNvfp4<M::kEncoding> && M::kRows == 1) schedule_barrier();
      float x[M::kRows][kPart];
      SS_UNROLL
      for (int m = 0; m < M::kRows; ++m) {
        SS_UNROLL
        for (int v = 0; v < kPart / 4; ++v) {
          const Chunk vec = load_x(m, part * (kPart / 4) + v);
          SS_UNROLL
          for (int j = 0; j < 4; ++j) x[m][4 * v + j] = bits_as<float>(vec.word[j]);
        }
      }
      [[maybe_unused]] float x_sums[M::kRows] = {};
      if constexpr (kHasMinima<M::kEncoding>) {
        SS_UNROLL
        for (int m = 0; m < M::kRows; ++m) {
          SS_UNROLL
          for (int i = 0; i < kPart; ++i) x_sums[m] += x[m][i];
        }
      }
      SS_UNROLL
      for (int o = 0; o < M::kOutputs; ++o) {
        float w[kPart];
        unpack_part<M::kEncoding, kPart>(chunks[o], groups[o], part, w);
        SS_UNROLL
        for (int m = 0; m < M::kRows; ++m) {
          float sum = 0.0F;
          SS_UNROLL
          for (int i = 0; i < kPart; ++i) sum += w[i] * x[m][i];
          if constexpr (kIsBlocks<M::kEncoding>) {
            constexpr int kPartColsLog2 = KnownCodes<M::kEncoding>::part_cols_log2;
            groups[o].add_scaled(sum, x_sums[m], part * kPart >> kPartColsLog2, sums[o][m]);
          } else if constexpr (kHasGroups<M::kEncoding> || kHasWideGroups<M::kEncoding>) {
            sums[o][m] += groups[o].scaled(sum, part * kPart / kSpanValues<M::kEncoding>);
          } else {
            sums[o][m] += sum;
          }
        }
      }
    }
  }
}

/// Requests a warp's first vectors. request(index, chunks, groups) requests those of its step `index`.
template <typename M, typename Request>
SS_DEVICE void request_first(InFlight<M>& in_flight, const Request& request) {
  SS_UNROLL
  for (int d = 0; d < M::kDepth; ++d) {
    request(d, in_flight.chunk[d], in_flight.group[d]);
    // On AMD, loads complete in order. The vectors that are multiplied first must be requested first; otherwise a wait for them is a wait
    // for all the others as well.
    if constexpr (M::kDepth > 1) schedule_barrier();
  }
}

/// Multiplies the warp's steps of the part of x in shared memory. The part has n_steps steps; the warp takes step own_step and every
/// n_apart-th after it. Into the registers of each step it then requests the vectors of its step kDepth later. `index`: the number of the
/// warp's step that is multiplied next, counted over all parts of x.
template <typename M, typename Request>
SS_DEVICE void multiply_part(const Chunk (&stored)[M::kXVecs], int n_steps, int own_step, int n_apart,
                             InFlight<M>& in_flight, int& index, typename M::Sum (&sums)[M::kOutputs][M::kRows],
                             const Request& request) {
  for (int step = own_step; step < n_steps;) {
    SS_UNROLL
    for (int d = 0; d < M::kDepth; ++d) {
      if (step < n_steps) multiply_step<M>(stored, step, in_flight.chunk[d], in_flight.group[d], sums);
      request(index + d + M::kDepth, in_flight.chunk[d], in_flight.group[d]);
      step += n_apart;
    }
    index += M::kDepth;
  }
}

/// How many blocks of threads a multiprocessor of NVIDIA must hold, which limits the registers of a thread. Weights in blocks of GGUF need
/// more registers than three blocks of threads leave. With two, 33 KB (Q2_K, Q3_K) to 57 KB (Q6_K) of the weight are in flight.
template <WeightEncoding kEncoding, int kRows>
constexpr int resident_blocks() {
  if (kIsBlocks<kEncoding>) return 2;
  return kRows == 1 && !kIsFourBit<kEncoding> ? 4 : 3;
}

/// The factor of the sum of row `weight_row` of the weight with row `x_row` of x: the scales of these rows, where they have any.
template <typename M>
SS_DEVICE float product_scale(const float* row_scales, std::int64_t weight_row, const float* x_scales,
                              std::int64_t x_row) {
  float scale = kHasRowScales<M::kEncoding> ? row_scales[weight_row] : 1.0F;
  if (M::kQuantized || (!kHasWideGroups<M::kEncoding> && has_narrow_inputs<M::kEncoding>(x_scales))) {
    scale *= x_scales[x_row];
  }
  return scale;
}

/// The binary logarithm of the number of warps that share the columns of a row. `n_warps`: the warps of the grid if none share columns.
template <typename M>
std::int32_t column_warps_log2(const LaunchContext& context, std::int32_t n_cols, std::int64_t n_warps) {
  const std::int32_t n_steps = ceil_divide(n_cols, M::kValues * context.warp_size);
  const std::int32_t n_steps_of_x = M::kXVecs / (M::kRows * M::kVecs * context.warp_size);
  // kSteps and kDepth for the device's warps, whose width may differ from the host's kWarpSize.
  const std::int32_t depth = std::min(kMatvecLoads / M::kOutputs, n_steps_of_x);
  // Each part of x must give every warp a multiple of kDepth steps.
  const std::int32_t most = std::min({kMaxColumnWarps, n_steps_of_x / depth, n_steps});
  std::int32_t log2 = 0;
  while (2 << log2 <= most && n_warps << log2 < kEnoughWarps) ++log2;
  return log2;
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu

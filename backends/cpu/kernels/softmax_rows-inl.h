#pragma once
// One step of the online softmax (attention-inl.h) for up to 16 rows of scores together. Row by row, each row would wait for its maximum
// and its sum across lanes. Here those of 16 rows are found together, and one exponential computes the factors by which the sums of these
// rows are rescaled. Vectors in which a row sees no token are not read.

#include "cpu/kernels/math-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

inline constexpr float kLog2E = 1.44269504F;

/// Tokens [begin, end) of a block; none if they are equal.
struct TokenRange {
  int begin = 0;
  int end = 0;
  [[nodiscard]] int first_vector() const { return begin / kTileRows * kTileRows; }
};

inline TokenRange visible_tokens(const AttendArgs& args, int row) {
  const std::int64_t n = std::int64_t{args.n_tiles} * kTileRows;
  std::int64_t begin = args.first_visible[row] - args.first_token;
  std::int64_t end = args.last_visible[row] - args.first_token + 1;
  if (begin < 0) begin = 0;
  if (end > n) end = n;
  if (begin >= end) return {};
  return {static_cast<int>(begin), static_cast<int>(end)};
}

/// Calls body(i) for the vectors of 16 tokens that begin at i = first, first + 16, ... below end. Those of a whole block are
/// a loop of constant length, which is unrolled.
template <typename Body>
inline void for_vectors(int first, int end, const Body& body) {
  if (first == 0 && end == kBlockTokens) {
#pragma GCC unroll 8
    for (int i = 0; i < kBlockTokens; i += kTileRows) body(i);
    return;
  }
  for (int i = first; i < end; i += kTileRows) body(i);
}

/// -inf, infinity, -inf, 16 of each. 16 of them, loaded from a suitable offset, are bounds for the lanes before, inside and after a range.
struct MaskBounds {
  alignas(64) float values[3 * kTileRows];
};
constexpr MaskBounds make_mask_bounds() {
  MaskBounds bounds{};
  for (int i = 0; i < 3 * kTileRows; ++i) {
    bounds.values[i] = i / kTileRows == 1 ? __builtin_inff() : -__builtin_inff();
  }
  return bounds;
}
inline constexpr MaskBounds kMaskBounds = make_mask_bounds();

/// Sets the scores of the first and of the last vector that are not visible to -inf, even if they are NaN: min() would return a NaN only as
/// its second operand, and scores are its first.
inline void mask_edges(float* scores, TokenRange visible) {
  const int n_before = visible.begin % kTileRows;
  const int n_behind = (kTileRows - visible.end % kTileRows) % kTileRows;
  const float* const inside = kMaskBounds.values + kTileRows;
  float* const first = scores + visible.begin - n_before;
  float* const last = scores + visible.end + n_behind - kTileRows;
  if (n_before > 0) store(first, min(load(first), load(inside - n_before)));
  if (n_behind > 0) store(last, min(load(last), load(inside + n_behind)));
}

inline void store_weights(std::uint16_t* weights, const F32& x) {
  store_bf16(weights, x);
}
inline void store_weights(float* weights, const F32& x) {
  store(weights, x);
}
inline void store_weights(std::uint16_t* weights, const F32& x, const F32& y) {
  store_bf16_pair(weights, x, y);
}
inline void store_weights(float* weights, const F32& x, const F32& y) {
  store(weights, x);
  store(weights + kTileRows, y);
}

/// Up to 16 rows of a block from row `first` on, and what is kept about them between the passes.
class SoftmaxRows {
 public:
  SoftmaxRows(const AttendArgs& args, int first)
      : args_(args),
        first_(first),
        n_(args.n_rows - first < kTileRows ? args.n_rows - first : kTileRows),
        is_final_(args.softcap > 0.0F || !(args.scale > 0.0F)),
        factor_(is_final_ ? 1.0F : args.scale * kLog2E) {
    for (int i = n_; i < kTileRows; ++i) lane_max_[i] = lane_sum_[i] = zero();  // rows that do not exist
  }

  [[nodiscard]] int n() const { return n_; }
  /// The factor for o of row `first` + i, after update_maxima().
  [[nodiscard]] float rescale(int i) const { return rescale_[i]; }

  /// First pass: finds the largest score of row `first` + i for each lane. Leaves masked scores; multiplied by factor_, they are s.
  void find_max(int i) {
    float* const scores = scores_of(i);
    const TokenRange visible = visible_tokens(args_, first_ + i);
    visible_[i] = visible;
    if (visible.begin == visible.end) {
      lane_max_[i] = broadcast(-__builtin_inff());
      return;
    }
    scale(scores, visible);
    mask_edges(scores, visible);
    F32 lane_max = load(scores + visible.first_vector());
    for_vectors(visible.first_vector(), visible.end, [&](int at) { lane_max = max(lane_max, load(scores + at)); });
    lane_max_[i] = lane_max;
  }

  /// Updates m and rescale of all rows.
  void update_maxima() {
    float* const m = args_.state.m + first_;
    const F32 before = load(m);
    const F32 largest = mul(max_of_rows(lane_max_, n_), broadcast(factor_));
    const F32 after = max(largest, before);  // this order of operands ignores NaN, which goes into d instead
    store(m, after);
    store(rescale_, exponential2(sub(before, after)));
  }

  /// Second pass: computes the weights of row `first` + i in BF16 or f32, zero for tokens that it does not see, and their sums for each
  /// lane. f32 weights may replace the scores of the row in place.
  template <typename Weight>
  void weigh(int i, Weight* weights) {
    const float* const scores = scores_of(i);
    const TokenRange visible = visible_[i];
    const F32 factor = broadcast(factor_);
    const F32 shift = broadcast(-args_.state.m[first_ + i]);
    F32 sum = zero();
    for (int at = 0; at < visible.first_vector(); at += kTileRows) store_weights(weights + at, zero());
    const auto weight_of = [&](int at) {
      const F32 weight = exponential2(fma(load(scores + at), factor, shift));
      sum = add(sum, weight);
      return args_.v_scales == nullptr ? weight : mul(weight, load(args_.v_scales[at / kTileRows]));
    };
    if (visible.begin == 0 && visible.end == kBlockTokens) {
#pragma GCC unroll 4
      for (int at = 0; at < kBlockTokens; at += 2 * kTileRows) {
        const F32 first = weight_of(at);
        store_weights(weights + at, first, weight_of(at + kTileRows));
      }
    } else {
      for (int at = visible.first_vector(); at < visible.end; at += kTileRows)
        store_weights(weights + at, weight_of(at));
    }
    const int end = (visible.end + kTileRows - 1) / kTileRows * kTileRows;
    for (int at = end; at < args_.n_tiles * kTileRows; at += kTileRows) store_weights(weights + at, zero());
    lane_sum_[i] = sum;
  }

  /// Updates d of all rows.
  void update_sums() {
    float* const d = args_.state.d + first_;
    store(d, fma(load(d), load(rescale_), sums_of_rows(lane_sum_, n_)));
  }

 private:
  [[nodiscard]] float* scores_of(int i) const {
    return args_.scores + (first_ + i) * kBlockTokens;
  }

  /// Applies the scales of the keys. Where scores are capped, or where a scale that is not positive would turn the largest score into the
  /// smallest, s itself is stored.
  void scale(float* scores, TokenRange visible) const {
    if (args_.k_scales != nullptr) {
      for_vectors(visible.first_vector(), visible.end,
                  [&](int at) { store(scores + at, mul(load(scores + at), load(args_.k_scales[at / kTileRows]))); });
    }
    if (!is_final_) return;
    for (int at = visible.first_vector(); at < visible.end; at += kTileRows) {
      const F32 capped = soft_cap(mul(load(scores + at), broadcast(args_.scale)), args_.softcap);
      store(scores + at, mul(broadcast(kLog2E), capped));
    }
  }

  const AttendArgs& args_;
  int first_;
  int n_;
  bool is_final_;
  float factor_;
  TokenRange visible_[kTileRows];
  F32 lane_max_[kTileRows];
  F32 lane_sum_[kTileRows];
  alignas(64) float rescale_[kTileRows] = {};
};

}  // namespace secondsource::cpu::SS_CPU_ISA

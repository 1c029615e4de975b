#pragma once
// A problem for one attention kernel, and its solution by plain loops in f64.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <span>
#include <vector>

#include "core/half.h"
#include "core/random.h"
#include "cpu/kernels/kernel_table.h"
#include "support/catch.h"

namespace secondsource::cpu {

struct AttentionShape {
  int head_dim = 64;
  int n_rows = 1;
  std::int64_t first_token = 0;  ///< a multiple of 16
  std::int64_t end_token = 1;
  std::int64_t window = 0;
  float scale = 0.3F;
  float softcap = 0.0F;
  int page_tokens = 32;
  bool is_int8 = false;
  int v_scale_powers = 1;  ///< for int8: scales of V differ by a factor of up to 2 to the power of this
  /// For int8: all keys are 127 and all queries are equal, so that the sums of scores are the largest possible ones.
  bool has_largest_sums = false;
};

/// Heads of each size with every kind of last block: one token, whole and broken tiles, whole and several blocks.
inline std::vector<AttentionShape> shapes_of_heads(std::span<const int> head_dims, int n_rows) {
  std::vector<AttentionShape> shapes;
  for (const bool is_int8 : {false, true}) {
    for (const int head_dim : head_dims) {
      for (const std::int64_t end : {1, 15, 16, 17, 40, 100, 128, 129, 300}) {
        shapes.push_back({.head_dim = head_dim, .n_rows = n_rows, .end_token = end, .is_int8 = is_int8});
      }
    }
  }
  return shapes;
}

/// Every number of query rows.
inline std::vector<AttentionShape> shapes_of_rows() {
  std::vector<AttentionShape> shapes;
  for (const bool is_int8 : {false, true}) {
    for (int n_rows = 1; n_rows <= kMaxQueryRows; ++n_rows) {
      shapes.push_back({.head_dim = 80, .n_rows = n_rows, .end_token = 150, .is_int8 = is_int8});
    }
  }
  return shapes;
}

/// Windows, a soft cap, and a negative scale.
inline std::vector<AttentionShape> shapes_of_scores(int window_rows, int other_rows) {
  std::vector<AttentionShape> shapes;
  for (const bool is_int8 : {false, true}) {
    for (const std::int64_t window : {1, 7, 33, 130}) {
      shapes.push_back({.head_dim = 64, .n_rows = window_rows, .end_token = 290, .window = window, .is_int8 = is_int8});
    }
    shapes.push_back({.head_dim = 96, .n_rows = other_rows, .end_token = 200, .softcap = 3.0F, .is_int8 = is_int8});
    shapes.push_back({.head_dim = 96, .n_rows = other_rows, .end_token = 200, .scale = -0.2F, .is_int8 = is_int8});
  }
  return shapes;
}

inline double value_at(std::uint64_t seed, std::int64_t i) {
  return 4.0 * random_unit(seed, static_cast<std::uint64_t>(i)) - 2.0;
}

inline constexpr int kTilesBehind = 2;
inline constexpr float kUntouched = 12345.0F;

/// Random queries and a cache in the layout of kv_pool.h. In K, all that belongs to no token is NaN, and so is what follows the last page
/// of V. The slots after the last token in the last tile of V are zero, as callers of the kernels make them.
class AttentionProblem {
 public:
  explicit AttentionProblem(const AttentionShape& shape)
      : shape_(shape), n_tiles_((shape.end_token + kTileRows - 1) / kTileRows), vec_(shape.is_int8 ? 4 : 2) {
    const std::int64_t tiles_per_page = shape.page_tokens / kTileRows;
    const std::int64_t n_all = (n_tiles_ + tiles_per_page - 1) / tiles_per_page * tiles_per_page + kTilesBehind;
    n_dim_tiles_ = (shape.head_dim + kTileRows - 1) / kTileRows;
    k_.resize(static_cast<std::size_t>(n_all * kTileRows * shape.head_dim), kNan);
    v_.resize(static_cast<std::size_t>(n_all * kTileRows * n_dim_tiles_ * kTileRows), kNan);
    k_scales_.resize(static_cast<std::size_t>(n_all * kTileRows), 1.0F);
    v_scales_.resize(k_scales_.size(), 1.0F);
    for (std::int64_t token = 0; token < n_tiles_ * kTileRows; ++token) fill(token);
    for (std::int64_t i = 0; i < std::int64_t{shape.n_rows} * shape.head_dim; ++i) {
      q_.push_back(shape.has_largest_sums ? 2.0F : static_cast<float>(value_at(3, i)));
    }
    for (int row = 0; row < shape.n_rows; ++row) {
      // Some rows see a few tokens less, and with few tokens some see none.
      last_visible_.push_back(shape.end_token - 1 - row * 5 % 37);
      first_visible_.push_back(shape.window > 0 ? last_visible_.back() - shape.window + 1 : 0);
    }
  }

  [[nodiscard]] const AttentionShape& shape() const { return shape_; }
  [[nodiscard]] std::vector<float>& queries() { return q_; }
  [[nodiscard]] std::vector<float>& k_scales() { return k_scales_; }
  [[nodiscard]] std::vector<float>& v_scales() { return v_scales_; }

  /// Runs the kernel block after block; output() then returns its results.
  void run(const KernelTable& table, const AttendKernel& kernel) {
    act_ = kernel.act;
    const std::int64_t padded_dim = (shape_.head_dim + kernel.vec - 1) / kernel.vec * kernel.vec;
    const int n_padded = (shape_.n_rows + kernel.row_multiple - 1) / kernel.row_multiple * kernel.row_multiple;
    const auto rows = static_cast<std::size_t>((n_padded + kTileRows - 1) / kTileRows * kTileRows);
    std::vector<float> x = q_;
    x.resize(rows * static_cast<std::size_t>(shape_.head_dim), kNanFloat);
    std::vector<std::byte> packed(rows * static_cast<std::size_t>(padded_dim * act_bytes(kernel.act)));
    std::vector<float> q_scales(rows, kNanFloat);
    for (int block = 0; block < (n_padded + kernel.max_rows - 1) / kernel.max_rows; ++block) {
      const int first = row_block_begin(n_padded, kernel.max_rows, block);
      table.pack({.x = x.data() + std::int64_t{first} * shape_.head_dim,
                  .x_stride = shape_.head_dim,
                  .n_rows = row_block_begin(n_padded, kernel.max_rows, block + 1) - first,
                  .k = shape_.head_dim,
                  .k_padded = padded_dim,
                  .vec = kernel.vec,
                  .act = kernel.act,
                  .out = packed.data() + first * padded_dim * act_bytes(kernel.act),
                  .row_scales = q_scales.data() + first});
    }
    const std::size_t o_stride = static_cast<std::size_t>(n_dim_tiles_) * kTileRows;
    o_.assign(rows * o_stride + 1, 0.0F);
    m_.assign(rows + 1, kInitialRowMax);
    d_.assign(rows + 1, 0.0F);
    std::vector<float> scores(rows * kBlockTokens + 1, kNanFloat);
    std::vector<float> weights(rows * kBlockTokens + 1, kNanFloat);
    const std::int64_t operand_bytes =
        kernel.operand_bytes == nullptr ? 0 : kernel.operand_bytes(shape_.head_dim, n_dim_tiles_);
    std::vector<std::byte> operands(static_cast<std::size_t>(operand_bytes) + 1, std::byte{0xff});
    o_.back() = m_.back() = d_.back() = scores.back() = weights.back() = kUntouched;
    const std::byte* k_tiles[kBlockTiles];
    const std::byte* v_tiles[kBlockTiles];
    const float* k_scales[kBlockTiles];
    const float* v_scales[kBlockTiles];
    AttendArgs args{.q = packed.data(),
                    .q_scales = q_scales.data(),
                    .n_rows = shape_.n_rows,
                    .head_dim = padded_dim,
                    .n_dim_tiles = n_dim_tiles_,
                    .k_tiles = k_tiles,
                    .v_tiles = v_tiles,
                    .v_dim_stride = shape_.page_tokens * kTileRows * element_bytes(),
                    .k_scales = shape_.is_int8 ? k_scales : nullptr,
                    .v_scales = shape_.is_int8 ? v_scales : nullptr,
                    .first_visible = first_visible_.data(),
                    .last_visible = last_visible_.data(),
                    .scale = shape_.scale,
                    .softcap = shape_.softcap,
                    .state = {m_.data(), d_.data(), o_.data()},
                    .scores = scores.data(),
                    .weights = weights.data(),
                    .operands = operands.data()};
    args.k_dim = (shape_.head_dim + vec_ - 1) / vec_ * vec_;
    const std::vector<std::byte> keys = stored(k_);
    const std::vector<std::byte> values = stored(v_);
    for (std::int64_t token = shape_.first_token; token < shape_.end_token; token += kBlockTokens) {
      args.first_token = token;
      args.n_tiles = static_cast<int>(std::min<std::int64_t>(kBlockTiles, n_tiles_ - token / kTileRows));
      for (int i = 0; i < args.n_tiles; ++i) {
        const std::int64_t at = token + i * kTileRows;
        k_tiles[i] = keys.data() + key_index(at, 0) * element_bytes();
        v_tiles[i] = values.data() + value_index(at, 0) * element_bytes();
        k_scales[i] = k_scales_.data() + at;
        v_scales[i] = v_scales_.data() + at;
      }
      kernel.attend(args);
    }
    CHECK(o_.back() == kUntouched);
    CHECK(m_.back() == kUntouched);
    CHECK(d_.back() == kUntouched);
    CHECK(scores.back() == kUntouched);
    CHECK(weights.back() == kUntouched);
    CHECK(operands.back() == std::byte{0xff});
  }

  /// Output `dim` of a row.
  [[nodiscard]] double output(int row, int dim) const {
    const auto r = static_cast<std::size_t>(row);
    const auto at = r * static_cast<std::size_t>(n_dim_tiles_) * kTileRows + static_cast<std::size_t>(dim);
    return static_cast<double>(o_[at]) / static_cast<double>(d_[r]);
  }

  /// The largest error of a row's output, relative to sum_j w_j |v_j| / d, and as a multiple of the error that the rounding of queries and
  /// weights allows.
  struct Errors {
    double relative = 0.0;
    double by_bound = 0.0;
  };
  [[nodiscard]] Errors errors_of(int row) const {
    const auto r = static_cast<std::size_t>(row);
    const std::int64_t first = std::max(first_visible_[r], shape_.first_token);
    std::vector<double> s;
    for (std::int64_t token = first; token <= last_visible_[r]; ++token) s.push_back(score(row, token));
    if (s.empty()) {
      const bool is_untouched = d_[r] == 0.0F && m_[r] == kInitialRowMax && is_zero(row);
      return is_untouched ? Errors{} : Errors{1e9, 1e9};
    }
    const double largest = *std::ranges::max_element(s);
    double d = 0.0;
    for (double& x : s) d += x = std::exp(x - largest);
    const double of_scores = score_bound(row, first);
    const std::vector<double> of_weights = weight_bounds(s, first);
    Errors worst;
    for (int dim = 0; dim < shape_.head_dim; ++dim) {
      double sum = 0.0;
      double magnitude = 0.0;
      double bound = 0.0;
      for (std::size_t i = 0; i < s.size(); ++i) {
        const double value = value_of(first + static_cast<std::int64_t>(i), dim);
        sum += s[i] * value;
        magnitude += std::fabs(s[i] * value);
        bound += of_weights[i] * std::fabs(value);
      }
      // A score's error changes its weight, and d by as much at most. The rest is f32, and weights of tokens that are not seen may be
      // 2^-126.
      bound = (bound + (2.0 * of_scores + 0x1p-12) * magnitude) / d + 0x1p-110;
      const double error = std::fabs(output(row, dim) - sum / d);
      const double relative = error / std::max(magnitude / d, 1e-38);
      worst.relative = std::isnan(error) ? 1e9 : std::max(worst.relative, relative);
      worst.by_bound = std::isnan(error) ? 1e9 : std::max(worst.by_bound, error / bound);
    }
    return worst;
  }

 private:
  static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  static constexpr float kNanFloat = std::numeric_limits<float>::quiet_NaN();

  [[nodiscard]] std::int64_t element_bytes() const { return shape_.is_int8 ? 1 : 2; }
  [[nodiscard]] std::int64_t key_index(std::int64_t token, std::int64_t dim) const {
    return token / kTileRows * kTileRows * shape_.head_dim + (dim / vec_ * kTileRows + token % kTileRows) * vec_ +
           dim % vec_;
  }
  [[nodiscard]] std::int64_t value_index(std::int64_t token, std::int64_t dim) const {
    const std::int64_t page = token / shape_.page_tokens * shape_.page_tokens * n_dim_tiles_ * kTileRows;
    const std::int64_t tile = dim / kTileRows * shape_.page_tokens + token % shape_.page_tokens / kTileRows * kTileRows;
    const std::int64_t row = token % kTileRows;
    return page + tile * kTileRows + (row / vec_ * kTileRows + dim % kTileRows) * vec_ + row % vec_;
  }

  /// Random values that are exact in the cache's type, with scales for int8. Slots after the last token: NaN in K, 0 in V.
  void fill(std::int64_t token) {
    const bool is_token = token < shape_.end_token;
    const auto value = [&](std::uint64_t seed, std::int64_t i) {
      const double x = value_at(seed, token * 512 + i);
      return shape_.is_int8 ? std::nearbyint(63.0 * x) : static_cast<double>(round_to_bf16(static_cast<float>(x)));
    };
    for (int dim = 0; dim < shape_.head_dim; ++dim) {
      const double key = shape_.has_largest_sums ? 127.0 : value(1, dim);
      k_[static_cast<std::size_t>(key_index(token, dim))] = is_token ? key : kNan;
    }
    for (int dim = 0; dim < n_dim_tiles_ * kTileRows; ++dim) {
      v_[static_cast<std::size_t>(value_index(token, dim))] = is_token && dim < shape_.head_dim ? value(2, dim) : 0.0;
    }
    if (!shape_.is_int8) return;
    const auto at = static_cast<std::size_t>(token);
    k_scales_[at] = is_token ? 0.01F + 0.01F * static_cast<float>(random_unit(4, at)) : kNanFloat;
    const auto power = static_cast<float>(shape_.v_scale_powers) * static_cast<float>(random_unit(5, at));
    v_scales_[at] = is_token ? 0.02F * std::exp2(-power) : 0.0F;
  }

  /// The values in the cache's type. int8 has no NaN, so 127 stands for it.
  [[nodiscard]] std::vector<std::byte> stored(const std::vector<double>& values) const {
    std::vector<std::byte> out(values.size() * static_cast<std::size_t>(element_bytes()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (shape_.is_int8) {
        out[i] = static_cast<std::byte>(static_cast<std::int8_t>(std::isnan(values[i]) ? 127.0 : values[i]));
      } else {
        const std::uint16_t bits = to_bf16(static_cast<float>(values[i])).bits;
        std::memcpy(out.data() + 2 * i, &bits, sizeof bits);
      }
    }
    return out;
  }

  [[nodiscard]] double score(int row, std::int64_t token) const {
    double sum = 0.0;
    for (int dim = 0; dim < shape_.head_dim; ++dim) {
      const float q = q_[static_cast<std::size_t>(row * shape_.head_dim + dim)];
      sum += static_cast<double>(act_ == ActType::kBf16 ? round_to_bf16(q) : q) *
             k_[static_cast<std::size_t>(key_index(token, dim))];
    }
    const double scaled =
        sum * static_cast<double>(k_scales_[static_cast<std::size_t>(token)]) * static_cast<double>(shape_.scale);
    const auto cap = static_cast<double>(shape_.softcap);
    return cap > 0.0 ? cap * std::tanh(scaled / cap) : scaled;
  }
  /// Whether queries and weights are multiplied as whole numbers of 16 bits.
  [[nodiscard]] bool has_whole_numbers() const { return act_ == ActType::kDigitPairs || act_ == ActType::kWords; }
  /// How much whole numbers of 16 bits change a score of the row: half a unit, where a unit is the largest query / the largest number of
  /// attention_digits-inl.h or attention_words-inl.h, and f32's rounding.
  [[nodiscard]] double score_bound(int row, std::int64_t first) const {
    if (!has_whole_numbers()) return 0.0;
    const double largest_number =
        act_ == ActType::kDigitPairs ? 32512.0 : std::min(32767.0, std::floor(0x1p24 / shape_.head_dim));
    const auto dims = static_cast<std::size_t>(shape_.head_dim);
    double largest_q = 0.0;
    for (std::size_t dim = 0; dim < dims; ++dim) {
      largest_q = std::max(largest_q, std::fabs(static_cast<double>(q_[static_cast<std::size_t>(row) * dims + dim])));
    }
    double bound = 0.0;
    for (std::int64_t token = first; token <= last_visible_[static_cast<std::size_t>(row)]; ++token) {
      double sum = 0.0;
      for (int dim = 0; dim < shape_.head_dim; ++dim) {
        sum += std::fabs(k_[static_cast<std::size_t>(key_index(token, dim))]);
      }
      bound = std::max(bound, sum * static_cast<double>(k_scales_[static_cast<std::size_t>(token)]));
    }
    return bound * largest_q / largest_number * 0.504 * std::fabs(static_cast<double>(shape_.scale));
  }
  /// How much rounding changes the weights w, which belong to the tokens from `first` on, in units of w. BF16 changes each by half a unit
  /// of eight bits, and whole numbers by half a unit of sixteen bits of the largest w v_scale of a block.
  [[nodiscard]] std::vector<double> weight_bounds(const std::vector<double>& w, std::int64_t first) const {
    std::vector<double> bounds(w.size(), 0.0);
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (act_ == ActType::kBf16) bounds[i] = w[i] * 0x1p-8;
      if (!has_whole_numbers()) continue;
      const auto v_scale = [&](std::size_t j) {
        return static_cast<double>(v_scales_[static_cast<std::size_t>(first) + j]);
      };
      const auto block_of = [&](std::size_t j) {
        return (first + static_cast<std::int64_t>(j) - shape_.first_token) / kBlockTokens;
      };
      double largest = 0.0;
      for (std::size_t j = 0; j < w.size(); ++j) {
        if (block_of(j) == block_of(i)) largest = std::max(largest, w[j] * v_scale(j));
      }
      bounds[i] = largest / (act_ == ActType::kDigitPairs ? 65535.0 : 32767.0) / 2.0 / v_scale(i);
    }
    return bounds;
  }
  [[nodiscard]] double value_of(std::int64_t token, int dim) const {
    return v_[static_cast<std::size_t>(value_index(token, dim))] *
           static_cast<double>(v_scales_[static_cast<std::size_t>(token)]);
  }
  [[nodiscard]] bool is_zero(int row) const {
    const std::int64_t stride = std::int64_t{n_dim_tiles_} * kTileRows;
    return std::all_of(o_.begin() + row * stride, o_.begin() + (row + 1) * stride, [](float x) { return x == 0.0F; });
  }

  AttentionShape shape_;
  std::int64_t n_tiles_;
  int vec_;
  int n_dim_tiles_ = 0;
  std::vector<double> k_, v_;
  std::vector<float> k_scales_, v_scales_;
  std::vector<float> q_;
  std::vector<std::int64_t> first_visible_, last_visible_;
  std::vector<float> o_, m_, d_;
  ActType act_ = ActType::kF32;  ///< of the kernel that ran
};

}  // namespace secondsource::cpu

#include "conformance/mutant_weights.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

namespace secondsource::conformance {
namespace {

/// Changes rows that were read: `n_rows` rows of codes, and their scales, one row after the other.
using Change = std::function<void(std::int64_t n_rows, std::span<std::byte> values, std::span<float> scales)>;

/// The rows of another source, changed.
class ChangedRows final : public WeightSource {
 public:
  ChangedRows(std::shared_ptr<const WeightSource> inner, Change change)
      : inner_(std::move(inner)), change_(std::move(change)) {}
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_TRY_VOID(inner_->read_rows(first_row, n_rows, values, scales));
    change_(n_rows, values, scales);
    return {};
  }

 private:
  std::shared_ptr<const WeightSource> inner_;
  Change change_;
};

/// Moves each value one place on; the last becomes the first.
void rotate_by_one(std::span<float> values) {
  std::rotate(values.begin(), values.end() - 1, values.end());
}

/// Exchanges the scales of neighbouring rows.
void swap_scales_of_rows(std::int64_t n_rows, std::span<std::byte>, std::span<float> scales) {
  const auto per_row = static_cast<std::ptrdiff_t>(scales.size()) / n_rows;
  for (std::int64_t row = 0; row + 1 < n_rows; row += 2) {
    std::swap_ranges(scales.begin() + row * per_row, scales.begin() + (row + 1) * per_row,
                     scales.begin() + (row + 1) * per_row);
  }
}

/// Puts each group's scale in the place of the next one.
void shift_scales(std::int64_t n_rows, std::span<std::byte>, std::span<float> scales) {
  const std::size_t per_row = scales.size() / static_cast<std::size_t>(n_rows);
  for (std::size_t at = 0; at < scales.size(); at += per_row) rotate_by_one(scales.subspan(at, per_row));
}

/// Changes the zero points of each row, which follow its `n_groups` scales.
void change_zeros(Bug bug, std::size_t n_groups, std::span<float> scales) {
  for (std::size_t at = n_groups; at < scales.size(); at += 2 * n_groups) {
    const std::span<float> zeros = scales.subspan(at, n_groups);
    if (bug == Bug::kZeroPointsIgnored) std::ranges::fill(zeros, 0.0F);
    if (bug == Bug::kZeroPointsOffByOne) rotate_by_one(zeros);
    if (bug == Bug::kZeroPointsAdded) std::ranges::transform(zeros, zeros.begin(), std::negate());
  }
}

/// Makes subnormal E4M3 numbers 0.
void flush_e4m3(std::int64_t, std::span<std::byte> values, std::span<float>) {
  std::ranges::replace_if(
      values, [](std::byte code) { return (code & std::byte{0x7f}) < std::byte{8}; }, std::byte{0});
}

/// Changes some of the E2M1 codes of MXFP4.
void change_e2m1(Bug bug, std::span<std::byte> values) {
  // The codes of 0, 1, 2, 3, 4, 4, 6 and 6: whole numbers that E2M1 has or has nearly.
  constexpr std::array<std::uint8_t, 8> kWhole = {0, 2, 4, 5, 6, 6, 7, 7};
  for (std::byte& value : values) {
    const auto magnitude = static_cast<std::uint8_t>(value & std::byte{7});
    std::uint8_t changed = magnitude;
    if (bug == Bug::kMxfp4CodesTakenForIntegers) changed = kWhole[magnitude];
    if (bug == Bug::kMxfp4SubnormalDropped && magnitude == 1) changed = 0;
    value = (value & std::byte{8}) | static_cast<std::byte>(changed);
  }
}

/// Changes the scales of parts, or the minima, of each block of Q4_K or Q5_K, or the upper bits of all codes.
void change_blocks_with_minima(Bug bug, std::size_t n_floats, std::span<std::byte> values, std::span<float> scales) {
  if (bug == Bug::kQ5KHighBitsLost) {
    for (std::byte& code : values) code &= std::byte{15};
  }
  for (std::size_t at = 0; at < scales.size(); at += n_floats) {
    const std::span<float> minima = scales.subspan(at + 10, 8);
    if (bug == Bug::kQ4KMinimaIgnored) std::ranges::fill(minima, 0.0F);
    if (bug == Bug::kQ4KMinimaOffByOne) rotate_by_one(minima);
    if (bug == Bug::kQ4KScalesOffByOne) rotate_by_one(scales.subspan(at + 2, 8));
  }
}

/// Changes the scales of parts of each block of Q6_K.
void change_blocks_of_q6_k(Bug bug, std::size_t n_floats, std::span<float> scales) {
  for (std::size_t at = 0; at < scales.size(); at += n_floats) {
    const std::span<float> of_parts = scales.subspan(at + 1, 16);
    if (bug == Bug::kQ6KScalesOffByOne) rotate_by_one(of_parts);
    if (bug == Bug::kQ6KScalesOfPairs) {
      for (std::size_t part = 0; part < of_parts.size(); part += 2) of_parts[part + 1] = of_parts[part];
    }
  }
}

/// The encoding whose groups of columns this bug shifts by one; kF32 for any other bug.
WeightEncoding encoding_with_shifted_scales(Bug bug) {
  switch (bug) {
    case Bug::kInt8GroupOffByOne:
      return WeightEncoding::kInt8Group32;
    case Bug::kInt4GroupOffByOne:
      return WeightEncoding::kInt4Group32;
    case Bug::kMxfp4GroupOffByOne:
      return WeightEncoding::kMxfp4Group32;
    case Bug::kFp8GroupOffByOne:
      return WeightEncoding::kFp8Group128;
    default:
      return WeightEncoding::kF32;
  }
}

/// What the bug changes in rows of this weight; empty if it changes nothing.
Change change_of(const WeightSpec& spec, Bug bug) {
  if (bug == Bug::kSwappedScaleRows) return swap_scales_of_rows;
  if (spec.encoding != WeightEncoding::kF32 && spec.encoding == encoding_with_shifted_scales(bug)) return shift_scales;
  if (spec.encoding == WeightEncoding::kInt4Group32Zero) {
    const auto n_groups = static_cast<std::size_t>(scales_per_row(spec.encoding, spec.n_cols) / 2);
    return [=](std::int64_t, std::span<std::byte>, std::span<float> scales) { change_zeros(bug, n_groups, scales); };
  }
  if (has_k_blocks(spec.encoding)) {
    const auto n_floats = static_cast<std::size_t>(k_block_floats(spec.encoding));
    const bool has_minima = has_k_minima(spec.encoding);
    return [=](std::int64_t, std::span<std::byte> values, std::span<float> scales) {
      if (has_minima) {
        change_blocks_with_minima(bug, n_floats, values, scales);
      } else {
        change_blocks_of_q6_k(bug, n_floats, scales);
      }
    };
  }
  if (spec.encoding == WeightEncoding::kMxfp4Group32) {
    return [=](std::int64_t, std::span<std::byte> values, std::span<float>) { change_e2m1(bug, values); };
  }
  if (bug == Bug::kFp8WeightsFlushed && spec.encoding == WeightEncoding::kFp8PerRow) return flush_e4m3;
  return {};
}

}  // namespace

WeightSpec with_changed_rows(const WeightSpec& spec, Bug bug) {
  WeightSpec changed = spec;
  if (const Change change = change_of(spec, bug)) {
    for (WeightPart& part : changed.parts) part.source = std::make_shared<ChangedRows>(part.source, change);
  }
  return changed;
}

}  // namespace secondsource::conformance

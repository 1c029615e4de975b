#include "conformance/mutant_weights.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "core/four_bit_curve.h"

namespace secondsource::conformance {
namespace {

/// Changes the codes and scales of `n_rows` consecutive rows after they were read.
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

/// Moves each value to the next place, and the last one to the first.
void rotate_by_one(std::span<float> values) {
  if (!values.empty()) std::rotate(values.begin(), values.end() - 1, values.end());
}

/// Exchanges the scales of neighbouring rows.
void swap_scales_of_rows(std::int64_t n_rows, std::span<std::byte>, std::span<float> scales) {
  const auto per_row = static_cast<std::ptrdiff_t>(scales.size()) / n_rows;
  for (std::int64_t row = 0; row + 1 < n_rows; row += 2) {
    std::swap_ranges(scales.begin() + row * per_row, scales.begin() + (row + 1) * per_row,
                     scales.begin() + (row + 1) * per_row);
  }
}

/// Moves each group's scale to the next group.
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
  // Replaces code i by the code of a number equal or close to i: 0, 1, 2, 3, 4, 4, 6 and 6.
  constexpr std::array<std::uint8_t, 8> kWhole = {0, 2, 4, 5, 6, 6, 7, 7};
  for (std::byte& value : values) {
    const auto magnitude = static_cast<std::uint8_t>(value & std::byte{7});
    std::uint8_t changed = magnitude;
    if (bug == Bug::kMxfp4CodesTakenForIntegers) changed = kWhole[magnitude];
    if (bug == Bug::kMxfp4SubnormalDropped && magnitude == 1) changed = 0;
    value = (value & std::byte{8}) | static_cast<std::byte>(changed);
  }
}

/// Changes the scales of NVFP4 rows. Each row's scales begin with the global one.
void change_nvfp4_scales(Bug bug, std::int64_t n_rows, std::span<float> floats) {
  const std::size_t per_row = floats.size() / static_cast<std::size_t>(n_rows);
  for (std::size_t at = 0; at < floats.size(); at += per_row) {
    const std::span<float> scales = floats.subspan(at + 1, per_row - 1);
    if (bug == Bug::kNvfp4GroupOffByOne) rotate_by_one(scales);
    if (bug == Bug::kNvfp4ScalesOfPairs) {
      for (std::size_t group = 1; group < scales.size(); group += 2) scales[group] = scales[group - 1];
    }
    if (bug == Bug::kNvfp4GlobalScaleIgnored) floats[at] = 1.0F;
  }
}

/// Changes the codes of a weight in blocks of GGUF.
void change_codes_in_blocks(Bug bug, WeightEncoding encoding, std::span<std::byte> values) {
  const bool has_fifth_bits = encoding == WeightEncoding::kQ5K || encoding == WeightEncoding::kQ51;
  const bool is_on_curve = encoding == WeightEncoding::kIq4Xs || encoding == WeightEncoding::kIq4Nl;
  for (std::byte& value : values) {
    if (bug == Bug::kFifthBitsLost && has_fifth_bits) value &= std::byte{15};
    if (bug != Bug::kCurveTakenForLine || !is_on_curve) continue;
    const auto place = std::ranges::find(kFourBitCurve, static_cast<std::int8_t>(value)) - kFourBitCurve.begin();
    value = static_cast<std::byte>(static_cast<std::int8_t>(16 * (place - 8)));
  }
}

/// Changes the scales or the minima of each block of GGUF.
void change_floats_of_blocks(Bug bug, const BlockForm& form, std::span<float> floats) {
  const auto n_units = static_cast<std::size_t>(form.n_units());
  const auto n_parts = static_cast<std::size_t>(form.n_parts());
  for (std::size_t at = 0; at < floats.size(); at += static_cast<std::size_t>(form.n_floats())) {
    const std::span<float> scales = floats.subspan(at + n_units, n_parts);
    if (bug == Bug::kPartScalesOffByOne) rotate_by_one(scales);
    if (bug == Bug::kPartScalesOfPairs) {
      for (std::size_t part = 0; part < n_parts; part += 2) scales[part + 1] = scales[part];
    }
    if (!form.has_minima) continue;
    const std::span<float> minima = floats.subspan(at + n_units + n_parts, n_parts);
    if (bug == Bug::kMinimaIgnored) floats[at + 1] = 0.0F;
    if (bug == Bug::kMinimaOffByOne) rotate_by_one(minima);
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

/// The change that the bug makes to rows of this weight; empty if there is none.
Change change_of(const WeightSpec& spec, Bug bug) {
  if (bug == Bug::kSwappedScaleRows) return swap_scales_of_rows;
  if (spec.encoding != WeightEncoding::kF32 && spec.encoding == encoding_with_shifted_scales(bug)) return shift_scales;
  if (spec.encoding == WeightEncoding::kInt4Group32Zero) {
    const auto n_groups = static_cast<std::size_t>(scales_per_row(spec.encoding, spec.n_cols) / 2);
    return [=](std::int64_t, std::span<std::byte>, std::span<float> scales) { change_zeros(bug, n_groups, scales); };
  }
  if (const BlockForm form = block_form(spec.encoding); form.n_cols > 0) {
    return [=, encoding = spec.encoding](std::int64_t, std::span<std::byte> values, std::span<float> scales) {
      change_codes_in_blocks(bug, encoding, values);
      change_floats_of_blocks(bug, form, scales);
    };
  }
  if (spec.encoding == WeightEncoding::kMxfp4Group32) {
    return [=](std::int64_t, std::span<std::byte> values, std::span<float>) { change_e2m1(bug, values); };
  }
  if (spec.encoding == WeightEncoding::kNvfp4Group16) {
    return [=](std::int64_t n_rows, std::span<std::byte>, std::span<float> floats) {
      change_nvfp4_scales(bug, n_rows, floats);
    };
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

#include "backend_kit/weight_rows.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "backend/block_values.h"
#include "backend/check_graph.h"
#include "core/check.h"
#include "core/checked.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/half.h"

namespace secondsource {
namespace {

template <typename T>
T load(const std::byte* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
float load_as_float(const std::byte* bytes, std::size_t index) {
  const T value = load<T>(bytes, index);
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<float>(value);
  } else {
    return to_float(value);
  }
}

/// Decodes values without scales.
template <typename T>
void decode_values(const WeightRows& rows, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = load_as_float<T>(rows.values.data(), i);
}

/// Decodes codes where each row has one scale for every `group` columns.
template <typename Code>
void decode_scaled(std::int64_t n_cols, std::int64_t group, const WeightRows& rows, std::span<float> out) {
  const std::int64_t n_groups = ceil_divide(n_cols, group);
  for (std::int64_t row = 0; row < rows.n_rows; ++row) {
    for (std::int64_t col = 0; col < n_cols; ++col) {
      const auto i = static_cast<std::size_t>(row * n_cols + col);
      const float scale = rows.scales[static_cast<std::size_t>(row * n_groups + col / group)];
      out[i] = scale * load_as_float<Code>(rows.values.data(), i);
    }
  }
}

/// Decodes codes where each row has the scales of its groups, then their zero points.
void decode_with_zero_points(std::int64_t n_cols, const WeightRows& rows, std::span<float> out) {
  const std::int64_t n_groups = scales_per_row(WeightEncoding::kInt4Group32Zero, n_cols) / 2;
  for (std::int64_t row = 0; row < rows.n_rows; ++row) {
    const auto of_row = rows.scales.subspan(static_cast<std::size_t>(2 * row * n_groups));
    for (std::int64_t col = 0; col < n_cols; ++col) {
      const auto i = static_cast<std::size_t>(row * n_cols + col);
      const auto group = static_cast<std::size_t>(col / kScaleGroupSize);
      const float zero_point = of_row[static_cast<std::size_t>(n_groups) + group];
      out[i] = of_row[group] * (load_as_float<std::int8_t>(rows.values.data(), i) - zero_point);
    }
  }
}

/// Decodes codes where each row has its global scale first, and behind it the scales of its groups.
void decode_nvfp4(std::int64_t n_cols, const WeightRows& rows, std::span<float> out) {
  const std::int64_t n_floats = scales_per_row(WeightEncoding::kNvfp4Group16, n_cols);
  const std::int64_t first_scale = floats_before_group_scales(WeightEncoding::kNvfp4Group16);
  for (std::int64_t row = 0; row < rows.n_rows; ++row) {
    const auto of_row = rows.scales.subspan(static_cast<std::size_t>(row * n_floats));
    for (std::int64_t col = 0; col < n_cols; ++col) {
      const auto i = static_cast<std::size_t>(row * n_cols + col);
      const float scale = of_row[static_cast<std::size_t>(first_scale + col / kNvfp4GroupSize)];
      out[i] = (scale * load_as_float<E2m1>(rows.values.data(), i)) * of_row[0];
    }
  }
}

/// Decodes the codes of GGUF's blocks, each of which has its own floats.
void decode_blocks(WeightEncoding encoding, const WeightRows& rows, std::span<float> out) {
  const auto block_cols = static_cast<std::size_t>(block_form(encoding).n_cols);
  const auto n_floats = static_cast<std::size_t>(block_form(encoding).n_floats());
  for (std::size_t first = 0; first < out.size(); first += block_cols) {
    values_of_block(encoding, rows.values.subspan(first, block_cols),
                    rows.scales.subspan(first / block_cols * n_floats, n_floats), out.subspan(first, block_cols));
  }
}

}  // namespace

Result<void> pull_weight_rows(const WeightSpec& spec, const std::function<Result<void>(const WeightRows&)>& sink,
                              std::size_t max_bytes) {
  SS_TRY_VOID(check_weight_spec(spec));
  const std::size_t row_bytes = static_cast<std::size_t>(spec.n_cols) * transfer_bytes_per_value(spec.encoding);
  const auto row_scales = static_cast<std::size_t>(scales_per_row(spec.encoding, spec.n_cols));
  const std::size_t per_row = row_bytes + row_scales * sizeof(float);
  const auto piece_rows = static_cast<std::int64_t>(std::max<std::size_t>(1, max_bytes / per_row));
  std::vector<std::byte> values;
  std::vector<float> scales;
  std::int64_t part_begin = 0;
  for (const WeightPart& part : spec.parts) {
    for (std::int64_t row = 0; row < part.n_rows; row += piece_rows) {
      const std::int64_t n_rows = std::min(piece_rows, part.n_rows - row);
      values.resize(static_cast<std::size_t>(n_rows) * row_bytes);
      scales.resize(static_cast<std::size_t>(n_rows) * row_scales);
      if (auto read = part.source->read_rows(row, n_rows, values, scales); !read) {
        return read.error().with_context("weight " + spec.name);
      }
      SS_TRY_VOID(sink({.first_row = part_begin + row, .n_rows = n_rows, .values = values, .scales = scales}));
    }
    part_begin += part.n_rows;
  }
  return {};
}

Result<void> read_weight_rows(const WeightSpec& spec, std::int64_t first_row, std::int64_t n_rows,
                              std::span<std::byte> values, std::span<float> scales) {
  const std::size_t row_bytes = static_cast<std::size_t>(spec.n_cols) * transfer_bytes_per_value(spec.encoding);
  const auto row_scales = static_cast<std::size_t>(scales_per_row(spec.encoding, spec.n_cols));
  std::int64_t part_begin = 0;
  for (const WeightPart& part : spec.parts) {
    const std::int64_t begin = std::max(first_row, part_begin);
    const std::int64_t end = std::min(first_row + n_rows, part_begin + part.n_rows);
    if (begin < end) {
      const auto at = static_cast<std::size_t>(begin - first_row);
      const auto n = static_cast<std::size_t>(end - begin);
      if (auto read =
              part.source->read_rows(begin - part_begin, end - begin, values.subspan(at * row_bytes, n * row_bytes),
                                     scales.subspan(at * row_scales, n * row_scales));
          !read) {
        return read.error().with_context("weight " + spec.name);
      }
    }
    part_begin += part.n_rows;
  }
  return {};
}

void decode_weight_rows(WeightEncoding encoding, std::int64_t n_cols, const WeightRows& rows, std::span<float> out) {
  SS_CHECK(out.size() == static_cast<std::size_t>(rows.n_rows * n_cols), "decode_weight_rows: output size");
  switch (encoding) {
    case WeightEncoding::kF32:
      return decode_values<float>(rows, out);
    case WeightEncoding::kBf16:
      return decode_values<Bf16>(rows, out);
    case WeightEncoding::kF16:
      return decode_values<F16>(rows, out);
    case WeightEncoding::kInt8PerRow:
      return decode_scaled<std::int8_t>(n_cols, n_cols, rows, out);
    case WeightEncoding::kInt8Group32:
    case WeightEncoding::kInt4Group32:
      return decode_scaled<std::int8_t>(n_cols, kScaleGroupSize, rows, out);
    case WeightEncoding::kInt4Group32Zero:
      return decode_with_zero_points(n_cols, rows, out);
    case WeightEncoding::kQ2K:
    case WeightEncoding::kQ3K:
    case WeightEncoding::kQ4K:
    case WeightEncoding::kQ5K:
    case WeightEncoding::kQ6K:
    case WeightEncoding::kIq4Xs:
    case WeightEncoding::kQ41:
    case WeightEncoding::kQ50:
    case WeightEncoding::kQ51:
    case WeightEncoding::kIq4Nl:
      return decode_blocks(encoding, rows, out);
    case WeightEncoding::kMxfp4Group32:
      return decode_scaled<E2m1>(n_cols, kScaleGroupSize, rows, out);
    case WeightEncoding::kNvfp4Group16:
      return decode_nvfp4(n_cols, rows, out);
    case WeightEncoding::kFp8PerRow:
      return decode_scaled<E4m3>(n_cols, n_cols, rows, out);
    case WeightEncoding::kFp8Group128:
      return decode_scaled<E4m3>(n_cols, kFp8GroupSize, rows, out);
  }
}

}  // namespace secondsource

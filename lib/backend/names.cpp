#include <algorithm>
#include <array>

#include "backend/op.h"
#include "backend/weights.h"
#include "core/checked.h"

namespace secondsource {
namespace {

/// In the order of the variant's alternatives, as many as those.
constexpr std::array<std::string_view, std::variant_size_v<Op>> kOpNames = {
    "embed",     "rms_norm",    "matmul",         "rope_append", "latent_append", "head_matmul",
    "attention", "select_rows", "select_columns", "sample",      "route",         "grouped_matmul"};
static_assert(!kOpNames.back().empty(), "every operation has a name");

}  // namespace

std::string_view to_string(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return "f32";
    case WeightEncoding::kBf16:
      return "bf16";
    case WeightEncoding::kF16:
      return "f16";
    case WeightEncoding::kInt8PerRow:
      return "int8";
    case WeightEncoding::kInt8Group32:
      return "int8-g32";
    case WeightEncoding::kInt4Group32:
      return "int4";
    case WeightEncoding::kFp8PerRow:
      return "fp8";
    case WeightEncoding::kInt4Group32Zero:
      return "int4-zp";
    case WeightEncoding::kFp8Group128:
      return "fp8-g128";
    case WeightEncoding::kMxfp4Group32:
      return "mxfp4";
    case WeightEncoding::kNvfp4Group16:
      return "nvfp4";
    case WeightEncoding::kQ2K:
      return "q2_k";
    case WeightEncoding::kQ3K:
      return "q3_k";
    case WeightEncoding::kQ4K:
      return "q4_k";
    case WeightEncoding::kQ5K:
      return "q5_k";
    case WeightEncoding::kQ6K:
      return "q6_k";
    case WeightEncoding::kIq4Xs:
      return "iq4_xs";
    case WeightEncoding::kQ41:
      return "q4_1";
    case WeightEncoding::kQ50:
      return "q5_0";
    case WeightEncoding::kQ51:
      return "q5_1";
    case WeightEncoding::kIq4Nl:
      return "iq4_nl";
  }
  return "unknown";
}

std::size_t transfer_bytes_per_value(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return 4;
    case WeightEncoding::kBf16:
    case WeightEncoding::kF16:
      return 2;
    case WeightEncoding::kInt8PerRow:
    case WeightEncoding::kInt8Group32:
    case WeightEncoding::kInt4Group32:
    case WeightEncoding::kFp8PerRow:
    case WeightEncoding::kInt4Group32Zero:
    case WeightEncoding::kFp8Group128:
    case WeightEncoding::kMxfp4Group32:
    case WeightEncoding::kNvfp4Group16:
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
      return 1;
  }
  return 0;
}

std::int64_t scales_per_row(WeightEncoding encoding, std::int64_t n_cols) {
  if (const BlockForm form = block_form(encoding); form.n_cols > 0) {
    return ceil_divide(n_cols, form.n_cols) * form.n_floats();
  }
  if (encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow) return 1;
  if (group_columns(encoding) == 0) return 0;
  const std::int64_t n_groups = ceil_divide(n_cols, group_columns(encoding));
  if (encoding == WeightEncoding::kInt4Group32Zero) return 2 * n_groups;
  return floats_before_group_scales(encoding) + n_groups;
}

double encoded_bytes(WeightEncoding encoding, std::int64_t n_rows, std::int64_t n_cols) {
  if (const BlockForm form = block_form(encoding); form.n_cols > 0) {
    return static_cast<double>(n_rows) * static_cast<double>(ceil_divide(n_cols, form.n_cols) * form.n_bytes);
  }
  const double value_bytes =
      has_four_bit_codes(encoding) ? 0.5 : static_cast<double>(transfer_bytes_per_value(encoding));
  double scale_bytes = 2;
  if (encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kFp8PerRow) scale_bytes = 4;
  if (encoding == WeightEncoding::kInt4Group32Zero) scale_bytes = 1.25;  // of two floats: a scale and a zero point
  if (encoding == WeightEncoding::kMxfp4Group32) scale_bytes = 1;
  if (encoding == WeightEncoding::kFp8Group128)
    scale_bytes = 4.0 / static_cast<double>(kFp8GroupSize);  // one for 128 rows
  auto n_scales = static_cast<double>(scales_per_row(encoding, n_cols));
  if (encoding == WeightEncoding::kNvfp4Group16) {
    scale_bytes = 1;
    n_scales -= static_cast<double>(floats_before_group_scales(encoding));  // all rows of a matrix share it
  }
  return static_cast<double>(n_rows) * (static_cast<double>(n_cols) * value_bytes + n_scales * scale_bytes);
}

std::string_view op_name(const Op& op) {
  return kOpNames[op.index()];
}

bool is_op_name(std::string_view name) {
  return std::ranges::find(kOpNames, name) != kOpNames.end();
}

}  // namespace secondsource

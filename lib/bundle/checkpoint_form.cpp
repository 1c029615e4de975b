#include "bundle/checkpoint_form.h"

#include <fmt/format.h>

#include <utility>

#include "backend/weights.h"
#include "bundle/variant.h"

namespace secondsource {
namespace {

Error none(std::string reason) {
  return {ErrorCode::kUnsupported, std::move(reason)};
}

}  // namespace

bool always_has_zero_points(const CheckpointScheme& scheme) {
  return scheme.method == "awq-";
}

Result<PublishedForm> form_of_scheme(const CheckpointScheme& scheme, bool has_zero_points) {
  using enum WeightEncoding;
  if (scheme.layout == CodeLayout::kMxfp4) {
    return PublishedForm{.encoding = kMxfp4Group32, .group = kScaleGroupSize, .is_transposed = true};
  }
  if (scheme.layout == CodeLayout::kFp4Rows) {
    if (scheme.global_scale != GlobalScale::kNone) {
      return PublishedForm{.encoding = kNvfp4Group16, .group = kNvfp4GroupSize};
    }
    return PublishedForm{.encoding = kMxfp4Group32, .group = kScaleGroupSize};
  }
  if (scheme.bits != 4 && scheme.bits != 8) return none(fmt::format("codes of {} bits", scheme.bits));
  const bool is_fp8 = scheme.layout == CodeLayout::kFp8;
  if (scheme.block && scheme.block->rows != 1) {
    if (is_fp8 && scheme.block->rows == kFp8GroupSize && scheme.block->cols == kFp8GroupSize) {
      return PublishedForm{.encoding = kFp8Group128, .group = kFp8GroupSize};
    }
    return none(fmt::format("scales of blocks of {} x {}", scheme.block->rows, scheme.block->cols));
  }
  if (has_zero_points && scheme.bits != 4) return none(fmt::format("zero points of codes of {} bits", scheme.bits));
  const std::int64_t group = scheme.block ? scheme.block->cols : 0;
  if (is_fp8 && group > 0) return none("scales of groups of codes in E4M3");
  if (group % kScaleGroupSize != 0) return none(fmt::format("groups of {}, no multiple of {}", group, kScaleGroupSize));
  PublishedForm form{.encoding = has_zero_points ? kInt4Group32Zero : kInt4Group32, .group = group};
  if (is_fp8) {
    form.encoding = kFp8PerRow;
  } else if (scheme.bits == 8) {
    form.encoding = group == 0 ? kInt8PerRow : kInt8Group32;
  }
  return form;
}

ActQuant act_of_form(const CheckpointScheme& scheme, const PublishedForm& form) {
  using enum CheckpointActivations;
  const CheckpointActivations act = scheme.activations;
  switch (form.encoding) {
    case WeightEncoding::kInt8PerRow:
      return act == kInt8PerToken ? ActQuant::kInt8PerRow
             : act == kInt8Static ? ActQuant::kInt8Static
                                  : ActQuant::kNone;
    case WeightEncoding::kInt8Group32:
    case WeightEncoding::kInt4Group32:
      return act == kInt8PerToken ? ActQuant::kInt8PerRow : ActQuant::kNone;
    case WeightEncoding::kFp8PerRow:
      return act == kFp8PerToken ? ActQuant::kFp8PerRow : act == kFp8Static ? ActQuant::kFp8Static : ActQuant::kNone;
    case WeightEncoding::kFp8Group128:
      return act == kFp8PerTokenGroup       ? ActQuant::kFp8PerGroup128
             : act == kFp8PerTokenGroupE8m0 ? ActQuant::kFp8PerGroup128E8m0
                                            : ActQuant::kNone;
    case WeightEncoding::kNvfp4Group16:
      return act == kNvfp4 ? ActQuant::kNvfp4Static : ActQuant::kNone;
    default:
      return ActQuant::kNone;
  }
}

std::string variant_of_form(const CheckpointScheme& scheme, const PublishedForm& form) {
  return published_variant_name(scheme.method, form.encoding, form.group, act_of_form(scheme, form));
}

}  // namespace secondsource

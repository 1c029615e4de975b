#include "bundle/variant.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/utf8.h"

namespace secondsource {

Result<Variant> variant_from_name(std::string_view name) {
  using enum WeightEncoding;
  if (name == "f32") return Variant{.name = "f32", .matmul = kF32, .rest = kF32};
  if (name == "bf16") return Variant{.name = "bf16", .matmul = kBf16, .rest = kBf16};
  if (name == "f16") return Variant{.name = "f16", .matmul = kF16, .rest = kF16};
  if (name == "int8") return Variant{.name = "int8", .matmul = kInt8PerRow, .rest = std::nullopt};
  if (name == "int8-w8a8") {
    return Variant{
        .name = "int8-w8a8", .matmul = kInt8PerRow, .rest = std::nullopt, .activations = ActQuant::kInt8PerRow};
  }
  if (name == "int8-g32") return Variant{.name = "int8-g32", .matmul = kInt8Group32, .rest = std::nullopt};
  if (name == "int8-g32-w8a8") {
    return Variant{
        .name = "int8-g32-w8a8", .matmul = kInt8Group32, .rest = std::nullopt, .activations = ActQuant::kInt8PerRow};
  }
  if (name == "int4") return Variant{.name = "int4", .matmul = kInt4Group32, .rest = std::nullopt};
  if (name == "int4-w8a8") {
    return Variant{
        .name = "int4-w8a8", .matmul = kInt4Group32, .rest = std::nullopt, .activations = ActQuant::kInt8PerRow};
  }
  if (name == "fp8") {
    return Variant{.name = "fp8", .matmul = kFp8PerRow, .rest = std::nullopt, .activations = ActQuant::kFp8PerRow};
  }
  return Error{ErrorCode::kInvalidInput,
               fmt::format("variant: expected one of {}, found {}", fmt::join(kVariantNames, ", "), printable(name))};
}

Result<WeightEncoding> encoding_as_stored(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return WeightEncoding::kF32;
    case DType::kF16:
      return WeightEncoding::kF16;
    case DType::kBf16:
      return WeightEncoding::kBf16;
    default:
      return Error{ErrorCode::kUnsupported,
                   fmt::format("expected weights in f32, f16 or bf16, found {}", to_string(dtype))};
  }
}

Result<WeightEncoding> encoding_of(const Variant& variant, TensorRole role, DType stored) {
  if (role == TensorRole::kMatmul) return variant.matmul;
  if (variant.rest && role != TensorRole::kChoiceBias) return *variant.rest;
  return encoding_as_stored(stored);
}

}  // namespace secondsource

#pragma once
// The variants of a model: how its weights are encoded and whether activations are quantized. Their rules are defined
// in docs/bundle-format.md ("Variants") and exist a second time in bundles/recipes/, in Python.

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "backend/weights.h"
#include "bundle/model_tensors.h"
#include "core/dtype.h"
#include "core/result.h"

namespace secondsource {

struct Variant {
  std::string name;
  /// Of matmul weights, the (tied) head included.
  WeightEncoding matmul = WeightEncoding::kBf16;
  /// Of everything else; nullopt: as the tensor is stored.
  std::optional<WeightEncoding> rest;
  /// Names in w8a8: s = max|x| / 127 per row, in prefill and decode alike.
  bool quantizes_activations = false;
};

/// The variants that every bundle can be run in.
inline constexpr std::array<std::string_view, 8> kVariantNames = {"f32",       "bf16",     "f16",           "int8",
                                                                  "int8-w8a8", "int8-g32", "int8-g32-w8a8", "int4"};

/// Of a variant's name: whether its products are of 8-bit integers, in what an int8 peak is the limit of.
[[nodiscard]] constexpr bool quantizes_activations(std::string_view variant) {
  return variant.ends_with("w8a8");
}

/// Errors: kInvalidInput for an unknown name.
Result<Variant> variant_from_name(std::string_view name);

/// The encoding that holds a stored floating-point type unchanged. Errors: kUnsupported for all but F32, F16, BF16.
Result<WeightEncoding> encoding_as_stored(DType dtype);

/// The encoding of a tensor of this role and stored type in this variant. A tied head asks with TensorRole::kMatmul.
/// Errors: kUnsupported.
Result<WeightEncoding> encoding_of(const Variant& variant, TensorRole role, DType stored);

}  // namespace secondsource

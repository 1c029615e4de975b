#pragma once
// The variants of a model: how its weights are encoded and whether its activations are quantized. docs/bundle-format.md
// ("Variants") defines their rules, and bundles/recipes/ implements them a second time, in Python.

#include <optional>
#include <string>
#include <string_view>

#include "backend/op.h"
#include "backend/weights.h"
#include "bundle/model_tensors.h"
#include "core/dtype.h"
#include "core/result.h"
#include "core/variant_name.h"

namespace secondsource {

struct Variant {
  std::string name;
  /// Encoding of the matmul weights, including a (tied) head.
  WeightEncoding matmul = WeightEncoding::kBf16;
  /// Encoding of all other weights; nullopt means as the tensor is stored.
  std::optional<WeightEncoding> rest;
  /// How the inputs of matmuls are quantized, in prefill and in decode: kInt8PerRow in the variants with "w8a8" in their name,
  /// kFp8PerRow in fp8.
  ActQuant activations = ActQuant::kNone;
};

/// Returns the variant of that name. Errors: kInvalidInput for an unknown name.
Result<Variant> variant_from_name(std::string_view name);

/// The encoding that holds a stored floating-point type unchanged. Errors: kUnsupported for types other than F32, F16
/// and BF16.
Result<WeightEncoding> encoding_as_stored(DType dtype);

/// The encoding in this variant of a tensor with this role and stored type. For a tied head pass TensorRole::kMatmul.
/// Errors: kUnsupported.
Result<WeightEncoding> encoding_of(const Variant& variant, TensorRole role, DType stored);

}  // namespace secondsource

#pragma once
// The variants of a model: how its weights are encoded and whether its activations are quantized. docs/bundle-format.md
// ("Variants") defines their rules, and bundles/recipes/ implements them a second time, in Python.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/op.h"
#include "backend/weights.h"
#include "bundle/model_tensors.h"
#include "bundle/tensor_store.h"
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
  /// How the inputs of matmuls are quantized, in prefill and in decode: kInt8PerRow in the variants with "w8a8" in
  /// their name, kInt8Static in those that end with "int8-static", has_fp8_rows() in fp8 and published FP8 variants,
  /// has_fp8_groups() in those of FP8 in blocks, kNvfp4Static in NVFP4 variants.
  ActQuant activations = ActQuant::kNone;
  /// For a published variant, the number of columns that share a stored scale; 0 if a whole row does.
  std::int64_t group = 0;

  /// Weights are the codes that the checkpoint's publisher stored; every tensor without codes is as stored.
  [[nodiscard]] bool is_published() const { return is_published_variant(name); }
};

/// Returns the variant of that name, one of kVariantNames or a published one (docs/supported-models.md, "Published variants"):
///   METHOD-int4, METHOD-int8, each with or without -gN for groups of N columns, a multiple of 32
///   METHOD-int4-zp, METHOD-int4-gN-zp   with zero points, which awq-int4 and awq-int4-gN always have
///   METHOD-int8-w8a8, METHOD-int8-gN-w8a8, METHOD-int4-w8a8, METHOD-int4-gN-w8a8   where runtimes find the scales of activations
///   METHOD-int8-static   where the scales of activations are stored
///   METHOD-fp8, METHOD-fp8-block128, METHOD-fp8-block128-ue8m0; the method fp8 has fp8-block128 and fp8-block128-ue8m0
///   METHOD-fp8-static   where the scales of activations are stored; the method fp8 has fp8-static
///   METHOD-fp8-w8a16, METHOD-fp8-block128-w8a16   where activations are not quantized; the method fp8 as above
///   mxfp4, METHOD-mxfp4
///   METHOD-nvfp4, and METHOD-nvfp4-w4a16 where activations are not quantized
///   gguf-q4_0, gguf-q8_0, gguf-nvfp4-w4a16, and gguf- with the name of one of kBlockEncodings
/// Errors: kInvalidInput for an unknown name.
Result<Variant> variant_from_name(std::string_view name);

/// The variants in which a model can be run: the published one of its weights, if there is one (else empty), and kVariantNames.
[[nodiscard]] std::vector<std::string> variants_with_published(const std::string& published);

/// Refuses names that are none of `known`, the variants of `subject` ("bundle default"). Errors: kInvalidInput.
Result<void> check_known_variants(std::string_view subject, const std::vector<std::string>& known,
                                  const std::vector<std::string>& names);

/// The name of the published variant of codes in this encoding, made by this method ("gptq-"). `group` as Variant::group.
[[nodiscard]] std::string published_variant_name(std::string_view method, WeightEncoding encoding, std::int64_t group,
                                                 ActQuant activations);

/// The encoding that holds a stored floating-point type unchanged. Errors: kUnsupported for types other than F32, F16
/// and BF16.
Result<WeightEncoding> encoding_as_stored(DType dtype);

/// The encoding that a tensor with this role and stored type has in this variant. For a tied head pass
/// TensorRole::kMatmul. In a published variant this is the encoding of matmul weights that have codes. Errors:
/// kUnsupported.
Result<WeightEncoding> encoding_of(const Variant& variant, TensorRole role, DType stored);
/// The same for a tensor that may have published codes. Codes are given only for rows used in products or lookups.
Result<WeightEncoding> encoding_of(const Variant& variant, TensorRole role, const StoredTensor& tensor);

}  // namespace secondsource

#pragma once
// The names of a model's weight variants, which the whole library uses; bundle/variant.h defines what they mean.

#include <array>
#include <string>
#include <string_view>

namespace secondsource {

/// The variants in which every bundle can be run.
inline constexpr std::array<std::string_view, 10> kVariantNames = {
    "f32", "bf16", "f16", "int8", "int8-w8a8", "int8-g32", "int8-g32-w8a8", "int4", "int4-w8a8", "fp8"};

/// The method of GGUF files; their variants' names end with the type of most of their matrices.
inline constexpr std::string_view kGgufMethod = "gguf-";

/// How the names of published variants begin: the weights of a quantized checkpoint as its publisher stored them, with the
/// method by which they were made ("gptq-int4-g128"). A bundle has at most one, and only where it keeps the codes.
inline constexpr std::array<std::string_view, 10> kPublishedMethods = {
    "gptq-",   "awq-",      "auto-round-", "compressed-tensors-", "fp8-",
    "fbgemm-", "modelopt-", "quark-",      kGgufMethod,           "mxfp4"};

[[nodiscard]] constexpr bool is_published_variant(std::string_view variant) {
  for (const std::string_view method : kPublishedMethods) {
    if (variant.starts_with(method)) return true;
  }
  return false;
}

/// True if the variant's matmul weights have four bits.
[[nodiscard]] constexpr bool has_int4_weights(std::string_view variant) {
  return variant.starts_with("int4") || variant.find("-int4") != std::string_view::npos ||
         variant.starts_with("gguf-q4_") || variant.starts_with("gguf-iq4_") || variant.ends_with("mxfp4") ||
         variant.ends_with("nvfp4") || variant.ends_with("nvfp4-w4a16");
}

/// True if this project rounds the variant's weights to four bits, which published ones are not.
[[nodiscard]] constexpr bool rounds_to_int4(std::string_view variant) {
  return has_int4_weights(variant) && !is_published_variant(variant);
}

/// True if the variant's matmuls multiply E4M3 numbers, so that the FP8 peak of the device is their limit.
[[nodiscard]] constexpr bool multiplies_fp8(std::string_view variant) {
  return variant.ends_with("fp8") || variant.ends_with("fp8-static") || variant.ends_with("fp8-block128") ||
         variant.ends_with("fp8-block128-ue8m0");
}

/// True if the variant's matmuls multiply NVFP4 by NVFP4, so that their limit is the FP4 peak of a device that supports
/// NVFP4's scales.
[[nodiscard]] constexpr bool multiplies_nvfp4(std::string_view variant) {
  return variant.ends_with("nvfp4");
}

/// If `variant` has stored scales of activations, the published variant of the same weights without quantized
/// activations; otherwise `variant`.
[[nodiscard]] inline std::string name_without_input_scales(std::string_view variant) {
  constexpr std::string_view kStatic = "-static";
  if (multiplies_nvfp4(variant)) return std::string(variant) + "-w4a16";
  if (!variant.ends_with(kStatic)) return std::string(variant);
  const std::string codes(variant.substr(0, variant.size() - kStatic.size()));
  return codes.ends_with("int8") ? codes : codes + "-w8a16";
}

/// True if the variant's matmul weights are E4M3 numbers, whatever they are multiplied by.
[[nodiscard]] constexpr bool has_fp8_weights(std::string_view variant) {
  return multiplies_fp8(variant) || variant.ends_with("fp8-w8a16") || variant.ends_with("fp8-block128-w8a16");
}

/// True if the variant's matmul weights are whole numbers with scales, or become whole by a factor, as E2M1 does.
[[nodiscard]] constexpr bool has_integer_weights(std::string_view variant) {
  return !variant.ends_with("f32") && !variant.ends_with("f16") && !has_fp8_weights(variant);  // "bf16" ends with "f16"
}

/// True if the variant's matmuls multiply 8-bit integers, so that the int8 peak of the device is their limit.
[[nodiscard]] constexpr bool multiplies_int8(std::string_view variant) {
  return variant.ends_with("w8a8") || variant.ends_with("int8-static");
}

}  // namespace secondsource

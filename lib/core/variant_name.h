#pragma once
// The names of a model's weight variants, which the whole library uses; bundle/variant.h defines what they mean.

#include <array>
#include <string_view>

namespace secondsource {

/// The variants in which every bundle can be run.
inline constexpr std::array<std::string_view, 10> kVariantNames = {
    "f32", "bf16", "f16", "int8", "int8-w8a8", "int8-g32", "int8-g32-w8a8", "int4", "int4-w8a8", "fp8"};

/// True if the variant's matmul weights have four bits, by which it is opportunistic whatever its quality.
[[nodiscard]] constexpr bool has_int4_weights(std::string_view variant) {
  return variant.starts_with("int4");
}

/// True if the variant's matmuls multiply 8-bit integers, so that the int8 peak of the device is their limit.
[[nodiscard]] constexpr bool multiplies_int8(std::string_view variant) {
  return variant.ends_with("w8a8");
}

}  // namespace secondsource

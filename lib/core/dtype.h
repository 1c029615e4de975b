#pragma once
// Element types of tensors, as they are stored.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace secondsource {

enum class DType : std::uint8_t { kF64, kF32, kF16, kBf16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };

/// Bytes of one element.
[[nodiscard]] std::size_t size_of(DType dtype);

/// "f32", "bf16", ...: the names that this project prints.
[[nodiscard]] std::string_view to_string(DType dtype);

/// The type that safetensors calls "F32", "BF16", "I64", "BOOL", ...; nullopt for a name that is unknown or that we do
/// not read (the FP8 and sub-byte types).
[[nodiscard]] std::optional<DType> dtype_from_safetensors(std::string_view name);

/// The safetensors name of a type.
[[nodiscard]] std::string_view safetensors_name(DType dtype);

}  // namespace secondsource

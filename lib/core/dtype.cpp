#include "core/dtype.h"

#include <array>

namespace secondsource {
namespace {

struct DTypeRow {
  DType dtype;
  std::size_t bytes;
  std::string_view name;
  std::string_view safetensors;
};

constexpr std::array kDTypes = {
    DTypeRow{DType::kF64, 8, "f64", "F64"},    DTypeRow{DType::kF32, 4, "f32", "F32"},
    DTypeRow{DType::kF16, 2, "f16", "F16"},    DTypeRow{DType::kBf16, 2, "bf16", "BF16"},
    DTypeRow{DType::kI64, 8, "i64", "I64"},    DTypeRow{DType::kI32, 4, "i32", "I32"},
    DTypeRow{DType::kI16, 2, "i16", "I16"},    DTypeRow{DType::kI8, 1, "i8", "I8"},
    DTypeRow{DType::kU64, 8, "u64", "U64"},    DTypeRow{DType::kU32, 4, "u32", "U32"},
    DTypeRow{DType::kU16, 2, "u16", "U16"},    DTypeRow{DType::kU8, 1, "u8", "U8"},
    DTypeRow{DType::kBool, 1, "bool", "BOOL"},
};

constexpr const DTypeRow& row(DType dtype) {
  return kDTypes[static_cast<std::size_t>(dtype)];
}

}  // namespace

std::size_t size_of(DType dtype) {
  return row(dtype).bytes;
}
std::string_view to_string(DType dtype) {
  return row(dtype).name;
}
std::string_view safetensors_name(DType dtype) {
  return row(dtype).safetensors;
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const DTypeRow& candidate : kDTypes) {
    if (candidate.safetensors == name) return candidate.dtype;
  }
  return std::nullopt;
}

}  // namespace secondsource

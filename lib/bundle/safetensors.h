#pragma once
// Reads and checks the header of a safetensors file. Format: 8 bytes little-endian header length, the header as a JSON
// object, then the tensors' bytes without holes or overlaps (https://github.com/huggingface/safetensors, "Format").
// This parser is as strict as the upstream one.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"
#include "core/shape.h"

namespace secondsource {

/// One tensor of a file.
struct TensorInfo {
  std::string name;
  std::string dtype_name;      ///< as written in the file: "BF16", "F8_E4M3"
  std::optional<DType> dtype;  ///< nullopt for a valid type with which this program does not compute
  Shape shape;
  std::size_t offset_bytes = 0;  ///< from the start of the file
  std::size_t size_bytes = 0;
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;              ///< sorted by offset
  std::map<std::string, std::string> metadata;  ///< "__metadata__"
  std::size_t data_offset_bytes = 0;
};

/// Reads the header from the bytes of a whole file; the bytes of the tensors are not read. Error messages begin with
/// `name`. Errors: kInvalidInput for everything that upstream refuses and for a duplicate tensor name.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view name);

}  // namespace secondsource

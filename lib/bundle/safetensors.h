#pragma once
// The header of a safetensors file, checked before anything is believed.
// Format: 8 bytes little-endian header length, the header as a JSON object, then the tensors' bytes without holes or
// overlaps (https://github.com/huggingface/safetensors, "Format"). As strict as the upstream parser.

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
  std::string dtype_name;      ///< as the file says: "BF16", "F8_E4M3"
  std::optional<DType> dtype;  ///< nullopt for a valid type that this program does not compute with
  Shape shape;
  std::size_t offset_bytes = 0;  ///< from the start of the file
  std::size_t size_bytes = 0;
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;              ///< by offset
  std::map<std::string, std::string> metadata;  ///< "__metadata__"
  std::size_t data_offset_bytes = 0;
};

/// Reads the header of a whole file; `file` is only looked at, and tensor bytes not at all. `name` stands first in
/// errors. Errors: kInvalidInput for whatever upstream refuses, and for a tensor name that occurs twice.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view name);

}  // namespace secondsource

#pragma once
// Reads the header of a GGUF file (versions 2 and 3, little-endian): metadata and tensor descriptions. Every size is
// checked against the size of the file before it is used. Format:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Strings and arrays are views into the file's bytes, which
// must outlive the header.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/shape.h"

namespace secondsource {

struct GgufValue;

/// Values of a metadata array: numbers or booleans of one type, converted; or strings.
using GgufIntegers = std::vector<std::int64_t>;
using GgufFloats = std::vector<double>;
using GgufStrings = std::vector<std::string_view>;

/// One metadata value. Integers and booleans are stored as int64 (a uint64 above 2^63 - 1 is refused).
struct GgufValue {
  std::string_view type;  ///< "u32", "string", "array of f32", ...
  std::variant<std::int64_t, double, std::string_view, GgufIntegers, GgufFloats, GgufStrings> value;
};

struct GgufTensor {
  std::string name;
  std::string type_name;         ///< "F32", "Q4_K", ...
  Shape shape;                   ///< outermost first: the reverse of the file's order
  std::size_t offset_bytes = 0;  ///< from the start of the file
  std::size_t size_bytes = 0;
};

struct GgufHeader {
  std::uint32_t version = 0;
  std::size_t alignment_bytes = 32;
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::vector<GgufTensor> tensors;  ///< in the order of the file, which is the order of their offsets

  /// The value of `key` if it exists and has this type, else nullptr.
  template <typename T>
  [[nodiscard]] const T* find(std::string_view key) const {
    const auto found = metadata.find(key);
    return found == metadata.end() ? nullptr : std::get_if<T>(&found->second.value);
  }
};

/// Refuses another magic or version, counts and lengths that the file is too small for, strings that are not UTF-8,
/// duplicate keys, nested arrays, an alignment that is not a power of two, unknown tensor types, rows that are not a
/// whole number of blocks, and tensors that are duplicate, unaligned, not contiguous, or outside of the file; and more
/// keys, tensors, items of arrays or bytes of header than docs/bundle-format.md allows. Error messages begin with
/// `name`. Errors: kInvalidInput; kUnsupported for version 1 and big-endian files.
Result<GgufHeader> parse_gguf(std::span<const std::byte> file, std::string_view name);

}  // namespace secondsource

#include "bundle/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <utility>

#include "core/checked.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::uint32_t kMaxDimensions = 4;      // GGML_MAX_DIMS
constexpr std::size_t kMaxKeyBytes = 65'535;     // docs/gguf.md
constexpr std::size_t kMaxTensorNameBytes = 64;  // GGML_MAX_NAME
constexpr std::uint64_t kMaxAlignment = 1 << 20;
// Limits that the format does not have. Tensors and header bytes are limited as those of safetensors, array items as the values of
// JSON: the largest vocabularies with their merges have two million.
constexpr std::size_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxEntries = 100'000;            // of tensors, and of keys
constexpr std::size_t kMaxArrayItems = 4'000'000;       // of all arrays together
constexpr std::size_t kMinKeyValueBytes = 8 + 4 + 1;    // an empty key, a type, one byte
constexpr std::size_t kMinTensorBytes = 8 + 4 + 4 + 8;  // an empty name, no dimension, type, offset

enum class ValueType : std::uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};
struct ValueTypeRow {
  std::string_view name;
  std::string_view array_name;
  std::size_t bytes;  ///< least number of bytes in the file; for a string, those of its length
};
constexpr std::array<ValueTypeRow, 13> kValueTypes = {{
    {"u8", "array of u8", 1},
    {"i8", "array of i8", 1},
    {"u16", "array of u16", 2},
    {"i16", "array of i16", 2},
    {"u32", "array of u32", 4},
    {"i32", "array of i32", 4},
    {"f32", "array of f32", 4},
    {"bool", "array of bool", 1},
    {"string", "array of string", 8},
    {"array", "", 12},
    {"u64", "array of u64", 8},
    {"i64", "array of i64", 8},
    {"f64", "array of f64", 8},
}};

/// ggml's types: a block holds `block_values` values in `block_bytes` bytes (ggml-common.h). Type numbers that were
/// removed have an empty name.
struct TensorTypeRow {
  std::string_view name;
  std::int64_t block_values;
  std::int64_t block_bytes;
};
constexpr std::array<TensorTypeRow, 42> kTensorTypes = {{
    {"F32", 1, 4},      {"F16", 1, 2},        {"Q4_0", 32, 18},    {"Q4_1", 32, 20},     {"", 0, 0},
    {"", 0, 0},         {"Q5_0", 32, 22},     {"Q5_1", 32, 24},    {"Q8_0", 32, 34},     {"Q8_1", 32, 36},
    {"Q2_K", 256, 84},  {"Q3_K", 256, 110},   {"Q4_K", 256, 144},  {"Q5_K", 256, 176},   {"Q6_K", 256, 210},
    {"Q8_K", 256, 292}, {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74}, {"IQ3_XXS", 256, 98}, {"IQ1_S", 256, 50},
    {"IQ4_NL", 32, 18}, {"IQ3_S", 256, 110},  {"IQ2_S", 256, 82},  {"IQ4_XS", 256, 136}, {"I8", 1, 1},
    {"I16", 1, 2},      {"I32", 1, 4},        {"I64", 1, 8},       {"F64", 1, 8},        {"IQ1_M", 256, 56},
    {"BF16", 1, 2},     {"", 0, 0},           {"", 0, 0},          {"", 0, 0},           {"TQ1_0", 256, 54},
    {"TQ2_0", 256, 66}, {"", 0, 0},           {"", 0, 0},          {"", 0, 0},           {"MXFP4", 32, 17},
    {"NVFP4", 64, 36},  {"Q1_0", 128, 18},
}};

/// Reads the file from front to back and refuses to read beyond its end.
class Reader {
 public:
  Reader(std::span<const std::byte> file, std::string_view name) : file_(file), name_(name) {}

  [[nodiscard]] std::size_t offset() const noexcept { return offset_; }
  [[nodiscard]] std::size_t left() const noexcept { return file_.size() - offset_; }
  [[nodiscard]] Error refused(std::string_view what) const {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: GGUF: {}", name_, what)};
  }

  template <typename T>
  Result<T> number() {
    static_assert(std::endian::native == std::endian::little);
    if (left() < sizeof(T))
      return refused(fmt::format("offset {}: expected {} more bytes, found {}", offset_, sizeof(T), left()));
    T value;
    std::memcpy(&value, file_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  /// Reads a string, checking that its bytes are in the file; `what` names it in errors.
  Result<std::string_view> string(std::string_view what, std::size_t max_bytes) {
    SS_TRY(const auto length, number<std::uint64_t>());
    if (length > max_bytes || length > left()) {
      return refused(fmt::format("offset {}: {}: expected a length of at most {}, found {}", offset_, what,
                                 std::min(max_bytes, left()), length));
    }
    const std::string_view text(reinterpret_cast<const char*>(file_.data()) + offset_,
                                static_cast<std::size_t>(length));
    offset_ += text.size();
    return text;
  }

  /// Reads a count of items of at least `least_bytes` each, which cannot be more than the rest of the file can hold, nor
  /// more than `limit`.
  Result<std::size_t> count(std::string_view what, std::size_t least_bytes, std::size_t limit) {
    SS_TRY(const auto n, number<std::uint64_t>());
    if (n > left() / least_bytes) {
      return refused(
          fmt::format("{}: expected at most {} in the {} bytes left, found {}", what, left() / least_bytes, left(), n));
    }
    if (n > limit) return refused(fmt::format("{}: expected at most {}, found {}", what, limit, n));
    return static_cast<std::size_t>(n);
  }

  /// Reads the number of items of an array, and refuses it if the arrays up to this one have more than kMaxArrayItems together.
  Result<std::size_t> array_count(std::string_view key, std::size_t least_bytes) {
    SS_TRY(const std::size_t n, count(key, least_bytes, kMaxArrayItems));
    n_array_items_ += n;
    if (n_array_items_ > kMaxArrayItems) {
      return refused(fmt::format("{}: expected at most {} items in all arrays, found {} up to this one", key,
                                 kMaxArrayItems, n_array_items_));
    }
    return n;
  }

  /// Refuses a header that has become larger than any real one.
  Result<void> check_header_bytes() const {
    if (offset_ <= kMaxHeaderBytes) return {};
    return refused(
        fmt::format("expected at most {} bytes before the tensors' data, found {} or more", kMaxHeaderBytes, offset_));
  }

 private:
  std::span<const std::byte> file_;
  std::string_view name_;
  std::size_t offset_ = 0;
  std::size_t n_array_items_ = 0;
};

bool is_integer(ValueType type) {
  return type != ValueType::kF32 && type != ValueType::kF64 && type != ValueType::kString && type != ValueType::kArray;
}

template <typename T>
Result<std::int64_t> integer(Reader& reader) {
  SS_TRY(const T value, reader.number<T>());
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return reader.refused(fmt::format("offset {}: expected an integer below 2^63, found {}", reader.offset(), value));
    }
  }
  return static_cast<std::int64_t>(value);
}

Result<std::int64_t> read_integer(Reader& reader, ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return integer<std::uint8_t>(reader);
    case ValueType::kI8:
      return integer<std::int8_t>(reader);
    case ValueType::kU16:
      return integer<std::uint16_t>(reader);
    case ValueType::kI16:
      return integer<std::int16_t>(reader);
    case ValueType::kU32:
      return integer<std::uint32_t>(reader);
    case ValueType::kI32:
      return integer<std::int32_t>(reader);
    case ValueType::kI64:
      return integer<std::int64_t>(reader);
    case ValueType::kU64:
      return integer<std::uint64_t>(reader);
    case ValueType::kBool: {
      SS_TRY(const auto value, reader.number<std::uint8_t>());
      if (value > 1)
        return reader.refused(fmt::format("offset {}: expected a boolean, found {}", reader.offset(), value));
      return std::int64_t{value};
    }
    default:
      return reader.refused("expected an integer type");
  }
}

Result<double> read_float(Reader& reader, ValueType type) {
  if (type == ValueType::kF64) return reader.number<double>();
  SS_TRY(const float value, reader.number<float>());
  return static_cast<double>(value);
}

Result<ValueType> read_type(Reader& reader) {
  SS_TRY(const auto number, reader.number<std::uint32_t>());
  if (number >= kValueTypes.size())
    return reader.refused(fmt::format("offset {}: expected a value type below 13, found {}", reader.offset(), number));
  return static_cast<ValueType>(number);
}

const ValueTypeRow& row_of(ValueType type) {
  return kValueTypes[static_cast<std::size_t>(type)];
}

Result<GgufValue> read_array(Reader& reader, std::string_view key) {
  SS_TRY(const ValueType type, read_type(reader));
  if (type == ValueType::kArray)
    return reader.refused(fmt::format("{}: arrays of arrays are not accepted", printable(key)));
  SS_TRY(const std::size_t n, reader.array_count(printable(key), row_of(type).bytes));
  GgufValue result{.type = row_of(type).array_name, .value = std::int64_t{0}};
  if (type == ValueType::kString) {
    GgufStrings strings;
    strings.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
      SS_TRY(const std::string_view text, reader.string(printable(key), reader.left()));
      strings.push_back(text);
    }
    result.value = std::move(strings);
  } else if (is_integer(type)) {
    GgufIntegers integers;
    integers.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
      SS_TRY(const std::int64_t value, read_integer(reader, type));
      integers.push_back(value);
    }
    result.value = std::move(integers);
  } else {
    GgufFloats floats;
    floats.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
      SS_TRY(const double value, read_float(reader, type));
      floats.push_back(value);
    }
    result.value = std::move(floats);
  }
  return result;
}

Result<GgufValue> read_value(Reader& reader, std::string_view key) {
  SS_TRY(const ValueType type, read_type(reader));
  if (type == ValueType::kArray) return read_array(reader, key);
  GgufValue result{.type = row_of(type).name, .value = std::int64_t{0}};
  if (type == ValueType::kString) {
    SS_TRY(result.value, reader.string(printable(key), reader.left()));
  } else if (is_integer(type)) {
    SS_TRY(result.value, read_integer(reader, type));
  } else {
    SS_TRY(result.value, read_float(reader, type));
  }
  return result;
}

Result<void> read_metadata(Reader& reader, std::size_t n_values, GgufHeader& header) {
  for (std::size_t i = 0; i < n_values; ++i) {
    SS_TRY(const std::string_view key, reader.string("a key", kMaxKeyBytes));
    if (key.empty() || find_invalid_utf8(key))
      return reader.refused(fmt::format("key {}: expected UTF-8 text, found \"{}\"", i, printable(key)));
    SS_TRY(GgufValue value, read_value(reader, key));
    SS_TRY_VOID(reader.check_header_bytes());
    if (!header.metadata.emplace(std::string(key), std::move(value)).second) {
      return reader.refused(fmt::format("key {}: expected it once, found it twice", printable(key)));
    }
  }
  if (!header.metadata.contains("general.alignment")) return {};
  const auto* alignment = header.find<std::int64_t>("general.alignment");
  if (alignment == nullptr || *alignment <= 0 || static_cast<std::uint64_t>(*alignment) > kMaxAlignment ||
      !std::has_single_bit(static_cast<std::uint64_t>(*alignment))) {
    return reader.refused("general.alignment: expected a power of two up to 2^20, found otherwise");
  }
  header.alignment_bytes = static_cast<std::size_t>(*alignment);
  return {};
}

/// The size of a tensor in bytes; nullopt if it overflows or a row is not a whole number of blocks. The innermost
/// extent is first.
std::optional<std::int64_t> size_of_tensor(const TensorTypeRow& type, std::span<const std::int64_t> extents) {
  std::optional<std::int64_t> n_blocks = 1;
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    const std::int64_t divisor = axis == 0 ? type.block_values : 1;
    if (extents[axis] % divisor != 0) return std::nullopt;
    n_blocks = checked_multiply(*n_blocks, extents[axis] / divisor);
    if (!n_blocks) return std::nullopt;
  }
  return checked_multiply(*n_blocks, type.block_bytes);
}

/// Reads one tensor description; its offset is still relative to the data section.
Result<GgufTensor> read_tensor(Reader& reader) {
  GgufTensor tensor;
  SS_TRY(const std::string_view name, reader.string("a tensor's name", kMaxTensorNameBytes));
  if (find_invalid_utf8(name))
    return reader.refused(fmt::format("tensor \"{}\": expected a name in UTF-8", printable(name)));
  tensor.name = name;
  const std::string shown = printable(name);
  SS_TRY(const auto n_dimensions, reader.number<std::uint32_t>());
  if (n_dimensions > kMaxDimensions) {
    return reader.refused(
        fmt::format("tensor {}: expected at most {} dimensions, found {}", shown, kMaxDimensions, n_dimensions));
  }
  std::vector<std::int64_t> extents;
  for (std::uint32_t i = 0; i < n_dimensions; ++i) {
    SS_TRY(const std::int64_t extent, integer<std::uint64_t>(reader));
    extents.push_back(extent);
  }
  SS_TRY(const auto type, reader.number<std::uint32_t>());
  if (type >= kTensorTypes.size() || kTensorTypes[type].name.empty()) {
    return reader.refused(fmt::format("tensor {}: expected a known type, found {}", shown, type));
  }
  tensor.type_name = kTensorTypes[type].name;
  SS_TRY(const std::int64_t offset, integer<std::uint64_t>(reader));
  tensor.offset_bytes = static_cast<std::size_t>(offset);
  const auto size_bytes = size_of_tensor(kTensorTypes[type], extents);
  tensor.shape = Shape(std::vector<std::int64_t>(extents.rbegin(), extents.rend()));
  if (!size_bytes) {
    return reader.refused(fmt::format("tensor {}: expected whole blocks of {} and a size that fits, found {}", shown,
                                      tensor.type_name, tensor.shape.to_string()));
  }
  tensor.size_bytes = static_cast<std::size_t>(*size_bytes);
  return tensor;
}

/// Checks that the tensors follow each other with padding to the alignment, as upstream writes and requires, and end
/// inside the file.
Result<void> place_tensors(const Reader& reader, std::size_t file_bytes, GgufHeader& header) {
  std::set<std::string_view> names;
  const std::size_t data_begin = round_up(reader.offset(), header.alignment_bytes);
  std::size_t expected = 0;
  for (GgufTensor& tensor : header.tensors) {
    const std::string shown = printable(tensor.name);
    if (!names.insert(tensor.name).second)
      return reader.refused(fmt::format("tensor {}: expected it once, found it twice", shown));
    if (tensor.offset_bytes != expected) {
      return reader.refused(
          fmt::format("tensor {}: expected its data at {}, found {}", shown, expected, tensor.offset_bytes));
    }
    if (data_begin > file_bytes || tensor.offset_bytes > file_bytes - data_begin ||
        tensor.size_bytes > file_bytes - data_begin - tensor.offset_bytes) {
      return reader.refused(
          fmt::format("tensor {}: expected {} bytes of data, found the file's end before", shown, tensor.size_bytes));
    }
    tensor.offset_bytes += data_begin;
    expected = round_up(expected + tensor.size_bytes, header.alignment_bytes);
  }
  return {};
}

}  // namespace

Result<GgufHeader> parse_gguf(std::span<const std::byte> file, std::string_view name) {
  Reader reader(file, name);
  SS_TRY(const auto magic, reader.number<std::uint32_t>());
  if (magic != 0x46554747U) return reader.refused(fmt::format("expected the magic GGUF, found 0x{:08x}", magic));
  GgufHeader header;
  SS_TRY(header.version, reader.number<std::uint32_t>());
  if (header.version != 2 && header.version != 3) {
    const bool is_swapped = header.version != 0 && (header.version & 0xffffU) == 0;
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: GGUF: expected version 2 or 3, little-endian; found version {}{}", name,
                             header.version, is_swapped ? " (a big-endian file)" : "")};
  }
  SS_TRY(const std::size_t n_tensors, reader.count("tensors", kMinTensorBytes, kMaxEntries));
  SS_TRY(const std::size_t n_values, reader.count("key-value pairs", kMinKeyValueBytes, kMaxEntries));
  SS_TRY_VOID(read_metadata(reader, n_values, header));
  for (std::size_t i = 0; i < n_tensors; ++i) {
    SS_TRY(GgufTensor tensor, read_tensor(reader));
    SS_TRY_VOID(reader.check_header_bytes());
    header.tensors.push_back(std::move(tensor));
  }
  SS_TRY_VOID(place_tensors(reader, file.size(), header));
  return header;
}

}  // namespace secondsource

#include "bundle/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/checked.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // upstream's MAX_HEADER_SIZE
constexpr std::size_t kMaxTensors = 100'000;  // of one file; the largest models have as many in all their files

/// Types of upstream's Dtype that core/dtype.h lacks, with their size in bits.
struct OtherType {
  std::string_view name;
  std::int64_t bits;
};
constexpr std::array kOtherTypes = {
    OtherType{"F8_E5M2", 8},     OtherType{"F8_E4M3", 8}, OtherType{"F8_E5M2FNUZ", 8},
    OtherType{"F8_E4M3FNUZ", 8}, OtherType{"F8_E8M0", 8}, OtherType{"F6_E2M3", 6},
    OtherType{"F6_E3M2", 6},     OtherType{"F4", 4},      OtherType{"C64", 64},
};

std::optional<std::int64_t> bits_of(std::string_view dtype_name) {
  if (const auto dtype = dtype_from_safetensors(dtype_name)) return static_cast<std::int64_t>(size_of(*dtype)) * 8;
  for (const OtherType& other : kOtherTypes) {
    if (other.name == dtype_name) return other.bits;
  }
  return std::nullopt;
}

Error refused(std::string_view name, const std::string& what) {
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: safetensors: {}", name, what)};
}

/// The text of the header, whose extent is checked against the file's size.
Result<std::string_view> header_text(std::span<const std::byte> file, std::string_view name) {
  if (file.size() < kLengthBytes) {
    return refused(name, fmt::format("expected at least 8 bytes, found {}", file.size()));
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  if (length > kMaxHeaderBytes) {
    return refused(name, fmt::format("expected a header of at most {} bytes, found {}", kMaxHeaderBytes, length));
  }
  if (length > file.size() - kLengthBytes) {
    return refused(name, fmt::format("expected a header of {} bytes, found {} bytes after the length", length,
                                     file.size() - kLengthBytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<std::size_t>(length));
  // The format requires this first character, so that no reader has to skip white space.
  if (!text.starts_with('{')) return refused(name, "expected a header that begins with {");
  return text;
}

Result<std::map<std::string, std::string>> parse_metadata(const Json& value, std::string_view name) {
  if (!value.is_object()) return refused(name, "__metadata__: expected an object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return refused(name, fmt::format("__metadata__: {}: expected a string", printable(key)));
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

/// Reads the list of non-negative integers under `key`.
Result<std::vector<std::int64_t>> parse_sizes(const JsonFields& fields, std::string_view key) {
  const Json* list = fields.find(key);
  if (list == nullptr || !list->is_array()) return fields.mismatch(key, "an array of integers");
  std::vector<std::int64_t> sizes;
  for (const Json& value : *list) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
      return fields.mismatch(key, "an array of integers from 0 to 2^63 - 1");
    }
    sizes.push_back(value.get<std::int64_t>());
  }
  return sizes;
}

/// Parses one tensor and checks that its bytes agree with its shape and type. Its offset is still relative to the data
/// section.
Result<TensorInfo> parse_tensor(const std::string& tensor_name, const Json& value, std::string_view name) {
  const std::string shown = fmt::format("{}: safetensors: tensor {}", name, printable(tensor_name));
  SS_TRY(const JsonFields fields, JsonFields::of(value, shown));
  TensorInfo tensor;
  tensor.name = tensor_name;
  SS_TRY(tensor.dtype_name, fields.string("dtype"));
  const auto bits = bits_of(tensor.dtype_name);
  if (!bits) return fields.mismatch("dtype", "a type of the safetensors format");
  tensor.dtype = dtype_from_safetensors(tensor.dtype_name);

  SS_TRY(std::vector<std::int64_t> extents, parse_sizes(fields, "shape"));
  tensor.shape = Shape(std::move(extents));
  SS_TRY(const std::vector<std::int64_t> offsets, parse_sizes(fields, "data_offsets"));
  if (offsets.size() != 2 || offsets[0] > offsets[1]) return fields.mismatch("data_offsets", "[begin, end]");

  const auto n_elements = tensor.shape.n_elements();
  const auto n_bits = n_elements ? checked_multiply(*n_elements, *bits) : std::nullopt;
  if (!n_bits) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: the size of shape {} does not fit", shown, tensor.shape.to_string())};
  }
  if (*n_bits % 8 != 0 || *n_bits / 8 != offsets[1] - offsets[0]) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected {} bits for {} {}, found {} bytes", shown, *n_bits, tensor.dtype_name,
                             tensor.shape.to_string(), offsets[1] - offsets[0])};
  }
  tensor.offset_bytes = static_cast<std::size_t>(offsets[0]);
  tensor.size_bytes = static_cast<std::size_t>(offsets[1] - offsets[0]);
  return tensor;
}

/// Checks that the tensors, sorted by offset, cover the data section exactly, so that no byte is hidden in a hole or
/// read twice.
Result<void> check_coverage(std::span<const TensorInfo> tensors, std::size_t data_bytes, std::string_view name) {
  std::size_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset_bytes != end) {
      return refused(
          name, fmt::format("tensor {}: expected its data to begin at {}, found {} ({})", printable(tensor.name), end,
                            tensor.offset_bytes, tensor.offset_bytes < end ? "an overlap" : "a hole"));
    }
    // Cannot overflow: begin and end of each tensor fit in 63 bits, and begin == the previous end.
    end += tensor.size_bytes;
  }
  if (end != data_bytes) {
    return refused(name, fmt::format("expected {} bytes of data as the header says, found {}", end, data_bytes));
  }
  return {};
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, std::string_view name) {
  SS_TRY(const std::string_view text, header_text(file, name));
  const JsonLimits limits{.max_bytes = static_cast<std::int64_t>(kMaxHeaderBytes), .max_depth = 8};
  SS_TRY(const Json root, parse_json(text, fmt::format("{}: safetensors header", name), limits));
  if (!root.is_object()) return refused(name, "expected the header to be a JSON object");

  if (root.size() > kMaxTensors) {
    return refused(name, fmt::format("expected at most {} tensors, found {}", kMaxTensors, root.size()));
  }

  SafetensorsHeader header;
  header.data_offset_bytes = kLengthBytes + text.size();
  for (const auto& [key, value] : root.items()) {
    if (key == "__metadata__") {
      SS_TRY(header.metadata, parse_metadata(value, name));
    } else {
      SS_TRY(TensorInfo tensor, parse_tensor(key, value, name));
      header.tensors.push_back(std::move(tensor));
    }
  }
  // A tensor without bytes has the same offset as the next tensor and must come before it.
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.offset_bytes, a.size_bytes) < std::pair(b.offset_bytes, b.size_bytes);
  });
  SS_TRY_VOID(check_coverage(header.tensors, file.size() - header.data_offset_bytes, name));
  for (TensorInfo& tensor : header.tensors) tensor.offset_bytes += header.data_offset_bytes;
  return header;
}

}  // namespace secondsource

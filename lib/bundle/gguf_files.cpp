#include "bundle/gguf_files.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "core/check.h"
#include "core/checked.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::int64_t kMaxParts = 1000;
constexpr std::string_view kEnding = ".gguf";

/// The parts of a name such as "model-00001-of-00003.gguf".
struct SplitName {
  std::string begin;  ///< "model"
  std::int64_t number = 0;
  std::int64_t n_parts = 0;
};

std::optional<SplitName> split_name(std::string_view file) {
  constexpr std::size_t kDigits = 5;
  constexpr std::string_view kOf = "-of-";
  constexpr std::size_t kTail = 1 + kDigits + kOf.size() + kDigits;
  if (!file.ends_with(kEnding)) return std::nullopt;
  file.remove_suffix(kEnding.size());
  if (file.size() <= kTail) return std::nullopt;
  const std::string_view tail = file.substr(file.size() - kTail);
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const auto number = parse_number<std::int64_t>(tail.substr(1, kDigits));
  const auto n_parts = parse_number<std::int64_t>(tail.substr(kTail - kDigits));
  if (!number || !n_parts) return std::nullopt;
  return SplitName{std::string(file.substr(0, file.size() - kTail)), *number, *n_parts};
}

/// The product of all extents but the innermost. It may not fit where that one is 0, and with it the tensor's size.
std::optional<std::int64_t> n_rows_of_tensor(const Shape& shape) {
  std::optional<std::int64_t> n_rows = 1;
  for (std::size_t axis = 0; n_rows && axis + 1 < shape.rank(); ++axis) {
    n_rows = checked_multiply(*n_rows, shape.extent(axis));
  }
  return n_rows;
}

Error refused_split(std::string_view name, std::string_view what) {
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: GGUF: {}", name, what)};
}

}  // namespace

Result<GgufFiles> GgufFiles::open(const std::filesystem::path& path) {
  GgufFiles files(path);
  SS_TRY_VOID(files.add_parts());
  SS_TRY_VOID(files.add_weights());
  return files;
}

Result<void> GgufFiles::add_parts() {
  const auto add = [&](const std::filesystem::path& path) -> Result<void> {
    Part part;
    SS_TRY(part.file, MappedFile::map(path));
    SS_TRY(part.header, parse_gguf(part.file.bytes(), path.string()));
    parts_.push_back(std::move(part));
    return {};
  };
  SS_TRY_VOID(add(path_));
  const auto* count = header().find<std::int64_t>("split.count");
  if (count == nullptr || *count <= 1) return {};
  const auto name = split_name(path_.filename().string());
  if (*count > kMaxParts || !name || name->n_parts != *count || name->number != 1) {
    return refused_split(path_.string(),
                         fmt::format("expected the first of the {} parts, NAME-00001-of-{:05}.gguf, of at most {}",
                                     *count, *count, kMaxParts));
  }
  for (std::int64_t number = 2; number <= *count; ++number) {
    const auto next = path_.parent_path() / fmt::format("{}-{:05}-of-{:05}{}", name->begin, number, *count, kEnding);
    SS_TRY_VOID(add(next));
    const auto* place = parts_.back().header.find<std::int64_t>("split.no");
    const auto* total = parts_.back().header.find<std::int64_t>("split.count");
    if (place == nullptr || *place != number - 1 || total == nullptr || *total != *count) {
      return refused_split(next.string(), fmt::format("expected split.no {} and split.count {}", number - 1, *count));
    }
  }
  return {};
}

Result<void> GgufFiles::add_weights() {
  for (const Part& part : parts_) {
    for (const GgufTensor& tensor : part.header.tensors) {
      const Result<const GgufBlockFormat*> format = gguf_block_format(tensor.type_name);
      if (!format) {
        return format.error().with_context(
            fmt::format("{}: GGUF: tensor {}: type", path_.string(), printable(tensor.name)));
      }
      const auto n_rows = n_rows_of_tensor(tensor.shape);
      if (!n_rows) {
        return refused_split(path_.string(), fmt::format("tensor {}: expected fewer rows than 2^63, found {}",
                                                         printable(tensor.name), tensor.shape.to_string()));
      }
      const std::size_t rank = tensor.shape.rank();
      const GgufWeight weight{.tensor = &tensor,
                              .format = *format,
                              .file = &part.file,
                              .n_rows = *n_rows,
                              .row_values = rank == 0 ? 1 : tensor.shape.extent(rank - 1)};
      if (!weights_.emplace(tensor.name, weight).second) {
        return refused_split(
            path_.string(), fmt::format("tensor {}: expected it in one part, found it in two", printable(tensor.name)));
      }
    }
  }
  const auto* expected = header().find<std::int64_t>("split.tensors.count");
  if (expected != nullptr && parts_.size() > 1 && *expected != static_cast<std::int64_t>(weights_.size())) {
    return refused_split(path_.string(), fmt::format("split.tensors.count: expected {} tensors in all parts, found {}",
                                                     *expected, weights_.size()));
  }
  return {};
}

std::string GgufFiles::model_name() const {
  const std::string file = path_.filename().string();
  if (const auto split = split_name(file)) return split->begin;
  return file.ends_with(kEnding) ? file.substr(0, file.size() - kEnding.size()) : file;
}

const GgufWeight* GgufFiles::find(std::string_view tensor) const {
  const auto found = weights_.find(tensor);
  return found == weights_.end() ? nullptr : &found->second;
}

Result<void> GgufFiles::read_blocks(const GgufWeight& weight, std::int64_t row, std::vector<std::byte>& blocks) {
  SS_CHECK(row >= 0 && row < weight.n_rows, "a row of the tensor");
  const auto row_values = static_cast<std::size_t>(weight.row_values);
  blocks.resize(row_values / weight.format->block_values * weight.format->block_bytes);
  return weight.file->read_at(weight.tensor->offset_bytes + static_cast<std::size_t>(row) * blocks.size(), blocks);
}

Result<void> GgufFiles::read_row(const GgufWeight& weight, std::int64_t row, std::vector<std::byte>& scratch,
                                 std::span<float> values) {
  SS_CHECK(static_cast<std::int64_t>(values.size()) == weight.row_values, "room for a row of the tensor");
  SS_TRY_VOID(read_blocks(weight, row, scratch));
  dequantize_blocks(*weight.format, scratch, values);
  return {};
}

}  // namespace secondsource

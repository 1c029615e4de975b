#include "bundle/safetensors_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.h"
#include "core/checked.h"
#include "core/utf8.h"

namespace secondsource {

Result<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& path,
                                                    const std::vector<TensorToWrite>& tensors,
                                                    const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const auto n_elements = tensor.shape.n_elements();
    SS_CHECK(n_elements.has_value(), "a tensor to write has a size that fits");
    const std::int64_t end = offset + *n_elements * static_cast<std::int64_t>(size_of(tensor.dtype));
    if (header.contains(tensor.name)) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected it once, found it twice",
                                                         path.string(), printable(tensor.name))};
    }
    header[tensor.name] = {{"dtype", tensor.type_name.empty() ? safetensors_name(tensor.dtype) : tensor.type_name},
                           {"shape", tensor.shape.extents()},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append(round_up<std::size_t>(text.size(), 8) - text.size(), ' ');  // data begins at a multiple of 8

  std::string length;
  for (int shift = 0; shift < 64; shift += 8) length.push_back(static_cast<char>((text.size() >> shift) & 0xffU));
  SS_TRY(OutputFile file, OutputFile::create(path));
  SafetensorsWriter writer(std::move(file), static_cast<std::int64_t>(length.size() + text.size()) + offset);
  SS_TRY_VOID(writer.write(std::as_bytes(std::span(length))));
  SS_TRY_VOID(writer.write(std::as_bytes(std::span(text))));
  return writer;
}

Result<void> SafetensorsWriter::write(std::span<const std::byte> bytes) {
  hash_.update(bytes);
  n_written_ += static_cast<std::int64_t>(bytes.size());
  return file_.write(bytes);
}

Result<WrittenFile> SafetensorsWriter::finish() {
  SS_CHECK(n_written_ == size_bytes_, "the data does not have the size that the header announced");
  SS_TRY_VOID(file_.commit());
  return WrittenFile{size_bytes_, hash_.finish()};
}

}  // namespace secondsource

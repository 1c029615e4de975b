#pragma once
// Writes one safetensors file from front to back without holding a whole tensor, since the header is known before the
// data.

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/result.h"
#include "core/shape.h"

namespace secondsource {

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kBf16;
  Shape shape;
  std::string_view type_name = {};  ///< what the header says instead, of a type as large: "F8_E4M3" for kU8
};

/// Size and hash of a written file, for the manifest.
struct WrittenFile {
  std::int64_t size_bytes = 0;
  std::string sha256;
};

class SafetensorsWriter {
 public:
  /// Writes the header. The bytes of the tensors must follow in the order of `tensors`. Errors: kIo; kInvalidInput for
  /// a duplicate name.
  static Result<SafetensorsWriter> create(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                                          const std::map<std::string, std::string>& metadata = {});
  /// Appends bytes of the data, little-endian. Errors: kIo.
  Result<void> write(std::span<const std::byte> bytes);
  /// Completes the file and gives it its name. All bytes that the header announced must have been written. Errors: kIo.
  Result<WrittenFile> finish();

 private:
  SafetensorsWriter(OutputFile file, std::int64_t size_bytes) : file_(std::move(file)), size_bytes_(size_bytes) {}
  OutputFile file_;
  Sha256 hash_;
  std::int64_t size_bytes_;  ///< size of the whole file
  std::int64_t n_written_ = 0;
};

}  // namespace secondsource

#pragma once
// Writes one safetensors file from front to back, without ever holding a tensor: the header is known before the data.

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
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
};

/// What was written, for the manifest.
struct WrittenFile {
  std::int64_t size_bytes = 0;
  std::string sha256;
};

class SafetensorsWriter {
 public:
  /// Writes the header. The tensors' bytes follow in this order. Errors: kIo; kInvalidInput for a name given twice.
  static Result<SafetensorsWriter> create(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                                          const std::map<std::string, std::string>& metadata = {});
  /// The next bytes of the data, little-endian. Errors: kIo.
  Result<void> write(std::span<const std::byte> bytes);
  /// All bytes that the header announced must have been written; the file gets its name. Errors: kIo.
  Result<WrittenFile> finish();

 private:
  SafetensorsWriter(OutputFile file, std::int64_t size_bytes) : file_(std::move(file)), size_bytes_(size_bytes) {}
  OutputFile file_;
  Sha256 hash_;
  std::int64_t size_bytes_;  ///< of the whole file
  std::int64_t n_written_ = 0;
};

}  // namespace secondsource

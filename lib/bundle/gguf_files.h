#pragma once
// A model in GGUF: one file, or the parts of a split one (NAME-00001-of-0000N.gguf), with the values of its tensors.

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/gguf.h"
#include "bundle/gguf_blocks.h"
#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// One tensor as rows: a matrix [outputs, inputs] has `outputs` of them, a vector is one, and of a stack of matrices each
/// follows the one before it.
struct GgufWeight {
  const GgufTensor* tensor = nullptr;
  const GgufBlockFormat* format = nullptr;
  const MappedFile* file = nullptr;
  std::int64_t n_rows = 0;
  std::int64_t row_values = 0;
};

class GgufFiles {
 public:
  /// Maps the file, and with the first part of a split model all of its parts. Every tensor must have a type that can be
  /// read (gguf_blocks.h). Errors: kInvalidInput; kUnsupported; kIo.
  static Result<GgufFiles> open(const std::filesystem::path& path);

  /// The header of the (first) file, which has the metadata.
  [[nodiscard]] const GgufHeader& header() const { return parts_.front().header; }
  [[nodiscard]] std::string name() const { return path_.string(); }
  /// The file's name without its number and ending: "Llama-3.1-8B-Q4_K_M" for "Llama-3.1-8B-Q4_K_M-00001-of-00003.gguf".
  [[nodiscard]] std::string model_name() const;

  [[nodiscard]] const std::map<std::string_view, GgufWeight>& weights() const { return weights_; }
  /// nullptr if there is no such tensor.
  [[nodiscard]] const GgufWeight* find(std::string_view tensor) const;

  /// Reads the blocks of one row. Errors: kIo.
  static Result<void> read_blocks(const GgufWeight& weight, std::int64_t row, std::vector<std::byte>& blocks);
  /// Writes the values of one row, `weight.row_values` of them. `scratch` is reused from call to call. Errors: kIo.
  static Result<void> read_row(const GgufWeight& weight, std::int64_t row, std::vector<std::byte>& scratch,
                               std::span<float> values);

 private:
  struct Part {
    MappedFile file;
    GgufHeader header;
  };
  explicit GgufFiles(std::filesystem::path path) : path_(std::move(path)) {}
  Result<void> add_parts();
  Result<void> add_weights();

  std::filesystem::path path_;
  std::vector<Part> parts_;
  std::map<std::string_view, GgufWeight> weights_;
};

}  // namespace secondsource

#pragma once
// The tensors of a model folder, by name, over one or many memory-mapped safetensors files.

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/safetensors.h"
#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// Names the shard of every tensor; where it is there, it decides.
inline constexpr std::string_view kWeightIndexFile = "model.safetensors.index.json";

/// One tensor with its bytes, which stay mapped as long as this object (or a copy) lives.
struct StoredTensor {
  TensorInfo info;
  std::shared_ptr<const MappedFile> file;

  /// Row-major, little-endian; not necessarily aligned.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return file->bytes().subspan(info.offset_bytes, info.size_bytes);
  }
};

class TensorStore {
 public:
  TensorStore() = default;

  /// Maps model.safetensors, or the shards of model.safetensors.index.json: every tensor of the index must be in the
  /// shard that it names, and no tensor in two shards. Errors: kInvalidInput, kIo.
  static Result<TensorStore> open(const std::filesystem::path& folder);

  /// The tensors of one file.
  static Result<TensorStore> open_file(const std::filesystem::path& path);

  /// nullptr when there is none of that name.
  [[nodiscard]] const StoredTensor* find(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, StoredTensor, std::less<>>& tensors() const noexcept { return tensors_; }
  /// The names of the files that were mapped, relative to the folder; without the index.
  [[nodiscard]] const std::vector<std::string>& files() const noexcept { return files_; }

 private:
  Result<void> add_file(const std::filesystem::path& path);

  std::map<std::string, StoredTensor, std::less<>> tensors_;
  std::vector<std::string> files_;
};

}  // namespace secondsource

#pragma once
// The tensors of a model folder by name, from one or several memory-mapped safetensors files.

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/safetensors.h"
#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// The index file, which names the shard of every tensor. If it exists, it decides which files are read.
inline constexpr std::string_view kWeightIndexFile = "model.safetensors.index.json";
inline constexpr std::string_view kSingleWeightFile = "model.safetensors";

/// The files that an index names, as checked paths relative to its folder. Errors: kInvalidInput, kIo.
Result<std::set<std::string>> files_of_weight_index(const std::filesystem::path& index);

struct PublishedWeight;

/// One tensor with its bytes, which stay mapped while this object or a copy of it lives.
struct StoredTensor {
  TensorInfo info;
  std::shared_ptr<const MappedFile> file;
  /// Set for a weight that is stored as published codes (published_weights.h). `info` then has the name, the shape and
  /// F32, the type that holds its values, and there are no bytes().
  std::shared_ptr<const PublishedWeight> published = {};

  /// The tensor's bytes: row-major, little-endian, not necessarily aligned.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return file->bytes().subspan(info.offset_bytes, info.size_bytes);
  }
};

class TensorStore {
 public:
  TensorStore() = default;

  /// Maps model.safetensors or the shards that model.safetensors.index.json names. Every tensor of the index must be in
  /// the shard that it names, and no tensor in two shards. A single file may have published codes (published_weights.h).
  /// Errors: kInvalidInput, kIo.
  static Result<TensorStore> open(const std::filesystem::path& folder);

  /// Maps the tensors of one file.
  static Result<TensorStore> open_file(const std::filesystem::path& path);

  /// Renames the tensor `from` to `to` for find(). No tensor may have that name yet. Its info keeps the stored name.
  void rename(std::string_view from, std::string_view to);

  /// Returns nullptr if there is no tensor of that name.
  [[nodiscard]] const StoredTensor* find(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, StoredTensor, std::less<>>& tensors() const noexcept { return tensors_; }
  /// The names of the mapped files, relative to the folder. The index file is not among them.
  [[nodiscard]] const std::vector<std::string>& files() const noexcept { return files_; }
  /// The variant of the published codes that some of the tensors have (published_weights.h); empty for none.
  [[nodiscard]] const std::string& published_variant() const noexcept { return published_variant_; }

 private:
  Result<void> add_file(const std::filesystem::path& path);

  std::map<std::string, StoredTensor, std::less<>> tensors_;
  std::vector<std::string> files_;
  std::string published_variant_;
};

}  // namespace secondsource

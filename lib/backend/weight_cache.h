#pragma once
// Packed weights kept on disk, so that a second start reads them instead of making them again: one file a weight, named
// by what it was made of and how it was laid out. Safe with several processes.
//
//   WeightCache cache(folder);
//   SS_TRY(const bool found, cache.load(key, pieces, for_each));
//   if (!found) { ...pack into the pieces...; SS_TRY_VOID(cache.store(key, pieces, for_each)); }
//
// A file: a header of text that says key and sizes, padded to 4 KiB; a checksum for every block (1 MiB) of every piece;
// the pieces. A file whose header, size or checksums are not those that the key and the pieces call for is refused:
// nothing in it is used as a size or an offset.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// What tells the packed form of `spec` in a layout ("cpu 1") from every other: the content of its parts, how they are
/// joined, the layout. Empty when a part cannot be told or comes as it is stored (WeightSource::content_key): then
/// there is nothing to keep.
[[nodiscard]] std::string packed_weight_key(const WeightSpec& spec, std::string_view layout);

/// Calls body(i) for every i in [0, n), on as many threads as it likes, and returns when all are done.
using ForEach = std::function<void(std::int64_t n, const std::function<void(std::int64_t)>& body)>;

class WeightCache {
 public:
  /// What the files of all models may take; past it, the least recently used go.
  static constexpr std::int64_t kDefaultLimitBytes = std::int64_t{64} << 30;

  explicit WeightCache(std::filesystem::path folder, std::int64_t limit_bytes = kDefaultLimitBytes)
      : folder_(std::move(folder)), limit_bytes_(limit_bytes) {}

  /// Fills the pieces from the file of `key`; false when there is none. Errors: kInvalidInput when the file is not
  /// what was stored, kIo.
  Result<bool> load(const std::string& key, std::span<const std::span<std::byte>> pieces, const ForEach& for_each);

  /// Writes the file of `key`; it appears whole. Does nothing while another process stores. Errors: kIo.
  Result<void> store(const std::string& key, std::span<const std::span<const std::byte>> pieces,
                     const ForEach& for_each);

 private:
  [[nodiscard]] std::filesystem::path file_of(const std::string& key) const;

  std::filesystem::path folder_;
  std::int64_t limit_bytes_;
};

/// CACHE/packed, for `cache` as cache_folder() of core/file.h has it.
[[nodiscard]] std::filesystem::path packed_weights_folder(const std::filesystem::path& cache);

struct PackedFiles {
  std::int64_t n_files = 0;
  std::int64_t size_bytes = 0;
};

/// What is there. A folder that is not there is an empty one. Errors: kIo.
Result<PackedFiles> list_packed_weights(const std::filesystem::path& folder);

/// Removes the least recently used until at most `keep_bytes` are left, and what killed processes left behind; returns
/// what was removed. Whoever reads a file that is removed reads on. Errors: kIo.
Result<PackedFiles> clean_packed_weights(const std::filesystem::path& folder, std::int64_t keep_bytes);

}  // namespace secondsource

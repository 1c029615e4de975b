#pragma once
// Packed weights kept on disk, so that a second start reads them instead of making them again: one file a weight, named
// by the content of what it was made of and by how it was laid out, so that the copy of a model, or one that was only
// touched, finds it, and a changed one does not. Safe with several processes.
//
//   WeightCache cache(folder);
//   SS_TRY(const std::string key, cache.key_of(spec, "cpu 1", for_each));
//   SS_TRY(const bool found, cache.load(key, pieces, for_each));
//   if (!found) ...pack into the pieces, and when the key is the same afterwards: cache.store(key, pieces, for_each)
//
// The content of a part is the SHA-256 of the SHA-256s of its stored bytes, a MiB each, so that all threads hash. To
// read all bytes at each start would cost what is to be saved: the file `sources` remembers the hash of what a file
// held at one place while its identity (core/file.h) was that. A line of it that is damaged leads to no other weight:
// its bytes are hashed again, or the hash is nobody's.
//
// A file: a header of text that says key and sizes, padded to 4 KiB; a checksum for every block (1 MiB) of every piece;
// the pieces. A file whose header, size or checksums are not those that the key and the pieces call for is refused:
// nothing in it is used as a size or an offset.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/for_each.h"
#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// Is there anything to keep of this weight? Not when a part cannot be told from others, or is handed over as it is
/// stored (WeightSource::stored_content).
[[nodiscard]] bool can_be_kept(const WeightSpec& spec);

class WeightCache {
 public:
  /// What the files of all models may take; past it, the least recently used go.
  static constexpr std::int64_t kDefaultLimitBytes = std::int64_t{64} << 30;

  explicit WeightCache(std::filesystem::path folder, std::int64_t limit_bytes = kDefaultLimitBytes)
      : folder_(std::move(folder)), limit_bytes_(limit_bytes) {}

  /// What tells the packed form of `spec`, which can_be_kept(), in a layout ("cpu 1") from every other: the content of
  /// its parts, how they are joined, the layout. Reads the parts whose content is not remembered. Errors: kIo.
  Result<std::string> key_of(const WeightSpec& spec, std::string_view layout, const ForEach& for_each);

  /// Fills the pieces from the file of `key`; false when there is none. Errors: kInvalidInput when the file is not
  /// what was stored, kIo.
  Result<bool> load(const std::string& key, std::span<const std::span<std::byte>> pieces, const ForEach& for_each);

  /// Writes the file of `key`; it appears whole. Does nothing while another process stores. Errors: kIo.
  Result<void> store(const std::string& key, std::span<const std::span<const std::byte>> pieces,
                     const ForEach& for_each);

 private:
  [[nodiscard]] std::filesystem::path file_of(const std::string& key) const;
  /// The hash of what `source` has stored, remembered or computed; `before`: its stored_content().
  Result<std::string> content_of(const WeightSource& source, const StoredContent& before, const ForEach& for_each);
  /// `source`: the SHA-256 of its identity.
  /// For the next start alone, which hashes again what could not be written.
  void remember(const std::string& source, const std::string& content);

  std::filesystem::path folder_;
  std::int64_t limit_bytes_;
  std::optional<std::map<std::string, std::string>> contents_;  ///< by SHA-256 of the identity; empty: not read yet
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

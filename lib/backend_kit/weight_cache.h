#pragma once
// Packed weights kept on disk, so that a second start reads them instead of packing them again. There is one file per
// weight. Its name depends on the content of the stored tensors and on the layout, so that a copied or merely touched
// model finds its files and a changed model does not. Safe with several processes.
//
//   WeightCache cache(folder);
//   SS_TRY(const std::string key, cache.key_of(spec, "cpu 1", for_each));
//   SS_TRY(const bool found, cache.load(key, pieces, for_each));
//   if (!found) ...pack into the pieces; if the key is the same afterwards: cache.store(key, pieces, for_each)
//
// The content of a part is the SHA-256 of the SHA-256s of its stored bytes, one per MiB, so that all threads can hash.
// Reading all bytes at each start would cost as much as the cache saves, so the file `sources` remembers the content
// hash of each part together with the identity (core/file.h) that its file had. A damaged line in it never leads to
// another weight: either the bytes are hashed again, or the hash matches no file.
//
// A file consists of a text header with the key and the sizes, padded to 4 KiB; a checksum for every block (1 MiB) of
// every piece; and the pieces. A file is refused if its header, size or checksums differ from those expected for the
// key and the pieces. Nothing read from it is used as a size or an offset.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/weights.h"
#include "backend_kit/for_each.h"
#include "core/remembered_hashes.h"
#include "core/result.h"

namespace secondsource {

/// Whether a cached form of this weight is useful. False if the content of a part cannot be identified, or if the part
/// is delivered as it is stored (WeightSource::stored_content).
[[nodiscard]] bool can_be_kept(const WeightSpec& spec);

class WeightCache {
 public:
  /// Limit for the files of all models together; beyond it the least recently used files are removed.
  static constexpr std::int64_t kDefaultLimitBytes = std::int64_t{64} << 30;

  explicit WeightCache(std::filesystem::path folder, std::int64_t limit_bytes = kDefaultLimitBytes);

  /// A key that distinguishes the packed form of `spec` in a layout ("cpu 1") from every other: the content of its
  /// parts, how they are joined, and the layout. can_be_kept(spec) must hold. Reads the parts whose content hash is not
  /// remembered. Errors: kIo.
  Result<std::string> key_of(const WeightSpec& spec, std::string_view layout, const ForEach& for_each);

  /// Fills the pieces from the file of `key`; false when there is no such file. Errors: kInvalidInput when the file is
  /// damaged, kIo.
  Result<bool> load(const std::string& key, std::span<const std::span<std::byte>> pieces, const ForEach& for_each);

  /// Writes the file of `key`, which appears only when it is complete. Does nothing while another process stores.
  /// Errors: kIo.
  Result<void> store(const std::string& key, std::span<const std::span<const std::byte>> pieces,
                     const ForEach& for_each);

 private:
  [[nodiscard]] std::filesystem::path file_of(const std::string& key) const;
  /// The content hash of `source`, remembered or computed; `before` is its stored_content() before the bytes are read.
  Result<std::string> content_of(const WeightSource& source, const StoredContent& before, const ForEach& for_each);

  std::filesystem::path folder_;
  std::int64_t limit_bytes_;
  RememberedHashes contents_;  ///< by StoredContent::identity
};

/// CACHE/packed, where `cache` is cache_folder() of core/file.h.
[[nodiscard]] std::filesystem::path packed_weights_folder(const std::filesystem::path& cache);

struct PackedFiles {
  std::int64_t n_files = 0;
  std::int64_t size_bytes = 0;
};

/// The number and size of the files in the folder. A missing folder counts as empty. Errors: kIo.
Result<PackedFiles> list_packed_weights(const std::filesystem::path& folder);

/// Removes the least recently used files until at most `keep_bytes` are left, and the leftovers of killed processes;
/// returns what was removed. A process that has a removed file open can still read it. Waits while another process
/// stores or cleans. Errors: kIo; kInterrupted when a signal ends the wait.
Result<PackedFiles> clean_packed_weights(const std::filesystem::path& folder, std::int64_t keep_bytes);

}  // namespace secondsource

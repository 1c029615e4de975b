#include "bundle/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <system_error>
#include <vector>

#include "bundle/relative_path.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/remembered_hashes.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// The files of a plain folder, relative to it and sorted. Hidden files and what lies beside the model in folders of
/// other names (a checkout's history, other formats) are no part of it.
Result<std::vector<std::string>> files_of_plain_folder(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const fs::path& part : {folder, folder / "prompts"}) {
    if (!fs::is_directory(part, ignored)) continue;
    SS_TRY(const std::vector<fs::path> entries, list_folder(part));
    for (const fs::path& entry : entries) {
      if (!fs::is_regular_file(entry, ignored) || entry.filename().string().starts_with(".")) continue;
      files.push_back(entry.lexically_relative(folder).generic_string());
    }
  }
  std::ranges::sort(files);
  return files;
}

class ContentHasher {
 public:
  ContentHasher(const fs::path& cache, Progress& progress, const InterruptFlag& interrupt)
      : progress_(progress), interrupt_(interrupt) {
    if (!cache.empty()) remembered_.emplace(cache / "hashes");
  }

  /// The hash of a file. If one is `expected`, no other remembered one is believed, since their file may be damaged too.
  Result<std::string> hash_of(const fs::path& path, const std::string& expected = "") {
    SS_TRY(const MappedFile before, MappedFile::map(path));
    const std::string identity = before.identity();
    const bool can_remember = remembered_ && !identity.empty();
    if (can_remember) {
      const auto known = remembered_->find(identity);
      if (known && (expected.empty() || *known == expected)) return *known;
    }
    SS_TRY(std::string hash, hash_large_file(path, progress_, interrupt_, n_bytes_));
    SS_TRY(const MappedFile after, MappedFile::map(path));
    if (can_remember && before.has_settled() && after.identity() == identity) remembered_->remember(identity, hash);
    return hash;
  }

 private:
  Progress& progress_;
  const InterruptFlag& interrupt_;
  std::optional<RememberedHashes> remembered_;
  std::int64_t n_bytes_ = 0;
};

}  // namespace

Result<std::string> hash_large_file(const fs::path& path, Progress& progress, const InterruptFlag& interrupt,
                                    std::int64_t& n_bytes) {
  SS_TRY(InputFile file, InputFile::open(path));
  Sha256 hash;
  std::vector<std::byte> piece(std::size_t{1} << 20);
  while (true) {
    SS_TRY_VOID(interrupt.check());
    SS_TRY(const std::size_t n, file.read(piece));
    if (n == 0) return hash.finish();
    hash.update(std::span<const std::byte>(piece.data(), n));
    n_bytes += static_cast<std::int64_t>(n);
    progress.update(n_bytes >> 20);
  }
}

fs::path hash_folder() {
  const Result<fs::path> folder = cache_folder();
  return folder ? *folder : fs::path();
}

std::string_view remedy_of_damage(const Bundle& bundle) {
  return bundle.is_extracted() ? "; this is the copy of a zip: remove it (secondsource cache clean)" : "";
}

Result<std::string> check_content(const Bundle& bundle, Progress& progress, const InterruptFlag& interrupt,
                                  const fs::path& cache) {
  ContentHasher hasher(cache, progress, interrupt);
  const fs::path& folder = bundle.folder();
  if (const Manifest* const manifest = bundle.manifest()) {
    std::int64_t total_bytes = 0;
    for (const ManifestFile& file : manifest->files) total_bytes += file.size_bytes;
    progress.begin("hashing (MiB)", total_bytes >> 20);
    for (const ManifestFile& file : manifest->files) {
      SS_TRY(const fs::path path, resolve_inside(folder, file.path));
      SS_TRY(const std::string hash, hasher.hash_of(path, file.sha256));
      if (hash == file.sha256) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: {}: damaged: expected SHA-256 {:.12}... as the manifest says, found {:.12}...{}",
                               folder.string(), printable(file.path), file.sha256, hash, remedy_of_damage(bundle))};
    }
    return bundle.content_hash();
  }
  progress.begin("hashing (MiB)", 0);
  SS_TRY(const std::vector<std::string> files, files_of_plain_folder(folder));
  Sha256 all;
  for (const std::string& file : files) {
    SS_TRY(const std::string hash, hasher.hash_of(folder / file));
    const std::string line = fmt::format("{} {}\n", hash, file);
    all.update(std::as_bytes(std::span(line)));
  }
  return all.finish();
}

}  // namespace secondsource

#include "backend_kit/weight_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>

#include "core/checked.h"
#include "core/file.h"
#include "core/file_lock.h"
#include "core/folder.h"
#include "core/hash.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHeaderBytes = 4096;
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::string_view kSuffix = ".weight";
constexpr std::string_view kLockFile = "lock";
constexpr std::string_view kSourcesFile = "sources";
/// Bytes read from a source at once: large for a system call, and still in the L2 cache when they are hashed.
constexpr std::size_t kStripBytes = std::size_t{64} << 10;

/// A part of a piece that has its own checksum.
struct Block {
  std::size_t piece = 0;
  std::size_t offset = 0;  ///< in the piece
  std::size_t size = 0;
  std::size_t file_offset = 0;
};

/// The positions of everything in a file that holds pieces of these sizes.
struct FileLayout {
  std::string header;  ///< kHeaderBytes long
  std::vector<Block> blocks;
  std::size_t file_bytes = 0;
};

template <typename Byte>
FileLayout layout_of(const std::string& key, std::span<const std::span<Byte>> pieces) {
  FileLayout layout;
  layout.header = fmt::format("secondsource packed weight 1\n{}\n", sha256_hex(key));
  for (std::size_t piece = 0; piece < pieces.size(); ++piece) {
    layout.header += fmt::format("{}\n", pieces[piece].size());
    for (std::size_t offset = 0; offset < pieces[piece].size(); offset += kBlockBytes) {
      layout.blocks.push_back({piece, offset, std::min(kBlockBytes, pieces[piece].size() - offset), 0});
    }
  }
  layout.header.resize(kHeaderBytes, '\n');
  layout.file_bytes = kHeaderBytes + layout.blocks.size() * sizeof(Checksum);
  for (Block& block : layout.blocks) {
    block.file_offset = layout.file_bytes;
    layout.file_bytes += block.size;
  }
  return layout;
}

Error refused(const fs::path& path, std::string_view what) {
  return Error{ErrorCode::kInvalidInput,
               fmt::format("packed weights: {}: {}: remove it (secondsource cache clean)", path.string(), what)};
}

/// True for temporary files, which killed writers leave behind. Valid only while the folder's lock is held, because
/// every writer holds that lock.
bool is_left_behind(const fs::path& path) {
  return path.extension() == ".partial";
}

struct PackedFile {
  fs::path path;
  std::int64_t size_bytes = 0;
  fs::file_time_type last_used;
};

/// The weight files and the leftovers of killed writers, least recently used first.
Result<std::vector<PackedFile>> files_in(const fs::path& folder) {
  std::vector<PackedFile> files;
  if (!path_exists(folder)) return files;
  SS_TRY(const std::vector<fs::path> items, list_folder(folder));
  for (const fs::path& item : items) {
    if (item.extension() != kSuffix && !is_left_behind(item)) continue;
    std::error_code gone;  // set if another process removed the file meanwhile
    const auto size = fs::file_size(item, gone);
    const auto last_used = gone ? fs::file_time_type() : fs::last_write_time(item, gone);
    if (!gone) files.push_back({item, static_cast<std::int64_t>(size), last_used});
  }
  std::ranges::sort(files, {}, [](const PackedFile& file) { return std::pair(file.last_used, file.path); });
  return files;
}

/// Opens the lock file, whose lock a process must hold to write into the folder.
Result<FileDescriptor> open_lock(const fs::path& folder) {
  const fs::path path = folder / kLockFile;
  FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!lock.is_open()) return errno_error(path, "create");
  return lock;
}

/// The SHA-256 of the SHA-256s of all blocks of stored bytes, kBlockBytes each. Errors: kIo.
Result<std::string> hash_of(const WeightSource& source, std::size_t size_bytes, const ForEach& for_each) {
  std::vector<Result<std::string>> hashes(ceil_divide(size_bytes, kBlockBytes), std::string());
  for_each(static_cast<std::int64_t>(hashes.size()), [&](std::int64_t i) {
    const std::size_t begin = static_cast<std::size_t>(i) * kBlockBytes;
    const std::size_t end = std::min(begin + kBlockBytes, size_bytes);
    const auto strip = std::make_unique_for_overwrite<std::byte[]>(kStripBytes);
    Sha256 hash;
    Result<void> read;
    for (std::size_t at = begin; at < end && read; at += kStripBytes) {
      const std::span<std::byte> bytes(strip.get(), std::min(kStripBytes, end - at));
      read = source.read_stored(at, bytes);
      if (read) hash.update(bytes);
    }
    hashes[static_cast<std::size_t>(i)] = read ? Result(hash.finish()) : Result<std::string>(read.error());
  });
  Sha256 all;
  for (const Result<std::string>& hash : hashes) {
    if (!hash) return hash.error();
    all.update(std::as_bytes(std::span(*hash)));
  }
  return all.finish();
}

/// Removes files while the lock is held. `keep` is never removed, however long ago it was used.
Result<PackedFiles> clean_locked(const fs::path& folder, std::int64_t keep_bytes, const fs::path& keep) {
  SS_TRY(const std::vector<PackedFile> files, files_in(folder));
  std::int64_t total_bytes = 0;
  for (const PackedFile& file : files) total_bytes += file.size_bytes;
  PackedFiles removed;
  for (const PackedFile& file : files) {
    if (file.path == keep || (total_bytes <= keep_bytes && !is_left_behind(file.path))) continue;
    std::error_code error;
    fs::remove(file.path, error);
    if (error) {
      return Error{ErrorCode::kIo, fmt::format("{}: cannot remove: {}", file.path.string(), error.message())};
    }
    total_bytes -= file.size_bytes;
    removed.size_bytes += file.size_bytes;
    ++removed.n_files;
  }
  std::error_code error;
  if (total_bytes == 0) fs::remove(folder / kSourcesFile, error);
  return removed;
}

}  // namespace

WeightCache::WeightCache(fs::path folder, std::int64_t limit_bytes)
    : folder_(std::move(folder)), limit_bytes_(limit_bytes), contents_(folder_ / kSourcesFile) {}

bool can_be_kept(const WeightSpec& spec) {
  return std::ranges::all_of(spec.parts,
                             [](const WeightPart& part) { return part.source->stored_content().has_value(); });
}

Result<std::string> WeightCache::key_of(const WeightSpec& spec, std::string_view layout, const ForEach& for_each) {
  std::string key = fmt::format("{}\n{} {} {} {} {}\n", layout, to_string(spec.encoding), static_cast<int>(spec.join),
                                spec.n_rows, spec.n_cols, spec.n_experts);
  for (const WeightPart& part : spec.parts) {
    const std::optional<StoredContent> stored = part.source->stored_content();
    if (!stored) {
      return Error{
          ErrorCode::kIo,
          fmt::format("weight {}: the file that it is stored in can no longer be told from others", spec.name)};
    }
    SS_TRY(const std::string content, content_of(*part.source, *stored, for_each));
    key += fmt::format("{} {} {}\n", part.n_rows, content, stored->conversion);
  }
  return key;
}

Result<std::string> WeightCache::content_of(const WeightSource& source, const StoredContent& before,
                                            const ForEach& for_each) {
  if (const auto known = contents_.find(before.identity)) return *known;
  SS_TRY(const std::string content, hash_of(source, before.size_bytes, for_each));
  const std::optional<StoredContent> after = source.stored_content();
  if (before.is_settled && after && after->identity == before.identity) contents_.remember(before.identity, content);
  return content;
}

fs::path WeightCache::file_of(const std::string& key) const {
  return folder_ / (sha256_hex(key) + std::string(kSuffix));
}

Result<bool> WeightCache::load(const std::string& key, std::span<const std::span<std::byte>> pieces,
                               const ForEach& for_each) {
  const fs::path path = file_of(key);
  std::error_code error;
  if (!fs::exists(path, error)) return false;
  auto mapped = MappedFile::map(path);
  if (!mapped && !fs::exists(path, error)) return false;  // removed meanwhile
  SS_TRY(const MappedFile file, std::move(mapped));
  const FileLayout layout = layout_of(key, pieces);
  if (file.bytes().size() != layout.file_bytes) {
    return refused(path,
                   fmt::format("expected {} bytes as it was stored, found {}", layout.file_bytes, file.bytes().size()));
  }
  std::string header(kHeaderBytes, '\0');
  SS_TRY_VOID(file.read_at(0, std::as_writable_bytes(std::span(header))));
  if (header != layout.header) return refused(path, "expected the header of this weight, found another");
  std::vector<Checksum> checksums(layout.blocks.size());
  SS_TRY_VOID(file.read_at(kHeaderBytes, std::as_writable_bytes(std::span(checksums))));
  std::mutex mutex;
  std::optional<Error> failed;
  for_each(static_cast<std::int64_t>(layout.blocks.size()), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const Block& block = layout.blocks[at];
    const std::span<std::byte> bytes = pieces[block.piece].subspan(block.offset, block.size);
    Result<void> read = file.read_at(block.file_offset, bytes);
    if (read && checksum_of(bytes) != checksums[at]) {
      read = refused(path, fmt::format("damaged within {} bytes from {} on", block.size, block.file_offset));
    }
    if (read) return;
    const std::scoped_lock lock(mutex);
    failed = read.error();
  });
  if (failed) return *failed;
  fs::last_write_time(path, fs::file_time_type::clock::now(),
                      error);  // records the use; only the order of cleaning depends on it
  return true;
}

Result<void> WeightCache::store(const std::string& key, std::span<const std::span<const std::byte>> pieces,
                                const ForEach& for_each) {
  SS_TRY_VOID(create_folder(folder_));
  SS_TRY(const FileDescriptor lock, open_lock(folder_));
  if (try_lock(lock) != FileLock::kTaken) return {};
  const FileLayout layout = layout_of(key, pieces);
  std::vector<Checksum> checksums(layout.blocks.size());
  for_each(static_cast<std::int64_t>(layout.blocks.size()), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const Block& block = layout.blocks[at];
    checksums[at] = checksum_of(pieces[block.piece].subspan(block.offset, block.size));
  });
  const fs::path path = file_of(key);
  SS_TRY(OutputFile file, OutputFile::create(path));
  SS_TRY_VOID(file.write(layout.header));
  SS_TRY_VOID(file.write(std::as_bytes(std::span(checksums))));
  for (const std::span<const std::byte> piece : pieces) SS_TRY_VOID(file.write(piece));
  SS_TRY_VOID(file.commit());
  SS_TRY_VOID(clean_locked(folder_, limit_bytes_, path));
  return {};
}

fs::path packed_weights_folder(const fs::path& cache) {
  return cache / "packed";
}

Result<PackedFiles> list_packed_weights(const fs::path& folder) {
  SS_TRY(const std::vector<PackedFile> files, files_in(folder));
  PackedFiles all;
  for (const PackedFile& file : files) {
    ++all.n_files;
    all.size_bytes += file.size_bytes;
  }
  return all;
}

Result<PackedFiles> clean_packed_weights(const fs::path& folder, std::int64_t keep_bytes) {
  if (!path_exists(folder)) return PackedFiles{};
  SS_TRY(const FileDescriptor lock, open_lock(folder));
  // Writers and other cleaners keep the lock for one file or one pass, so waiting ends. A signal interrupts it.
  if (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno == EINTR)
      return Error{ErrorCode::kInterrupted, "interrupted while another process writes packed weights"};
    return errno_error(folder, "lock");
  }
  return clean_locked(folder, keep_bytes, {});
}

}  // namespace secondsource

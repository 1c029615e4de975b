#include "bundle/zip.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <system_error>
#include <utility>

#include "bundle/relative_path.h"
#include "core/checked.h"
#include "core/file.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::int64_t kRatioFromBytes = std::int64_t{64} << 20;
constexpr std::int64_t kEndRecordBytes = 22;  // size of the end-of-central-directory record, the smallest possible zip
constexpr std::int64_t kMaxPieceBytes = std::int64_t{1} << 20;

Error refused_zip(std::string_view name, std::string_view what) {
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: zip: {}", name, what)};
}

/// libzip's message about a failed call.
std::string text_of(zip_error_t& error) {
  std::string text = printable(zip_error_strerror(&error));
  zip_error_fini(&error);
  return text;
}

/// True for Unix file types other than file and folder, according to the mode that Unix archivers keep in the upper
/// half.
bool is_special(zip_t* archive, zip_uint64_t index) {
  zip_uint8_t system = 0;
  zip_uint32_t attributes = 0;
  if (zip_file_get_external_attributes(archive, index, ZIP_FL_UNCHANGED, &system, &attributes) != 0) return true;
  const auto type = (attributes >> 16) & static_cast<zip_uint32_t>(S_IFMT);
  return type != 0 && type != S_IFREG && type != S_IFDIR;
}

Result<ZipEntry> read_directory_entry(zip_t* archive, zip_uint64_t index, std::string_view name) {
  const char* raw_name = zip_get_name(archive, index, ZIP_FL_ENC_RAW);
  zip_stat_t stat;
  if (raw_name == nullptr || zip_stat_index(archive, index, ZIP_FL_UNCHANGED, &stat) != 0) {
    return refused_zip(name, fmt::format("entry {}: cannot read its directory entry", index));
  }
  ZipEntry entry;
  entry.path = raw_name;
  if (entry.path.ends_with('/')) {
    entry.is_folder = true;
    entry.path.pop_back();
  }
  SS_TRY_VOID(check_relative_path(entry.path, fmt::format("{}: zip", name)));
  constexpr zip_uint64_t kNeeded =
      ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  if ((stat.valid & kNeeded) != kNeeded)
    return refused_zip(name, fmt::format("{}: expected a size and a method", entry.path));
  if (stat.encryption_method != ZIP_EM_NONE)
    return refused_zip(name, fmt::format("{}: encrypted entries are not accepted", entry.path));
  if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
    return refused_zip(name,
                       fmt::format("{}: expected stored or deflated, found method {}", entry.path, stat.comp_method));
  }
  if (is_special(archive, index))
    return refused_zip(name, fmt::format("{}: links and special files are not accepted", entry.path));
  constexpr auto kMax = static_cast<zip_uint64_t>(std::int64_t{1} << 60);
  if (stat.size > kMax || stat.comp_size > kMax)
    return refused_zip(name, fmt::format("{}: its size does not fit", entry.path));
  entry.size_bytes = static_cast<std::int64_t>(stat.size);
  entry.compressed_bytes = static_cast<std::int64_t>(stat.comp_size);
  if (entry.is_folder && entry.size_bytes != 0)
    return refused_zip(name, fmt::format("{}: a folder with {} bytes", entry.path, entry.size_bytes));
  return entry;
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

/// Checks that no name occurs twice, ignoring case, and that no file is used as a folder by another entry.
Result<void> check_names(const std::vector<ZipEntry>& entries, std::size_t max_names, std::string_view name) {
  std::map<std::string, bool> is_folder;  // key: path in lower case
  const auto add = [&](std::string_view path, bool folder) -> Result<void> {
    const auto [found, is_new] = is_folder.emplace(lower_case(path), folder);
    if (is_folder.size() > max_names) {
      return refused_zip(name, fmt::format("expected at most {} files and folders, found more", max_names));
    }
    if (is_new || (folder && found->second)) return {};
    return refused_zip(name, fmt::format("{}: expected each name once, found it twice", path));
  };
  for (const ZipEntry& entry : entries) {
    for (std::size_t slash = entry.path.find('/'); slash != std::string::npos;
         slash = entry.path.find('/', slash + 1)) {
      SS_TRY_VOID(add(std::string_view(entry.path).substr(0, slash), true));
    }
    SS_TRY_VOID(add(entry.path, entry.is_folder));
  }
  return {};
}

/// A file in a folder that is not published yet. It therefore needs no temporary name, with which an entry's name could
/// collide, and no flush of its own: all files are flushed together.
class NewFile {
 public:
  static Result<NewFile> create(const std::filesystem::path& path) {
    FileDescriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!descriptor.is_open()) return errno_error(path, "create");
    return NewFile(std::move(descriptor), path);
  }
  Result<void> write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(descriptor_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error(path_, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
  }
  Result<void> close() { return descriptor_.close(path_); }

 private:
  NewFile(FileDescriptor descriptor, std::filesystem::path path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}
  FileDescriptor descriptor_;
  std::filesystem::path path_;
};

Result<void> flush_file_system(const std::filesystem::path& folder) {
  const FileDescriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor.is_open() || ::syncfs(descriptor.get()) != 0) return errno_error(folder, "flush");
  return {};
}

}  // namespace

struct ZipArchive::Handle {
  explicit Handle(zip_t* opened) : archive(opened) {}
  ~Handle() { zip_discard(archive); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  zip_t* archive;
};

ZipArchive::ZipArchive(std::unique_ptr<Handle> handle, std::string name)
    : handle_(std::move(handle)), name_(std::move(name)) {}
ZipArchive::ZipArchive(ZipArchive&&) noexcept = default;
ZipArchive& ZipArchive::operator=(ZipArchive&&) noexcept = default;
ZipArchive::~ZipArchive() = default;

Result<ZipArchive> ZipArchive::open(const std::filesystem::path& path, ZipLimits limits) {
  SS_TRY(const MappedFile file, MappedFile::map(path));  // gives the clearer error for a path that is not a file
  const auto archive_bytes = static_cast<std::int64_t>(file.bytes().size());
  int code = 0;
  zip_t* opened = zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code);
  if (opened == nullptr) {
    zip_error_t failure;
    zip_error_init_with_code(&failure, code);
    return refused_zip(path.string(), text_of(failure));
  }
  ZipArchive archive(std::make_unique<Handle>(opened), path.string());
  SS_TRY_VOID(archive.read_directory(archive_bytes, limits, [&](std::uint64_t offset, std::span<std::byte> out) {
    return file.read_at(static_cast<std::size_t>(offset), out);
  }));
  return archive;
}

Result<ZipArchive> ZipArchive::open_bytes(std::span<const std::byte> bytes, std::string_view name, ZipLimits limits) {
  zip_error_t failure;
  zip_error_init(&failure);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), /*freep=*/0, &failure);
  if (source == nullptr) return refused_zip(name, text_of(failure));
  zip_t* opened = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &failure);
  if (opened == nullptr) {
    zip_source_free(source);
    return refused_zip(name, text_of(failure));
  }
  ZipArchive archive(std::make_unique<Handle>(opened), std::string(name));
  const ReadBytes read = [&](std::uint64_t offset, std::span<std::byte> out) -> Result<void> {
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  };
  SS_TRY_VOID(archive.read_directory(static_cast<std::int64_t>(bytes.size()), limits, read));
  return archive;
}

Result<void> ZipArchive::read_directory(std::int64_t archive_bytes, ZipLimits limits, const ReadBytes& read) {
  // libzip accepts an empty file as an archive without entries.
  if (archive_bytes < kEndRecordBytes) {
    return refused_zip(name_, fmt::format("expected at least {} bytes, found {}", kEndRecordBytes, archive_bytes));
  }
  const zip_int64_t n_entries = zip_get_num_entries(handle_->archive, ZIP_FL_UNCHANGED);
  if (n_entries < 0 || static_cast<std::size_t>(n_entries) > limits.max_entries) {
    return refused_zip(name_, fmt::format("expected at most {} entries, found {}", limits.max_entries, n_entries));
  }
  SS_TRY_VOID(check_no_zero_in_names(static_cast<std::uint64_t>(archive_bytes), static_cast<std::uint64_t>(n_entries),
                                     read, name_));
  std::int64_t total_bytes = 0;
  std::int64_t total_compressed_bytes = 0;
  for (zip_int64_t i = 0; i < n_entries; ++i) {
    SS_TRY(ZipEntry entry, read_directory_entry(handle_->archive, static_cast<zip_uint64_t>(i), name_));
    const auto sum = checked_add(total_bytes, entry.size_bytes);
    if (!sum || *sum > limits.max_total_bytes) {
      return refused_zip(name_,
                         fmt::format("expected at most {} bytes when extracted, found more", limits.max_total_bytes));
    }
    total_bytes = *sum;
    // Only the sum of max_entries sizes of 2^60 could overflow; the next check stops long before that.
    total_compressed_bytes += entry.compressed_bytes;
    if (total_compressed_bytes > archive_bytes) {
      return refused_zip(
          name_, fmt::format("expected at most {} compressed bytes, the size of the file; found more: entries overlap",
                             archive_bytes));
    }
    entries_.push_back(std::move(entry));
  }
  if (total_bytes > kRatioFromBytes && total_bytes / limits.max_ratio > total_compressed_bytes) {
    return refused_zip(name_, fmt::format("expected to grow at most {}-fold, found {} bytes in {}", limits.max_ratio,
                                          total_bytes, total_compressed_bytes));
  }
  return check_names(entries_, limits.max_names, name_);
}

std::int64_t ZipArchive::total_bytes() const noexcept {
  std::int64_t total = 0;
  for (const ZipEntry& entry : entries_) total += entry.size_bytes;
  return total;
}

std::size_t ZipArchive::piece_bytes() const noexcept {
  std::int64_t largest = 1;
  for (const ZipEntry& entry : entries_) largest = std::max(largest, entry.size_bytes);
  return static_cast<std::size_t>(std::min(largest, kMaxPieceBytes));
}

template <typename Sink>
Result<void> ZipArchive::read_entry(std::size_t index, std::span<std::byte> piece, Sink&& sink) const {
  const ZipEntry& entry = entries_[index];
  const auto fault = [&](zip_error_t* error) {
    return refused_zip(name_, fmt::format("{}: {}", entry.path, printable(zip_error_strerror(error))));
  };
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(
      zip_fopen_index(handle_->archive, index, ZIP_FL_UNCHANGED), zip_fclose);
  if (file == nullptr) return fault(zip_get_error(handle_->archive));
  std::int64_t n_read = 0;
  while (true) {
    const zip_int64_t n = zip_fread(file.get(), piece.data(), piece.size());
    if (n < 0) return fault(zip_file_get_error(file.get()));
    if (n == 0) break;
    n_read += n;
    if (n_read > entry.size_bytes) break;
    SS_TRY_VOID(sink(std::span<const std::byte>(piece).first(static_cast<std::size_t>(n))));
  }
  if (n_read == entry.size_bytes) return {};
  return refused_zip(name_, fmt::format("{}: expected {} bytes as the directory says, found {}", entry.path,
                                        entry.size_bytes, n_read > entry.size_bytes ? "more" : std::to_string(n_read)));
}

template <typename Visit>
Result<void> ZipArchive::for_each_file(Progress& progress, const InterruptFlag& interrupt, std::string_view task,
                                       Visit&& visit) const {
  progress.begin(task, total_bytes() >> 20);
  std::int64_t n_bytes = 0;
  const auto count = [&](std::size_t bytes) -> Result<void> {
    n_bytes += static_cast<std::int64_t>(bytes);
    progress.update(n_bytes >> 20);
    return interrupt.check();
  };
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    SS_TRY_VOID(interrupt.check());
    SS_TRY_VOID(visit(i, count));
  }
  return {};
}

Result<void> ZipArchive::check_contents(Progress& progress, const InterruptFlag& interrupt) const {
  std::vector<std::byte> piece(piece_bytes());
  return for_each_file(
      progress, interrupt, "checking the zip (MiB)", [&](std::size_t i, const auto& count) -> Result<void> {
        if (entries_[i].is_folder) return {};
        return read_entry(i, piece, [&](std::span<const std::byte> bytes) { return count(bytes.size()); });
      });
}

Result<void> ZipArchive::extract(const std::filesystem::path& folder, Progress& progress,
                                 const InterruptFlag& interrupt) const {
  std::vector<std::byte> piece(piece_bytes());
  SS_TRY_VOID(for_each_file(
      progress, interrupt, "extracting the zip (MiB)", [&](std::size_t i, const auto& count) -> Result<void> {
        const std::filesystem::path place = folder / entries_[i].path;
        std::error_code error;
        std::filesystem::create_directories(entries_[i].is_folder ? place : place.parent_path(), error);
        if (error) return Error{ErrorCode::kIo, fmt::format("{}: cannot create: {}", place.string(), error.message())};
        if (entries_[i].is_folder) return {};
        SS_TRY(NewFile file, NewFile::create(place));
        SS_TRY_VOID(read_entry(i, piece, [&](std::span<const std::byte> bytes) -> Result<void> {
          SS_TRY_VOID(file.write(bytes));
          return count(bytes.size());
        }));
        return file.close();
      }));
  return flush_file_system(folder);
}

}  // namespace secondsource

#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "core/folder.h"
#include "core/staging.h"

namespace secondsource {
namespace {

Error errno_error(ErrorCode code, const std::filesystem::path& path, std::string_view action) {
  return Error{code, fmt::format("{}: {}: {}", path.string(), action, std::strerror(errno))};
}

struct OpenedFile {
  FileDescriptor descriptor;
  std::int64_t size_bytes;
};

/// Opens a regular file for reading. Folders, pipes and devices are refused because their size is meaningless.
Result<OpenedFile> open_regular(const std::filesystem::path& path) {
  FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor.is_open()) {
    const ErrorCode code = is_fault_of_path(errno) ? ErrorCode::kInvalidInput : ErrorCode::kIo;
    return errno_error(code, path, "cannot open");
  }
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return errno_error(ErrorCode::kIo, path, "cannot stat");
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a file, found {}", path.string(),
                                                       S_ISDIR(status.st_mode) ? "a folder" : "a special file")};
  }
  return OpenedFile{std::move(descriptor), status.st_size};
}

}  // namespace

Error errno_error(const std::filesystem::path& path, std::string_view action) {
  return errno_error(ErrorCode::kIo, path, fmt::format("cannot {}", action));
}

bool is_fault_of_path(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
      return true;
    default:
      return false;
  }
}

FileDescriptor::~FileDescriptor() {
  if (is_open()) ::close(descriptor_);
}
FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (is_open()) ::close(descriptor_);
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}
Result<void> FileDescriptor::close(const std::filesystem::path& path_for_message) {
  if (::close(std::exchange(descriptor_, -1)) != 0)
    return errno_error(ErrorCode::kIo, path_for_message, "cannot close");
  return {};
}

Result<InputFile> InputFile::open(const std::filesystem::path& path) {
  SS_TRY(OpenedFile opened, open_regular(path));
  return InputFile(std::move(opened.descriptor), path);
}

Result<std::size_t> InputFile::read(std::span<std::byte> buffer) {
  std::size_t n_read = 0;
  while (n_read < buffer.size()) {
    const ssize_t n = ::read(descriptor_.get(), buffer.data() + n_read, buffer.size() - n_read);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(ErrorCode::kIo, path_, "cannot read");
    if (n == 0) break;
    n_read += static_cast<std::size_t>(n);
  }
  return n_read;
}

Result<OutputFile> OutputFile::create(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT && is_fault_of_path(errno)) return errno_error(ErrorCode::kInvalidInput, path, "cannot create");
  } else if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected the name of a file, found {}", path.string(),
                                                       S_ISDIR(status.st_mode) ? "a folder" : "a special file")};
  }
  SS_TRY(StagedEntry staged, stage_file(path));
  return OutputFile(std::move(staged.descriptor), path, std::move(staged.path));
}

OutputFile::~OutputFile() {
  if (descriptor_.is_open()) ::unlink(partial_.c_str());
}

Result<void> OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(ErrorCode::kIo, path_, "cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> OutputFile::commit() {
  if (::fsync(descriptor_.get()) != 0) return errno_error(ErrorCode::kIo, path_, "cannot flush");
  if (::rename(partial_.c_str(), path_.c_str()) != 0) {
    return errno_error(ErrorCode::kIo, path_, "cannot rename into place");
  }
  // Closed only now, because closing gives up the lock by which others tell that this process lives.
  SS_TRY_VOID(descriptor_.close(path_));
  return flush_folder(folder_of(path_));
}

Result<MappedFile> MappedFile::map(const std::filesystem::path& path) {
  SS_TRY(OpenedFile opened, open_regular(path));
  MappedFile file;
  if (opened.size_bytes == 0) return file;  // mmap refuses length 0
  const auto size = static_cast<std::size_t>(opened.size_bytes);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, opened.descriptor.get(), 0);
  if (address == MAP_FAILED) return errno_error(ErrorCode::kIo, path, "cannot map");
  file.bytes_ = {static_cast<const std::byte*>(address), size};
  file.descriptor_ = std::move(opened.descriptor);
  file.path_ = path;
  return file;
}

Result<void> MappedFile::read_at(std::size_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(descriptor_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(ErrorCode::kIo, path_, "cannot read");
    if (n == 0) {
      return Error{ErrorCode::kIo, fmt::format("{}: expected {} bytes as when it was opened, found its end at {}",
                                               path_.string(), bytes_.size(), offset)};
    }
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::size_t>(n);
  }
  return {};
}

std::string MappedFile::identity() const {
  struct stat status {};
  if (!descriptor_.is_open() || ::fstat(descriptor_.get(), &status) != 0) return {};
  return fmt::format("{}:{}:{}:{}.{:09}:{}.{:09}", status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
}

bool MappedFile::has_settled() const {
  constexpr std::time_t kStepSeconds = 2;
  struct stat status {};
  timespec now{};
  if (!descriptor_.is_open() || ::fstat(descriptor_.get(), &status) != 0) return false;
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0) return false;
  return std::max(status.st_mtim.tv_sec, status.st_ctim.tv_sec) + kStepSeconds < now.tv_sec;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}
MappedFile::MappedFile(MappedFile&& other) noexcept
    : descriptor_(std::move(other.descriptor_)),
      path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})) {}
MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Result<std::string> read_file(const std::filesystem::path& path, std::int64_t limit_bytes) {
  SS_TRY(const OpenedFile opened, open_regular(path));
  if (opened.size_bytes > limit_bytes) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected at most {} bytes, found {}", path.string(), limit_bytes, opened.size_bytes)};
  }
  SS_TRY(InputFile file, InputFile::open(path));
  std::string content(static_cast<std::size_t>(opened.size_bytes), '\0');
  SS_TRY(const std::size_t n_read, file.read(std::as_writable_bytes(std::span(content))));
  content.resize(n_read);
  return content;
}

Result<void> write_file(const std::filesystem::path& path, std::string_view content) {
  SS_TRY(OutputFile file, OutputFile::create(path));
  SS_TRY_VOID(file.write(content));
  return file.commit();
}

namespace {

/// The user's folder named by `variable`, or HOME/`fallback` if it is not set (XDG Base Directory Specification).
Result<std::filesystem::path> user_folder(const char* variable, const char* fallback) {
  const char* folder = std::getenv(variable);
  if (folder != nullptr && folder[0] == '/') return std::filesystem::path(folder) / "secondsource";
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] == '\0') {
    return Error{ErrorCode::kInvalidInput, fmt::format("no folder of the user's own: set {} or HOME", variable)};
  }
  return std::filesystem::path(home) / fallback / "secondsource";
}

}  // namespace

Result<std::filesystem::path> cache_folder() {
  return user_folder("XDG_CACHE_HOME", ".cache");
}

Result<std::filesystem::path> data_folder() {
  return user_folder("XDG_DATA_HOME", ".local/share");
}

}  // namespace secondsource

#include "core/line_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/folder.h"
#include "core/seal.h"

namespace secondsource {
namespace {

Error io_error(const std::filesystem::path& path, std::string_view what) {
  return Error{ErrorCode::kIo, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno))};
}

Result<void> lock(const FileDescriptor& descriptor, const std::filesystem::path& path) {
  int result = 0;
  do {
    result = ::flock(descriptor.get(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return {};
  if (errno != EWOULDBLOCK) return io_error(path, "cannot lock");
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: another process is writing to this run", path.string())};
}

}  // namespace

Result<LineWriter> LineWriter::open(const std::filesystem::path& path) {
  FileDescriptor descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!descriptor.is_open()) {
    const ErrorCode code = is_fault_of_path(errno) ? ErrorCode::kInvalidInput : ErrorCode::kIo;
    return Error{code, fmt::format("{}: cannot open for writing: {}", path.string(), std::strerror(errno))};
  }
  SS_TRY_VOID(lock(descriptor, path));
  SS_TRY_VOID(flush_folder(folder_of(path)));
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return io_error(path, "cannot stat");
  return LineWriter(std::move(descriptor), path, status.st_size);
}

Result<std::string> LineWriter::read() const {
  std::string content(static_cast<std::size_t>(n_bytes_), '\0');
  std::size_t n_read = 0;
  while (n_read < content.size()) {
    const ssize_t n =
        ::pread(descriptor_.get(), content.data() + n_read, content.size() - n_read, static_cast<off_t>(n_read));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path_, "cannot read");
    if (n == 0) break;
    n_read += static_cast<std::size_t>(n);
  }
  content.resize(n_read);
  return content;
}

Result<void> LineWriter::truncate(std::size_t valid_bytes) {
  const auto n_bytes = static_cast<std::int64_t>(valid_bytes);
  if (n_bytes == n_bytes_) return {};
  if (::ftruncate(descriptor_.get(), n_bytes) != 0) return io_error(path_, "cannot cut off the torn end");
  n_bytes_ = n_bytes;
  return {};
}

Result<void> LineWriter::append(std::span<const std::string> objects) {
  for (const std::string& object : objects) SS_TRY_VOID(write_line(sealed(object) + "\n"));
  int result = 0;
  do {
    result = ::fdatasync(descriptor_.get());
  } while (result != 0 && errno == EINTR);
  // EINVAL means that this kind of file cannot be flushed, as with a pipe or /dev/full in a test.
  if (result != 0 && errno != EINVAL) return io_error(path_, "cannot flush");
  return {};
}

Result<void> LineWriter::write_line(const std::string& line) {
  ssize_t n_written = 0;
  do {
    n_written = ::write(descriptor_.get(), line.data(), line.size());
  } while (n_written < 0 && errno == EINTR);
  if (n_written == static_cast<ssize_t>(line.size())) {
    n_bytes_ += n_written;
    return {};
  }
  if (n_written >= 0) errno = ENOSPC;  // a short write to a regular file means that the disk or the quota is full
  const Error error = io_error(path_, "cannot write a line");
  if (n_written > 0 && ::ftruncate(descriptor_.get(), n_bytes_) != 0) {
    return error.with_context("and the torn line could not be taken back");
  }
  return error;
}

}  // namespace secondsource

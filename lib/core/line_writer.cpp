#include "core/line_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace secondsource {
namespace {

Error io_error(const std::filesystem::path& path, std::string_view what) {
  return Error{ErrorCode::kIo, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno))};
}

Result<void> lock(const FileDescriptor& descriptor, const std::filesystem::path& path) {
  if (::flock(descriptor.get(), LOCK_EX | LOCK_NB) == 0) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: another process is writing to this run", path.string())};
}

}  // namespace

Result<LineWriter> LineWriter::create(const std::filesystem::path& path) {
  FileDescriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
  if (!descriptor.is_open()) {
    if (errno == EEXIST) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: there is a run already; --resume continues it", path.parent_path().string())};
    }
    return io_error(path, "cannot create");
  }
  SS_TRY_VOID(lock(descriptor, path));
  return LineWriter(std::move(descriptor), path, 0);
}

Result<LineWriter> LineWriter::resume(const std::filesystem::path& path, std::size_t valid_bytes) {
  FileDescriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!descriptor.is_open()) return io_error(path, "cannot open");
  SS_TRY_VOID(lock(descriptor, path));
  const auto n_bytes = static_cast<std::int64_t>(valid_bytes);
  if (::ftruncate(descriptor.get(), n_bytes) != 0) return io_error(path, "cannot cut off the torn end");
  return LineWriter(std::move(descriptor), path, n_bytes);
}

Result<void> LineWriter::append(std::span<const std::string> lines) {
  for (const std::string& line : lines) SS_TRY_VOID(write_line(line + "\n"));
  // EINVAL means that this kind of file cannot be flushed, as with a pipe or /dev/full in a test.
  if (::fdatasync(descriptor_.get()) != 0 && errno != EINVAL) return io_error(path_, "cannot flush");
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

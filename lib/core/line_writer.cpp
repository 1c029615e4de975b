#include "core/line_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/file_lock.h"
#include "core/folder.h"
#include "core/seal.h"

namespace secondsource {
namespace {

Error io_error(const std::filesystem::path& path, std::string_view what) {
  return Error{ErrorCode::kIo, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno))};
}

Result<void> lock(const FileDescriptor& descriptor, const std::filesystem::path& path) {
  const FileLock taken = try_lock(descriptor);
  if (taken == FileLock::kTaken) return {};
  if (taken == FileLock::kNotPossible) return io_error(path, "cannot lock");
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: another process is writing to this run", path.string())};
}

}  // namespace

Result<void> append_whole_line(const FileDescriptor& descriptor, const std::filesystem::path& path,
                               std::int64_t n_bytes, std::string_view line) {
  std::size_t n_written = 0;
  while (n_written < line.size()) {
    const ssize_t n = ::write(descriptor.get(), line.data() + n_written, line.size() - n_written);
    if (n < 0 && errno == EINTR) continue;
    // A short write does not say why it was short (a full disk, a quota, a limit on the file's size); writing the rest
    // does.
    if (n > 0) {
      n_written += static_cast<std::size_t>(n);
      continue;
    }
    const Error error = io_error(path, "cannot write a line");
    if (n_written > 0 && ::ftruncate(descriptor.get(), n_bytes) != 0) {
      return error.with_context("and the torn line could not be taken back");
    }
    return error;
  }
  return {};
}

Result<std::int64_t> cut_torn_end(const FileDescriptor& descriptor, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return io_error(path, "cannot stat");
  std::string block(std::size_t{64} << 10, '\0');
  std::int64_t end = status.st_size;
  while (end > 0) {
    const std::int64_t begin = std::max<std::int64_t>(0, end - static_cast<std::int64_t>(block.size()));
    const ssize_t n = ::pread(descriptor.get(), block.data(), static_cast<std::size_t>(end - begin), begin);
    if (n < 0 && errno == EINTR) continue;
    if (n != end - begin) return io_error(path, "cannot read");
    const std::size_t newline = std::string_view(block).substr(0, static_cast<std::size_t>(n)).rfind('\n');
    if (newline != std::string_view::npos) {
      end = begin + static_cast<std::int64_t>(newline) + 1;
      break;
    }
    end = begin;
  }
  if (end < status.st_size && ::ftruncate(descriptor.get(), end) != 0) {
    return io_error(path, "cannot cut off the torn end");
  }
  return end;
}

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
  for (const std::string& object : objects) {
    const std::string line = sealed(object) + "\n";
    SS_TRY_VOID(append_whole_line(descriptor_, path_, n_bytes_, line));
    n_bytes_ += static_cast<std::int64_t>(line.size());
  }
  int result = 0;
  do {
    result = ::fdatasync(descriptor_.get());
  } while (result != 0 && errno == EINTR);
  // EINVAL means that this kind of file cannot be flushed, as with a pipe or /dev/full in a test.
  if (result != 0 && errno != EINVAL) return io_error(path_, "cannot flush");
  return {};
}

}  // namespace secondsource

#pragma once
// Files that are read whole, read in pieces, memory-mapped, or written so that a reader never sees an incomplete one.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// True for the values of errno that say that a path is wrong, and not that a device failed: nothing or something else
/// is there, it may not be used, or it is too long.
[[nodiscard]] bool is_fault_of_path(int error_number);

/// The error that errno describes: "PATH: cannot ACTION: No such file or directory", kIo.
[[nodiscard]] Error errno_error(const std::filesystem::path& path, std::string_view action);

/// An open file descriptor, closed by the destructor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;

  [[nodiscard]] int get() const noexcept { return descriptor_; }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }
  /// Closes now, and reports an error of close(), which is where late write errors appear.
  Result<void> close(const std::filesystem::path& path_for_message);

 private:
  int descriptor_ = -1;
};

/// A file read from front to back.
class InputFile {
 public:
  /// Errors: kInvalidInput when the file is absent or a folder, kIo otherwise.
  static Result<InputFile> open(const std::filesystem::path& path);
  /// Fills `buffer`, or less of it at the end of the file. Returns the number of bytes read, 0 at the end.
  Result<std::size_t> read(std::span<std::byte> buffer);

 private:
  InputFile(FileDescriptor descriptor, std::filesystem::path path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}
  FileDescriptor descriptor_;
  std::filesystem::path path_;
};

/// A file written from front to back. It gets its name only in commit(); until then it has a temporary name of its own
/// beside it (core/staging.h), which the destructor removes. Several processes may write the same file at once: it then
/// has the content of the one that committed last.
class OutputFile {
 public:
  /// Errors: kInvalidInput when no file can be there (a folder or a device has the name, or the folder above is absent
  /// or may not be written); kIo.
  static Result<OutputFile> create(const std::filesystem::path& path);
  ~OutputFile();
  OutputFile(OutputFile&&) noexcept = default;
  OutputFile& operator=(OutputFile&&) = delete;

  Result<void> write(std::span<const std::byte> bytes);
  Result<void> write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  /// Flushes the file to the disk, renames it to its final name and flushes the name too. Errors: kIo.
  Result<void> commit();

 private:
  OutputFile(FileDescriptor descriptor, std::filesystem::path path, std::filesystem::path partial)
      : descriptor_(std::move(descriptor)), path_(std::move(path)), partial_(std::move(partial)) {}
  FileDescriptor descriptor_;
  std::filesystem::path path_;
  std::filesystem::path partial_;
};

/// A file mapped read-only and kept open. The bytes live as long as this object.
class MappedFile {
 public:
  static Result<MappedFile> map(const std::filesystem::path& path);
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// Fills `out` with the bytes from `offset` on; the range must lie inside the file. Meant for bulk data that is read
  /// once: bytes read this way do not count as memory of any process, and a file that has been truncated gives an error
  /// instead of SIGBUS. May be called from several threads. Errors: kIo.
  Result<void> read_at(std::size_t offset, std::span<std::byte> out) const;

  /// A text that changes whenever the content may have changed: device, inode, size, and the times of the last change
  /// of the content and of the inode, which no program can set back. Empty when the system does not report them.
  [[nodiscard]] std::string identity() const;

  /// True if the last change is long enough ago that another change will show in identity(). File systems store time in
  /// steps of up to two seconds (FAT), and two changes within one step look alike.
  [[nodiscard]] bool has_settled() const;

 private:
  FileDescriptor descriptor_;
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// The whole content of a file of at most `limit_bytes`. Errors: kInvalidInput when it is absent, a folder or larger;
/// kIo.
Result<std::string> read_file(const std::filesystem::path& path, std::int64_t limit_bytes = std::int64_t{1} << 30);

/// Writes through OutputFile, so that the file always has either its old or its new content.
Result<void> write_file(const std::filesystem::path& path, std::string_view content);

/// $XDG_CACHE_HOME/secondsource, or ~/.cache/secondsource. Errors: kInvalidInput when neither variable is set.
Result<std::filesystem::path> cache_folder();
/// $XDG_DATA_HOME/secondsource, or ~/.local/share/secondsource. Errors: as cache_folder().
Result<std::filesystem::path> data_folder();

}  // namespace secondsource

#pragma once
// A file of JSON objects, one per line, that grows by whole lines and survives a crash. Each line gets a checksum
// (core/seal.h), a call returns after its lines are on the disk, and a partly written line is removed again. Only one process
// writes at a time: the file is locked as long as the writer lives, so read it after locking.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// Appends a line, given with its newline, to a file that was opened with O_APPEND and has `n_bytes`. If it cannot be
/// written whole (disk full), the part that was written is removed again. Errors: kIo.
Result<void> append_whole_line(const FileDescriptor& descriptor, const std::filesystem::path& path,
                               std::int64_t n_bytes, std::string_view line);

/// Cuts off what follows the last newline of a file that is open for reading and writing, because a crash or a full disk
/// may have cut its last line short. Returns the size of the file. Errors: kIo.
Result<std::int64_t> cut_torn_end(const FileDescriptor& descriptor, const std::filesystem::path& path);

class LineWriter {
 public:
  /// Opens the file, which is created if it is absent, and locks it. Errors: kInvalidInput when another process writes
  /// to it or no file can be there; kIo.
  static Result<LineWriter> open(const std::filesystem::path& path);

  /// The whole content. Errors: kIo.
  [[nodiscard]] Result<std::string> read() const;
  /// Cuts the file off after `valid_bytes`. Errors: kIo.
  Result<void> truncate(std::size_t valid_bytes);

  /// Appends objects, given without a newline, and flushes once to the disk, so call it outside timed regions. A line
  /// that could not be written whole (disk full) is removed again, so that the file stays readable. Errors: kIo.
  Result<void> append(std::span<const std::string> objects);

 private:
  LineWriter(FileDescriptor descriptor, std::filesystem::path path, std::int64_t n_bytes)
      : descriptor_(std::move(descriptor)), path_(std::move(path)), n_bytes_(n_bytes) {}

  FileDescriptor descriptor_;
  std::filesystem::path path_;
  std::int64_t n_bytes_ = 0;
};

}  // namespace secondsource

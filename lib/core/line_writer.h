#pragma once
// A file that grows by whole lines and survives a crash. Each line is one write(), a call returns after its lines are
// on the disk, and a partly written line is removed again. Only one process writes at a time.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

class LineWriter {
 public:
  /// Creates a new file. Errors: kInvalidInput when the file exists, kIo.
  static Result<LineWriter> create(const std::filesystem::path& path);
  /// Opens an existing file and truncates it to `valid_bytes`. Errors: kIo; kInvalidInput when another process writes
  /// to it.
  static Result<LineWriter> resume(const std::filesystem::path& path, std::size_t valid_bytes);

  /// Appends lines, given without their newline, and flushes once to the disk, so call it outside timed regions. A line
  /// that could not be written whole (disk full) is removed again, so that the file stays readable. Errors: kIo.
  Result<void> append(std::span<const std::string> lines);

 private:
  LineWriter(FileDescriptor descriptor, std::filesystem::path path, std::int64_t n_bytes)
      : descriptor_(std::move(descriptor)), path_(std::move(path)), n_bytes_(n_bytes) {}
  Result<void> write_line(const std::string& line);

  FileDescriptor descriptor_;
  std::filesystem::path path_;
  std::int64_t n_bytes_ = 0;
};

}  // namespace secondsource

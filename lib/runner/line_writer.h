#pragma once
// A file that grows by whole lines and survives a crash: each line is one write(), a call ends with the lines on the
// disk, and a line that did not fit is taken back. One process writes at a time.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

class LineWriter {
 public:
  /// A new file. Errors: kInvalidInput when there is one already, kIo.
  static Result<LineWriter> create(const std::filesystem::path& path);
  /// An existing one, cut back to `valid_bytes`. Errors: kIo; kInvalidInput when another process writes it.
  static Result<LineWriter> resume(const std::filesystem::path& path, std::size_t valid_bytes);

  /// Lines without their newline. Flushes once to the disk: call it outside timed regions. A line that could not be
  /// written whole (disk full) is taken back, so that the file stays readable. Errors: kIo.
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

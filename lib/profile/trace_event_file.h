#pragma once
// Writes spans of time in Chrome's trace event format, a JSON array that ui.perfetto.dev and chrome://tracing open.
// Several processes append to one file, one after the other; a file that was not completed can still be opened.
//
//   SS_TRY_VOID(begin_chrome_trace(path));
//   SS_TRY(TraceEventFile trace,
//          TraceEventFile::append(path, {.id = 1, .name = "default/cpu/bf16/offline-b16"}, origin_ns));
//   trace.name_track(1, "steps");
//   trace.span(1, "step", start_ns, end_ns - start_ns, {{"tokens", 16}});
//   SS_TRY_VOID(trace.flush());
//   SS_TRY_VOID(end_chrome_trace(path));

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

class TraceEventFile {
 public:
  /// A group of tracks in the viewer.
  struct Process {
    std::int64_t id = 0;
    std::string name;
  };
  using Argument = std::pair<std::string_view, std::variant<std::int64_t, double, std::string>>;

  /// Opens the file to append. Times of spans are on the monotonic clock; in the viewer they count from `origin_ns`.
  /// Errors: kIo.
  static Result<TraceEventFile> append(const std::filesystem::path& path, const Process& process,
                                       std::int64_t origin_ns);
  void name_track(std::int64_t track, std::string_view name);
  void span(std::int64_t track, std::string_view name, std::int64_t start_ns, std::int64_t duration_ns,
            std::initializer_list<Argument> arguments = {});
  [[nodiscard]] std::int64_t n_spans() const noexcept { return n_spans_; }
  /// Writes the collected spans. Errors: kIo.
  Result<void> flush();

 private:
  TraceEventFile(FileDescriptor file, std::filesystem::path path, std::int64_t process, std::int64_t origin_ns)
      : file_(std::move(file)), path_(std::move(path)), process_(process), origin_ns_(origin_ns) {}

  FileDescriptor file_;
  std::filesystem::path path_;
  std::int64_t process_;
  std::int64_t origin_ns_;
  std::int64_t n_spans_ = 0;
  std::string text_;
};

/// Creates a file without spans. Errors: kIo.
Result<void> begin_chrome_trace(const std::filesystem::path& path);
/// Closes the JSON array. Errors: kIo.
Result<void> end_chrome_trace(const std::filesystem::path& path);

}  // namespace secondsource

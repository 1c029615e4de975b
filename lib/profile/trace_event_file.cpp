#include "profile/trace_event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/json_text.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

Result<void> write_all(const FileDescriptor& file, const std::filesystem::path& path, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n_written = ::write(file.get(), text.data(), text.size());
    if (n_written < 0 && errno == EINTR) continue;
    if (n_written < 0) {
      return Error{ErrorCode::kIo, fmt::format("{}: cannot write: {}", path.string(), std::strerror(errno))};
    }
    text.remove_prefix(static_cast<std::size_t>(n_written));
  }
  return {};
}

Result<FileDescriptor> open_for(const std::filesystem::path& path, int flags) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0644));
  if (file.is_open()) return file;
  return Error{ErrorCode::kIo, fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno))};
}

/// Invalid UTF-8 is replaced, because names of operations and cells may contain any byte.
std::string line_of(const OrderedJson& event) {
  return ",\n" + to_json_text(event);
}

}  // namespace

Result<TraceEventFile> TraceEventFile::append(const std::filesystem::path& path, const Process& process,
                                              std::int64_t origin_ns) {
  SS_TRY(FileDescriptor file, open_for(path, O_APPEND));
  TraceEventFile trace(std::move(file), path, process.id, origin_ns);
  trace.text_ +=
      line_of({{"ph", "M"}, {"name", "process_name"}, {"pid", process.id}, {"args", {{"name", process.name}}}});
  return trace;
}

void TraceEventFile::name_track(std::int64_t track, std::string_view name) {
  text_ +=
      line_of({{"ph", "M"}, {"name", "thread_name"}, {"pid", process_}, {"tid", track}, {"args", {{"name", name}}}});
}

void TraceEventFile::span(std::int64_t track, std::string_view name, std::int64_t start_ns, std::int64_t duration_ns,
                          std::initializer_list<Argument> arguments) {
  OrderedJson event = {{"ph", "X"},
                       {"name", name},
                       {"pid", process_},
                       {"tid", track},
                       {"ts", 1e-3 * static_cast<double>(start_ns - origin_ns_)},  // microseconds
                       {"dur", 1e-3 * static_cast<double>(duration_ns)}};
  for (const Argument& argument : arguments) {
    OrderedJson& value = event["args"][std::string(argument.first)];
    std::visit([&value](const auto& plain) { value = plain; }, argument.second);
  }
  text_ += line_of(event);
  ++n_spans_;
}

Result<void> TraceEventFile::flush() {
  SS_TRY_VOID(write_all(file_, path_, text_));
  text_.clear();
  return {};
}

Result<void> begin_chrome_trace(const std::filesystem::path& path) {
  SS_TRY(const FileDescriptor file, open_for(path, O_CREAT | O_TRUNC));
  // The file begins with an event, so that every later one can begin with a comma.
  return write_all(file, path, R"([{"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "secondsource"}})");
}

Result<void> end_chrome_trace(const std::filesystem::path& path) {
  SS_TRY(const FileDescriptor file, open_for(path, O_APPEND));
  return write_all(file, path, "\n]\n");
}

}  // namespace secondsource

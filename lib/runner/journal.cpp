#include "runner/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

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

Result<JournalState> read_journal_for_resume(std::string_view text, std::string_view name,
                                             std::span<const PlannedCell> cells) {
  std::map<std::string, ScenarioKind> kind_of;
  for (const PlannedCell& cell : cells) kind_of[cell.key.id()] = cell.scenario.kind;
  JournalState state;
  std::vector<std::size_t> ends;  // of each line
  int line_number = 0;
  while (state.valid_bytes < text.size()) {
    const auto newline = text.find('\n', state.valid_bytes);
    if (newline == std::string_view::npos) break;  // torn
    const std::string_view line = text.substr(state.valid_bytes, newline - state.valid_bytes);
    Result<JournalLine> parsed = journal_line_from_json(line, fmt::format("{}: line {}", name, ++line_number));
    if (!parsed) {
      // After a power cut a block of zeros may end the file: torn as well. In the middle it is damage.
      if (newline + 1 == text.size()) break;
      return parsed.error();
    }
    state.lines.push_back(*std::move(parsed));
    state.valid_bytes = newline + 1;
    ends.push_back(state.valid_bytes);
  }
  const auto is_unfinished = [&](const JournalLine& line) {
    const auto* sample = std::get_if<RequestSample>(&line);
    if (sample == nullptr) return false;
    const auto kind = kind_of.find(sample->cell);
    return kind != kind_of.end() && kind->second != ScenarioKind::kSingleStream;
  };
  while (!state.lines.empty() && is_unfinished(state.lines.back())) {
    state.lines.pop_back();
    ends.pop_back();
  }
  state.valid_bytes = ends.empty() ? 0 : ends.back();
  return state;
}

Result<JournalWriter> JournalWriter::create(const std::filesystem::path& path) {
  FileDescriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
  if (!descriptor.is_open()) {
    if (errno == EEXIST) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: there is a run already; --resume continues it", path.parent_path().string())};
    }
    return io_error(path, "cannot create");
  }
  SS_TRY_VOID(lock(descriptor, path));
  return JournalWriter(std::move(descriptor), path, 0);
}

Result<JournalWriter> JournalWriter::resume(const std::filesystem::path& path, std::size_t valid_bytes) {
  FileDescriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!descriptor.is_open()) return io_error(path, "cannot open");
  SS_TRY_VOID(lock(descriptor, path));
  const auto n_bytes = static_cast<std::int64_t>(valid_bytes);
  if (::ftruncate(descriptor.get(), n_bytes) != 0) return io_error(path, "cannot cut off the torn end");
  return JournalWriter(std::move(descriptor), path, n_bytes);
}

Result<void> JournalWriter::append(std::span<const JournalLine> lines) {
  for (const JournalLine& line : lines) SS_TRY_VOID(write_line(to_json_line(line) + "\n"));
  // EINVAL: a file that cannot be flushed, a pipe or /dev/full in a test.
  if (::fdatasync(descriptor_.get()) != 0 && errno != EINVAL) return io_error(path_, "cannot flush");
  return {};
}

Result<void> JournalWriter::write_line(const std::string& line) {
  ssize_t n_written = 0;
  do {
    n_written = ::write(descriptor_.get(), line.data(), line.size());
  } while (n_written < 0 && errno == EINTR);
  if (n_written == static_cast<ssize_t>(line.size())) {
    n_bytes_ += n_written;
    return {};
  }
  if (n_written >= 0) errno = ENOSPC;  // a short write to a regular file means that the disk or the quota is full
  const Error error = io_error(path_, "cannot write a sample");
  if (n_written > 0 && ::ftruncate(descriptor_.get(), n_bytes_) != 0) {
    return error.with_context("and the torn line could not be taken back");
  }
  return error;
}

}  // namespace secondsource

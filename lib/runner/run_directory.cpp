#include "runner/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/clock.h"
#include "core/folder.h"
#include "core/json_text.h"
#include "core/line_writer.h"
#include "core/staging.h"
#include "core/utf8.h"
#include "record/record_json.h"
#include "summary/summarize.h"

namespace secondsource {
namespace {

constexpr const char* kRunFile = "run.json";
constexpr const char* kSamplesFile = "samples.jsonl";
constexpr const char* kSummaryFile = "summary.json";
constexpr const char* kWorkersFolder = "workers";

Error has_run(const std::filesystem::path& folder) {
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("{}: expected a new folder, found a run in it; `run --resume` continues it", folder.string())};
}

/// A run whose samples were removed, as in an archive, still has its figures in summary.json. Measuring its cells anew
/// would replace the only copy of them.
Error has_only_summary(const std::filesystem::path& folder) {
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("{}: expected samples in samples.jsonl, found none beside the summary.json of a complete run, "
                  "which measuring again would replace; give a new folder to `run --out`",
                  folder.string())};
}

/// Whether a file of this name may be a remainder of a run that ended before its run.json was written.
bool is_of_unwritten_run(std::string_view name) {
  constexpr std::array<std::string_view, 3> kNames = {kSamplesFile, kWorkersFolder, kServersFolder};
  return std::ranges::find(kNames, name) != kNames.end() || is_staged_name(name);
}

}  // namespace

Result<RunDirectory> RunDirectory::create(const std::filesystem::path& folder, const RunRecord& record) {
  SS_TRY_VOID(create_folder(folder / kWorkersFolder));
  // The lock on the journal decides which of two processes has the folder. A process that died before it wrote run.json
  // left an empty journal, which is taken over.
  SS_TRY(JournalWriter journal, JournalWriter::open(folder / kSamplesFile));
  SS_TRY(const std::string text, journal.read());
  if (!text.empty() || path_exists(folder / kRunFile)) return has_run(folder);
  SS_TRY_VOID(write_record(folder / kRunFile, record));
  return RunDirectory(folder, record, std::move(journal), {});
}

Result<void> RunDirectory::check_free(const std::filesystem::path& folder) {
  if (path_exists(folder / kRunFile)) return has_run(folder);
  // The nearest folder above it that exists must take a new entry.
  std::filesystem::path above = folder.lexically_normal();
  while (!path_exists(above) && above.has_relative_path() && above != folder_of(above)) above = folder_of(above);
  std::error_code ignored;
  if (!std::filesystem::is_directory(above, ignored)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a folder for the run, found a file{}", folder.string(),
                             above == folder ? "" : fmt::format(" in its place above: {}", above.string()))};
  }
  if (::access(above.c_str(), W_OK | X_OK) != 0) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a folder for the run that may be written: {}: {}",
                                                       folder.string(), above.string(), std::strerror(errno))};
  }
  return {};
}

Result<void> RunDirectory::check_nothing_foreign(const std::filesystem::path& folder) {
  if (!path_exists(folder)) return {};
  SS_TRY(const std::vector<std::filesystem::path> entries, list_folder(folder));
  for (const std::filesystem::path& entry : entries) {
    if (is_of_unwritten_run(entry.filename().string())) continue;
    if (path_exists(folder / kRunFile)) return has_run(folder);  // of a process that began meanwhile
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a new or an empty folder for the run, found {} in it", folder.string(),
                             in_quotes(entry.filename().string()))};
  }
  return {};
}

Result<RunRecord> RunDirectory::read_record(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kRunFile;
  SS_TRY(const std::string text, read_file(path));
  return run_record_from_json(text, path.string());
}

Result<RunDirectory> RunDirectory::resume(const std::filesystem::path& folder,
                                          const std::function<Result<void>(const RunRecord&)>& check) {
  SS_TRY_VOID(check_run_folder(folder));
  const std::filesystem::path run_file = folder / kRunFile;
  const std::filesystem::path samples_file = folder / kSamplesFile;
  const bool has_summary = path_exists(folder / kSummaryFile);
  // Opening the journal would create it.
  if (has_summary && !path_exists(samples_file)) return has_only_summary(folder);
  // What is read before the lock is held may be out of date when it is used: the process that held the lock may have
  // appended lines or finished the run.
  SS_TRY(JournalWriter journal, JournalWriter::open(samples_file));
  SS_TRY(RunRecord record, read_record(folder));
  SS_TRY_VOID(check(record));
  SS_TRY(const std::string text, journal.read());
  SS_TRY(Journal state, read_journal_for_resume(text, samples_file.string(), record.cells));
  if (has_summary && state.lines.empty()) return has_only_summary(folder);
  SS_TRY_VOID(create_folder(folder / kWorkersFolder));
  SS_TRY_VOID(journal.truncate(state.valid_bytes()));
  record.resumed_utc.push_back(utc_timestamp());
  SS_TRY_VOID(write_record(run_file, record));
  return RunDirectory(folder, std::move(record), std::move(journal), std::move(state.lines));
}

Result<void> RunDirectory::append(std::span<const JournalLine> lines) {
  SS_TRY_VOID(journal_.append(lines));
  lines_.insert(lines_.end(), lines.begin(), lines.end());
  return {};
}

Result<void> RunDirectory::set_limits(const LimitLooks& looks) {
  record_.limits = looks.best;
  record_.second_limits = looks.second;
  return write_record(folder_ / kRunFile, record_);
}

Result<void> RunDirectory::set_device_limits(std::string_view backend, const LimitLooks& looks) {
  const auto found = std::ranges::find(record_.backends, backend, &BackendRecord::name);
  if (found == record_.backends.end()) return {};
  found->limits = looks.best;
  found->second_limits = looks.second;
  return write_record(folder_ / kRunFile, record_);
}

Result<void> RunDirectory::append_telemetry(std::string_view stint, const TelemetrySnapshot& snapshot) {
  const std::filesystem::path path = folder_ / "telemetry.jsonl";
  if (!telemetry_.is_open()) {
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file.is_open()) return errno_error(path, "open for writing");
    SS_TRY(telemetry_bytes_, cut_torn_end(file, path));
    telemetry_ = std::move(file);
  }
  nlohmann::ordered_json tree = {{"at_ns", snapshot.at_ns}, {"of", stint}};
  for (const TelemetryReading& reading : snapshot.readings) {
    if (reading.value) {
      tree[reading.name] = *reading.value;
    } else {
      tree[reading.name] = reading.why_not;
    }
  }
  const std::string line = to_json_text(tree) + "\n";
  SS_TRY_VOID(append_whole_line(telemetry_, path, telemetry_bytes_, line));
  telemetry_bytes_ += static_cast<std::int64_t>(line.size());
  return {};
}

std::filesystem::path RunDirectory::stderr_file(std::string_view stint) const {
  std::string name(stint);
  std::replace(name.begin(), name.end(), '/', '-');
  return folder_ / kWorkersFolder / (name + ".stderr");
}

Result<RunSummary> RunDirectory::write_summary() const {
  Journal journal;
  journal.lines = lines_;
  RunSummary summary = summarize(record_, journal);
  SS_TRY_VOID(write_record(folder_ / kSummaryFile, summary));
  return summary;
}

}  // namespace secondsource

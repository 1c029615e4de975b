#include "runner/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/clock.h"
#include "core/json_text.h"
#include "record/record_json.h"
#include "summary/summarize.h"

namespace secondsource {
namespace {

constexpr const char* kRunFile = "run.json";
constexpr const char* kSamplesFile = "samples.jsonl";

Result<void> make_folder(const std::filesystem::path& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder / "workers", failed);
  if (failed) return Error{ErrorCode::kIo, fmt::format("{}: cannot create: {}", folder.string(), failed.message())};
  return {};
}

}  // namespace

Result<RunDirectory> RunDirectory::create(const std::filesystem::path& folder, const RunRecord& record) {
  SS_TRY_VOID(make_folder(folder));
  if (std::filesystem::exists(folder / kRunFile)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: there is a run already; --resume continues it", folder.string())};
  }
  SS_TRY_VOID(write_file(folder / kRunFile, to_json(record) + "\n"));
  SS_TRY(JournalWriter journal, JournalWriter::create(folder / kSamplesFile));
  return RunDirectory(folder, record, std::move(journal), {});
}

Result<RunRecord> RunDirectory::read_record(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kRunFile;
  SS_TRY(const std::string text, read_file(path));
  return run_record_from_json(text, path.string());
}

Result<RunDirectory> RunDirectory::resume(const std::filesystem::path& folder) {
  const std::filesystem::path run_file = folder / kRunFile;
  const std::filesystem::path samples_file = folder / kSamplesFile;
  SS_TRY(RunRecord record, read_record(folder));
  std::string text;
  // The journal is missing when the run was killed after writing run.json and before creating the journal.
  if (std::filesystem::exists(samples_file)) {
    SS_TRY(text, read_file(samples_file, std::int64_t{1} << 40));
  }
  SS_TRY(Journal state, read_journal_for_resume(text, samples_file.string(), record.cells));
  SS_TRY(JournalWriter journal, JournalWriter::resume(samples_file, state.valid_bytes()));
  SS_TRY_VOID(make_folder(folder));
  record.resumed_utc.push_back(utc_timestamp());
  SS_TRY_VOID(write_file(run_file, to_json(record) + "\n"));
  return RunDirectory(folder, std::move(record), std::move(journal), std::move(state.lines));
}

Result<void> RunDirectory::append(std::span<const JournalLine> lines) {
  SS_TRY_VOID(journal_.append(lines));
  lines_.insert(lines_.end(), lines.begin(), lines.end());
  return {};
}

Result<void> RunDirectory::raise_limits(const MachineLimits& limits) {
  record_.limits = limits;
  return write_file(folder_ / kRunFile, to_json(record_) + "\n");
}

Result<void> RunDirectory::append_telemetry(std::string_view stint, const TelemetrySnapshot& snapshot) {
  const std::filesystem::path path = folder_ / "telemetry.jsonl";
  if (!telemetry_.is_open()) {
    telemetry_ = FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
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
  if (!telemetry_.is_open() ||
      ::write(telemetry_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return Error{ErrorCode::kIo, fmt::format("{}: cannot write: {}", path.string(), std::strerror(errno))};
  }
  return {};
}

std::filesystem::path RunDirectory::stderr_file(std::string_view stint) const {
  std::string name(stint);
  std::replace(name.begin(), name.end(), '/', '-');
  return folder_ / "workers" / (name + ".stderr");
}

Result<RunSummary> RunDirectory::write_summary() const {
  Journal journal;
  journal.lines = lines_;
  RunSummary summary = summarize(record_, journal);
  SS_TRY_VOID(write_file(folder_ / "summary.json", to_json(summary) + "\n"));
  return summary;
}

}  // namespace secondsource

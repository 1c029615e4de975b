#include "ab/ab_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/clock.h"
#include "core/enum_format.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/number.h"
#include "core/seal.h"
#include "core/staging.h"

namespace secondsource {
namespace {
constexpr const char* kRecordFile = "ab.json";
constexpr const char* kPairsFile = "pairs.jsonl";

/// True if run_of_process() gives this name to a process of the comparison.
bool is_run_of_process(const AbRecord& record, const std::string& run) {
  const std::size_t pair_at = kProcessesFolder.size() + 1;
  const std::size_t attempt_at = run.find('-', pair_at) + 1;
  const std::size_t stint_at = run.find('-', attempt_at) + 1;
  if (attempt_at == 0 || stint_at == 0) return false;
  const auto pair = parse_number<std::int64_t>(run.substr(pair_at, attempt_at - 1 - pair_at));
  const auto attempt = parse_number<std::int64_t>(run.substr(attempt_at, stint_at - 1 - attempt_at));
  if (!pair || !attempt) return false;
  return std::ranges::any_of(record.stints, [&](const AbStint& stint) {
    return run == run_of_process(stint, Arm::kBase, *pair, *attempt) ||
           run == run_of_process(stint, Arm::kCandidate, *pair, *attempt);
  });
}

/// Removes the runs of processes that were interrupted, which no line names, because their pairs may never be taken again.
/// Whatever has another name stays.
void remove_interrupted(const std::filesystem::path& folder, const AbRecord& record,
                        const std::vector<ProcessLine>& lines) {
  const auto entries = list_folder(folder / kProcessesFolder);
  if (!entries) return;
  std::set<std::string> kept;
  for (const ProcessLine& line : lines) kept.insert(line.run);
  for (const std::filesystem::path& entry : *entries) {
    const std::string run = entry.lexically_relative(folder).generic_string();
    if (!kept.contains(run) && is_run_of_process(record, run)) discard(entry);
  }
}

}  // namespace

std::string run_of_process(const AbStint& stint, Arm arm, std::int64_t pair, std::int64_t attempt) {
  return fmt::format("{}/{:04}-{}-{}-{}-{}", kProcessesFolder, pair, attempt, stint.backend, stint.variant, arm);
}

std::filesystem::path stderr_file(const std::filesystem::path& folder, const ArmRecord& arm) {
  return folder / fmt::format("{}.stderr", to_string(arm.name));
}

Result<AbDirectory> AbDirectory::create(const std::filesystem::path& folder,
                                        const std::function<Result<AbRecord>()>& plan) {
  SS_TRY_VOID(create_folder(folder / kProcessesFolder));
  // The lock on the journal decides which of two processes has the folder.
  SS_TRY(LineWriter writer, LineWriter::open(folder / kPairsFile));
  SS_TRY(const std::string text, writer.read());
  if (!text.empty() || path_exists(folder / kRecordFile)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a new folder, found a comparison in it; `ab --resume` continues it",
                             folder.string())};
  }
  SS_TRY(AbRecord record, plan());
  SS_TRY_VOID(write_file(folder / kRecordFile, sealed(to_json(record))));
  return AbDirectory(folder, std::move(record), std::move(writer), {});
}

Result<AbRecord> AbDirectory::read_record(const std::filesystem::path& folder) {
  SS_TRY(const std::string text, read_file(folder / kRecordFile));
  return ab_record_from_json(text, (folder / kRecordFile).string());
}

Result<AbDirectory> AbDirectory::resume(const std::filesystem::path& folder) {
  if (!path_exists(folder / kRecordFile)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected the {} of a comparison, found none", folder.string(), kRecordFile)};
  }
  SS_TRY(LineWriter writer, LineWriter::open(folder / kPairsFile));
  SS_TRY(AbRecord record, read_record(folder));
  SS_TRY(const std::string text, writer.read());
  SS_TRY(LinesFile<ProcessLine> pairs, pairs_from_text(text, (folder / kPairsFile).string()));
  SS_TRY_VOID(writer.truncate(pairs.valid_bytes()));
  record.resumed_utc.push_back(utc_timestamp());
  SS_TRY_VOID(write_file(folder / kRecordFile, sealed(to_json(record))));
  remove_interrupted(folder, record, pairs.lines);
  return AbDirectory(folder, std::move(record), std::move(writer), std::move(pairs.lines));
}

Result<void> AbDirectory::append(ProcessLine line) {
  const std::string text = to_json_line(line);
  SS_TRY_VOID(writer_.append({&text, 1}));
  lines_.push_back(std::move(line));
  return {};
}

}  // namespace secondsource

#include "ab/ab_directory.h"

#include <fmt/format.h>

#include "core/clock.h"
#include "core/enum_format.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/seal.h"

namespace secondsource {
namespace {
constexpr const char* kRecordFile = "ab.json";
constexpr const char* kPairsFile = "pairs.jsonl";
}  // namespace

std::filesystem::path stderr_file(const std::filesystem::path& folder, const ArmRecord& arm) {
  return folder / fmt::format("{}.stderr", to_string(arm.name));
}

Result<AbDirectory> AbDirectory::create(const std::filesystem::path& folder,
                                        const std::function<Result<AbRecord>()>& plan) {
  SS_TRY_VOID(create_folder(folder / "processes"));
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
  return AbDirectory(folder, std::move(record), std::move(writer), std::move(pairs.lines));
}

Result<void> AbDirectory::append(ProcessLine line) {
  const std::string text = to_json_line(line);
  SS_TRY_VOID(writer_.append({&text, 1}));
  lines_.push_back(std::move(line));
  return {};
}

}  // namespace secondsource

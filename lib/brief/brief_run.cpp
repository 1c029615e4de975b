#include "brief/brief_run.h"

#include <set>

#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"

namespace secondsource {

std::vector<const Repetition*> BriefRun::repetitions_of(std::string_view cell_id) const {
  std::vector<const Repetition*> result;
  for (const JournalLine& line : stored.journal.lines) {
    const auto* repetition = std::get_if<Repetition>(&line);
    if (repetition != nullptr && repetition->cell == cell_id) result.push_back(repetition);
  }
  return result;
}

std::vector<const RequestSample*> BriefRun::samples_of(std::string_view cell_id) const {
  std::set<std::int32_t> whole;
  for (const Repetition* repetition : repetitions_of(cell_id)) whole.insert(repetition->repetition);
  std::vector<const RequestSample*> result;
  for (const JournalLine& line : stored.journal.lines) {
    const auto* sample = std::get_if<RequestSample>(&line);
    if (sample != nullptr && sample->cell == cell_id && !sample->warmup && whole.contains(sample->repetition)) {
      result.push_back(sample);
    }
  }
  return result;
}

const BackendRecord* BriefRun::backend(std::string_view name) const {
  for (const BackendRecord& backend : stored.record.backends) {
    if (backend.name == name) return &backend;
  }
  return nullptr;
}

Result<BriefRun> read_brief_run(const std::filesystem::path& folder, std::string shown_as) {
  BriefRun run;
  run.shown_as = std::move(shown_as);
  SS_TRY(run.stored, read_run(folder));
  SS_TRY(StoredSummary summary, summary_of(run.stored));
  run.summary = std::move(summary.summary);
  run.has_samples = summary.is_from_samples;
  for (const char* name : {"run.json", run.has_samples ? "samples.jsonl" : "summary.json"}) {
    if (!path_exists(folder / name)) continue;
    SS_TRY(std::string hash, sha256_of_file(folder / name));
    run.file_hashes.emplace_back(name, std::move(hash));
  }
  return run;
}

}  // namespace secondsource

#include "runner/journal.h"

#include <map>

namespace secondsource {

Result<Journal> read_journal_for_resume(std::string_view text, std::string_view name,
                                        std::span<const PlannedCell> cells) {
  std::map<std::string, ScenarioKind> kind_of;
  for (const PlannedCell& cell : cells) kind_of[cell.key.id()] = cell.scenario.kind;
  SS_TRY(Journal journal, read_lines<JournalLine>(text, name, journal_line_from_json, /*zeros_are_torn=*/true));
  const auto is_unfinished = [&](const JournalLine& line) {
    const auto* sample = std::get_if<RequestSample>(&line);
    if (sample == nullptr) return false;
    const auto kind = kind_of.find(sample->cell);
    return kind != kind_of.end() && kind->second != ScenarioKind::kSingleStream;
  };
  while (!journal.lines.empty() && is_unfinished(journal.lines.back())) {
    journal.lines.pop_back();
    journal.line_ends.pop_back();
  }
  return journal;
}

Result<JournalWriter> JournalWriter::open(const std::filesystem::path& path) {
  SS_TRY(LineWriter lines, LineWriter::open(path));
  return JournalWriter(std::move(lines));
}

Result<void> JournalWriter::append(std::span<const JournalLine> lines) {
  std::vector<std::string> texts;
  for (const JournalLine& line : lines) texts.push_back(to_json_line(line));
  return lines_.append(texts);
}

}  // namespace secondsource

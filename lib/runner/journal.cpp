#include "runner/journal.h"

#include <fmt/format.h>

#include <map>

namespace secondsource {

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
  SS_TRY(LineWriter lines, LineWriter::create(path));
  return JournalWriter(std::move(lines));
}

Result<JournalWriter> JournalWriter::resume(const std::filesystem::path& path, std::size_t valid_bytes) {
  SS_TRY(LineWriter lines, LineWriter::resume(path, valid_bytes));
  return JournalWriter(std::move(lines));
}

Result<void> JournalWriter::append(std::span<const JournalLine> lines) {
  std::vector<std::string> texts;
  for (const JournalLine& line : lines) texts.push_back(to_json_line(line));
  return lines_.append(texts);
}

}  // namespace secondsource

#include "summary/cell_lines.h"

#include <set>

namespace secondsource {

std::vector<const RequestSample*> CellLines::counted() const {
  std::set<std::int32_t> whole;
  for (const Repetition* repetition : repetitions) whole.insert(repetition->repetition);
  std::vector<const RequestSample*> result;
  for (const RequestSample* sample : samples) {
    if (!sample->warmup && whole.contains(sample->repetition)) result.push_back(sample);
  }
  return result;
}

std::map<std::string, CellLines, std::less<>> lines_by_cell(const Journal& journal) {
  std::map<std::string, CellLines, std::less<>> result;
  for (const JournalLine& line : journal.lines) {
    if (const auto* sample = std::get_if<RequestSample>(&line)) {
      result[sample->cell].samples.push_back(sample);
    } else if (const auto* repetition = std::get_if<Repetition>(&line)) {
      result[repetition->cell].repetitions.push_back(repetition);
    }
  }
  return result;
}

}  // namespace secondsource

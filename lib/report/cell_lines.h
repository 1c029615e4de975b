#pragma once
// The lines of a journal by cell: what a summary and a chart of a run are both made from.

#include <map>
#include <string>
#include <vector>

#include "report/record_json.h"
#include "report/records.h"

namespace secondsource {

/// Points into the journal.
struct CellLines {
  std::vector<const RequestSample*> samples{};  ///< all of them
  std::vector<const Repetition*> repetitions{};

  /// The samples that count: of whole repetitions (those with their closing line), without warm-up.
  [[nodiscard]] std::vector<const RequestSample*> counted() const;
};

/// By CellKey::id(). The journal must outlive it.
[[nodiscard]] std::map<std::string, CellLines, std::less<>> lines_by_cell(const Journal& journal);

}  // namespace secondsource

#pragma once
// Groups the lines of a journal by cell, for the summary and the charts of a run.

#include <map>
#include <string>
#include <vector>

#include "record/record_json.h"
#include "record/records.h"

namespace secondsource {

/// The lines of one cell. The pointers refer to the journal.
struct CellLines {
  std::vector<const RequestSample*> samples{};  ///< all samples, including warm-up
  std::vector<const Repetition*> repetitions{};

  /// The samples that count: those of complete repetitions (which have a closing line), without warm-up.
  [[nodiscard]] std::vector<const RequestSample*> counted() const;
};

/// Returns the lines by CellKey::id(). The journal must outlive them.
[[nodiscard]] std::map<std::string, CellLines, std::less<>> lines_by_cell(const Journal& journal);

}  // namespace secondsource

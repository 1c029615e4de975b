#pragma once
// Tells which golden passes, repetitions and requests a journal already contains and a resumed run skips.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "record/records.h"

namespace secondsource {

/// The completed part of a single-stream repetition that was interrupted between two of its requests.
struct PartialRepetition {
  std::int32_t n_done = 0;
  std::int64_t clock_ns = 0;
  std::int64_t n_tokens = 0;
};

class FinishedWork {
 public:
  /// Failures among the first `n_retried_lines` lines do not count: what failed there is to be measured.
  explicit FinishedWork(const std::vector<JournalLine>& lines, std::size_t n_retried_lines = 0);

  /// `stint` is "BUNDLE/BACKEND/VARIANT".
  [[nodiscard]] bool has_golden(const std::string& stint) const { return golden_.contains(stint); }
  [[nodiscard]] bool has_failed(const std::string& cell_or_stint) const { return failed_.contains(cell_or_stint); }
  [[nodiscard]] bool has_repetition(const std::string& cell, std::int32_t repetition) const {
    return repetitions_.contains({cell, repetition});
  }
  /// The rates that were tried for the cell, in the order of the attempts.
  [[nodiscard]] std::vector<RateProbe> probes(const std::string& cell) const;
  [[nodiscard]] PartialRepetition partial(const std::string& cell, std::int32_t repetition) const;

 private:
  std::set<std::string> golden_;
  std::set<std::string> failed_;
  std::set<std::pair<std::string, std::int32_t>> repetitions_;
  std::map<std::pair<std::string, std::int32_t>, PartialRepetition> samples_;
  std::map<std::string, std::vector<RateProbe>> probes_;
};

}  // namespace secondsource

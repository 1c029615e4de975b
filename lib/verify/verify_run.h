#pragma once
// Checks that every figure of a run follows from its raw samples, as a reviewer of a benchmark submission would:
// derives each figure a second time, with arithmetic that shares nothing with the code that wrote it, and compares.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource::verify {

/// Figures of a run to be checked: the text of summary.json, or what a report would print now.
struct NamedSummary {
  std::string name;
  std::string text;
};

struct Verification {
  std::vector<std::string> faults;  ///< what does not follow, and where; empty: everything follows
  std::vector<std::string> notes;
  std::int64_t n_cells = 0;
  std::int64_t n_samples = 0;
  std::int64_t n_figures = 0;  ///< compared values, over all summaries
};

/// Verifies the texts of run.json and samples.jsonl and the summaries. Errors: kInvalidInput for text that is not the
/// JSON of a run.
Result<Verification> verify_run(std::string_view record, std::string_view samples,
                                std::span<const NamedSummary> summaries);

}  // namespace secondsource::verify

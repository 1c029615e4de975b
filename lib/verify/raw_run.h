#pragma once
// The files of a run directory as JSON trees, read without the codec that wrote them.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource::verify {

using Json = nlohmann::json;

/// One line of samples.jsonl.
struct RawLine {
  std::size_t number = 0;  ///< from 1
  Json tree;
};

struct RawRun {
  Json record;
  std::vector<RawLine> lines;
  std::vector<std::string> faults;  ///< texts with a wrong checksum, and members that occur twice
  std::vector<std::string> notes;   ///< files without checksums, a line that was cut off
};

/// Parses run.json and samples.jsonl. Errors: kInvalidInput for text that is not JSON.
Result<RawRun> read_raw_run(std::string_view record, std::string_view samples);

/// Parses summary.json or the same object without a checksum; a wrong checksum is added to `faults`. Errors:
/// kInvalidInput.
Result<Json> read_raw_summary(std::string_view text, std::string_view name, std::vector<std::string>& faults);

}  // namespace secondsource::verify

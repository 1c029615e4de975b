// Fuzzes the readers of a run's records: a journal, run.json, summary.json. An accepted record must be accepted again
// after it was written and read.

#include <cstdint>
#include <cstdlib>

#include "record/record_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto record = run_record_from_json(text, "run.json")) {
    const std::string written = to_json(*record);
    const auto again = run_record_from_json(written, "run.json");
    if (!again || to_json(*again) != written) std::abort();
  }
  (void)run_summary_from_json(text, "summary.json");
  if (const auto journal = journal_from_text(text, "samples.jsonl")) {
    for (const JournalLine& line : journal->lines) {
      if (!journal_line_from_json(to_json_line(line), "line")) std::abort();
    }
  }
  return 0;
}

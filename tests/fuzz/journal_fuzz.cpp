// Fuzzes samples.jsonl as a report and as a resumed run read it. An accepted line must be accepted again after it was
// written. The part that a resumed run keeps must be a prefix of the file.

#include <cstdint>
#include <cstdlib>

#include "record/record_json.h"
#include "runner/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto journal = journal_from_text(text, "samples.jsonl");
  if (journal) {
    for (const JournalLine& line : journal->lines) {
      if (!journal_line_from_json(to_json_line(line), "line")) std::abort();
    }
  }
  const PlannedCell cell{.key = {"tiny", "cpu", "bf16", "server"}, .scenario = {.kind = ScenarioKind::kServer}};
  const auto resumed = read_journal_for_resume(text, "samples.jsonl", {&cell, 1});
  if (journal && (!resumed || resumed->lines.size() > journal->lines.size())) std::abort();
  if (resumed && resumed->valid_bytes() > size) std::abort();
  return 0;
}

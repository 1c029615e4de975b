#include "report/markdown.h"

#include "report/tables.h"

namespace secondsource {
namespace {

void append_notes(std::string& out, const std::vector<std::string>& notes) {
  for (const std::string& note : notes) out += "- " + note + "\n";
  if (!notes.empty()) out += "\n";
}

}  // namespace

std::string write_markdown(std::span<const SummarizedRun> runs, const GateReport* gate) {
  std::string out = "# secondsource\n\n";
  if (gate != nullptr) {
    out += "## Gate: " + gate_headline(*gate) + "\n\n";
    if (!gate->verdicts.empty()) out += render_markdown(gate_table(*gate)) + "\n";
    append_notes(out, gate_notes(*gate));
  }
  out += "## Results\n\n" + render_markdown(results_table(runs)) + "\n";
  const TextTable golden = golden_table(runs);
  if (!golden.rows.empty()) out += "## Golden pass\n\n" + render_markdown(golden) + "\n";
  const auto notes = result_notes(runs);
  if (!notes.empty()) out += "## Notes\n\n";
  append_notes(out, notes);
  out += "## Where this was measured\n\n";
  for (const SummarizedRun& run : runs) append_notes(out, run_header(run));
  return out;
}

}  // namespace secondsource

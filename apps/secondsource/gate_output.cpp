#include "gate_output.h"

#include "report/annotations.h"
#include "report/junit.h"
#include "report/loss_table.h"
#include "report/markdown.h"
#include "report/notes.h"
#include "report/tables.h"

namespace secondsource {

std::string render_gate(const GateReport& report, const std::string& format, std::span<const SummarizedRun> runs) {
  if (format == "json") return to_json(report);
  if (format == "annotations") return write_annotations(report);
  if (format == "junit") return write_junit(runs, &report);
  if (format == "markdown") return write_markdown(runs, &report);
  std::string text = terminal_lines(report.compared);
  if (!report.verdicts.empty()) text += "\n" + render_terminal(gate_table(report)) + "\n";
  if (!report.losses.empty()) text += render_terminal(loss_table(report)) + "\n";
  return text + terminal_lines(gate_notes(report)) + "gate: " + gate_headline(report) + "\n";
}

}  // namespace secondsource

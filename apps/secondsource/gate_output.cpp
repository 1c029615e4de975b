#include "gate_output.h"

#include "report/annotations.h"
#include "report/junit.h"
#include "report/loss_table.h"
#include "report/markdown.h"
#include "report/tables.h"

namespace secondsource {

std::string render_gate(const GateOutput& output, const std::string& format) {
  const GateReport& report = output.report;
  if (format == "json") return to_json(report);
  if (format == "annotations") return write_annotations(report);
  if (format == "junit") return write_junit(output.runs, &report);
  if (format == "markdown") {
    const MarkdownSection more[] = {{"Where the time went", loss_table(report)},
                                    {"How it was measured", {}, output.header}};
    return write_markdown(output.runs, &report, more);
  }
  std::string text = terminal_lines(output.header);
  if (!report.verdicts.empty()) text += "\n" + render_terminal(gate_table(report)) + "\n";
  if (!report.losses.empty()) text += render_terminal(loss_table(report)) + "\n";
  return text + terminal_lines(gate_notes(report)) + "gate: " + gate_headline(report) + "\n";
}

}  // namespace secondsource

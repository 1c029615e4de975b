#include "report/loss_table.h"

#include <fmt/format.h>

#include "core/units.h"

namespace secondsource {
namespace {

std::string duration(double seconds) {
  return format_duration_ns(static_cast<std::int64_t>(1e9 * seconds));
}

std::string operation_text(const LossShare& loss) {
  return loss.shape.empty() ? loss.operation : fmt::format("{} ({})", loss.operation, loss.shape);
}

}  // namespace

TextTable loss_table(const GateReport& report) {
  TextTable table;
  table.columns = {"cell", "metric", "operation", "kernel", "base", "candidate", "share of the loss", "source"};
  table.right_aligned = {false, false, false, false, true, true, true, false};
  for (const LossShare& loss : report.losses) {
    table.rows.push_back({loss.cell.id(), loss.metric, operation_text(loss), loss.kernel, duration(loss.base_s),
                          duration(loss.candidate_s), fmt::format("{:.0f} %", 100 * loss.share), loss.source});
  }
  return table;
}

std::string loss_sentence(const GateReport& report, const GateVerdict& verdict) {
  for (const LossShare& loss : report.losses) {
    if (!(loss.cell == verdict.cell) || loss.metric != verdict.metric) continue;
    if (loss.operation == kNotResolved) return "; the profiles cannot tell which operation lost the time";
    return fmt::format("; {:.0f} % of the loss is in {}", 100 * loss.share, operation_text(loss));
  }
  return "";
}

}  // namespace secondsource

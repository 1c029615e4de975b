#pragma once
// The report of one or several runs as one self-contained page (page.h): first the verdict, then the charts, then every
// cell and the data it rests on.

#include <span>
#include <string>

#include "gate/gate_record.h"
#include "report/chart/chart.h"
#include "summary/portability_record.h"
#include "summary/summarized_run.h"

namespace secondsource {

struct HtmlExtras {
  const GateReport* gate = nullptr;               ///< verdict of a gate on the runs
  std::span<const Chart> history{};               ///< trends of the runs' cells (history_page.h)
  std::span<const std::string> history_absent{};  ///< a line for each cell of which the history has no trend
  const PortabilityMatrix* portability = nullptr;
};

[[nodiscard]] std::string write_html(std::span<const SummarizedRun> runs, const HtmlExtras& extras);
/// Renders the portability matrix alone.
[[nodiscard]] std::string write_html(const PortabilityMatrix& portability);

}  // namespace secondsource

#pragma once
// The report of one or several runs as one self-contained page (page.h): the verdict first, then the charts, then every
// cell and what it rests on.

#include <span>
#include <string>

#include "report/chart/chart.h"
#include "report/gate_record.h"
#include "report/portability_record.h"
#include "report/stored_run.h"

namespace secondsource {

struct HtmlExtras {
  const GateReport* gate = nullptr;  ///< a gate's verdict on the runs
  std::span<const Chart> history{};  ///< of their cells over time (history/trend.h)
  const PortabilityMatrix* portability = nullptr;
};

[[nodiscard]] std::string write_html(std::span<const SummarizedRun> runs, const HtmlExtras& extras);
/// The matrix alone.
[[nodiscard]] std::string write_html(const PortabilityMatrix& portability);

}  // namespace secondsource

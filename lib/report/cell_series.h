#pragma once
// What the charts of a run draw beyond its summary: whole distributions and one repetition as it went, taken from the
// samples and thinned to what can be seen. A million timestamps become some hundred numbers.

#include "report/chart/distribution.h"
#include "report/chart/timeline.h"
#include "report/record_json.h"
#include "report/records.h"

namespace secondsource {

/// The steps of one kind, all repetitions together.
struct StepRate {
  std::string kind{};  ///< "prefill", "decode", "mixed"
  double flops_per_byte = 0;
  double flops_per_s = 0;
};

struct CellSeries {
  std::string cell{};                   ///< CellKey::id()
  Distribution ttft_ms{};               ///< scheduled arrival -> first token
  Distribution itl_ms{};                ///< every gap
  std::vector<RequestSpan> timeline{};  ///< the first requests of the first whole repetition
  std::int64_t n_left_out = 0;          ///< its requests that are not in `timeline`
  std::vector<StepRate> step_rates{};   ///< of the kinds whose work is known
};

/// One for each planned cell that has samples, in the order of the plan.
[[nodiscard]] std::vector<CellSeries> cell_series(const RunRecord& record, const Journal& journal);

}  // namespace secondsource

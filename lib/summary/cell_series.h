#pragma once
// The data that the charts of a run need beyond its summary: whole distributions and the timeline of one repetition,
// taken from the samples and thinned to what can be seen. A million timestamps become a few hundred numbers.

#include "record/record_json.h"
#include "record/records.h"
#include "summary/distribution.h"
#include "summary/resident_course.h"

namespace secondsource {

/// The timeline of one request; times in milliseconds from the start of the repetition.
struct RequestSpan {
  std::int32_t request = 0;
  double scheduled_ms = 0;
  double started_ms = 0;  ///< when its first step began
  double first_token_ms = 0;
  double last_token_ms = 0;
};

/// The rates of all steps of one kind, over all repetitions together.
struct StepRate {
  std::string kind{};  ///< "prefill", "decode", "mixed"
  double flops_per_byte = 0;
  double flops_per_s = 0;
};

struct CellSeries {
  std::string cell{};                   ///< CellKey::id()
  Distribution ttft_ms{};               ///< from the scheduled arrival to the first token
  Distribution itl_ms{};                ///< every gap between consecutive tokens
  std::vector<RequestSpan> timeline{};  ///< the first requests of the first complete repetition
  std::int64_t n_left_out = 0;          ///< number of requests of that repetition that are not in `timeline`
  std::vector<StepRate> step_rates{};   ///< for the kinds of steps whose work is known
  ResidentCourse residents{};           ///< scenario `swap`: of its first complete repetition; otherwise empty
};

/// Returns one series for each planned cell that has samples, in the order of the plan.
[[nodiscard]] std::vector<CellSeries> cell_series(const RunRecord& record, const Journal& journal);

}  // namespace secondsource

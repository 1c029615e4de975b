#pragma once
// The course of one repetition: one line per request, from its scheduled arrival to its last token.

#include <cstdint>
#include <span>

#include "report/chart/chart.h"
#include "summary/cell_series.h"

namespace secondsource {

/// `n_left_out` is the number of requests that are not drawn.
[[nodiscard]] Chart timeline_chart(std::string title, std::span<const RequestSpan> spans, std::int64_t n_left_out);

}  // namespace secondsource

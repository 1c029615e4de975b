#pragma once
// One repetition as it went: a line for each request, from the moment it was due to its last token.

#include <cstdint>
#include <span>

#include "report/chart/chart.h"

namespace secondsource {

/// Milliseconds from the start of the repetition.
struct RequestSpan {
  std::int32_t request = 0;
  double scheduled_ms = 0;
  double started_ms = 0;  ///< its first step began
  double first_token_ms = 0;
  double last_token_ms = 0;
};

/// `n_left_out`: requests that are not drawn.
[[nodiscard]] Chart timeline_chart(std::string title, std::span<const RequestSpan> spans, std::int64_t n_left_out);

}  // namespace secondsource

#pragma once
// What a run's tokens were charged, in words.

#include <string>
#include <utility>
#include <vector>

#include "record/run_record.h"

namespace secondsource {

/// The price of a run, and below it what each backend that ran is charged of it, as pairs of a name and a text:
/// {"price", "48 USD/h, --price (2026-11-20)"}, {"charged for vllm", "6 of 48 USD/h (1 of 8 devices)"}. Backends that
/// are charged the same share one line. Empty without a price.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> price_lines(const RunRecord& record);

}  // namespace secondsource

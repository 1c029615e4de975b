#pragma once
// Scenarios as people write them, on the command line and in a plan.

#include <string_view>
#include <vector>

#include "core/result.h"
#include "report/records.h"

namespace secondsource {

/// single-stream; offline (batches of 1, 4, 16 and 64) or offline:16; server:2.5 (Poisson arrivals per second),
/// server:slo-max (the highest rate that keeps the run's SLO), server:trace=FILE (recorded arrivals and lengths). Then
/// modifiers: +gamma=SHAPE or +constant arrivals, +speed=FACTOR of a trace, +prefix=TOKENS that all prompts share,
/// +requests=COUNT of a repetition, +static or +dynamic batching. Behind an @ the lengths, for random prompts instead
/// of the suite's: offline:16@256/32 (prompt/output tokens; of a trace the upper limits); @/64 sets the output alone.
/// What is left out stays 0 and gets its default later. The names of the records, offline-b16 and server-r2.5, are
/// understood too, but for a trace's. Errors: kInvalidInput.
Result<std::vector<Scenario>> parse_scenario(std::string_view text);

}  // namespace secondsource

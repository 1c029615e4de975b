#pragma once
// Parses scenarios as they are written on the command line and in a plan file.

#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/records.h"

namespace secondsource {

/// Parses a scenario: KIND, then modifiers, then lengths.
///
/// KIND is one of
/// - single-stream
/// - offline (batches of 1, 4, 16 and 64) or offline:16
/// - server:2.5 (Poisson arrivals per second)
/// - server:slo-max (the highest rate that keeps the run's SLO)
/// - server:trace=FILE (recorded arrivals and lengths)
/// - swap:24MiB (all bundles of the run take turns under this memory budget)
///
/// Modifiers are +gamma=SHAPE or +constant (arrivals), +speed=FACTOR (of a trace), +prefix=TOKENS (shared by all
/// prompts), +turns=COUNT (of a conversation) and +think=SECONDS or +think=exp:SECONDS (between an answer and the next
/// question), +requests=COUNT (per repetition), and +static or +dynamic (batching). Those of swap are +zipf=EXPONENT or
/// +shares=3:1 (of the requests, by bundle) and +requests=COUNT.
///
/// Lengths follow an @ and select random prompts instead of the suite's: offline:16@256/32 (prompt and output tokens;
/// for a trace, their upper limits). @/64 sets the output length alone.
///
/// Parts that are left out stay 0 and get their defaults later. Scenario names as in records, such as offline-b16 and
/// server-r2.5, are accepted too, except the name of a trace scenario. Errors: kInvalidInput.
Result<std::vector<Scenario>> parse_scenario(std::string_view text);

}  // namespace secondsource

#pragma once
// Plans the scenarios of a run, as far as they are the same for every model. scenario_defaults.h then adapts them to each model.

#include <string>
#include <vector>

#include "core/result.h"
#include "record/records.h"
#include "record/scenario.h"
#include "runner/run_request.h"

namespace secondsource {

/// Reads the scenarios of a request, by default single-stream, offline:16 and server:8, and fills in what they take from other inputs:
/// the SLO, a recorded load, and the bundles that take turns in a mix.
/// Errors: kInvalidInput for a scenario that cannot be measured or that occurs twice; those of reading a trace.
Result<std::vector<Scenario>> plan_scenarios(const RunRequest& request, const std::vector<std::string>& bundle_names);

/// Checks that one of several clients only measures servers that already run, with loads that can be divided.
/// Errors: kInvalidInput.
Result<void> check_client(const RunRequest& request, const std::vector<BackendRecord>& backends,
                          const std::vector<Scenario>& scenarios);

/// Says how many requests of a trace are left out, and how many are sent shorter than they were recorded. Errors: those of reading a
/// trace.
Result<std::vector<std::string>> notes_of_traces(const std::vector<PlannedCell>& cells);

}  // namespace secondsource

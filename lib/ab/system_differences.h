#pragma once
// Lists the known differences between two systems, from the records of their runs: these are what a comparison
// compares.

#include <string>
#include <vector>

#include "record/run_record.h"

namespace secondsource {

/// One line for each difference, as `version: "1.2.3" and "1.2.4"`, the base's value first: the kind of the system, the
/// preset, API, model, version, settings, devices, start command, image and engine, and the drivers of the host. Of two
/// commands only the words that differ are shown. Addresses are compared only for servers that the run does not start.
/// Each run has exactly one system.
[[nodiscard]] std::vector<std::string> system_differences(const RunRecord& base, const RunRecord& candidate);

/// True if the system is the same as in an earlier run of the same side, as far as both records tell. Its address may
/// have changed.
[[nodiscard]] bool is_same_system(const BackendRecord& before, const BackendRecord& now);

}  // namespace secondsource

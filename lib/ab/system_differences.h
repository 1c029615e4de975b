#pragma once
// What is known to differ between two systems, by what their runs say of them: it is what is compared.

#include <string>
#include <vector>

#include "record/run_record.h"

namespace secondsource {

/// One line for each difference, as `version: "1.2.3" and "1.2.4"`, the base's value first: the kind of the system, the
/// preset, API, model, version, settings, devices, how it is started, image and engine, and the drivers of the host.
/// Of two commands only the words between those that they have in common are shown. Addresses count only where a server is not started for the run. Both runs have one system.
[[nodiscard]] std::vector<std::string> system_differences(const RunRecord& base, const RunRecord& candidate);

/// True if a system is the same as in an earlier run of the same side, as far as both say: its address may be another one.
[[nodiscard]] bool is_same_system(const BackendRecord& before, const BackendRecord& now);

}  // namespace secondsource

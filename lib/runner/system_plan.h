#pragma once
// A plan that measures one system alone, as the text of a file: what read_plan_file() reads as the same system again. `ab`
// writes one for each side of a comparison of two systems.

#include <string>

#include "record/run_settings.h"
#include "serving/endpoint.h"

namespace secondsource {

/// The system, with the CPUs, the memory and the deadline of a step that `settings` give it. Where a key is found is
/// repeated as the request says it; the key itself is not.
[[nodiscard]] std::string system_plan_text(const SystemRequest& system, const RunSettings& settings);

/// The same system at the address where something keeps its server up, so that nobody else starts one.
[[nodiscard]] SystemRequest kept_at(SystemRequest system, const std::string& url);

}  // namespace secondsource

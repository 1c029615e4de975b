#pragma once
// A plan that measures a single system, as the text of a file from which read_plan_file() reads the same system again.
// `ab` writes one for each side of a comparison of two systems.

#include <string>

#include "record/run_settings.h"
#include "serving/endpoint.h"

namespace secondsource {

/// The system, with the CPUs, the memory and the step deadline of `settings`. The plan says where an API key is found,
/// as the request does, but does not contain the key.
[[nodiscard]] std::string system_plan_text(const SystemRequest& system, const RunSettings& settings);

/// The same system at the address of a server that is already kept up, so that it is not started again.
[[nodiscard]] SystemRequest kept_at(SystemRequest system, const std::string& url);

}  // namespace secondsource

#pragma once
// Plans the backends of a run: first modules of this program, then servers and adapters.

#include <string>
#include <vector>

#include "core/result.h"
#include "record/records.h"
#include "runner/module_probe.h"
#include "runner/run_request.h"
#include "serving/server_probe.h"

namespace secondsource {

/// The modules that a request names, whose absence is a failure of the run.
[[nodiscard]] std::vector<std::string> named_modules(const RunRequest& request);

/// Describes every backend of the run with its device, its options and its share of the price. If the request names neither modules nor
/// systems, these are all probed modules. A backend that cannot be used is among them, with the reason.
/// Errors: kInvalidInput for a device, a fault or an option of no backend of the run, and for a name that stands for two;
/// kUnavailable when no backend can be used; kIo.
Result<std::vector<BackendRecord>> plan_backends(const RunRequest& request, const ModuleSurvey& modules,
                                                 const std::vector<ProbedSystem>& systems);

}  // namespace secondsource

#pragma once
// Finds out how the servers and adapters of a stored run are reached or started when the run is resumed.

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "record/records.h"
#include "serving/endpoint.h"

namespace secondsource {

/// How the run's servers and adapters are reached again. A run.json may come from anyone, so a command in it is never executed: servers
/// and adapters that the run starts are started as `planned` says, the systems of the plan beside --resume. No record says where an API
/// key is found, so `said` (the --system flags) names it again beside the URL that it belongs to.
/// Errors: kInvalidInput for a system in `said` that the run does not have, and for a command or a key that is missing.
Result<std::vector<SystemRequest>> stored_systems(const RunRecord& record, const std::vector<SystemRequest>& said,
                                                  const std::vector<SystemRequest>& planned);

/// The command line that resumes the run in `folder`, with what stored_systems() needs: a plan that is called PLAN, and the environment
/// variable of a key, which is called VARIABLE.
[[nodiscard]] std::string command_to_resume(const RunRecord& record, const std::filesystem::path& folder);

}  // namespace secondsource

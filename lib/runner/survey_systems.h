#pragma once
// Asks each server and adapter of a run what it is, before anything is measured. Those that this program starts run
// only for this survey and are then stopped, so that they take no resources from earlier measurements.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "runner/managed_server.h"
#include "serving/server_probe.h"
#include "systems/system_job.h"

namespace secondsource {

struct SystemSurvey {
  std::vector<ProbedSystem> probed;
  std::map<std::string, ServerPlan> servers;   ///< of those that this program starts, by name
  std::map<std::string, AdapterJob> adapters;  ///< by name
};

struct SurveyOptions {
  std::vector<std::filesystem::path> bundles;  ///< of the run
  std::filesystem::path run_folder;            ///< logs of servers are kept in it
  std::filesystem::path adapters;              ///< folder of the adapters that come with this program
  ChildLimits limits;                          ///< of servers and adapters that are started
  bool start_servers = true;                   ///< false: only what the request says is known of them
};

/// A system that cannot be reached or started is a result. Errors: kInvalidInput for a key that cannot be read, for an
/// option that an adapter refuses, and for a bundle that is not among those of the run; kInterrupted; kIo.
Result<SystemSurvey> survey_systems(const std::vector<SystemRequest>& requests, const SurveyOptions& options,
                                    Progress& progress, const InterruptFlag& interrupt);

/// The file for what a server or an adapter writes.
[[nodiscard]] std::filesystem::path server_log(const std::filesystem::path& run_folder, const std::string& system);

}  // namespace secondsource

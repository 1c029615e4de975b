#pragma once
// What identifies the measurements of a run: the machine, the program, the modules with their devices, the bundles. It is
// recorded when a run begins, and compared when it goes on.

#include <filesystem>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "record/run_record.h"
#include "runner/module_probe.h"
#include "serving/server_probe.h"

namespace secondsource {

/// Identification of this program, for run.json.
struct ProgramIdentity {
  std::string version;
  std::string commit;
  std::string compiler;
  std::string build_type;
  std::vector<std::string> command;
  std::filesystem::path file;  ///< this executable
};

/// The fingerprint of the host (host/fingerprint.h) and the hash of the program's file. Errors: kIo.
Result<std::vector<HostFact>> host_facts(const std::filesystem::path& program);

/// Checks that everything which identifies a measurement is as it was when the run began: the machine with its limits
/// and this process's CPUs, the program, the modules and their devices, the servers as far as they tell, every file of the
/// bundles, and recorded loads. `systems` are the run's servers as they were probed now.
/// Errors: kNotComparable, naming what differs; kInvalidInput for an environment variable of a worker that the
/// module does not declare; kIo, kInterrupted.
Result<void> check_identity(const RunRecord& record, const ProgramIdentity& program, const ModuleSurvey& modules,
                            Progress& progress, const InterruptFlag& interrupt,
                            const std::vector<ProbedSystem>& systems = {});

}  // namespace secondsource

#pragma once
// From what a person asked for to a RunRecord: every cell spelled out, every input identified by its hash. The record
// alone drives the run (session.h), so a resumed run cannot differ from a new one.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/module.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "report/records.h"
#include "runner/run_settings.h"

namespace secondsource {

/// One of BackendOptions::extra, for one backend.
struct BackendOption {
  std::string backend;
  std::string key;
  std::string value;
};

/// What was asked for, by flags and plan file together. Empty means the default.
struct RunRequest {
  std::vector<std::filesystem::path> bundles;
  std::string suite = "smoke";
  std::vector<std::string> backends;  ///< default: every available module
  std::vector<std::string> required;  ///< must be available
  std::vector<std::string> variants;  ///< default: bf16 and int8, where the bundle has them
  std::vector<std::string> scenarios;
  std::string batching;              ///< of all scenarios; empty: as they say
  std::int32_t n_shared_prefix = 0;  ///< of all scenarios; 0: as they say
  std::optional<Slo> slo;
  std::int32_t repetitions = 3;
  std::uint64_t seed = 1;
  std::vector<std::pair<std::string, std::string>> faults;  ///< backend, fault (backend/fault.h)
  std::vector<BackendOption> backend_options;
  /// Backend, DeviceInfo::id; without a backend's name, of the only one that is named. Default: the first device.
  std::vector<std::pair<std::string, std::string>> devices;
  RunSettings settings;
  std::optional<Price> price;
  bool price_is_per_instance = false;  ///< the price is for all vCPUs or devices of the machine; else for what is used
};

/// What the program knows of itself.
struct ProgramIdentity {
  std::string version;
  std::string commit;
  std::string compiler;
  std::string build_type;
  std::vector<std::string> command;
};

/// One planned cell's expected time, roughly: from the model's size and rates that any machine of today has.
struct CellEstimate {
  std::string cell;
  double seconds = 0;
};

struct RunPlan {
  RunRecord record;
  std::vector<CellEstimate> estimates;  ///< one a cell, golden pass and loading not included
  std::vector<std::string> notes;       ///< what was left out, and why
};

/// Opens the bundles, looks at the modules, and spells out the cells. Writes nothing.
/// Errors: kInvalidInput for what cannot be run; kUnavailable when no backend is there.
Result<RunPlan> make_run_plan(const RunRequest& request, const ProgramIdentity& identity,
                              const std::vector<Module>& modules, Progress& progress, const InterruptFlag& interrupt);

/// The stored run may go on: the bundles and modules that it names are there and have the hashes that it recorded.
/// Errors: kNotComparable, naming what changed; kInvalidInput, kIo.
Result<void> check_resumable(const RunRecord& record, const std::vector<Module>& modules, Progress& progress,
                             const InterruptFlag& interrupt);

}  // namespace secondsource

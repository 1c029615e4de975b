#pragma once
// Turns a request into a RunRecord, in which every cell is spelled out and every input is identified by its hash. The
// record alone drives the run (session.h), so that a resumed run cannot differ from a new one.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "record/records.h"
#include "record/run_settings.h"
#include "runner/module_probe.h"
#include "runner/run_identity.h"
#include "serving/endpoint.h"
#include "serving/server_probe.h"

namespace secondsource {

/// One entry of BackendOptions::extra, for one backend.
struct BackendOption {
  std::string backend;
  std::string key;
  std::string value;
};

/// What the flags and the plan file together ask for. An empty field means the default.
struct RunRequest {
  std::vector<std::filesystem::path> bundles;
  std::string suite = "smoke";
  std::vector<std::string> backends;  ///< default: every available module
  std::vector<std::string> required;  ///< backends that must be available
  std::vector<std::string> variants;  ///< default: a published one, bf16 and int8, where the bundle has them
  std::vector<std::string> scenarios;
  std::optional<Batching> batching;  ///< for all scenarios; nullopt: as each scenario specifies
  std::int32_t n_shared_prefix = 0;  ///< for all scenarios; 0: as each scenario specifies
  std::optional<Slo> slo;
  std::int32_t repetitions = 3;
  std::uint64_t seed = 1;
  std::optional<LoadClient> client{};                       ///< the run is one of several clients of its servers
  std::vector<std::pair<std::string, std::string>> faults;  ///< pairs of a backend and a fault (fault/fault.h)
  std::vector<BackendOption> backend_options;
  /// Pairs of a backend and a DeviceInfo::id. An empty backend stands for the only backend in `backends`. Default: the
  /// first device.
  std::vector<std::pair<std::string, std::string>> devices;
  std::vector<SystemRequest> systems;  ///< servers; with systems and without `backends`, no module runs
  RunSettings settings;
  std::optional<PricedInstance> price;
};

/// The default of RunRequest::variants for a bundle that has the variants `known`.
[[nodiscard]] std::vector<std::string> default_variants(const std::vector<std::string>& known);

/// A rough estimate of one planned cell's time (cell_estimate.h).
struct CellEstimate {
  std::string cell;
  double seconds = 0;
};

struct RunPlan {
  RunRecord record;
  std::vector<CellEstimate> estimates;  ///< one per cell, without golden pass and loading
  std::vector<std::string> notes;       ///< what the plan leaves out, and why
};

/// Opens the bundles, hashes their files and spells out the cells. Without request.backends, all probed modules run.
/// `systems` are request.systems as they were probed.
/// Writes no file. Errors: kInvalidInput for a request that cannot be run and for a damaged bundle; kUnavailable when no
/// backend is available; kIo, kInterrupted.
Result<RunPlan> make_run_plan(const RunRequest& request, const ProgramIdentity& identity, const ModuleSurvey& modules,
                              Progress& progress, const InterruptFlag& interrupt,
                              const std::vector<ProbedSystem>& systems = {});

}  // namespace secondsource

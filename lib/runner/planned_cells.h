#pragma once
// Plans the cells of a run. A cell is one bundle, backend, variant and scenario that are measured together.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/records.h"
#include "record/scenario.h"
#include "runner/cell_estimate.h"
#include "runner/opened_bundle.h"
#include "runner/run_request.h"
#include "serving/server_probe.h"

namespace secondsource {

/// For a larger model, one request takes minutes in the oracle's plain loops.
inline constexpr std::int64_t kOracleLargestModel = 20'000'000;

/// What cells are made of.
struct CellInputs {
  const RunRequest& request;
  const RunSettings& settings;  ///< the request's, with all backends and systems that it names
  const std::vector<OpenedBundle>& bundles;
  const std::vector<BackendRecord>& backends;
  const std::vector<ProbedSystem>& systems;
  const std::vector<Scenario>& scenarios;

  [[nodiscard]] bool is_named(std::string_view backend) const;
  /// The request of a backend that is a server or an adapter; nullptr for a module.
  [[nodiscard]] const SystemRequest* system_of(const BackendRecord& backend) const;
};

struct PlannedCells {
  std::vector<PlannedCell> cells;
  std::vector<CellEstimate> estimates;  ///< one per cell
  std::vector<std::string> notes;       ///< cells that are left out, and why
};

/// The cells of single bundles, in the order bundle, backend, variant, scenario. The cells of the scenario swap, in which all bundles
/// take turns, are those of planned_mix.h.
/// Errors: kInvalidInput for a variant, a suite or a bundle that does not exist, for requests that a model's context cannot hold, and
/// for faulty golden prompts; those of reading a trace.
Result<PlannedCells> plan_cells(const CellInputs& inputs);

/// The number of CPUs or devices that cell_estimate.h assumes for a backend.
[[nodiscard]] double units_of_estimate(const BackendRecord& backend);

}  // namespace secondsource

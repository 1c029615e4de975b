#pragma once
// Turns a request into a RunRecord, in which every cell is spelled out and every input is identified by its hash. The
// record alone drives the run (session.h), so that a resumed run cannot differ from a new one.

#include <string>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "record/records.h"
#include "runner/cell_estimate.h"
#include "runner/module_probe.h"
#include "runner/run_identity.h"
#include "runner/run_request.h"
#include "serving/server_probe.h"

namespace secondsource {

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

#pragma once
// The golden pass of one backend in one variant, in a worker of its own, so that a backend that dies takes no other
// with it: what `secondsource check` runs, without a run directory.

#include <filesystem>

#include "core/interrupt.h"
#include "core/result.h"
#include "record/golden_record.h"
#include "record/run_settings.h"
#include "runner/worker_client.h"
#include "systems/system_job.h"

namespace secondsource {

/// The verdict, or how the worker failed.
struct GoldenCheck {
  GoldenRecord record;
  WorkerOutcome failure;
};

/// Runs `job`, whose program, bundle, variant, backend, options and suite are set; of the settings it takes threads,
/// CPUs, memory and the deadline of a step. Errors: kIo, kInvalidInput, kInterrupted.
Result<GoldenCheck> run_golden_check(SystemJob job, const RunSettings& settings, const InterruptFlag& interrupt);

}  // namespace secondsource

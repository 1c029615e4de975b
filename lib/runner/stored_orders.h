#pragma once
// What a stored run.json orders when its run goes on. It may come from anyone, and gets no more than the command line
// would.

#include <filesystem>

#include "core/result.h"
#include "record/run_record.h"

namespace secondsource {

/// Checks the orders before anything is done by them: numbers are in the ranges of the flags, each cell is consistent,
/// the run directory has no links or special files through which a write would go elsewhere, and the trace file is
/// inside it or is `confirmed_trace`, which a person gave on this command line. Environment variables of workers are
/// checked by check_identity() (run_identity.h), which knows what the modules declare. Errors: kInvalidInput; kIo.
Result<void> check_orders(const RunRecord& record, const std::filesystem::path& folder,
                          const std::filesystem::path& confirmed_trace);

}  // namespace secondsource

#pragma once
// Checks what a stored run.json may cause when its run is resumed. The file is untrusted, and may do no more than the
// command line could.

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

#pragma once
// Checks that stored runs are the clients of one load: they measured the same cells of the same bundles with the same
// program, against the same servers, and each client occurs once. The machines that sent the requests may differ.

#include <span>

#include "core/result.h"
#include "record/record_json.h"

namespace secondsource {

/// Errors: kInvalidInput, naming the two folders and what differs; also for a load that clients cannot share
/// (single-stream, swap, a search for a rate, recorded arrivals) and for systems that are not servers.
Result<void> check_same_plan(std::span<const StoredRun> runs);

}  // namespace secondsource

#pragma once
// Whether stored runs are the clients of one load: they measured the same cells of the same bundles with the same program, against
// the same servers, and each of the clients is there once. The machines that sent the requests may differ.

#include <span>

#include "core/result.h"
#include "record/record_json.h"

namespace secondsource {

/// Errors: kInvalidInput, naming the two folders and what differs; so for a load that clients cannot share (single-stream, swap, a
/// search for a rate, recorded arrivals) and for systems that are no servers.
Result<void> check_same_plan(std::span<const StoredRun> runs);

}  // namespace secondsource

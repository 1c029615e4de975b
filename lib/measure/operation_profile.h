#pragma once
// Where the time of a request goes, by kind of operation and shape, from steps that the backend traced. Traced steps
// are other steps than those that are timed for results: this explains figures, it does not make them. Times are
// typical ones, the median call times the number of calls, so that a moment in which something else ran does not look
// like an operation.

#include <cstdint>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "engine/model_session.h"
#include "report/records.h"

namespace secondsource {

/// All calls of one operation in one shape by one kernel, over the requests of a profile.
struct ProfiledOperation {
  std::string phase;  ///< "prefill": steps with prompt tokens; "decode": the others
  std::string operation;
  std::string shape;   ///< "128 x 1024 -> 3072"
  std::string kernel;  ///< as the backend names it
  std::int64_t n_calls = 0;
  std::int64_t ns = 0;  ///< n_calls x the median call
};

struct OperationProfile {
  std::int64_t n_requests = 0;
  std::int64_t prefill_ns = 0;  ///< whole steps, the host's part included: their number x the median step
  std::int64_t decode_ns = 0;
  std::vector<ProfiledOperation> operations;  ///< the longest first
};

struct ProfilePlan {
  Scenario scenario{};  ///< its batch and lengths; the prompts are random ids
  std::uint64_t seed = 1;
  std::int64_t budget_ns = 1'000'000'000;  ///< batches are run until it is used up, at least two
  std::int64_t step_deadline_ns = 120'000'000'000;
};

/// Errors: kUnsupported when the backend does not time the groups of a traced step; what the engine returns.
Result<OperationProfile> profile_operations(ModelSession& session, const ProfilePlan& plan, Progress& progress);

}  // namespace secondsource

#pragma once
// Where the time of a request goes, by kind of operation and shape, by layer, and outside of all operations, from steps
// that the backend traced. Traced steps are other steps than those that are timed for results: this explains figures,
// it does not make them. Times are typical ones, the median call times the number of calls, so that a moment in which
// something else ran does not look like an operation.

#include <cstdint>
#include <functional>
#include <optional>
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
  std::int64_t ns = 0;                   ///< n_calls x the median call
  double flops = 0;                      ///< of all calls, as lib/engine/op_work.h counts them
  double bytes_read = 0;                 ///< weights and cache, of all calls
  std::optional<LimitShare> of_limit{};  ///< nullopt without such work, or without limits
};

/// One layer, or what comes before and after the layers.
struct ProfiledLayer {
  std::string phase;
  std::string layer;    ///< "layers.3", "embedding", "head": the label up to the layer's number
  std::int64_t ns = 0;  ///< its operations' median calls, over the steps
};

/// Time of a step in which no operation of the model runs.
struct ProfiledGap {
  std::string phase;
  /// "assemble the batch", "submit and wait", "copies to and from the device" where it has memory of its own, "between
  /// operations", "results to events", "text".
  std::string part;
  std::int64_t ns = 0;
};

struct OperationProfile {
  std::int64_t n_requests = 0;
  std::int64_t prefill_ns = 0;  ///< whole steps, the host's part included: their number x the median step
  std::int64_t decode_ns = 0;
  std::vector<ProfiledOperation> operations;  ///< the longest first
  std::vector<ProfiledLayer> layers;          ///< in the order of the model, prefill before decode
  std::vector<ProfiledGap> gaps;              ///< in the order of a step, prefill before decode
  std::optional<RunLimits> limits;            ///< that the operations are held against
};

/// What the engine itself costs in decode steps: the gaps and the operation `sample`, as a fraction of decode_ns.
[[nodiscard]] double engine_share_of_decode(const OperationProfile& profile);

struct ProfilePlan {
  Scenario scenario{};  ///< its batch and lengths; the prompts are random ids
  std::uint64_t seed = 1;
  std::int64_t budget_ns = 1'000'000'000;  ///< batches are run until it is used up, at least two
  std::int64_t step_deadline_ns = 120'000'000'000;
  std::optional<RunLimits> limits{};  ///< of the machine, for a backend that runs on it
  /// What is done with each token that comes out, such as turning it into text; timed as the gap "text". May be empty.
  std::function<void(std::int32_t id)> on_token{};
};

/// Errors: kUnsupported when the backend does not time the groups of a traced step; what the engine returns.
Result<OperationProfile> profile_operations(ModelSession& session, const ProfilePlan& plan, Progress& progress);

}  // namespace secondsource

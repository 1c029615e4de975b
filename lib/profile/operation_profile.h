#pragma once
// Shows how the time of a request is distributed over operations and shapes, over layers, and over the gaps outside of
// all operations, from steps that the backend traced. Traced steps are separate from those that are timed for results:
// this explains figures but does not produce them. Times are typical ones, the median call times the number of calls,
// so that a disturbance by other processes does not look like an operation.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/model_session.h"
#include "record/records.h"

namespace secondsource {

/// All calls of one operation with one shape by one kernel, over the requests of a profile.
struct ProfiledOperation {
  std::string phase;  ///< "prefill" for steps with prompt tokens, "decode" for all others
  std::string operation;
  std::string shape;   ///< "128 x 1024 -> 3072"
  std::string kernel;  ///< as the backend names it
  std::int64_t n_calls = 0;
  std::int64_t ns = 0;                   ///< n_calls x the median call
  double flops = 0;                      ///< work of all calls, as lib/engine/op_work.h counts it
  double bytes_read = 0;                 ///< weights and cache read by all calls
  std::optional<LimitShare> of_limit{};  ///< nullopt if no such work is counted or the limits are not known
};

/// One layer, or the part before or after the layers.
struct ProfiledLayer {
  std::string phase;
  std::string layer;    ///< "layers.3", "embedding", "head": the label up to the layer's number
  std::int64_t ns = 0;  ///< sum over its operations of the median call times the number of steps
};

/// Time in steps during which no operation of the model runs.
struct ProfiledGap {
  std::string phase;
  /// "assemble the batch", "submit and wait", "copies to and from the device" (for a device with its own memory),
  /// "between operations", "results to events", "text".
  std::string part;
  std::int64_t ns = 0;
};

struct OperationProfile {
  std::int64_t n_requests = 0;
  std::int64_t prefill_ns = 0;  ///< whole steps with the host's part: number of steps x median step
  std::int64_t decode_ns = 0;
  std::vector<ProfiledOperation> operations;  ///< the longest first
  std::vector<ProfiledLayer> layers;          ///< in the order of the model, prefill before decode
  std::vector<ProfiledGap> gaps;              ///< in the order of a step, prefill before decode
  std::optional<MachineLimits> limits;        ///< that the operations are held against
};

/// The engine's own share of decode steps: the gaps and the operation `sample`, as a fraction of decode_ns.
[[nodiscard]] double engine_share_of_decode(const OperationProfile& profile);

struct ProfilePlan {
  Scenario scenario{};  ///< gives the batch and the lengths; the prompts are random ids
  std::uint64_t seed = 1;
  std::int64_t budget_ns = 1'000'000'000;  ///< batches are run until this time is used up, but at least two
  std::int64_t step_deadline_ns = 120'000'000'000;
  std::optional<MachineLimits> limits{};  ///< of the machine, or of the backend's own device
  /// What is done with each token that comes out, such as turning it into text; timed as the gap "text". May be empty.
  std::function<void(std::int32_t id)> on_token{};
  const InterruptFlag* interrupt = nullptr;  ///< checked before each step of the engine; may be nullptr
};

/// Profiles the operations of the session's model. Errors: kUnsupported if the backend does not time the groups of a
/// traced step; the errors of the engine; kInterrupted.
Result<OperationProfile> profile_operations(ModelSession& session, const ProfilePlan& plan, Progress& progress);

}  // namespace secondsource

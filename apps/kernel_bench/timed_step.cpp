#include "timed_step.h"

#include <algorithm>

#include "backend/op_access.h"

namespace secondsource::kernel_bench {
namespace {

/// The graph of the first `n_ops` operations, with the values that they use.
StepGraph first_operations(const StepGraph& graph, std::int32_t n_ops) {
  StepGraph first = graph;
  first.ops.resize(static_cast<std::size_t>(n_ops));
  first.labels.resize(static_cast<std::size_t>(n_ops));
  std::size_t n_values = 0;
  for (const Op& op : first.ops) {
    for (const ValueId written : op_access(op).writes) {
      n_values = std::max(n_values, static_cast<std::size_t>(index_of(written)) + 1);
    }
  }
  first.values.resize(n_values);
  return first;
}

}  // namespace

Result<TimedStep> TimedStep::prepare(Backend& backend, const StepGraph& graph, std::int32_t first_op, OwnedBatch batch,
                                     KvPoolId pool) {
  TimedStep timed(backend, first_op, std::move(batch));
  const bool is_host = backend.device().is_host;
  SS_TRY(timed.step_,
         backend.compile(graph, timed.batch_.bucket(), pool, is_host ? GroupTiming::kOn : GroupTiming::kOff));
  if (!is_host) {
    SS_TRY(timed.inputs_,
           backend.compile(first_operations(graph, first_op), timed.batch_.bucket(), pool, GroupTiming::kOff));
  }
  return timed;
}

Result<std::int64_t> TimedStep::run() {
  if (inputs_ == nullptr) {
    SS_TRY(const StepResult result, run_step(*backend_, *step_, batch_));
    return time_of_operations(*step_, result, first_op_);
  }
  SS_TRY(const StepResult inputs, run_step(*backend_, *inputs_, batch_));
  SS_TRY(const StepResult all, run_step(*backend_, *step_, batch_));
  if (all.device_ns > inputs.device_ns) return all.device_ns - inputs.device_ns;
  return Error{ErrorCode::kUnsupported, "the device's clock does not tell the operations from their inputs"};
}

}  // namespace secondsource::kernel_bench

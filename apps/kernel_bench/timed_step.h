#pragma once
// Times the operations of a step that is run repeatedly.

#include <memory>
#include <string>

#include "backend/backend.h"
#include "harness_support.h"

namespace secondsource::kernel_bench {

/// A compiled step and the batch that it is repeated on. On a host, operations are timed by the groups of a traced
/// step. On a device, the whole step is timed, because its driver replays it as one graph, as it does a model's steps;
/// kernels that are launched one by one would have gaps of microseconds between them. The operations that make the
/// inputs also form a step of their own, whose time is subtracted.
class TimedStep {
 public:
  /// `first_op`: the first timed operation; those before it make its inputs. The backend must outlive the result.
  /// Errors: those of compile().
  static Result<TimedStep> prepare(Backend& backend, const StepGraph& graph, std::int32_t first_op, OwnedBatch batch,
                                   KvPoolId pool);
  /// Runs the step; returns nanoseconds of the timed operations, whose values step() has afterwards. Errors: those of
  /// submit() and wait(); kUnsupported where the backend cannot time them.
  Result<std::int64_t> run();
  [[nodiscard]] const Step& step() const { return *step_; }
  /// Names of the timed operations' kernels, each once.
  [[nodiscard]] std::string kernels() const { return kernels_of(*step_, first_op_); }

 private:
  TimedStep(Backend& backend, std::int32_t first_op, OwnedBatch batch)
      : backend_(&backend), first_op_(first_op), batch_(std::move(batch)) {}

  Backend* backend_;
  std::int32_t first_op_;
  OwnedBatch batch_;
  std::unique_ptr<Step> step_;
  std::unique_ptr<Step> inputs_;  ///< on a device: the operations before first_op_
};

}  // namespace secondsource::kernel_bench

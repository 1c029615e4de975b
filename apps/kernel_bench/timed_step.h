#pragma once
// What the operations of a step cost, run again and again.

#include <memory>
#include <string>

#include "backend/backend.h"
#include "harness_support.h"

namespace secondsource::kernel_bench {

/// A compiled step and the batch that it is repeated on. On a host, operations are timed by the groups of a traced
/// step. On a device, a step is one piece of work to its driver, and that is what is timed: between kernels that are
/// launched one by one lie gaps of microseconds, which no model has. What makes the inputs is a step of its own, whose
/// time is subtracted.
class TimedStep {
 public:
  /// `first_op`: the first operation that counts; those before it make its inputs. The backend outlives the step.
  /// Errors: those of compile().
  static Result<TimedStep> prepare(Backend& backend, const StepGraph& graph, std::int32_t first_op, OwnedBatch batch,
                                   KvPoolId pool);
  /// Nanoseconds of the operations that count. Afterwards step() has their values. Errors: those of submit() and
  /// wait(); kUnsupported where the backend has no clock for them.
  Result<std::int64_t> run();
  [[nodiscard]] const Step& step() const { return *step_; }
  /// Kernels of the operations that count, each once.
  [[nodiscard]] std::string kernels() const { return kernels_of(*step_, first_op_); }

 private:
  TimedStep(Backend& backend, std::int32_t first_op, OwnedBatch batch)
      : backend_(&backend), first_op_(first_op), batch_(std::move(batch)) {}

  Backend* backend_;
  std::int32_t first_op_;
  OwnedBatch batch_;
  std::unique_ptr<Step> step_;
  std::unique_ptr<Step> inputs_;  ///< on a device: the operations before first_op_ alone
};

}  // namespace secondsource::kernel_bench

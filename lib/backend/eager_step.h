#pragma once
// The plain way to be a backend on the host: one call an operation, over f32 matrices in host memory. EagerStep plans
// the workspace, resolves row counts, reads the batch, times groups, samples, and calls HostKernels for the arithmetic.
// A backend that fuses writes its own Step instead.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "core/matrix_view.h"

namespace secondsource {

/// What one operation may see of the step it runs in.
struct HostFrame {
  const StepGraph& graph;
  const Batch& batch;
  KvPoolId pool;
  std::span<const std::int32_t> token_ids;  ///< [T]; Batch::token_ids with -1 replaced by the last sampled ids
  std::span<float* const> values;           ///< one base pointer a value; i32 values are stored in the same bytes
  std::span<const std::int32_t> rows;       ///< rows of each value in this step

  /// The value as a matrix [rows, cols].
  [[nodiscard]] MatrixView<float> value(ValueId id) const;
  [[nodiscard]] MatrixView<std::int32_t> value_i32(ValueId id) const;
};

/// The arithmetic of a host backend. Each call completes before it returns. SelectRows and Sample are done by
/// EagerStep.
class HostKernels {
 public:
  virtual ~HostKernels() = default;
  virtual Result<void> run(const Embed& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const RmsNorm& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const Matmul& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const RopeAppend& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const Attention& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const Route& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const GroupedMatmul& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const AllReduce& op, const HostFrame& frame) = 0;
  /// The kernel that will run this operation, and why it is a slower one, if it is.
  [[nodiscard]] virtual OpGroup describe(const Op& op, std::int32_t op_index, const Bucket& bucket) const = 0;
};

/// Results of submitted steps until wait() takes them; one per backend, shared by its Steps.
class EagerQueue {
 public:
  explicit EagerQueue(std::int32_t n_seq_slots) : last_sampled_(static_cast<std::size_t>(n_seq_slots), -1) {}
  /// Keeps a finished step's result (or its failure, which poisons) and gives it a ticket.
  Ticket push(Result<StepResult> result);
  /// kDeviceLost with the first cause once anything failed or a deadline passed.
  Result<StepResult> take(Ticket ticket, Deadline deadline);
  [[nodiscard]] Result<void> healthy() const;
  [[nodiscard]] std::span<std::int32_t> last_sampled() { return last_sampled_; }

 private:
  struct Pending {
    Ticket ticket;
    Result<StepResult> result;
  };
  std::vector<Pending> pending_;
  std::vector<std::int32_t> last_sampled_;
  std::optional<Error> poisoned_;
  std::int64_t next_ticket_ = 1;
};

/// Checks the graph's structure (ids in range, shapes agree, values written before they are read). Errors:
/// kInvalidInput, naming the operation's label.
Result<void> check_graph(const StepGraph& graph);

/// A Step that runs the graph's operations one after the other through `kernels`; both must outlive it.
Result<std::unique_ptr<Step>> make_eager_step(const StepGraph& graph, const Bucket& bucket, KvPoolId pool, Trace trace,
                                              HostKernels& kernels, EagerQueue& queue);

}  // namespace secondsource

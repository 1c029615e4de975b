#pragma once
// The plain way to be a backend on the host: one call an operation, over f32 matrices in host memory. EagerStep plans
// the workspace, resolves row counts, reads the batch, times groups, samples, and calls HostKernels for the arithmetic.
// A backend that fuses writes its own Step instead.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/check_graph.h"
#include "backend/for_each.h"
#include "backend/host_memory.h"
#include "backend/poison.h"
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
  /// How EagerStep's own loops run (backend/for_each.h): on the caller, unless a backend has threads.
  virtual void for_each(std::int64_t n, const std::function<void(std::int64_t)>& body) { for_each_on_caller(n, body); }
  /// The kernel that runs this operation with `n_rows` rows, and why it is a slower one, if it is. Called for the
  /// operations that reach run(): by make_eager_step() with the most rows of the bucket, and in a traced step again for
  /// a batch of other rows.
  [[nodiscard]] virtual OpGroup describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const = 0;
};

/// Results of submitted steps until wait() takes them, the workspace that all Steps of a backend share, and the cause
/// once the backend is poisoned. One per backend; not for several threads. Must outlive the Steps.
class EagerQueue {
 public:
  static constexpr std::size_t kMaxInFlight = 2;

  /// `account` counts the workspace; without one it is counted nowhere.
  explicit EagerQueue(std::int32_t n_seq_slots, MemoryAccount* account = nullptr);
  /// Keeps a finished step's result (or its failure, which poisons) and gives it a ticket.
  Ticket push(Result<StepResult> result);
  /// The first failure comes back as it is; once anything failed or a deadline passed, kDeviceLost with the first
  /// cause.
  Result<StepResult> take(Ticket ticket, Deadline deadline);
  [[nodiscard]] Result<void> healthy() const { return poison_.healthy(); }
  Error fail(Error error) { return poison_.fail(std::move(error)); }
  [[nodiscard]] bool is_full() const { return pending_.size() >= kMaxInFlight; }
  /// The id last sampled for each device slot; -1 before the first.
  [[nodiscard]] std::span<std::int32_t> last_sampled() { return last_sampled_; }

  /// Grows the shared workspace; pointers into it from before are invalid. Errors: kOutOfMemory.
  Result<void> reserve_workspace(std::size_t bytes);
  [[nodiscard]] std::byte* workspace() const { return workspace_.data(); }
  /// Which Step's values are in the workspace now.
  void set_workspace_owner(const Step* step) { workspace_owner_ = step; }
  [[nodiscard]] const Step* workspace_owner() const { return workspace_owner_; }

 private:
  struct Pending {
    Ticket ticket;
    Result<StepResult> result;
    std::int64_t finished_at_ns;
  };
  std::vector<Pending> pending_;
  std::vector<std::int32_t> last_sampled_;
  Poison poison_;
  std::int64_t next_ticket_ = 1;
  MemoryAccount own_account_;
  MemoryAccount* account_;
  HostBuffer workspace_;
  const Step* workspace_owner_ = nullptr;
};

/// Debugging aids of an eager step.
struct EagerOptions {
  /// Nothing in the workspace is reused, and every byte past a value's rows is checked after each operation: a kernel
  /// that writes outside its output fails the step with kInternal and its name. Slow.
  bool guards = false;
};

/// A Step that runs the graph's operations one after the other through `kernels`; both must outlive it. The graph is
/// checked (check_graph), not its weights: the backend knows those.
Result<std::unique_ptr<Step>> make_eager_step(const StepGraph& graph, const Bucket& bucket, KvPoolId pool, Trace trace,
                                              HostKernels& kernels, EagerQueue& queue, EagerOptions options = {});

}  // namespace secondsource

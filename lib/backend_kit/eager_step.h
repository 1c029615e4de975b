#pragma once
// The simplest way to implement a host backend: one call per operation, on f32 matrices in host memory. EagerStep plans
// the workspace, resolves row counts, reads the batch, times groups, samples, and calls HostKernels for the arithmetic.
// A backend that fuses operations writes its own Step instead.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/check_graph.h"
#include "backend_kit/for_each.h"
#include "backend_kit/host_memory.h"
#include "backend_kit/poison.h"
#include "core/matrix_view.h"

namespace secondsource {

/// The data of the running step that an operation may use.
struct HostFrame {
  const StepGraph& graph;
  const Batch& batch;
  KvPoolId pool;
  std::span<const std::int32_t> token_ids;  ///< [T]; Batch::token_ids with -1 replaced by the last sampled ids
  std::span<float* const> values;           ///< one base pointer per value; i32 values are stored in the same bytes
  std::span<const std::int32_t> rows;       ///< number of rows of each value in this step

  /// The value as a matrix [rows, cols].
  [[nodiscard]] MatrixView<float> value(ValueId id) const;
  [[nodiscard]] MatrixView<std::int32_t> value_i32(ValueId id) const;
  [[nodiscard]] std::span<const std::int32_t> columns(ColumnListId id) const;
};

/// The arithmetic of a host backend. Each call completes before it returns. EagerStep itself runs SelectRows and
/// Sample.
class HostKernels {
 public:
  virtual ~HostKernels() = default;
  virtual Result<void> run(const Embed& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const RmsNorm& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const Matmul& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const RopeAppend& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const LatentAppend& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const HeadMatmul& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const Attention& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const SelectColumns& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const Route& op, const HostFrame& frame) = 0;
  virtual Result<void> run(const GroupedMatmul& op, const HostFrame& frame) = 0;
  /// Runs the loops of EagerStep itself (backend_kit/for_each.h): on the calling thread, unless a backend overrides it
  /// with threads of its own.
  virtual void for_each(std::int64_t n, const std::function<void(std::int64_t)>& body) { for_each_on_caller(n, body); }
  /// The kernel that runs this operation with `n_rows` rows and, if it is a slower one, the reason. Called for the
  /// operations that reach run(): by make_eager_step() with the most rows of the bucket, and in a traced step again for
  /// a batch with other row counts.
  [[nodiscard]] virtual OpGroup describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const = 0;
};

/// Holds the results of submitted steps until wait() takes them, the workspace that all Steps of a backend share, and
/// the first cause of failure once the backend is poisoned. One per backend; not thread-safe. Must outlive the Steps.
class EagerQueue {
 public:
  static constexpr std::size_t kMaxInFlight = 2;

  /// `account` counts the workspace; if it is null, a private account does.
  explicit EagerQueue(std::int32_t n_seq_slots, MemoryAccount* account = nullptr);
  /// Keeps the result of a finished step (or its failure, which poisons the backend) and returns a ticket for it.
  Ticket push(Result<StepResult> result);
  /// Returns the result of a step. The first failure is returned unchanged; after any failure or a passed deadline,
  /// every call returns kDeviceLost with the first cause.
  Result<StepResult> take(Ticket ticket, Deadline deadline);
  [[nodiscard]] Result<void> healthy() const { return poison_.healthy(); }
  Error fail(Error error) { return poison_.fail(std::move(error)); }
  [[nodiscard]] bool is_full() const { return pending_.size() >= kMaxInFlight; }
  /// The id last sampled for each device slot; -1 before the first one.
  [[nodiscard]] std::span<std::int32_t> last_sampled() { return last_sampled_; }

  /// Grows the shared workspace, which invalidates all pointers into it. Errors: kOutOfMemory.
  Result<void> reserve_workspace(std::size_t bytes);
  [[nodiscard]] std::byte* workspace() const { return workspace_.data(); }
  /// The Step whose values are in the workspace.
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
  /// No workspace memory is reused, and every byte past the rows of a value is checked after each operation. A kernel
  /// that writes outside its output fails the step with kInternal and the label of the operation. Slow.
  bool guards = false;
};

/// A Step that runs the operations of the graph one after the other through `kernels`. `kernels` and `queue` must
/// outlive it. Checks the graph (check_graph) but not its weights, which only the backend can look up.
Result<std::unique_ptr<Step>> make_eager_step(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                              GroupTiming group_timing, HostKernels& kernels, EagerQueue& queue,
                                              EagerOptions options = {});

}  // namespace secondsource

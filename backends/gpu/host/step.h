#pragma once
// One compiled forward pass. GpuStep puts together what the other step_*.h, flights.h and sample_results.h own: it sends a
// batch to the device, launches its operations or replays their graph, and gets the sampled tokens back, without waiting.

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "gpu/host/flights.h"
#include "gpu/host/step_graphs.h"
#include "gpu/host/step_launches.h"

namespace secondsource::gpu {

/// Tables of the graph in device memory.
struct StepTables {
  std::vector<std::shared_ptr<DeviceBuffer>> inv_freqs;     ///< one per rope
  std::vector<std::shared_ptr<DeviceBuffer>> column_lists;  ///< one per list of columns
};

class GpuStep final : public Step {
 public:
  /// The graph was checked. Everything given must outlive the step. Errors: kUnsupported, kOutOfMemory, kDeviceLost.
  static Result<std::unique_ptr<GpuStep>> create(Shared& shared, const Weights& weights, const KvPool& pool,
                                                 StepTables tables, const StepGraph& graph, const Bucket& bucket,
                                                 GroupTiming group_timing);
  ~GpuStep() override;
  GpuStep(const GpuStep&) = delete;
  GpuStep& operator=(const GpuStep&) = delete;

  [[nodiscard]] std::size_t workspace_bytes() const override { return workspace_bytes_; }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return groups_; }
  Result<void> make_ready() override;
  Result<Ticket> submit(const Batch& batch) override;
  Result<std::vector<float>> read_value(ValueId id) const override;

  /// Waits for a ticket of this step. Errors: kDeadline, kDeviceLost.
  Result<StepResult> finish(Ticket ticket, Deadline deadline);
  [[nodiscard]] bool has(Ticket ticket) const { return flights_.has(ticket); }

 private:
  GpuStep(Shared& shared, const Weights& weights, const KvPool& pool, const StepGraph& graph, const Bucket& bucket,
          GroupTiming group_timing);
  Result<void> set_up(StepTables tables);
  /// Collects the limits that the graph's operations set for batches, and chooses the kernel of each operation.
  Result<void> plan_ops();
  /// Whether this operation is a product that normalizes its x in the same kernel, so that the norm before it is no launch.
  [[nodiscard]] bool normalizes_itself(std::size_t op) const;
  [[nodiscard]] DecodeSplitPlan plan_decode_splits() const;
  /// Allocates the counters by which blocks find out that they are the last: zeros, as many as any operation needs. Each leaves zeros.
  Result<void> create_block_counters();
  /// The most bytes of scratch that an operation takes.
  [[nodiscard]] std::size_t plan_scratch() const;
  /// Binds the launches of all operations to the workspace where it is now, and drops the graphs of the old place.
  void bind();
  [[nodiscard]] bool uses_graphs() const { return shared_.options.use_graphs && group_timing_ == GroupTiming::kOff; }
  Result<void> capture(const BatchUpload::Work& work);
  Result<void> run(const BatchUpload::Work& work, Flight& flight);
  /// `after_group`: events to record after each operation; empty: none.
  Result<void> launch_all(const BatchUpload::Work& work, std::span<const std::unique_ptr<Event>> after_group);
  Result<void> wait_until_done(const Flight& flight, Ticket ticket, Deadline deadline);
  Result<StepResult> collect(const Flight& flight);
  /// Fails if a byte outside of the values' own rows was written. Only with the option `guards`.
  Result<void> check_guards(const Flight& flight) const;

  Shared& shared_;
  const Weights& weights_;
  const KvPool& pool_;
  const StepGraph graph_;
  const Bucket bucket_;
  const GroupTiming group_timing_;
  StepTables tables_;

  // The plan, fixed by set_up().
  StepValues values_;
  StepProducts products_;
  BatchLimits limits_;
  const Sample* sample_ = nullptr;  ///< the graph's Sample operation, or null
  std::vector<OpGroup> groups_;
  PrefillBy prefill_ = PrefillBy::kWarps;
  std::optional<DecodeBlocks> fewest_decode_blocks_;  ///< of the graph's attention operations; empty if it has none
  std::int32_t most_blocks_per_split_ = 0;
  std::int32_t most_block_counters_ = 0;  ///< of an operation other than attention
  std::size_t workspace_bytes_ = 0;

  // What batches pass through.
  BatchUpload upload_;
  DeviceBuffer block_counters_;  ///< n_arrived of AttentionArguments, RouteArguments and MatmulArguments
  SampleResults samples_;
  Flights flights_;
  std::array<std::int32_t, 3> last_rows_{};  ///< rows of the last submitted batch, indexed by Rows

  // Bound to the workspace of generation bound_generation_.
  std::vector<StepLaunch> launches_;  ///< one per group
  StepGraphs graphs_;
  std::uint64_t bound_generation_ = 0;
};

}  // namespace secondsource::gpu

#pragma once
// The operations that treat each token separately: embedding, RMSNorm, a choice of columns, and RoPE with the append to the cache.

#include <cstdint>
#include <vector>

#include "backend_kit/eager_step.h"
#include "cpu/kv_pool.h"
#include "cpu/packed_weight.h"
#include "cpu/scratch.h"
#include "cpu/thread_pool.h"

namespace secondsource::cpu {

/// Runs Embed, RmsNorm, SelectColumns, RopeAppend and LatentAppend operations.
class RowOpRunner {
 public:
  /// All arguments must outlive this object.
  RowOpRunner(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights, const Scratch& scratch)
      : table_(table), pool_(pool), weights_(weights), scratch_(scratch) {}

  [[nodiscard]] static ScratchNeed scratch_need(const RopeAppend& op, const Bucket& bucket);
  [[nodiscard]] static ScratchNeed scratch_need(const LatentAppend& op, const Bucket& bucket);
  /// To be called when the scratch memory may have moved: the rotations in it are computed anew. Afterwards no step of up to `max_tokens`
  /// tokens allocates memory for positions.
  void forget_rotations(std::int32_t max_tokens);

  /// Errors: kInvalidInput for a token that is not in the table.
  Result<void> run(const Embed& op, const HostFrame& frame);
  void run(const RmsNorm& op, const HostFrame& frame);
  void run(const SelectColumns& op, const HostFrame& frame);
  /// Errors: kInvalidInput for a slot that is not in the cache.
  Result<void> run(const RopeAppend& op, const HostFrame& frame, KvPool& cache);
  Result<void> run(const LatentAppend& op, const HostFrame& frame, KvPool& cache);

 private:
  void update_rotations(const RopeSpec& rope, std::span<const std::int32_t> positions);
  void enlarge_queries(const QueryGrowth& growth, std::int32_t position, std::span<float> queries) const;

  const KernelTable& table_;
  ThreadPool& pool_;
  const PackedWeights& weights_;
  const Scratch& scratch_;
  // All layers of a step use the same rotations. Those in scratch_.rotations() belong to these positions and this rope.
  std::vector<std::int32_t> rotated_positions_;
  RopeSpec rotated_rope_;
};

}  // namespace secondsource::cpu

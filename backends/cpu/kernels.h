#pragma once
// The arithmetic of the cpu backend: hands each operation of a step to the runner of its kind.

#include <functional>
#include <string>
#include <vector>

#include "backend_kit/eager_step.h"
#include "cpu/attention.h"
#include "cpu/kv_pool.h"
#include "cpu/matmul.h"
#include "cpu/mixture.h"
#include "cpu/packed_weight.h"
#include "cpu/row_ops.h"
#include "cpu/scratch.h"
#include "cpu/thread_pool.h"

namespace secondsource::cpu {

class CpuKernels final : public HostKernels {
 public:
  /// All arguments must outlive this object.
  CpuKernels(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights, std::vector<KvPool>& kv_pools,
             MemoryAccount& account);

  /// Reserves memory for a step of this graph over this cache. Errors: kOutOfMemory.
  Result<void> reserve(const StepGraph& graph, const Bucket& bucket, const KvPool& kv_pool);

  Result<void> run(const Embed& op, const HostFrame& frame) override;
  Result<void> run(const RmsNorm& op, const HostFrame& frame) override;
  Result<void> run(const Matmul& op, const HostFrame& frame) override;
  Result<void> run(const RopeAppend& op, const HostFrame& frame) override;
  Result<void> run(const LatentAppend& op, const HostFrame& frame) override;
  Result<void> run(const HeadMatmul& op, const HostFrame& frame) override;
  Result<void> run(const Attention& op, const HostFrame& frame) override;
  Result<void> run(const SelectColumns& op, const HostFrame& frame) override;
  Result<void> run(const Route& op, const HostFrame& frame) override;
  Result<void> run(const GroupedMatmul& op, const HostFrame& frame) override;
  void for_each(std::int64_t n, const std::function<void(std::int64_t)>& body) override;
  [[nodiscard]] OpGroup describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const override;

 private:
  [[nodiscard]] KvPool& kv_pool(const HostFrame& frame) const;
  /// The scratch memory that one operation needs. For a Route this also stores the tiles of the router in f32. Errors: kOutOfMemory.
  Result<ScratchNeed> scratch_need(const Op& op, const StepGraph& graph, const Bucket& bucket, const KvPool& kv_pool);
  /// Type of the cache that attention kernels read.
  [[nodiscard]] DType kv_dtype() const;

  const KernelTable& table_;
  ThreadPool& pool_;
  std::vector<KvPool>& kv_pools_;
  Scratch scratch_;  ///< one for all runners, since operations run one after the other
  RowOpRunner row_ops_;
  MatmulRunner matmuls_;
  MixtureRunner mixtures_;
  AttentionRunner attention_;
};

}  // namespace secondsource::cpu

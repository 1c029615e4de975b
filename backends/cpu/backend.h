#pragma once
// The project's own SIMD kernels on all cores, as a Backend.

#include <memory>
#include <optional>
#include <vector>

#include "backend/module.h"
#include "backend_kit/host_backend.h"
#include "cpu/kernels.h"
#include "cpu/options.h"

namespace secondsource::cpu {

[[nodiscard]] Result<std::vector<DeviceInfo>> devices();
[[nodiscard]] Result<std::unique_ptr<Backend>> create(const BackendOptions& options);

class CpuBackend final : public HostBackend<KvPool> {
 public:
  /// `cache`: for packed weights (packed_weight.h); empty: none.
  CpuBackend(const Options& options, std::optional<WeightCache> cache);

  [[nodiscard]] Support supports(const Op& op, std::span<const ValueDesc> values) const override;
  [[nodiscard]] Support supports_weight(WeightEncoding encoding, ActQuant act) const override;
  Result<WeightId> prepare_weight(const WeightSpec& spec) override;
  Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) override;
  [[nodiscard]] MemoryUse memory() const override;
  Result<std::vector<float>> unprepare_weight(WeightId id) const override;
  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        GroupTiming group_timing) override;

 private:
  EagerOptions eager_;
  KernelTable table_;
  ThreadPool threads_;
  MemoryNodes nodes_;
  PackedWeights weights_;
  CpuKernels kernels_;
};

}  // namespace secondsource::cpu

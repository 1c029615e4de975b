#pragma once
// Own SIMD kernels on all cores as a Backend.

#include <memory>
#include <vector>

#include "backend/eager_step.h"
#include "backend/module.h"
#include "cpu/kernels.h"
#include "cpu/options.h"

namespace secondsource::cpu {

[[nodiscard]] Result<std::vector<DeviceInfo>> devices();
[[nodiscard]] Result<std::unique_ptr<Backend>> create(const BackendOptions& options);

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const Options& options);

  [[nodiscard]] const DeviceInfo& device() const noexcept override { return device_; }
  [[nodiscard]] Support supports(const Op& op, std::span<const ValueDesc> values) const override;
  [[nodiscard]] Support supports_weight(WeightEncoding encoding, ActQuant act) const override;
  Result<WeightId> prepare_weight(const WeightSpec& spec) override;
  Result<std::vector<float>> unprepare_weight(WeightId id) const override;
  Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) override;
  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override;
  Result<void> kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const override;
  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        Trace trace) override;
  Result<StepResult> wait(Ticket ticket, Deadline deadline) override;
  [[nodiscard]] MemoryUse memory() const override { return account_.use(); }

 private:
  [[nodiscard]] Result<void> check_pool(KvPoolId pool) const;

  DeviceInfo device_;
  EagerOptions eager_;
  MemoryAccount account_;
  ThreadPool pool_;
  PackedWeights weights_{account_, pool_};
  std::vector<KvPool> kv_pools_;
  EagerQueue queue_;
  CpuKernels kernels_;
};

}  // namespace secondsource::cpu

#pragma once
// The oracle as a Backend.

#include <memory>
#include <vector>

#include "backend/eager_step.h"
#include "backend/module.h"
#include "reference/kernels.h"

namespace secondsource::reference {

[[nodiscard]] Result<std::vector<DeviceInfo>> devices();
[[nodiscard]] Result<std::unique_ptr<Backend>> create(const BackendOptions& options);

class ReferenceBackend : public Backend {
 public:
  ReferenceBackend(DeviceInfo device, EagerOptions options);

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

 protected:
  /// Tests put kernels with a planted bug in place of the right ones.
  void set_kernels(std::unique_ptr<ReferenceKernels> kernels) { kernels_ = std::move(kernels); }
  [[nodiscard]] const Weights& weights() const { return weights_; }
  [[nodiscard]] std::vector<KvPool>& pools() { return pools_; }

 private:
  [[nodiscard]] Result<void> check_pool(KvPoolId pool) const;

  DeviceInfo device_;
  EagerOptions options_;
  MemoryAccount account_;
  Weights weights_{account_};
  std::vector<KvPool> pools_;
  EagerQueue queue_;
  std::unique_ptr<ReferenceKernels> kernels_;
};

}  // namespace secondsource::reference

#pragma once
// The oracle as a Backend.

#include <memory>
#include <vector>

#include "backend/module.h"
#include "backend_kit/host_backend.h"
#include "reference/kernels.h"

namespace secondsource::reference {

/// The device; its cache rounds to `kv_dtype`.
[[nodiscard]] DeviceInfo describe_device(DType kv_dtype);
[[nodiscard]] Result<std::vector<DeviceInfo>> devices();
[[nodiscard]] Result<std::unique_ptr<Backend>> create(const BackendOptions& options);

class ReferenceBackend : public HostBackend<KvPool> {
 public:
  ReferenceBackend(DeviceInfo device, EagerOptions options);

  [[nodiscard]] Support supports(const Op& op, std::span<const ValueDesc> values) const override;
  [[nodiscard]] Support supports_weight(WeightEncoding encoding, ActQuant act) const override;
  Result<WeightId> prepare_weight(const WeightSpec& spec) override;
  Result<std::vector<float>> unprepare_weight(WeightId id) const override;
  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        GroupTiming group_timing) override;

 protected:
  /// For tests, which replace the kernels by ones with a planted bug.
  void set_kernels(std::unique_ptr<ReferenceKernels> kernels) { kernels_ = std::move(kernels); }
  [[nodiscard]] const Weights& weights() const { return weights_; }
  [[nodiscard]] std::vector<KvPool>& pools() { return pools_; }

 private:
  EagerOptions options_;
  Weights weights_{account_};
  std::unique_ptr<ReferenceKernels> kernels_;
};

}  // namespace secondsource::reference

// This backend runs the loops of the reference backend, except for RMSNorm, which it replaces. Replace the operations one by
// one with kernels of your own, and run `secondsource check` after each to see whether the tokens are still right.

#include "reference/backend.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "backend/module.h"

namespace mine {

using namespace secondsource;

class MyKernels : public reference::ReferenceKernels {
 public:
  using ReferenceKernels::ReferenceKernels;
  using ReferenceKernels::run;

  Result<void> run(const RmsNorm& op, const HostFrame& frame) override {
    const MatrixView<float> x = frame.value(op.x);
    const MatrixView<float> out = frame.value(op.out);
    const std::span<const float> weight = weights().values(op.weight);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      std::vector<float> sum(x.row(row).begin(), x.row(row).end());
      if (op.add) std::ranges::transform(sum, frame.value(*op.add).row(row), sum.begin(), std::plus<>());
      if (op.sum_out) std::ranges::copy(sum, frame.value(*op.sum_out).row(row).begin());
      float squares = 0.0F;
      for (const float value : sum) squares += value * value;
      const float scale = 1.0F / std::sqrt(squares / static_cast<float>(sum.size()) + op.eps);
      for (std::size_t i = 0; i < sum.size(); ++i) out.row(row)[i] = sum[i] * scale * weight[i];
    }
    return {};
  }
};

DeviceInfo describe_device() {
  DeviceInfo device = reference::describe_device(DType::kF32);
  device.backend = "mine";
  device.name = "the reference's loops with an RMSNorm of my own";
  return device;
}

class MyBackend : public reference::ReferenceBackend {
 public:
  MyBackend() : ReferenceBackend(describe_device(), {}) {
    set_kernels(std::make_unique<MyKernels>(weights(), pools()));
  }
};

Result<std::vector<DeviceInfo>> devices() {
  return std::vector<DeviceInfo>{describe_device()};
}

Result<std::unique_ptr<Backend>> create(const BackendOptions&) {
  return std::unique_ptr<Backend>(std::make_unique<MyBackend>());
}

}  // namespace mine

SS_BACKEND_MODULE("mine", "an example: one operation of my own", mine::devices, mine::create)

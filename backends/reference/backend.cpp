#include "reference/backend.h"

#include <fmt/format.h>

#include "backend/host_device.h"

namespace secondsource::reference {
namespace {

DeviceInfo describe_device() {
  DeviceInfo device{.backend = "reference", .id = "0", .name = "plain loops, f64 sums, one thread"};
  device.properties = {{"threads", "1"},
                       {"accumulator", "f64"},
                       // Its attention is quadratic in plain f64 loops: longer golden prompts would take minutes each.
                       {"golden_limit_tokens", "2048"}};
  device.memory_bytes = machine_memory_bytes();
  device.page_tokens = 16;
  device.kv_dtype = DType::kF32;
  device.token_buckets = {1, 8, 64, 512};
  return device;
}

}  // namespace

Result<std::vector<DeviceInfo>> devices() {
  return std::vector<DeviceInfo>{describe_device()};
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  if (!options.device_id.empty() && options.device_id != "0") {
    return Error{ErrorCode::kUnavailable, fmt::format("device {}: expected 0", options.device_id)};
  }
  EagerOptions eager;
  for (const auto& [key, value] : options.extra) {
    if (key != "guards") {
      return Error{ErrorCode::kInvalidInput, fmt::format("option {}: reference knows guards only", key)};
    }
    eager.guards = value == "1";
  }
  return std::unique_ptr<Backend>(std::make_unique<ReferenceBackend>(describe_device(), eager));
}

ReferenceBackend::ReferenceBackend(DeviceInfo device, EagerOptions options)
    : HostBackend(std::move(device)),
      options_(options),
      kernels_(std::make_unique<ReferenceKernels>(weights_, pools_)) {}

Support ReferenceBackend::supports(const Op& op, std::span<const ValueDesc>) const {
  if (std::holds_alternative<AllReduce>(op)) return Support::no("one device only");
  const auto* const matmul = std::get_if<Matmul>(&op);
  const auto* const grouped = std::get_if<GroupedMatmul>(&op);
  const ActQuant act = matmul != nullptr ? matmul->act : grouped != nullptr ? grouped->act : ActQuant::kNone;
  return supports_weight(WeightEncoding::kF32, act);
}

Support ReferenceBackend::supports_weight(WeightEncoding, ActQuant act) const {
  if (act == ActQuant::kFp8PerRow) return Support::no("FP8 activations are reserved");
  return Support::yes();
}

Result<WeightId> ReferenceBackend::prepare_weight(const WeightSpec& spec) {
  SS_TRY_VOID(queue_.healthy());
  return weights_.prepare(spec);
}

Result<std::vector<float>> ReferenceBackend::unprepare_weight(WeightId id) const {
  if (!weights_.has(id)) return Error{ErrorCode::kInvalidInput, fmt::format("no weight {}", index_of(id))};
  const std::span<const float> values = weights_.values(id);
  return std::vector<float>(values.begin(), values.end());
}

Result<std::unique_ptr<Step>> ReferenceBackend::compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                                        Trace trace) {
  SS_TRY_VOID(check_compile(graph, weights_.specs(), pool));
  return make_eager_step(graph, bucket, pool, trace, *kernels_, queue_, options_);
}

}  // namespace secondsource::reference

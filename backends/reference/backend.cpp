#include "reference/backend.h"

#include <fmt/format.h>

#include "backend/op_visit.h"
#include "backend_kit/host_device.h"

namespace secondsource::reference {
namespace {

/// Errors: kInvalidInput.
Result<DType> cache_type(std::string_view name) {
  if (name == "f32") return DType::kF32;
  if (name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBf16;
  if (name == "int8") return DType::kI8;
  return Error{ErrorCode::kInvalidInput, fmt::format("option kv: expected f32, f16, bf16 or int8, found {}", name)};
}

}  // namespace

DeviceInfo describe_device(DType kv_dtype) {
  DeviceInfo device{.backend = "reference", .id = "0", .name = "plain loops, f64 sums, one thread"};
  device.properties = {{"threads", "1"},
                       {"accumulator", "f64"},
                       {"kv_dtype", std::string(to_string(kv_dtype))},
                       // Attention is quadratic in plain f64 loops, so a longer golden prompt would take minutes.
                       {"golden_limit_tokens", "2048"}};
  device.memory_bytes = machine_memory_bytes();
  device.page_tokens = 16;
  device.kv_dtype = kv_dtype;
  device.token_buckets = {1, 8, 64, 512};
  return device;
}

Result<std::vector<DeviceInfo>> devices() {
  return std::vector<DeviceInfo>{describe_device(DType::kF32)};
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  if (!options.device_id.empty() && options.device_id != "0") {
    return Error{ErrorCode::kUnavailable, fmt::format("device {}: expected 0", options.device_id)};
  }
  EagerOptions eager;
  DType kv_dtype = DType::kF32;
  for (const auto& [key, value] : options.extra) {
    if (key == "guards") {
      eager.guards = value == "1";
    } else if (key == "kv") {
      SS_TRY(kv_dtype, cache_type(value));
    } else {
      return Error{ErrorCode::kInvalidInput, fmt::format("option {}: reference knows guards and kv", key)};
    }
  }
  return std::unique_ptr<Backend>(std::make_unique<ReferenceBackend>(describe_device(kv_dtype), eager));
}

ReferenceBackend::ReferenceBackend(DeviceInfo device, EagerOptions options)
    : HostBackend(std::move(device)),
      options_(options),
      kernels_(std::make_unique<ReferenceKernels>(weights_, pools_)) {}

Support ReferenceBackend::supports(const Op& op, std::span<const ValueDesc>) const {
  return visit_op(op,
                  [](const OneOf<Embed, RmsNorm, Matmul, RopeAppend, LatentAppend, HeadMatmul, Attention, SelectRows,
                                 SelectColumns, Sample, Route, GroupedMatmul> auto&) { return Support::yes(); });
}

Support ReferenceBackend::supports_weight(WeightEncoding, ActQuant) const {
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
                                                        GroupTiming group_timing) {
  SS_TRY_VOID(check_compile(graph, weights_.specs(), pool));
  return make_eager_step(graph, bucket, pool, group_timing, *kernels_, queue_, options_);
}

}  // namespace secondsource::reference

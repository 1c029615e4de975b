#include "reference/backend.h"

#include <fmt/format.h>
#include <unistd.h>

#include "backend/kv.h"
#include "backend/op_access.h"

namespace secondsource::reference {
namespace {

DeviceInfo describe_device() {
  DeviceInfo device{.backend = "reference", .id = "0", .name = "plain loops, f64 sums, one thread"};
  device.properties = {{"threads", "1"},
                       {"accumulator", "f64"},
                       // Its attention is quadratic in plain f64 loops: longer golden prompts would take minutes each.
                       {"golden_limit_tokens", "2048"}};
  device.memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
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
    : device_(std::move(device)),
      options_(options),
      queue_(device_.n_seq_slots, &account_),
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

Result<KvPoolId> ReferenceBackend::create_kv_pool(const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY_VOID(queue_.healthy());
  SS_TRY(KvPool pool, KvPool::create(account_, spec, n_pages));
  pools_.push_back(std::move(pool));
  return KvPoolId{static_cast<std::int32_t>(pools_.size()) - 1};
}

Result<void> ReferenceBackend::check_pool(KvPoolId pool) const {
  if (index_of(pool) >= 0 && static_cast<std::size_t>(index_of(pool)) < pools_.size()) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("no KV cache {}", index_of(pool))};
}

Result<void> ReferenceBackend::kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) {
  SS_TRY_VOID(queue_.healthy());
  SS_TRY_VOID(check_pool(pool));
  return pools_[static_cast<std::size_t>(index_of(pool))].copy_pages(copies);
}

Result<void> ReferenceBackend::kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const {
  SS_TRY_VOID(queue_.healthy());
  SS_TRY_VOID(check_pool(pool));
  return pools_[static_cast<std::size_t>(index_of(pool))].export_range(range, out);
}

Result<std::unique_ptr<Step>> ReferenceBackend::compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                                        Trace trace) {
  SS_TRY_VOID(queue_.healthy());
  SS_TRY_VOID(check_graph(graph));
  SS_TRY_VOID(check_graph_weights(graph, weights_.specs()));
  SS_TRY_VOID(check_pool(pool));
  SS_TRY_VOID(check_graph_cache(graph, pools_[static_cast<std::size_t>(index_of(pool))].spec()));
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const Support support = supports(graph.ops[i], graph.values);
    if (!support.supported) {
      return Error{ErrorCode::kUnsupported, fmt::format("{}: {}", op_label(graph, i), support.reason)};
    }
  }
  return make_eager_step(graph, bucket, pool, trace, *kernels_, queue_, options_);
}

Result<StepResult> ReferenceBackend::wait(Ticket ticket, Deadline deadline) {
  return queue_.take(ticket, deadline);
}

}  // namespace secondsource::reference

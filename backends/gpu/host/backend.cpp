#include "gpu/host/backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "backend/check_graph.h"
#include "backend/check_kv.h"
#include "backend/op_access.h"
#include "backend/op_visit.h"
#include "gpu/host/step.h"

namespace secondsource::gpu {
namespace {

class GpuBackend final : public Backend {
 public:
  GpuBackend(DeviceInfo info, Shared shared)
      : info_(std::move(info)),
        shared_(std::move(shared)),
        weights_(*shared_.memory, n_packing_threads(shared_.options.n_threads)) {}
  ~GpuBackend() override { (void)shared_.memory->stream().synchronize(); }
  GpuBackend(const GpuBackend&) = delete;
  GpuBackend& operator=(const GpuBackend&) = delete;

  [[nodiscard]] const DeviceInfo& device() const noexcept override { return info_; }
  [[nodiscard]] Support supports(const Op& op, std::span<const ValueDesc> values) const override;
  [[nodiscard]] Support supports_weight(WeightEncoding encoding, ActQuant act) const override {
    if (has_fp8_rows(act) && encoding != WeightEncoding::kFp8PerRow) {
      return Support::no("fp8 activations need fp8 weights");
    }
    if (act == ActQuant::kNvfp4Static && encoding != WeightEncoding::kNvfp4Group16) {
      return Support::no("nvfp4 activations need nvfp4 weights");
    }
    if (has_fp8_groups(act) && encoding != WeightEncoding::kFp8Group128) {
      return Support::no("fp8 activations in groups need fp8 weights in groups");
    }
    if (act == ActQuant::kInt8Static && encoding != WeightEncoding::kInt8PerRow) {
      return Support::no("int8 activations with a stored scale need int8 weights with a scale for each output");
    }
    if (act == ActQuant::kInt8PerRow && encoding != WeightEncoding::kInt8PerRow &&
        encoding != WeightEncoding::kInt8Group32) {
      return Support::no("int8 activations need int8 weights");
    }
    return Support::yes();
  }
  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    SS_TRY_VOID(shared_.poison.healthy());
    return weights_.prepare(spec);
  }
  Result<std::vector<float>> unprepare_weight(WeightId id) const override { return weights_.unprepare(id); }
  Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) override {
    SS_TRY_VOID(shared_.poison.healthy());
    SS_TRY(KvPool pool, KvPool::create(*shared_.memory, spec, n_pages));
    pools_.push_back(std::make_unique<KvPool>(std::move(pool)));
    return KvPoolId{static_cast<std::int32_t>(pools_.size()) - 1};
  }
  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override {
    SS_TRY_VOID(shared_.poison.healthy());
    SS_TRY(KvPool* const found, find_pool(pool));
    return found->copy_pages(*shared_.memory, copies);
  }
  Result<void> kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const override {
    SS_TRY_VOID(shared_.poison.healthy());
    SS_TRY(const KvPool* const found, find_pool(pool));
    return found->export_range(*shared_.memory, range, out);
  }
  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        GroupTiming group_timing) override;
  Result<StepResult> wait(Ticket ticket, Deadline deadline) override;
  [[nodiscard]] MemoryUse memory() const override {
    shared_.memory->count_runtime();
    return shared_.memory->account().use();
  }
  Result<DeviceRates> measure_rates(RateEffort effort) override {
    SS_TRY_VOID(shared_.poison.healthy());
    return measure_device_rates(*shared_.memory, shared_.kernels, shared_.options.rates, effort);
  }
  [[nodiscard]] std::vector<TelemetryReading> read_telemetry() const override {
    if (!shared_.options.read_telemetry) return {};
    return shared_.options.read_telemetry();
  }

  /// A step that unregisters itself from the backend, whose wait() searches the steps for a ticket.
  class OwnedStep;
  void forget(GpuStep* step) { std::erase(steps_, step); }

 private:
  [[nodiscard]] Result<KvPool*> find_pool(KvPoolId pool) const {
    if (index_of(pool) >= 0 && static_cast<std::size_t>(index_of(pool)) < pools_.size()) {
      return pools_[static_cast<std::size_t>(index_of(pool))].get();
    }
    return Error{ErrorCode::kInvalidInput, fmt::format("no KV cache {}", index_of(pool))};
  }
  /// The part of the answer that depends on the prepared weights of an operation that supports() accepts.
  [[nodiscard]] Support supports_with_weights(const Op& op) const;
  /// Errors: kUnsupported, for the first operation that cannot run here.
  [[nodiscard]] Result<void> check_supported(const StepGraph& graph) const;
  /// A copy in device memory, kept in `copies`, where equal tables share one.
  template <typename T>
  Result<std::shared_ptr<DeviceBuffer>> on_device(const std::vector<T>& table,
                                                  std::map<std::vector<T>, std::shared_ptr<DeviceBuffer>>& copies);

  DeviceInfo info_;
  Shared shared_;
  mutable Weights weights_;
  std::vector<std::unique_ptr<KvPool>> pools_;
  std::map<std::vector<float>, std::shared_ptr<DeviceBuffer>> inv_freqs_;
  std::map<std::vector<std::int32_t>, std::shared_ptr<DeviceBuffer>> column_lists_;
  std::vector<GpuStep*> steps_;
};

class GpuBackend::OwnedStep final : public Step {
 public:
  OwnedStep(GpuBackend& backend, std::unique_ptr<GpuStep> step) : backend_(backend), step_(std::move(step)) {}
  ~OwnedStep() override { backend_.forget(step_.get()); }
  OwnedStep(const OwnedStep&) = delete;
  OwnedStep& operator=(const OwnedStep&) = delete;
  [[nodiscard]] std::size_t workspace_bytes() const override { return step_->workspace_bytes(); }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return step_->groups(); }
  Result<void> make_ready() override { return step_->make_ready(); }
  Result<Ticket> submit(const Batch& batch) override { return step_->submit(batch); }
  Result<std::vector<float>> read_value(ValueId id) const override { return step_->read_value(id); }

 private:
  GpuBackend& backend_;
  std::unique_ptr<GpuStep> step_;
};

Support GpuBackend::supports(const Op& op, std::span<const ValueDesc>) const {
  // Each ActQuant fits some weight encoding. Whether it fits that of the operation's own weight is checked by supports_with_weights().
  return visit_op(
      op, [](const Embed&) { return Support::yes(); }, [](const RmsNorm&) { return Support::yes(); },
      [](const OneOf<Matmul, HeadMatmul> auto&) { return Support::yes(); },
      [](const OneOf<RopeAppend, LatentAppend, Attention> auto& of_heads) { return supports_head_dim(of_heads.heads); },
      [](const OneOf<SelectRows, SelectColumns> auto&) { return Support::yes(); },
      [](const Sample&) { return Support::yes(); },
      [](const OneOf<Route, GroupedMatmul> auto&) { return Support::yes(); });
}

Support GpuBackend::supports_with_weights(const Op& op) const {
  const auto check_weight = [&](WeightId id, ActQuant act) {
    return supports_weight(weights_.specs()[static_cast<std::size_t>(index_of(id))].encoding, act);
  };
  return visit_op(
      op, [](const Embed&) { return Support::yes(); }, [](const RmsNorm&) { return Support::yes(); },
      [&](const Matmul& matmul) { return check_weight(matmul.weight, matmul.act); },
      [](const OneOf<RopeAppend, LatentAppend, Attention> auto&) { return Support::yes(); },
      [&](const HeadMatmul& heads) {
        const WeightEncoding encoding = weights_.view(heads.weights).encoding;
        if (encoding == WeightEncoding::kF32 || encoding == WeightEncoding::kBf16 || encoding == WeightEncoding::kF16) {
          return Support::yes();
        }
        // No bundle stores them as codes (docs/supported-models.md).
        return Support::no(fmt::format("matrices of heads: expected f32, bf16 or f16, found {}", to_string(encoding)));
      },
      [](const OneOf<SelectRows, SelectColumns> auto&) { return Support::yes(); },
      [](const Sample&) { return Support::yes(); },
      [&](const Route& route) {
        if (weights_.view(route.gate).n_rows <= kMaxExperts) return Support::yes();
        return Support::no(fmt::format("more than {} experts", kMaxExperts));
      },
      [&](const GroupedMatmul& grouped) { return check_weight(grouped.weights, grouped.act); });
}

Result<void> GpuBackend::check_supported(const StepGraph& graph) const {
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    Support support = supports(graph.ops[i], graph.values);
    if (support.supported) support = supports_with_weights(graph.ops[i]);
    if (support.supported) continue;
    return Error{ErrorCode::kUnsupported, fmt::format("{}: {}", op_label(graph, i), support.reason)};
  }
  return {};
}

template <typename T>
Result<std::shared_ptr<DeviceBuffer>> GpuBackend::on_device(
    const std::vector<T>& table, std::map<std::vector<T>, std::shared_ptr<DeviceBuffer>>& copies) {
  std::shared_ptr<DeviceBuffer>& buffer = copies[table];
  if (!buffer) {
    SS_TRY(DeviceBuffer made, shared_.memory->allocate(MemoryPurpose::kWeights, table.size() * sizeof(T)));
    SS_TRY_VOID(shared_.memory->upload(made.data(), table.data(), table.size() * sizeof(T)));
    buffer = std::make_shared<DeviceBuffer>(std::move(made));
  }
  return buffer;
}

Result<std::unique_ptr<Step>> GpuBackend::compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                                  GroupTiming group_timing) {
  SS_TRY_VOID(shared_.memory->device().make_current());  // compiling a step queries the vendor's library for algorithms
  SS_TRY_VOID(shared_.poison.healthy());
  SS_TRY_VOID(check_graph(graph));
  SS_TRY_VOID(check_graph_weights(graph, weights_.specs()));
  SS_TRY(const KvPool* const cache, find_pool(pool));
  SS_TRY_VOID(check_graph_cache(graph, cache->spec()));
  if (std::min({bucket.max_tokens, bucket.max_seqs, bucket.max_pages_per_seq}) <= 0 || bucket.max_logit_rows < 0) {
    return Error{ErrorCode::kInvalidInput, "bucket: expected positive bounds"};
  }
  SS_TRY_VOID(check_supported(graph));
  StepTables tables;
  for (const RopeSpec& rope : graph.ropes) {
    SS_TRY(auto buffer, on_device(rope.inv_freq, inv_freqs_));
    tables.inv_freqs.push_back(std::move(buffer));
  }
  for (const std::vector<std::int32_t>& columns : graph.column_lists) {
    SS_TRY(auto buffer, on_device(columns, column_lists_));
    tables.column_lists.push_back(std::move(buffer));
  }
  SS_TRY(auto step, GpuStep::create(shared_, weights_, *cache, std::move(tables), graph, bucket, group_timing));
  steps_.push_back(step.get());
  return std::unique_ptr<Step>(std::make_unique<OwnedStep>(*this, std::move(step)));
}

Result<StepResult> GpuBackend::wait(Ticket ticket, Deadline deadline) {
  SS_TRY_VOID(shared_.poison.healthy());
  const auto found = std::ranges::find_if(steps_, [&](const GpuStep* step) { return step->has(ticket); });
  if (found == steps_.end()) {
    return shared_.poison.fail(Error{
        ErrorCode::kInvalidInput, fmt::format("wait: ticket {} is not in flight", static_cast<std::int64_t>(ticket))});
  }
  return (*found)->finish(ticket, deadline);
}

}  // namespace

Result<void> Shared::reserve_workspace(std::size_t bytes) {
  if (bytes <= workspace.size_bytes()) return {};
  SS_TRY_VOID(memory->stream().synchronize());
  const std::size_t old_bytes = workspace.size_bytes();
  workspace = DeviceBuffer();  // frees the old one first, which keeps the peak low
  workspace_owner = nullptr;
  ++workspace_generation;
  const auto allocate = [&](std::size_t n) -> Result<DeviceBuffer> {
    SS_TRY(DeviceBuffer buffer, memory->allocate(MemoryPurpose::kWorkspace, n));
    // A library also multiplies padding rows, which no step may have written. NaN makes a use of their results visible.
    constexpr std::uint8_t kNan = 0xff;
    if (options.vendor_library) SS_TRY_VOID(memory->stream().fill(buffer.data(), kNan, n));
    return buffer;
  };
  auto grown = allocate(bytes);
  if (!grown && old_bytes > 0) {
    // Existing steps still need a workspace of the old size.
    auto restored = allocate(old_bytes);
    if (!restored) return poison.fail(restored.error().with_context("workspace"));
    workspace = std::move(restored).value();
  }
  if (!grown) return grown.error().with_context("workspace");
  workspace = std::move(grown).value();
  return {};
}

DeviceInfo describe(const DeviceProperties& properties, const std::string& backend) {
  DeviceInfo info{.backend = backend, .id = properties.id, .name = properties.name};
  info.properties = properties.fingerprint;
  info.properties.emplace_back("target", properties.target);
  info.properties.emplace_back("warp_size", std::to_string(properties.warp_size));
  info.memory_bytes = properties.memory_bytes;
  info.page_tokens = 16;
  info.kv_dtype = DType::kBf16;
  info.token_buckets = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
  info.alignment_bytes = 256;
  info.is_host = false;
  return info;
}

Result<std::unique_ptr<Backend>> make_backend(std::unique_ptr<Device> device, const KernelTable& kernels,
                                              GpuOptions options) {
  if (options.tiles && by_warpgroups(*options.tiles) && !device->properties().has_warpgroups) {
    return Error{ErrorCode::kUnavailable, fmt::format("tiles={}: {} has no products of warpgroups, sm_90a has them",
                                                      to_string(*options.tiles), device->properties().target)};
  }
  if (options.prefill == PrefillBy::kWarpgroups && !device->properties().has_warpgroups) {
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("attention=wgmma: {} has no products of warpgroups, sm_90a has them", device->properties().target)};
  }
  if (options.dependent_launch && !device->properties().has_dependent_launch) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("dependent_launch=1: {} cannot begin a kernel while another one runs, sm_90 and newer can",
                             device->properties().target)};
  }
  DeviceInfo info = describe(device->properties(), options.backend);
  info.properties.emplace_back("matmul_library", options.vendor_library ? options.vendor_library->name() + " " +
                                                                              options.vendor_library->version()
                                                                        : "none: " + options.vendor_library_missing);
  SS_TRY(auto memory, DeviceMemory::create(std::move(device)));
  if (options.dependent_launch) memory->stream().overlap_kernels();
  Shared shared{.memory = std::move(memory), .kernels = kernels, .options = std::move(options)};
  const auto n_slots = static_cast<std::size_t>(info.n_seq_slots);
  SS_TRY(shared.last_sampled, shared.memory->allocate(MemoryPurpose::kWorkspace, n_slots * sizeof(std::int32_t)));
  SS_TRY_VOID(shared.memory->stream().fill(shared.last_sampled.data(), 0, n_slots * sizeof(std::int32_t)));
  shared.sampled.resize(n_slots);
  return std::unique_ptr<Backend>(std::make_unique<GpuBackend>(std::move(info), std::move(shared)));
}

}  // namespace secondsource::gpu

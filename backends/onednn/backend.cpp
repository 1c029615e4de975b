#include "onednn/backend.h"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "backend/eager_step.h"
#include "backend/kv.h"
#include "backend/op_access.h"
#include "onednn/kernels.h"

namespace secondsource::onednn {
namespace {

constexpr std::int32_t kMaxHeadDim = 512;

/// "avx512_core_bf16": what oneDNN dispatches to here.
std::string isa_name() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    default:
      return has_fast_bf16() ? "avx512_core_amx or newer" : "other";
  }
}

/// The model name of the first CPU, from /proc/cpuinfo; "CPU" where there is none.
std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

int n_usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

DeviceInfo describe_device(int n_threads) {
  DeviceInfo device{
      .backend = "onednn", .id = "0", .name = fmt::format("{}, oneDNN {}", cpu_name(), dnnl_version_text())};
  device.properties.emplace_back("onednn", dnnl_version_text());
  device.properties.emplace_back("isa", isa_name());
  device.properties.emplace_back("threads", std::to_string(n_threads));
  device.memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  device.page_tokens = 16;
  device.kv_dtype = DType::kBf16;
  device.token_buckets = {1, 4, 16, 64, 256, 512};
  return device;
}

/// Thread i of the OpenMP pool runs on cpus[i] alone. The calling thread is thread 0 of the pool.
void pin_threads(std::span<const std::int32_t> cpus, int n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpus[static_cast<std::size_t>(omp_get_thread_num()) % cpus.size()]), &set);
    (void)sched_setaffinity(0, sizeof(set), &set);  // the report says what was asked for; a refusal only costs speed
  }
}

class OnednnBackend final : public Backend {
 public:
  OnednnBackend(DeviceInfo device, int n_threads, bool strict)
      : device_(std::move(device)),
        strict_(strict),
        engine_(dnnl::engine::kind::cpu, 0),
        weights_(engine_, account_, has_fast_bf16()),
        queue_(device_.n_seq_slots, &account_),
        kernels_(engine_, account_, weights_, pools_, n_threads) {}

  [[nodiscard]] const DeviceInfo& device() const noexcept override { return device_; }

  [[nodiscard]] Support supports(const Op& op, std::span<const ValueDesc>) const override {
    if (std::holds_alternative<Route>(op)) return Support::no("oneDNN has no router for mixtures of experts");
    if (std::holds_alternative<GroupedMatmul>(op)) return Support::no("oneDNN has no grouped product");
    if (std::holds_alternative<AllReduce>(op)) return Support::no("one device only");
    if (const auto* const matmul = std::get_if<Matmul>(&op); matmul != nullptr && matmul->act == ActQuant::kFp8PerRow) {
      return Support::no("FP8 activations are reserved");
    }
    const auto* const append = std::get_if<RopeAppend>(&op);
    if (append != nullptr && append->heads.head_dim > kMaxHeadDim) {
      return Support::no(fmt::format("heads of more than {} are not supported", kMaxHeadDim));
    }
    return Support::yes();
  }

  [[nodiscard]] Support supports_weight(WeightEncoding encoding, ActQuant act) const override {
    if (act == ActQuant::kFp8PerRow) return Support::no("FP8 activations are reserved");
    if (act == ActQuant::kInt8PerRow && encoding != WeightEncoding::kInt8PerRow) {
      return Support::no("quantized activations go with int8 weights only");
    }
    return Support::yes();
  }

  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    SS_TRY_VOID(queue_.healthy());
    return weights_.prepare(spec);
  }
  Result<std::vector<float>> unprepare_weight(WeightId id) const override { return weights_.unprepare(id); }

  Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) override {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY(KvPool pool, KvPool::create(account_, spec, n_pages));
    pools_.push_back(std::move(pool));
    return KvPoolId{static_cast<std::int32_t>(pools_.size()) - 1};
  }
  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY_VOID(check_pool(pool));
    return pools_[static_cast<std::size_t>(index_of(pool))].copy_pages(copies);
  }
  Result<void> kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const override {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY_VOID(check_pool(pool));
    return pools_[static_cast<std::size_t>(index_of(pool))].export_range(range, out);
  }

  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        Trace trace) override {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY_VOID(check_graph(graph));
    SS_TRY_VOID(check_graph_weights(graph, weights_.specs()));
    SS_TRY_VOID(check_pool(pool));
    SS_TRY_VOID(check_graph_cache(graph, pools_[static_cast<std::size_t>(index_of(pool))].spec()));
    SS_TRY_VOID(check_support(graph));
    SS_TRY_VOID(weights_.resolve(graph));
    SS_TRY_VOID(kernels_.prepare(graph, bucket));
    SS_TRY(auto step, make_eager_step(graph, bucket, pool, trace, kernels_, queue_));
    for (const OpGroup& group : step->groups()) {
      if (!strict_ || group.fallback.empty()) continue;
      return Error{ErrorCode::kUnsupported,
                   fmt::format("{}: {} (refused because of --strict)",
                               op_label(graph, static_cast<std::size_t>(group.ops.front())), group.fallback)};
    }
    return step;
  }

  Result<StepResult> wait(Ticket ticket, Deadline deadline) override { return queue_.take(ticket, deadline); }
  [[nodiscard]] MemoryUse memory() const override { return account_.use(); }

 private:
  [[nodiscard]] Result<void> check_pool(KvPoolId pool) const {
    if (index_of(pool) >= 0 && static_cast<std::size_t>(index_of(pool)) < pools_.size()) return {};
    return Error{ErrorCode::kInvalidInput, fmt::format("no KV cache {}", index_of(pool))};
  }

  Result<void> check_support(const StepGraph& graph) const {
    for (std::size_t i = 0; i < graph.ops.size(); ++i) {
      Support support = supports(graph.ops[i], graph.values);
      if (const auto* const matmul = std::get_if<Matmul>(&graph.ops[i]); matmul != nullptr && support.supported) {
        const WeightSpec& spec = weights_.specs()[static_cast<std::size_t>(index_of(matmul->weight))];
        support = supports_weight(spec.encoding, matmul->act);
      }
      if (support.supported) continue;
      return Error{ErrorCode::kUnsupported, fmt::format("{}: {}", op_label(graph, i), support.reason)};
    }
    return {};
  }

  DeviceInfo device_;
  bool strict_;
  MemoryAccount account_;
  dnnl::engine engine_;
  Weights weights_;
  std::vector<KvPool> pools_;
  EagerQueue queue_;
  Kernels kernels_;
};

}  // namespace

Result<std::vector<DeviceInfo>> devices() {
  return guarded("looking for the CPU", [&]() -> Result<std::vector<DeviceInfo>> {
    return std::vector<DeviceInfo>{describe_device(n_usable_cpus())};
  });
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  if (!options.device_id.empty() && options.device_id != "0") {
    return Error{ErrorCode::kUnavailable, fmt::format("device {}: expected 0", options.device_id)};
  }
  for (const auto& [key, value] : options.extra) {
    return Error{ErrorCode::kInvalidInput, fmt::format("option {}: onednn knows none", key)};
  }
  const int n_threads = options.n_threads > 0 ? options.n_threads : n_usable_cpus();
  return guarded("creating the engine", [&]() -> Result<std::unique_ptr<Backend>> {
    omp_set_num_threads(n_threads);
    if (!options.cpus.empty()) pin_threads(options.cpus, n_threads);
    return std::unique_ptr<Backend>(
        std::make_unique<OnednnBackend>(describe_device(n_threads), n_threads, options.strict));
  });
}

}  // namespace secondsource::onednn

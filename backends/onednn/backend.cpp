#include "onednn/backend.h"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>

#include "backend/op_visit.h"
#include "backend_kit/host_backend.h"
#include "backend_kit/host_device.h"
#include "onednn/kernels.h"

namespace secondsource::onednn {
namespace {

/// The instruction set that oneDNN dispatches to here: "avx512_core_bf16".
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

DeviceInfo describe_device(int n_threads) {
  DeviceInfo device{
      .backend = "onednn", .id = "0", .name = fmt::format("{}, oneDNN {}", cpu_name(), dnnl_version_text())};
  device.properties.emplace_back("onednn", dnnl_version_text());
  device.properties.emplace_back("isa", isa_name());
  device.properties.emplace_back("threads", std::to_string(n_threads));
  device.memory_bytes = machine_memory_bytes();
  device.page_tokens = 16;
  device.kv_dtype = DType::kBf16;
  device.token_buckets = {1, 4, 16, 64, 256, 512};
  return device;
}

/// Pins thread i of the OpenMP pool to cpus[i]. The calling thread is thread 0 of the pool.
void pin_threads(std::span<const std::int32_t> cpus, int n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpus[static_cast<std::size_t>(omp_get_thread_num()) % cpus.size()]), &set);
    (void)sched_setaffinity(0, sizeof(set), &set);  // the report has the request; a refusal only costs speed
  }
}

/// BF16 products with post-ops for the scales would be exact; they would say nothing about FP8 in oneDNN.
Support no_fp8() {
  return Support::no("FP8 products are not made with oneDNN, whose version 2 has none");
}

Support no_nvfp4() {
  return Support::no("oneDNN has no products of activations in NVFP4");
}

class OnednnBackend final : public HostBackend<KvPool> {
 public:
  OnednnBackend(DeviceInfo device, int n_threads, bool strict)
      : HostBackend(std::move(device)),
        strict_(strict),
        engine_(dnnl::engine::kind::cpu, 0),
        has_exact_int8_(has_exact_int8(engine_)),
        products_(engine_),
        weights_(engine_, account_, products_, has_fast_bf16()),
        kernels_(engine_, account_, products_, weights_, pools_, n_threads) {}

  [[nodiscard]] Support supports(const Op& op, std::span<const ValueDesc> values) const override {
    return visit_op(
        op,
        [values](const Matmul& matmul) {
          constexpr std::int32_t kInt8sOfALane = 4;
          const std::int32_t n_inputs = values[static_cast<std::size_t>(index_of(matmul.x))].cols;
          if (has_int8_values(matmul.act) && n_inputs % kInt8sOfALane != 0 && has_unsafe_int8_tails()) {
            return Support::no(
                "oneDNN 2 may crash in int8 products whose rows are no multiple of 4 long, on a CPU with AMX");
          }
          if (matmul.epilogue == Epilogue::kGatedClampedSwish) {
            return Support::no("oneDNN has no product with the clamped SwiGLU of mixtures of experts");
          }
          if (matmul.act == ActQuant::kNvfp4Static) return no_nvfp4();
          return has_fp8_values(matmul.act) ? no_fp8() : Support::yes();
        },
        [](const RopeAppend& append) {
          return append.heads.head_dim > kMaxHeadDim
                     ? Support::no(fmt::format("heads of more than {} are not supported", kMaxHeadDim))
                     : Support::yes();
        },
        [](const Attention& attention) {
          return attention.heads.latent_dim > 0 ? Support::no("the keys and values of latents are not supported")
                                                : Support::yes();
        },
        [](const OneOf<LatentAppend, HeadMatmul> auto&) { return Support::no("latent attention is not supported"); },
        [](const OneOf<Embed, RmsNorm, SelectRows, Sample> auto&) { return Support::yes(); },
        [](const SelectColumns& select) {
          return select.expert
                     ? Support::no("columns that experts choose go with grouped products, which oneDNN has not")
                     : Support::yes();
        },
        [](const Route&) { return Support::no("oneDNN has no router for mixtures of experts"); },
        [](const GroupedMatmul&) { return Support::no("oneDNN has no grouped product"); });
  }

  [[nodiscard]] Support supports_weight(WeightEncoding encoding, ActQuant act) const override {
    if (has_fp8_values(act)) return no_fp8();
    if (act == ActQuant::kNvfp4Static) return no_nvfp4();
    if (has_fp8_codes(encoding)) return Support::no("weights in E4M3 are not supported");
    if (has_int8_values(act) && encoding != WeightEncoding::kInt8PerRow) {
      return Support::no("quantized activations go with int8 weights only");
    }
    if (has_int8_values(act) && !has_exact_int8_) {
      return Support::no("oneDNN's int8 products are not exact on a CPU without VNNI");
    }
    return Support::yes();
  }

  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    SS_TRY_VOID(queue_.healthy());
    return weights_.prepare(spec);
  }
  Result<std::vector<float>> unprepare_weight(WeightId id) const override { return weights_.unprepare(id); }

  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        GroupTiming group_timing) override {
    SS_TRY_VOID(check_compile(graph, weights_.specs(), pool));
    SS_TRY_VOID(weights_.resolve(graph));
    SS_TRY_VOID(kernels_.prepare(graph, bucket));
    SS_TRY(auto step, make_eager_step(graph, bucket, pool, group_timing, kernels_, queue_));
    for (const OpGroup& group : step->groups()) {
      if (!strict_ || group.fallback.empty()) continue;
      return Error{ErrorCode::kUnsupported,
                   fmt::format("{}: {} (refused because of --strict)",
                               op_label(graph, static_cast<std::size_t>(group.ops.front())), group.fallback)};
    }
    return step;
  }

 private:
  bool strict_;
  dnnl::engine engine_;
  bool has_exact_int8_;
  Products products_;
  Weights weights_;
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

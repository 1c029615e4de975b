#include "cpu/backend.h"

#include <fmt/format.h>

#include "backend/op_visit.h"
#include "backend_kit/host_device.h"
#include "core/file.h"

namespace secondsource::cpu {
namespace {

DeviceInfo describe_device(const Options& options) {
  DeviceInfo device{.backend = "cpu", .id = "0", .name = fmt::format("{} ({})", cpu_name(), to_string(options.isa))};
  std::string pinning = options.cpus.empty() ? "none" : "";
  for (const std::int32_t cpu : options.cpus) pinning += fmt::format("{}{}", pinning.empty() ? "" : ",", cpu);
  device.properties = {{"isa", std::string(to_string(options.isa))},
                       {"threads", fmt::format("{}", options.n_threads)},
                       {"pinned_cpus", pinning},
                       {"accumulator", "f32"},
                       {"kv_dtype", std::string(secondsource::to_string(options.kv_dtype))},
                       {"guards", options.guards ? "1" : "0"},
                       {"weight_cache", options.weight_cache ? "1" : "0"}};
  if (const ProductChoice& choice = options.products; !choice.products.empty()) {
    device.properties.emplace_back("products", to_text(choice));
    device.properties.emplace_back("products_basis", secondsource::to_string(choice.basis));
    // A choice that could come out differently in another process is handed to all processes of a run.
    if (choice.basis == ChoiceBasis::kMeasured || choice.basis == ChoiceBasis::kEnvironment) {
      device.environment.emplace_back(kProductsVariable, to_text(choice));
    }
  }
  device.memory_bytes = machine_memory_bytes();
  device.page_tokens = 32;
  device.kv_dtype = options.kv_dtype;
  device.token_buckets = {1, 4, 16, 64, 512};
  return device;
}

}  // namespace

Result<std::vector<DeviceInfo>> devices() {
  SS_TRY(const Options options, parse_options({}));
  return std::vector<DeviceInfo>{describe_device(options)};
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  SS_TRY(const Options parsed, parse_options(options));
  std::optional<WeightCache> cache;
  if (parsed.weight_cache) {
    SS_TRY(const std::filesystem::path folder, cache_folder());
    cache.emplace(packed_weights_folder(folder));
  }
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(parsed, std::move(cache)));
}

CpuBackend::CpuBackend(const Options& options, std::optional<WeightCache> cache)
    : HostBackend(describe_device(options)),
      eager_{.guards = options.guards},
      table_(kernels_of(options.isa, options.products)),
      threads_({.n_threads = options.n_threads, .cpus = options.cpus}),
      nodes_(threads_),
      weights_(account_, threads_, nodes_, std::move(cache)),
      kernels_(table_, threads_, weights_, pools_, account_) {}

Support CpuBackend::supports(const Op& op, std::span<const ValueDesc>) const {
  return visit_op(op,
                  [](const OneOf<Embed, RmsNorm, Matmul, RopeAppend, LatentAppend, HeadMatmul, Attention, SelectRows,
                                 SelectColumns, Sample, Route, GroupedMatmul> auto&) { return Support::yes(); });
}

Support CpuBackend::supports_weight(WeightEncoding encoding, ActQuant act) const {
  const bool is_integer =
      encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kInt8Group32 || has_int4_codes(encoding);
  if (act == ActQuant::kInt8Static && encoding != WeightEncoding::kInt8PerRow) {
    return Support::no("int8 activations with a stored scale need int8 weights with a scale for each output");
  }
  if (act == ActQuant::kInt8PerRow && encoding == WeightEncoding::kInt4Group32Zero) {
    return Support::no("int8 activations with zero points of weights are not multiplied");
  }
  if (act == ActQuant::kInt8PerRow && !is_integer) return Support::no("int8 activations need int8 or int4 weights");
  if (has_fp8_rows(act) && encoding != WeightEncoding::kFp8PerRow)
    return Support::no("fp8 activations need fp8 weights");
  if (act == ActQuant::kNvfp4Static && encoding != WeightEncoding::kNvfp4Group16) {
    return Support::no("nvfp4 activations need nvfp4 weights");
  }
  if (has_fp8_groups(act) && encoding != WeightEncoding::kFp8Group128) {
    return Support::no("fp8 activations in groups need fp8 weights in groups");
  }
  return Support::yes();
}

Result<WeightId> CpuBackend::prepare_weight(const WeightSpec& spec) {
  SS_TRY_VOID(queue_.healthy());
  return weights_.prepare(spec);
}

Result<KvPoolId> CpuBackend::create_kv_pool(const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY(const KvPoolId id, HostBackend::create_kv_pool(spec, n_pages));
  // Which thread reads which page changes from step to step. Without this, pages that decoding writes would all be on
  // the node of thread 0.
  nodes_.interleave(pools_.back().memory());
  return id;
}

MemoryUse CpuBackend::memory() const {
  MemoryUse use = HostBackend::memory();
  use.huge_weights_bytes = weights_.huge_bytes();
  return use;
}

Result<std::vector<float>> CpuBackend::unprepare_weight(WeightId id) const {
  if (!weights_.has(id)) return Error{ErrorCode::kInvalidInput, fmt::format("no weight {}", index_of(id))};
  const PackedWeight& weight = weights_.at(id);
  std::vector<float> values(static_cast<std::size_t>(weight.spec.n_rows * weight.spec.n_cols));
  const auto n_cols = static_cast<std::size_t>(weight.spec.n_cols);
  for (std::int64_t row = 0; row < weight.spec.n_rows; ++row) {
    unpack_row(weight, row, std::span(values).subspan(static_cast<std::size_t>(row) * n_cols, n_cols));
  }
  return values;
}

Result<std::unique_ptr<Step>> CpuBackend::compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                                  GroupTiming group_timing) {
  SS_TRY_VOID(check_compile(graph, weights_.specs(), pool));
  SS_TRY(std::unique_ptr<Step> step, make_eager_step(graph, bucket, pool, group_timing, kernels_, queue_, eager_));
  SS_TRY_VOID(kernels_.reserve(graph, bucket, pools_[static_cast<std::size_t>(index_of(pool))]));
  return step;
}

}  // namespace secondsource::cpu

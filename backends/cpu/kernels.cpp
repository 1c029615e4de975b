#include "cpu/kernels.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/op_visit.h"

namespace secondsource::cpu {

CpuKernels::CpuKernels(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights,
                       std::vector<KvPool>& kv_pools, MemoryAccount& account)
    : table_(table),
      pool_(pool),
      kv_pools_(kv_pools),
      scratch_(account, pool.n_threads()),
      row_ops_(table, pool, weights, scratch_),
      matmuls_(table, pool, weights, scratch_),
      mixtures_(table, pool, weights, scratch_, account),
      attention_(table, pool, weights, scratch_) {}

KvPool& CpuKernels::kv_pool(const HostFrame& frame) const {
  return kv_pools_[static_cast<std::size_t>(index_of(frame.pool))];
}

Result<ScratchNeed> CpuKernels::scratch_need(const Op& op, const StepGraph& graph, const Bucket& bucket,
                                             const KvPool& kv_pool) {
  return visit_op(
      op, [&](const RopeAppend& rope) -> Result<ScratchNeed> { return RowOpRunner::scratch_need(rope, bucket); },
      [&](const LatentAppend& append) -> Result<ScratchNeed> { return RowOpRunner::scratch_need(append, bucket); },
      [&](const HeadMatmul& heads) -> Result<ScratchNeed> { return mixtures_.scratch_need(heads, graph, bucket); },
      [&](const Matmul& matmul) -> Result<ScratchNeed> { return matmuls_.scratch_need(matmul, graph, bucket); },
      [&](const Attention& attention) -> Result<ScratchNeed> {
        return attention_.scratch_need(attention, bucket, kv_pool);
      },
      [&](const Route& route) -> Result<ScratchNeed> {
        SS_TRY_VOID(mixtures_.keep_router(route.gate));
        return mixtures_.scratch_need(route, graph, bucket);
      },
      [&](const GroupedMatmul& grouped) -> Result<ScratchNeed> {
        return mixtures_.scratch_need(grouped, graph, bucket);
      },
      [](const OneOf<Embed, RmsNorm, SelectRows, SelectColumns, Sample> auto&) -> Result<ScratchNeed> {
        return ScratchNeed{};
      });
}

Result<void> CpuKernels::reserve(const StepGraph& graph, const Bucket& bucket, const KvPool& kv_pool) {
  ScratchNeed need;
  for (const Op& op : graph.ops) {
    SS_TRY(const ScratchNeed of_op, scratch_need(op, graph, bucket, kv_pool));
    need = larger(need, of_op);
  }
  row_ops_.forget_rotations(bucket.max_tokens);
  matmuls_.order_weights(graph);
  return scratch_.reserve(need);
}

Result<void> CpuKernels::run(const Embed& op, const HostFrame& frame) {
  return row_ops_.run(op, frame);
}

Result<void> CpuKernels::run(const RmsNorm& op, const HostFrame& frame) {
  row_ops_.run(op, frame);
  return {};
}

Result<void> CpuKernels::run(const Matmul& op, const HostFrame& frame) {
  matmuls_.run(op, frame);
  return {};
}

Result<void> CpuKernels::run(const RopeAppend& op, const HostFrame& frame) {
  return row_ops_.run(op, frame, kv_pool(frame));
}

Result<void> CpuKernels::run(const LatentAppend& op, const HostFrame& frame) {
  return row_ops_.run(op, frame, kv_pool(frame));
}

Result<void> CpuKernels::run(const HeadMatmul& op, const HostFrame& frame) {
  mixtures_.run(op, frame);
  return {};
}

Result<void> CpuKernels::run(const Attention& op, const HostFrame& frame) {
  return attention_.run(op, frame, kv_pool(frame));
}

Result<void> CpuKernels::run(const SelectColumns& op, const HostFrame& frame) {
  row_ops_.run(op, frame);
  return {};
}

Result<void> CpuKernels::run(const Route& op, const HostFrame& frame) {
  mixtures_.run(op, frame);
  return {};
}

Result<void> CpuKernels::run(const GroupedMatmul& op, const HostFrame& frame) {
  return mixtures_.run(op, frame);
}

void CpuKernels::for_each(std::int64_t n, const std::function<void(std::int64_t)>& body) {
  for_each_on(pool_)(n, body);
}

DType CpuKernels::kv_dtype() const {
  // describe() is not told the pool, but all pools of a backend have the type that it prefers or f32.
  const auto pool =
      std::ranges::find_if(kv_pools_, [](const KvPool& each) { return each.spec().dtype != DType::kF32; });
  return pool == kv_pools_.end() ? DType::kF32 : pool->spec().dtype;
}

OpGroup CpuKernels::describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const {
  std::string kernel = visit_op(
      op, [&](const Matmul& matmul) { return matmuls_.kernel_name(matmul, n_rows); },
      [&](const GroupedMatmul& grouped) { return mixtures_.kernel_name(grouped, n_rows); },
      [&](const Attention&) { return attention_.kernel_name(kv_dtype()); },
      [&](const OneOf<RopeAppend, LatentAppend> auto&) {
        return fmt::format("{}_{}_{}", op_name(op), to_string(kv_dtype()), table_.isa);
      },
      [&](const HeadMatmul& heads) { return mixtures_.kernel_name(heads, n_rows); },
      [&](const OneOf<Embed, RmsNorm, SelectRows, SelectColumns, Sample, Route> auto&) {
        return fmt::format("{}_f32_{}", op_name(op), table_.isa);
      });
  return {{op_index}, std::move(kernel), ""};
}

}  // namespace secondsource::cpu

#include "cpu/kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "backend_kit/workspace_plan.h"
#include "core/check.h"

namespace secondsource::cpu {
namespace {

// Below this many values a loop over rows is over before another thread has woken up.
constexpr std::int64_t kSerialValues = 16384;

/// Calls body(first, end) over [0, n_rows) in chunks, on the caller alone when there is little to do.
template <typename Body>
void over_rows(ThreadPool& pool, std::int64_t n_rows, std::int64_t values_per_row, const Body& body) {
  if (n_rows * values_per_row <= kSerialValues) {
    body(std::int64_t{0}, n_rows, 0);
    return;
  }
  const std::int64_t rows_per_chunk =
      std::max<std::int64_t>(1, kSerialValues / 2 / std::max<std::int64_t>(1, values_per_row));
  const std::int64_t n_chunks = (n_rows + rows_per_chunk - 1) / rows_per_chunk;
  pool.run(n_chunks, [&](std::int64_t chunk, int thread) {
    const std::int64_t first = chunk * rows_per_chunk;
    body(first, std::min(n_rows, first + rows_per_chunk), thread);
  });
}

void take_larger(ScratchNeed& need, const ScratchNeed& other) {
  need.activations = std::max(need.activations, other.activations);
  need.partials = std::max(need.partials, other.partials);
  need.rotations = std::max(need.rotations, other.rotations);
  need.per_thread = std::max(need.per_thread, other.per_thread);
}

/// What a kernel's name begins with whose tiles were something else before.
std::string unpacked_from(const PackedWeight& weight, const Unpacking& unpacking) {
  return unpacking.unpack == nullptr ? "" : fmt::format("unpacked {}, ", to_string(weight.spec.encoding));
}

}  // namespace

CpuKernels::CpuKernels(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights,
                       std::vector<KvPool>& kv_pools, MemoryAccount& account)
    : table_(table),
      pool_(pool),
      weights_(weights),
      kv_pools_(kv_pools),
      account_(account),
      scratch_(account, pool.n_threads()) {}

KvPool& CpuKernels::kv_pool(const HostFrame& frame) const {
  return kv_pools_[static_cast<std::size_t>(index_of(frame.pool))];
}

Result<void> CpuKernels::reserve(const StepGraph& graph, const Bucket& bucket, const KvPool& kv_pool) {
  ScratchNeed need;
  for (const Op& op : graph.ops) {
    if (const auto* matmul = std::get_if<Matmul>(&op)) take_larger(need, matmul_need(*matmul, graph, bucket));
    if (const auto* route = std::get_if<Route>(&op)) {
      SS_TRY_VOID(keep_router(route->gate));
      take_larger(need, route_need(*route, graph, bucket));
    }
    if (const auto* grouped = std::get_if<GroupedMatmul>(&op)) take_larger(need, grouped_need(*grouped, graph, bucket));
    if (const auto* attention = std::get_if<Attention>(&op)) {
      take_larger(need, attention_need(*attention, bucket, kv_pool));
    }
    if (const auto* rope = std::get_if<RopeAppend>(&op)) {
      const auto head_dim = static_cast<std::size_t>(rope->heads.head_dim);
      take_larger(need, {.rotations = static_cast<std::size_t>(bucket.max_tokens) * head_dim * sizeof(float),
                         .per_thread = 3 * ScratchCutter::size_of_piece<float>(head_dim)});
    }
  }
  rotated_positions_.reserve(static_cast<std::size_t>(bucket.max_tokens));
  rotated_positions_.clear();
  order_weights(graph);
  return scratch_.reserve(need);
}

Result<void> CpuKernels::run(const Embed& op, const HostFrame& frame) {
  const MatrixView<float> out = frame.value(op.out);
  const PackedWeight& table = weights_.at(op.table);
  for (std::int64_t t = 0; t < out.rows(); ++t) {
    const std::int32_t id = frame.token_ids[static_cast<std::size_t>(t)];
    if (id >= 0 && id < table.spec.n_rows) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("token {}: expected an id in [0, {}), found {}", t, table.spec.n_rows, id)};
  }
  over_rows(pool_, out.rows(), out.cols(), [&](std::int64_t first, std::int64_t end, int) {
    for (std::int64_t t = first; t < end; ++t) {
      unpack_row(table, frame.token_ids[static_cast<std::size_t>(t)], out.row(t));
      if (op.scale != 1.0F) table_.scale_into(out.row(t).data(), op.scale, out.cols(), out.row(t).data());
    }
  });
  return {};
}

Result<void> CpuKernels::run(const RmsNorm& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const float* const weight = weights_.at(op.weight).vector.data();
  over_rows(pool_, x.rows(), x.cols(), [&](std::int64_t first, std::int64_t end, int) {
    for (std::int64_t row = first; row < end; ++row) {
      const float* const add = op.add ? frame.value(*op.add).row(row).data() : nullptr;
      float* const sum_out = op.sum_out ? frame.value(*op.sum_out).row(row).data() : nullptr;
      table_.rms_norm(x.row(row).data(), add, weight, op.eps, x.cols(), sum_out, out.row(row).data());
    }
  });
  return {};
}

Result<void> CpuKernels::update_rotations(const RopeAppend& op, const HostFrame& frame) {
  const RopeSpec& rope = frame.graph.ropes[static_cast<std::size_t>(index_of(op.rope))];
  const bool same_rope =
      rope.attention_factor == rotated_rope_.attention_factor && rope.inv_freq == rotated_rope_.inv_freq;
  // Every layer of a step asks for the same angles.
  if (same_rope && std::ranges::equal(rotated_positions_, frame.batch.positions)) return {};
  if (!same_rope) rotated_rope_ = rope;
  rotated_positions_.assign(frame.batch.positions.begin(), frame.batch.positions.end());
  const auto half = static_cast<std::int64_t>(rope.inv_freq.size());
  const auto factor = static_cast<double>(rope.attention_factor);
  float* const angles = scratch_.rotations().data();
  // A sine costs as much as tens of additions.
  over_rows(pool_, frame.batch.n_tokens(), half * 64, [&](std::int64_t first, std::int64_t end, int) {
    for (std::int64_t t = first; t < end; ++t) {
      float* const cosines = angles + t * 2 * half;
      float* const sines = cosines + half;
      for (std::int64_t i = 0; i < half; ++i) {
        // Rounded to f32 as every f32 implementation rounds it: at position 30000 that is 0.001 radian.
        const float angle = static_cast<float>(rotated_positions_[static_cast<std::size_t>(t)]) *
                            rope.inv_freq[static_cast<std::size_t>(i)];
        cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * factor);
        sines[i] = static_cast<float>(std::sin(static_cast<double>(angle)) * factor);
      }
    }
  });
  return {};
}

Result<void> CpuKernels::run(const RopeAppend& op, const HostFrame& frame) {
  const MatrixView<float> qkv = frame.value(op.qkv);
  const MatrixView<float> q_out = frame.value(op.q_out);
  KvPool& cache = kv_pool(frame);
  const std::int64_t n_slots = cache.n_pages() * cache.spec().page_tokens;
  for (std::size_t t = 0; t < frame.batch.kv_slots.size(); ++t) {
    if (frame.batch.kv_slots[t] < n_slots) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("token {}: expected a cache slot below {}, found {}", t, n_slots,
                                                       frame.batch.kv_slots[t])};
  }
  SS_TRY_VOID(update_rotations(op, frame));
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t half = head_dim / 2;
  over_rows(pool_, qkv.rows(), qkv.cols(), [&](std::int64_t first, std::int64_t end, int thread) {
    ScratchCutter cutter(scratch_.of_thread(thread));
    float* const normalized = cutter.take<float>(static_cast<std::size_t>(head_dim)).data();
    const std::span<float> key = cutter.take<float>(static_cast<std::size_t>(head_dim));
    const std::span<float> value = cutter.take<float>(static_cast<std::size_t>(head_dim));
    for (std::int64_t t = first; t < end; ++t) {
      const float* const cosines = scratch_.rotations().data() + t * head_dim;
      const auto rotate = [&](const float* head, const std::optional<WeightId>& norm, float* out) {
        if (norm) {
          table_.rms_norm(head, nullptr, weights_.at(*norm).vector.data(), op.norm_eps, head_dim, nullptr, normalized);
          head = normalized;
        }
        table_.rotate(head, cosines, cosines + half, half, out);
      };
      const float* const q = qkv.row(t).data();
      for (std::int64_t head = 0; head < op.heads.n_heads; ++head) {
        rotate(q + head * head_dim, op.q_norm, q_out.row(t).data() + head * head_dim);
      }
      const std::int32_t slot = frame.batch.kv_slots[static_cast<std::size_t>(t)];
      if (slot < 0) continue;  // a padding row
      const float* const keys = q + op.heads.n_heads * head_dim;
      const float* const values = keys + op.heads.n_kv_heads * head_dim;
      for (std::int32_t head = 0; head < op.heads.n_kv_heads; ++head) {
        rotate(keys + head * head_dim, op.k_norm, key.data());
        std::copy_n(values + head * head_dim, head_dim, value.begin());
        cache.write(op.layer, slot, head, key, value);
      }
    }
  });
  return {};
}

Result<void> CpuKernels::run(const AllReduce&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "cpu: all_reduce is reserved"};
}

void CpuKernels::for_each(std::int64_t n, const std::function<void(std::int64_t)>& body) {
  for_each_on(pool_)(n, body);
}

OpGroup CpuKernels::describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const {
  std::string kernel = fmt::format("{}_f32_{}", op_name(op), table_.isa);
  if (const auto* matmul = std::get_if<Matmul>(&op)) {
    const PackedWeight& weight = weights_.at(matmul->weight);
    const MatmulPlan plan = plan_matmul(*matmul, weight, n_rows);
    kernel = weight.is_vector
                 ? fmt::format("matmul_vector_f32_{}", table_.isa)
                 : fmt::format("{}{}_{}", unpacked_from(weight, plan.unpacking), plan.kernel.name, table_.isa);
  }
  if (const auto* grouped = std::get_if<GroupedMatmul>(&op)) {
    const PackedWeight& weight = weights_.at(grouped->weights);
    const auto name_of = [&](std::int64_t n_rows_of_expert) {
      const ChosenKernel chosen = chosen_kernel(expert_tiles(*grouped), n_rows_of_expert);
      return fmt::format("{}grouped_{}_{}", unpacked_from(weight, chosen.unpacking), chosen.kernel.name, table_.isa);
    };
    // The router alone knows how many rows an expert has: at least one, at most all.
    kernel = name_of(1);
    if (name_of(n_rows) != kernel) kernel = fmt::format("{} or {}", kernel, name_of(n_rows));
  }
  if (std::holds_alternative<Attention>(op) || std::holds_alternative<RopeAppend>(op)) {
    // Both follow the cache's type, which is the pool's; all pools of a backend have the one that it prefers or f32.
    const auto pool =
        std::ranges::find_if(kv_pools_, [](const KvPool& each) { return each.spec().dtype != DType::kF32; });
    const DType kv_dtype = pool == kv_pools_.end() ? DType::kF32 : pool->spec().dtype;
    kernel = std::holds_alternative<Attention>(op)
                 ? fmt::format("{}_{}", attend_kernel(table_, kv_dtype).name, table_.isa)
                 : fmt::format("rope_append_{}_{}", to_string(kv_dtype), table_.isa);
  }
  return {{op_index}, std::move(kernel), ""};
}

}  // namespace secondsource::cpu

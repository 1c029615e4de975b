#include "engine/op_work.h"

#include <algorithm>

#include "backend/backend.h"

namespace secondsource {
namespace {

double real(std::int64_t count) {
  return static_cast<double>(count);
}

class Work {
 public:
  Work(const StepGraph& graph, const ModelWeights& weights, DType kv_dtype, const StepCounts& counts)
      : graph_(graph), weights_(weights), kv_dtype_(kv_dtype), counts_(counts) {}

  OpWork operator()(const Embed& op) const {
    const WeightExtent& table = extent(op.table);
    return {.weight_bytes = table.bytes / real(table.n_rows) * real(counts_.n_tokens)};
  }
  OpWork operator()(const RmsNorm& op) const {
    return {.weight_bytes = extent(op.weight).bytes * real(counts_.n_steps)};
  }
  OpWork operator()(const RopeAppend& op) const {
    OpWork work;
    if (op.q_norm) work.weight_bytes += extent(*op.q_norm).bytes * real(counts_.n_steps);
    if (op.k_norm) work.weight_bytes += extent(*op.k_norm).bytes * real(counts_.n_steps);
    return work;
  }
  OpWork operator()(const Matmul& op) const {
    const WeightExtent& weight = extent(op.weight);
    return {.flops = 2 * real(weight.n_rows) * real(value(op.x).cols) * rows(op.x),
            .weight_bytes = weight.bytes * real(counts_.n_steps)};
  }
  OpWork operator()(const LatentAppend& op) const {
    return {.weight_bytes = extent(op.norm).bytes * real(counts_.n_steps)};
  }
  OpWork operator()(const HeadMatmul& op) const {
    const WeightExtent& all = extent(op.weights);
    const double out_dim = real(value(op.out).cols) / op.n_heads;
    const double n_products = real(all.n_rows) / op.n_heads;
    const double n_inputs = real(value(op.x).cols) / op.n_heads - (out_dim - n_products);
    return {.flops = 2 * real(all.n_rows) * n_inputs * rows(op.x), .weight_bytes = all.bytes * real(counts_.n_steps)};
  }
  OpWork operator()(const Attention& op) const {
    const bool windowed = op.window > 0;
    const HeadShape& heads = op.heads;
    const double n_arrays = heads.latent_dim > 0 ? 1 : 2;
    // Flops for the scores and for the weighted sum of values, bytes for keys and, where they are cached apart, for values.
    return {.flops = 2 * real(heads.n_heads) * (real(heads.head_dim) + real(heads.value_dim())) *
                     real(windowed ? counts_.n_pairs_in_window : counts_.n_pairs),
            .kv_bytes = n_arrays * heads.n_kv_heads * real(kv_row_bytes(kv_dtype_, heads.head_dim)) *
                        real(windowed ? counts_.n_kv_read_in_window : counts_.n_kv_read)};
  }
  OpWork operator()(const Route& op) const {
    const WeightExtent& gate = extent(op.gate);
    return {.flops = 2 * real(gate.n_rows) * real(value(op.x).cols) * rows(op.x),
            .weight_bytes = gate.bytes * real(counts_.n_steps)};
  }
  OpWork operator()(const GroupedMatmul& op) const {
    const WeightExtent& all = extent(op.weights);
    const double n_cols = real(value(op.x).cols) / (has_x_per_expert(op) ? op.n_top : 1);
    const double share = static_cast<double>(op.n_top) / real(all.n_experts);
    return {.flops = 2 * real(all.n_rows) * n_cols * share * rows(op.x),
            .weight_bytes = all.bytes * share * real(counts_.n_steps)};
  }
  /// Copies, sampling and rotations are not counted.
  template <typename Other>
  OpWork operator()(const Other&) const {
    return {};
  }

 private:
  [[nodiscard]] const WeightExtent& extent(WeightId id) const { return weights_.extents.at(id); }
  [[nodiscard]] const ValueDesc& value(ValueId id) const {
    return graph_.values[static_cast<std::size_t>(index_of(id))];
  }
  [[nodiscard]] double rows(ValueId id) const {
    return real(value(id).rows == Rows::kLogits ? counts_.n_logit_rows : counts_.n_tokens);
  }

  const StepGraph& graph_;
  const ModelWeights& weights_;
  DType kv_dtype_;
  const StepCounts& counts_;
};

}  // namespace

StepCounts& StepCounts::operator+=(const StepCounts& other) {
  n_steps += other.n_steps;
  n_tokens += other.n_tokens;
  n_logit_rows += other.n_logit_rows;
  n_kv_read += other.n_kv_read;
  n_pairs += other.n_pairs;
  n_kv_read_in_window += other.n_kv_read_in_window;
  n_pairs_in_window += other.n_pairs_in_window;
  return *this;
}

OpWork& OpWork::operator+=(const OpWork& other) {
  flops += other.flops;
  weight_bytes += other.weight_bytes;
  kv_bytes += other.kv_bytes;
  return *this;
}

StepCounts counts_of(const Batch& batch, std::int32_t window) {
  StepCounts counts{.n_steps = 1, .n_tokens = batch.n_tokens(), .n_logit_rows = batch.n_logit_rows()};
  for (std::size_t s = 0; s < batch.kv_lengths.size(); ++s) {
    const std::int64_t n = batch.q_starts[s + 1] - batch.q_starts[s];
    const std::int64_t length = batch.kv_lengths[s];
    counts.n_kv_read += length;
    // The first of the n tokens attends to length - n + 1 keys, the last one to all of them.
    counts.n_pairs += n * (length - n) + n * (n + 1) / 2;
    if (window <= 0) continue;
    counts.n_kv_read_in_window += std::min<std::int64_t>(length, window + n - 1);
    for (std::int64_t seen = length - n + 1; seen <= length; ++seen) {
      counts.n_pairs_in_window += std::min<std::int64_t>(seen, window);
    }
  }
  return counts;
}

OpWork work_of(const Op& op, const StepGraph& graph, const ModelWeights& weights, DType kv_dtype,
               const StepCounts& counts) {
  return std::visit(Work(graph, weights, kv_dtype, counts), op);
}

OpWork work_of(const StepGraph& graph, const ModelWeights& weights, DType kv_dtype, const StepCounts& counts) {
  OpWork sum;
  for (const Op& op : graph.ops) sum += work_of(op, graph, weights, kv_dtype, counts);
  return sum;
}

std::int32_t window_of(const StepGraph& graph) {
  for (const Op& op : graph.ops) {
    const auto* const attention = std::get_if<Attention>(&op);
    if (attention != nullptr && attention->window > 0) return attention->window;
  }
  return 0;
}

}  // namespace secondsource

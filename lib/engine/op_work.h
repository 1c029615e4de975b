#pragma once
// The least work that steps have to do, whatever the backend: multiply-adds, and the bytes of weights and cache that
// must be read. All of it is a linear function of a few counts, so it can be computed once for the sum over many steps.
//
//   StepCounts counts = counts_of(batch, window);      // cheap: per step
//   OpWork work = work_of(graph, weights, kv_dtype, sum of counts);

#include <cstdint>

#include "backend/batch.h"
#include "backend/op.h"
#include "engine/model_weights.h"

namespace secondsource {

/// Counts of one step, or sums over many steps.
struct StepCounts {
  std::int64_t n_steps = 0;
  std::int64_t n_tokens = 0;
  std::int64_t n_logit_rows = 0;
  std::int64_t n_kv_read = 0;            ///< cached tokens that attention reads, counted once per sequence
  std::int64_t n_pairs = 0;              ///< (query, key) pairs of attention
  std::int64_t n_kv_read_in_window = 0;  ///< the same two counts for layers with the sliding window
  std::int64_t n_pairs_in_window = 0;
  StepCounts& operator+=(const StepCounts& other);
};

/// `window` is the window of the model's layers with a sliding window; 0 if there are none.
[[nodiscard]] StepCounts counts_of(const Batch& batch, std::int32_t window);

/// The least work of steps. A multiplication and an addition count as one operation each. Only matmuls and attention
/// are counted: norms, rotations and activations take a few operations per value, less than a hundredth of the total.
struct OpWork {
  double flops = 0;
  double weight_bytes = 0;  ///< as stored in the variant; in a mixture, of as many experts as one token uses
  double kv_bytes = 0;
  OpWork& operator+=(const OpWork& other);
};

/// The work of one operation. `weights` are those from which the graph was built.
[[nodiscard]] OpWork work_of(const Op& op, const StepGraph& graph, const ModelWeights& weights, DType kv_dtype,
                             const StepCounts& counts);
/// The work of all operations of the graph.
[[nodiscard]] OpWork work_of(const StepGraph& graph, const ModelWeights& weights, DType kv_dtype,
                             const StepCounts& counts);

/// The sliding window of the graph's attention layers that have one; 0 if none has.
[[nodiscard]] std::int32_t window_of(const StepGraph& graph);

}  // namespace secondsource

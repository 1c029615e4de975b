#pragma once
// What steps have to do at least, however a backend does it: multiply-adds, and the weights and cache that have to be
// read. Everything is a linear function of a few counts, so it is computed once for many steps.
//
//   StepCounts counts = counts_of(batch, window);      // cheap: per step
//   OpWork work = work_of(graph, weights, kv_dtype, sum of counts);

#include <cstdint>

#include "backend/batch.h"
#include "backend/op.h"
#include "engine/model_weights.h"

namespace secondsource {

/// Of one step, or summed over many.
struct StepCounts {
  std::int64_t n_steps = 0;
  std::int64_t n_tokens = 0;
  std::int64_t n_logit_rows = 0;
  std::int64_t n_kv_read = 0;            ///< cached tokens that attention reads, per sequence once
  std::int64_t n_pairs = 0;              ///< (query, key) pairs of attention
  std::int64_t n_kv_read_in_window = 0;  ///< the same two for layers with the sliding window
  std::int64_t n_pairs_in_window = 0;
  StepCounts& operator+=(const StepCounts& other);
};

/// `window`: of the model's layers with a sliding window; 0: none has one.
[[nodiscard]] StepCounts counts_of(const Batch& batch, std::int32_t window);

/// Multiplications and additions count one each. Only products and attention are counted: norms, rotations and
/// activations are a few operations per value, less than a hundredth of them.
struct OpWork {
  double flops = 0;
  double weight_bytes = 0;  ///< as stored in the variant; of a mixture, of as many experts as one token uses
  double kv_bytes = 0;
  OpWork& operator+=(const OpWork& other);
};

/// `weights` are those that the graph was built from.
[[nodiscard]] OpWork work_of(const Op& op, const StepGraph& graph, const ModelWeights& weights, DType kv_dtype,
                             const StepCounts& counts);
/// Of all operations.
[[nodiscard]] OpWork work_of(const StepGraph& graph, const ModelWeights& weights, DType kv_dtype,
                             const StepCounts& counts);

/// The sliding window of the graph's attention layers that have one; 0: none has.
[[nodiscard]] std::int32_t window_of(const StepGraph& graph);

}  // namespace secondsource

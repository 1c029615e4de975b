#pragma once
// The forward pass of a Llama-family model, written once: a ModelConfig and its prepared weights become the StepGraph
// that every backend compiles.
//
//   x = embed(ids)
//   per layer:  x += out(attention(rope_append(qkv(norm(x)) [+ bias])));  x += down(act(gate) * up), of norm(x)
//   logits = head(norm(rows of x that want logits));  sample(logits)

#include <cstdint>

#include "backend/op.h"
#include "bundle/model_config.h"
#include "engine/model_weights.h"

namespace secondsource {

struct GraphOptions {
  ActQuant act = ActQuant::kNone;  ///< of every matmul input
  std::int32_t n_top = 0;          ///< log-probabilities reported per logit row; at most the vocabulary
  bool keep_logits = false;        ///< return all logits
  /// Every value is its own and observed, so that nothing is fused or overwritten: to find a wrong operation by
  /// bisection.
  bool observe_all = false;
};

[[nodiscard]] StepGraph build_step_graph(const ModelConfig& config, const ModelWeights& weights,
                                         const GraphOptions& options);

/// The cache that the graph's layers append to.
[[nodiscard]] KvSpec kv_spec_of(const ModelConfig& config, std::int32_t page_tokens, DType dtype);

}  // namespace secondsource

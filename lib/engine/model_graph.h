#pragma once
// Builds the forward pass of a Llama-like model, written once for all backends: a ModelConfig and its prepared
// weights become the StepGraph that every backend compiles.
//
//   x = embed(ids)
//   per layer:  x += out(attention(rope_append(qkv(norm(x)) [+ bias]))) [+ bias]
//               x += down(act(gate) * up), of norm(x), or the same of the experts that a router chooses
//   logits = head(norm(rows of x that need logits));  sample(logits)
//
// Depending on ModelConfig::block_norms, the blocks' outputs are normalized instead of or in addition to x. Parallel
// blocks read the same norm(x), and a network without a gate is down(gelu(up)).

#include <cstdint>

#include "backend/op.h"
#include "bundle/model_config.h"
#include "engine/model_weights.h"

namespace secondsource {

struct GraphOptions {
  ActQuant act = ActQuant::kNone;  ///< quantization of the input of every matmul
  /// Number of log-probabilities reported per row of logits; at most the vocabulary size.
  std::int32_t n_top = 0;
  bool keep_logits = false;  ///< the step returns all logits
  bool long_rope = false;    ///< the step's sequences use ModelConfig::long_rope_tables
  /// Every operation writes a value of its own, which can be read, and nothing is fused or overwritten. It serves to
  /// locate a wrong operation by bisection.
  bool observe_all = false;
};

[[nodiscard]] StepGraph build_step_graph(const ModelConfig& config, const ModelWeights& weights,
                                         const GraphOptions& options);

/// The layout of the KV cache to which the graph's layers append.
[[nodiscard]] KvSpec kv_spec_of(const ModelConfig& config, std::int32_t page_tokens, DType dtype);

}  // namespace secondsource

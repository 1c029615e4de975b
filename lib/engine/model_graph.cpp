#include "engine/model_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace secondsource {
namespace {

std::int32_t narrow(std::int64_t value) {
  return static_cast<std::int32_t>(value);  // parse_model_config() bounds every extent far below 2^31
}

/// Adds values and operations to the graph. An operation that can work in place does so unless all values are observed.
class GraphBuilder {
 public:
  GraphBuilder(const ModelConfig& config, const ModelWeights& weights, const GraphOptions& options)
      : config_(config), weights_(weights), options_(options) {}

  StepGraph build() {
    graph_.ropes.push_back({config_.rope_table.inv_freq, config_.rope_table.attention_factor});
    ValueId x = value(Rows::kTokens, config_.dim);
    add("embedding", Embed{.table = weights_.embedding, .out = x});
    for (std::int64_t layer = 0; layer < config_.n_layers; ++layer) {
      x = attention_block(x, layer);
      x = ffn_block(x, layer);
    }
    head(x);
    return std::move(graph_);
  }

 private:
  ValueId value(Rows rows, std::int64_t cols, DType dtype = DType::kF32) {
    graph_.values.push_back({.dtype = dtype, .rows = rows, .cols = narrow(cols), .observed = options_.observe_all});
    return ValueId{static_cast<std::int32_t>(graph_.values.size()) - 1};
  }

  /// The output of an operation that could overwrite `x`.
  ValueId in_place_of(ValueId x) {
    if (!options_.observe_all) return x;
    const ValueDesc desc = graph_.values[static_cast<std::size_t>(index_of(x))];
    return value(desc.rows, desc.cols);
  }

  void add(std::string label, const Op& op) {
    graph_.ops.push_back(op);
    graph_.labels.push_back(std::move(label));
  }

  ValueId norm(std::string label, ValueId x, WeightId weight) {
    const ValueDesc desc = graph_.values[static_cast<std::size_t>(index_of(x))];
    const ValueId out = value(desc.rows, desc.cols);
    add(std::move(label), RmsNorm{.x = x,
                                  .add = {},
                                  .weight = weight,
                                  .eps = static_cast<float>(config_.norm_eps),
                                  .sum_out = {},
                                  .out = out});
    return out;
  }

  ValueId attention_block(ValueId x, std::int64_t layer) {
    const LayerWeights& weights = weights_.layers[static_cast<std::size_t>(layer)];
    const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.attention.{}", layer, rest); };
    const HeadShape heads{narrow(config_.n_heads), narrow(config_.n_kv_heads), narrow(config_.head_dim)};
    const ValueId normed = norm(label("norm"), x, weights.attention_norm);
    const ValueId qkv = value(Rows::kTokens, config_.q_dim() + 2 * config_.kv_dim());
    add(label("qkv"), Matmul{.x = normed,
                             .weight = weights.qkv,
                             .out = qkv,
                             .act = options_.act,
                             .epilogue = weights.qkv_bias ? Epilogue::kBias : Epilogue::kNone,
                             .aux = {},
                             .bias = weights.qkv_bias});
    const ValueId q = value(Rows::kTokens, config_.q_dim());
    add(label("rope_append"), RopeAppend{.qkv = qkv,
                                         .q_out = q,
                                         .layer = narrow(layer),
                                         .heads = heads,
                                         .rope = RopeId{0},
                                         .q_norm = weights.q_norm,
                                         .k_norm = weights.k_norm,
                                         .norm_eps = static_cast<float>(config_.norm_eps)});
    const ValueId attended = in_place_of(q);
    add(label("attention"),
        Attention{.q = q,
                  .out = attended,
                  .layer = narrow(layer),
                  .heads = heads,
                  .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config_.head_dim))),
                  .window = narrow(config_.windows[static_cast<std::size_t>(layer)])});
    const ValueId out = in_place_of(x);
    add(label("out"), Matmul{.x = attended,
                             .weight = weights.attention_out,
                             .out = out,
                             .act = options_.act,
                             .epilogue = Epilogue::kAddResidual,
                             .aux = x,
                             .bias = {}});
    return out;
  }

  ValueId ffn_block(ValueId x, std::int64_t layer) {
    const LayerWeights& weights = weights_.layers[static_cast<std::size_t>(layer)];
    const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.ffn.{}", layer, rest); };
    const Epilogue gated = config_.activation == Activation::kSilu ? Epilogue::kGatedSilu : Epilogue::kGatedGelu;
    const ValueId normed = norm(label("norm"), x, weights.ffn_norm);
    const ValueId out = in_place_of(x);
    if (config_.is_mixture()) {
      const std::int32_t n_top = narrow(config_.n_experts_per_token);
      const ValueId expert = value(Rows::kTokens, n_top, DType::kI32);
      const ValueId share = value(Rows::kTokens, n_top);
      add(label("route"),
          Route{.x = normed, .gate = weights.router.value(), .n_top = n_top, .expert = expert, .weight = share});
      const ValueId hidden = value(Rows::kTokens, n_top * config_.ffn_dim);
      add(label("gate_up"), GroupedMatmul{.x = normed,
                                          .expert = expert,
                                          .weight = {},
                                          .weights = weights.gate_up,
                                          .out = hidden,
                                          .n_top = n_top,
                                          .act = options_.act,
                                          .epilogue = gated,
                                          .aux = {}});
      add(label("down"), GroupedMatmul{.x = hidden,
                                       .expert = expert,
                                       .weight = share,
                                       .weights = weights.down,
                                       .out = out,
                                       .n_top = n_top,
                                       .act = options_.act,
                                       .epilogue = Epilogue::kAddResidual,
                                       .aux = x});
      return out;
    }
    const ValueId hidden = value(Rows::kTokens, config_.ffn_dim);
    add(label("gate_up"), Matmul{.x = normed,
                                 .weight = weights.gate_up,
                                 .out = hidden,
                                 .act = options_.act,
                                 .epilogue = gated,
                                 .aux = {},
                                 .bias = {}});
    add(label("down"), Matmul{.x = hidden,
                              .weight = weights.down,
                              .out = out,
                              .act = options_.act,
                              .epilogue = Epilogue::kAddResidual,
                              .aux = x,
                              .bias = {}});
    return out;
  }

  void head(ValueId x) {
    const ValueId last = value(Rows::kLogits, config_.dim);
    add("select_rows", SelectRows{.x = x, .out = last});
    const ValueId normed = norm("final_norm", last, weights_.final_norm);
    const ValueId logits = value(Rows::kLogits, config_.vocab_size);
    add("head",
        Matmul{.x = normed, .weight = weights_.head, .out = logits, .act = options_.act, .aux = {}, .bias = {}});
    add("sample", Sample{.logits = logits,
                         .n_top = std::min(options_.n_top, narrow(config_.vocab_size)),
                         .keep_logits = options_.keep_logits});
  }

  const ModelConfig& config_;
  const ModelWeights& weights_;
  const GraphOptions& options_;
  StepGraph graph_;
};

}  // namespace

StepGraph build_step_graph(const ModelConfig& config, const ModelWeights& weights, const GraphOptions& options) {
  return GraphBuilder(config, weights, options).build();
}

KvSpec kv_spec_of(const ModelConfig& config, std::int32_t page_tokens, DType dtype) {
  return KvSpec{.n_layers = narrow(config.n_layers),
                .n_kv_heads = narrow(config.n_kv_heads),
                .head_dim = narrow(config.head_dim),
                .page_tokens = page_tokens,
                .dtype = dtype};
}

}  // namespace secondsource

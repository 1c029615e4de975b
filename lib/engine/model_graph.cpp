#include "engine/model_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

namespace secondsource {
namespace {

std::int32_t narrow(std::int64_t value) {
  return static_cast<std::int32_t>(value);  // parse_model_config() bounds every extent far below 2^31
}

/// The epsilon of the norms of latents, which does not depend on rms_norm_eps: transformers' DeepSeek classes use the
/// default of their norm.
constexpr float kLatentEps = 1e-6F;

/// The operation's norm of heads for a model's kind of norm of q and k.
HeadNorm head_norm_of(QkNorm norm) {
  if (norm == QkNorm::kAllHeads) return HeadNorm::kRmsOfAllHeads;
  return norm == QkNorm::kEachHeadCentered ? HeadNorm::kLayerNormOfHead : HeadNorm::kRmsOfHead;
}

/// Adds values and operations to the graph. An operation that can work in place does so unless all values are observed.
class GraphBuilder {
 public:
  GraphBuilder(const ModelConfig& config, const ModelWeights& weights, const GraphOptions& options)
      : config_(config), weights_(weights), options_(options) {}

  StepGraph build() {
    for (const RopeTable& table : options_.long_rope ? config_.long_rope_tables : config_.rope_tables) {
      graph_.ropes.push_back(
          {.inv_freq = table.inv_freq, .attention_factor = table.attention_factor, .query_growth = table.query_growth});
    }
    Hidden x{.sum = value(Rows::kTokens, config_.dim)};
    add("embedding", Embed{.table = weights_.embedding,
                           .out = x.sum,
                           .scale = static_cast<float>(config_.embedding_scale / config_.residual_scale)});
    for (std::int64_t layer = 0; layer < config_.n_layers; ++layer) {
      if (config_.latent.is_present()) {
        latent_attention_block(x, layer);
        ffn_block(x, layer, x.sum);
        continue;
      }
      const ValueId input = attention_block(x, layer);
      ffn_block(x, layer, input);
    }
    head(x);
    return std::move(graph_);
  }

 private:
  /// The hidden state. The output of the last block may still be pending: then the next norm adds it.
  struct Hidden {
    ValueId sum;
    std::optional<ValueId> pending = {};
  };

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

  /// The input of a block: the hidden state, normalized if the model has norms before its blocks.
  ValueId block_input(std::string label, Hidden& x, const std::optional<WeightId>& weight,
                      const std::optional<WeightId>& bias) {
    return weight ? norm(std::move(label), x, *weight, bias) : x.sum;
  }

  /// Adds what is pending to the hidden state, and returns the normalized state.
  ValueId norm(std::string label, Hidden& x, WeightId weight, const std::optional<WeightId>& bias) {
    const ValueDesc desc = graph_.values[static_cast<std::size_t>(index_of(x.sum))];
    const ValueId out = value(desc.rows, desc.cols);
    RmsNorm op{.x = x.sum,
               .add = x.pending,
               .weight = weight,
               .eps = hidden_eps(),
               .sum_out = {},
               .out = out,
               .centers = config_.norms_center,
               .bias = bias};
    if (x.pending) op.sum_out = in_place_of(x.sum);
    add(std::move(label), op);
    if (op.sum_out) x = {.sum = *op.sum_out};
    return out;
  }

  /// How the output of a block is changed before it is added to the hidden state.
  struct Addition {
    std::optional<WeightId> bias = {};
    std::optional<WeightId> norm = {};
  };

  /// The input for a product with this weight: x with its columns brought into the order of the weight's columns.
  ValueId in_order_of(WeightId weight, const std::string& label, ValueId x) {
    const auto found = weights_.column_orders.find(weight);
    if (found == weights_.column_orders.end()) return x;
    const ValueDesc desc = graph_.values[static_cast<std::size_t>(index_of(x))];
    const ValueId ordered = value(desc.rows, desc.cols);
    add(label + "_columns", SelectColumns{.x = x, .columns = list_of(found->second), .out = ordered});
    return ordered;
  }

  /// The inputs for the experts' products with some weights, with their columns in the order of the weights' columns,
  /// and whether each expert of a token has its own input.
  struct ExpertInputs {
    ValueId x;
    bool x_per_expert = false;
  };

  /// The inputs for products with the experts of `weights`. If `x_per_expert`, `x` has one input for each expert of a
  /// token; otherwise one that they share.
  ExpertInputs in_order_of_experts(WeightId weights, const std::string& label, ValueId x, bool x_per_expert,
                                   ValueId expert, std::int32_t n_top) {
    const auto found = weights_.column_orders.find(weights);
    if (found == weights_.column_orders.end()) return {x, x_per_expert};
    const std::vector<std::int32_t>& order = found->second;
    const ValueDesc desc = graph_.values[static_cast<std::size_t>(index_of(x))];
    const std::int32_t n_inputs = x_per_expert ? desc.cols / n_top : desc.cols;
    if (order.size() == static_cast<std::size_t>(n_inputs)) {  // the same order for all experts
      return {x_per_expert ? in_order_of_blocks(order, label, x) : in_order_of(weights, label, x), x_per_expert};
    }
    const ValueId ordered = value(desc.rows, std::int64_t{n_top} * n_inputs);
    add(label + "_columns", SelectColumns{.x = x,
                                          .columns = list_of(order),
                                          .out = ordered,
                                          .expert = expert,
                                          .n_top = n_top,
                                          .x_per_expert = x_per_expert});
    return {ordered, true};
  }

  /// x with the columns of each of its blocks in the same order.
  ValueId in_order_of_blocks(const std::vector<std::int32_t>& order, const std::string& label, ValueId x) {
    const ValueDesc desc = graph_.values[static_cast<std::size_t>(index_of(x))];
    const ValueId ordered = value(desc.rows, desc.cols);
    const std::int32_t n_inputs = narrow(static_cast<std::int64_t>(order.size()));
    std::vector<std::int32_t> columns;
    for (std::int32_t first = 0; first < desc.cols; first += n_inputs) {
      for (const std::int32_t column : order) columns.push_back(first + column);
    }
    add(label + "_columns", SelectColumns{.x = x, .columns = list_of(columns), .out = ordered});
    return ordered;
  }

  /// The id of the list in the graph; equal lists share one id.
  ColumnListId list_of(const std::vector<std::int32_t>& columns) {
    auto& lists = graph_.column_lists;
    const auto found = std::ranges::find(lists, columns);
    const auto index = static_cast<std::int32_t>(found - lists.begin());
    if (found == lists.end()) lists.push_back(columns);
    return ColumnListId{index};
  }

  /// Adds input W^T to the hidden state, directly or after a norm, or makes it pending with its bias.
  void add_product(const std::string& label, ValueId input, WeightId weight, const Addition& addition, Hidden& x) {
    const ValueId ordered = in_order_of(weight, label, input);
    Matmul op{.x = ordered,
              .weight = weight,
              .out = {},
              .act = act_of(weight),
              .act_scale = act_scale_of(weight),
              .aux = {},
              .bias = addition.bias};
    if (addition.bias) op.epilogue = Epilogue::kBias;
    if (!addition.bias && !addition.norm) {
      op.epilogue = Epilogue::kAddResidual;
      op.aux = x.sum;
      op.out = in_place_of(x.sum);
      x.sum = op.out;
      add(label, op);
      return;
    }
    op.out = value(Rows::kTokens, config_.dim);
    add(label, op);
    if (!addition.norm) {
      x.pending = op.out;
      return;
    }
    const ValueId sum = in_place_of(x.sum);
    add(label + "_norm", RmsNorm{.x = op.out,
                                 .add = {},
                                 .weight = *addition.norm,
                                 .eps = static_cast<float>(config_.norm_eps),
                                 .sum_out = {},
                                 .residual = x.sum,
                                 .out = sum});
    x.sum = sum;
  }

  ValueId product(std::string label, ValueId x, WeightId weight, const std::optional<WeightId>& bias,
                  std::int64_t cols) {
    const ValueId ordered = in_order_of(weight, label, x);
    const ValueId out = value(Rows::kTokens, cols);
    add(std::move(label), Matmul{.x = ordered,
                                 .weight = weight,
                                 .out = out,
                                 .act = act_of(weight),
                                 .act_scale = act_scale_of(weight),
                                 .epilogue = bias ? Epilogue::kBias : Epilogue::kNone,
                                 .aux = {},
                                 .bias = bias});
    return out;
  }

  /// Multi-head latent attention, computed on latents. The plain part of a query is multiplied by the matrix that would
  /// make keys from latents, which gives a query to the latents themselves. The matrix that would make values from
  /// latents multiplies the attended latent instead.
  void latent_attention_block(Hidden& x, std::int64_t layer) {
    const LayerWeights& of_layer = weights_.layers[static_cast<std::size_t>(layer)];
    const LatentWeights& weights = *of_layer.latent;
    const LatentAttention& latent = config_.latent;
    const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.attention.{}", layer, rest); };
    const HeadShape heads{narrow(config_.n_heads), 1, narrow(config_.head_dim), narrow(latent.kv_rank)};
    const ValueId input = block_input(label("norm"), x, of_layer.attention_norm, of_layer.attention_norm_bias);
    ValueId of_queries = input;
    if (weights.q_a) {
      const ValueId compressed = product(label("q_a"), input, *weights.q_a, weights.q_a_bias, latent.q_rank);
      of_queries = value(Rows::kTokens, latent.q_rank);
      add(label("q_norm"), RmsNorm{.x = compressed, .weight = *weights.q_norm, .eps = kLatentEps, .out = of_queries});
    }
    const ValueId q = product(label("q_b"), of_queries, weights.q_b, std::nullopt, config_.n_heads * latent.qk_dim());
    const ValueId cached = product(label("kv_a"), input, weights.kv_a, weights.kv_a_bias, config_.head_dim);
    const ValueId to_latents = value(Rows::kTokens, config_.q_dim());
    add(label("query_heads"),
        HeadMatmul{.x = q, .weights = weights.query_heads, .out = to_latents, .n_heads = heads.n_heads});
    const ValueId rotated = in_place_of(to_latents);
    add(label("latent_append"), LatentAppend{.latent = cached,
                                             .q = to_latents,
                                             .q_out = rotated,
                                             .layer = narrow(layer),
                                             .heads = heads,
                                             .rope = RopeId{config_.layer_ropes[static_cast<std::size_t>(layer)]},
                                             .norm = weights.kv_norm,
                                             .norm_eps = kLatentEps});
    const ValueId attended = value(Rows::kTokens, config_.n_heads * latent.kv_rank);
    add(label("attention"), Attention{.q = rotated,
                                      .out = attended,
                                      .layer = narrow(layer),
                                      .heads = heads,
                                      .scale = static_cast<float>(config_.attention_scale)});
    const ValueId outputs = value(Rows::kTokens, config_.n_heads * latent.value_dim);
    add(label("value_heads"),
        HeadMatmul{.x = attended, .weights = weights.value_heads, .out = outputs, .n_heads = heads.n_heads});
    add_product(label("out"), outputs, of_layer.attention_out, {.bias = of_layer.out_bias}, x);
  }

  /// Returns the input of the block.
  ValueId attention_block(Hidden& x, std::int64_t layer) {
    const LayerWeights& weights = weights_.layers[static_cast<std::size_t>(layer)];
    const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.attention.{}", layer, rest); };
    const HeadShape heads{narrow(config_.n_heads), narrow(config_.n_kv_heads), narrow(config_.head_dim)};
    const ValueId input = block_input(label("norm"), x, weights.attention_norm, weights.attention_norm_bias);
    const std::string_view joined = weights.k ? "q" : weights.v ? "qk" : "qkv";
    const std::int64_t n_joined = config_.q_dim() + (weights.k ? 0 : weights.v ? 1 : 2) * config_.kv_dim();
    const ValueId qkv = product(label(joined), input, weights.qkv, weights.qkv_bias, n_joined);
    std::optional<ValueId> k;
    std::optional<ValueId> v;
    if (weights.k) k = product(label("k"), input, *weights.k, weights.k_bias, config_.kv_dim());
    if (weights.v) v = product(label("v"), input, *weights.v, weights.v_bias, config_.kv_dim());
    const ValueId q = value(Rows::kTokens, config_.q_dim());
    add(label("rope_append"), RopeAppend{.qkv = qkv,
                                         .k = k,
                                         .v = v,
                                         .q_out = q,
                                         .layer = narrow(layer),
                                         .heads = heads,
                                         .rope = RopeId{config_.layer_ropes[static_cast<std::size_t>(layer)]},
                                         .q_norm = weights.q_norm,
                                         .k_norm = weights.k_norm,
                                         .head_norm = head_norm_of(config_.qk_norm),
                                         .norm_eps = static_cast<float>(config_.norm_eps)});
    const ValueId attended = in_place_of(q);
    add(label("attention"), Attention{.q = q,
                                      .out = attended,
                                      .layer = narrow(layer),
                                      .heads = heads,
                                      .scale = static_cast<float>(config_.attention_scale),
                                      .softcap = static_cast<float>(config_.attention_softcap),
                                      .window = narrow(config_.windows[static_cast<std::size_t>(layer)]),
                                      .sinks = weights.sinks});
    add_product(label("out"), attended, weights.attention_out,
                {.bias = weights.out_bias, .norm = weights.post_attention_norm}, x);
    return input;
  }

  /// `of_attention` is the input of the attention, which a parallel block reads as well.
  void ffn_block(Hidden& x, std::int64_t layer, ValueId of_attention) {
    const LayerWeights& weights = weights_.layers[static_cast<std::size_t>(layer)];
    const auto label = [&](std::string_view rest) { return fmt::format("layers.{}.ffn.{}", layer, rest); };
    const ValueId input =
        config_.parallel_blocks ? of_attention : block_input(label("norm"), x, weights.ffn_norm, weights.ffn_norm_bias);
    if (config_.is_mixture_layer(layer)) {
      add_experts(label(""), input,
                  {.score = config_.sigmoid_experts ? RouteScore::kSigmoid : RouteScore::kSoftmax,
                   .renormalize = config_.renormalizes_experts,
                   .n_top = narrow(config_.n_experts_per_token),
                   .ffn_dim = config_.expert_ffn_dim,
                   .router = weights.router.value(),
                   .gate_up = weights.gate_up,
                   .down = weights.down,
                   .router_bias = weights.router_bias,
                   .gate_up_bias = weights.gate_up_bias,
                   .down_bias = weights.down_bias,
                   .choice_bias = weights.choice_bias,
                   .choice = routed()},
                  x);
      if (!weights.shared) return;
      if (!weights.shared->gate) {
        const ValueId ordered = in_order_of(weights.shared->gate_up, label("shared_gate_up"), input);
        const ValueId hidden = value(Rows::kTokens, config_.shared_ffn_dim);
        add(label("shared_gate_up"), Matmul{.x = ordered,
                                            .weight = weights.shared->gate_up,
                                            .out = hidden,
                                            .act = act_of(weights.shared->gate_up),
                                            .act_scale = act_scale_of(weights.shared->gate_up),
                                            .epilogue = gated(),
                                            .aux = {},
                                            .bias = weights.shared->gate_up_bias});
        add_product(label("shared_down"), hidden, weights.shared->down, {.bias = weights.shared->down_bias}, x);
        return;
      }
      add_experts(label("shared_"), input,
                  {.score = RouteScore::kSigmoid,
                   .renormalize = false,
                   .n_top = 1,
                   .ffn_dim = config_.shared_ffn_dim,
                   .router = *weights.shared->gate,
                   .gate_up = weights.shared->gate_up,
                   .down = weights.shared->down},
                  x);
      return;
    }
    const std::string first = label(config_.gated_ffn ? "gate_up" : "up");
    const ValueId ordered = in_order_of(weights.gate_up, first, input);
    const ValueId hidden = value(Rows::kTokens, config_.ffn_dim);
    add(first, Matmul{.x = ordered,
                      .weight = weights.gate_up,
                      .out = hidden,
                      .act = act_of(weights.gate_up),
                      .act_scale = act_scale_of(weights.gate_up),
                      .epilogue = config_.gated_ffn ? gated() : Epilogue::kGelu,
                      .aux = {},
                      .bias = weights.gate_up_bias});
    add_product(label("down"), hidden, weights.down, {.bias = weights.down_bias, .norm = weights.post_ffn_norm}, x);
  }

  /// How the experts of a token are chosen from groups.
  struct Choice {
    std::int32_t n_groups = 1;
    std::int32_t n_top_groups = 1;
    GroupScore group_score = GroupScore::kLargest;
    float scale = 1.0F;
  };

  [[nodiscard]] Choice routed() const {
    return {.n_groups = narrow(config_.n_expert_groups),
            .n_top_groups = narrow(config_.n_top_groups),
            .group_score = config_.group_rule == GroupRule::kSumOfTwo ? GroupScore::kSumOfTwo : GroupScore::kLargest,
            .scale = static_cast<float>(config_.expert_scale)};
  }

  /// The experts of a layer, and how those of a token are chosen. An expert that all tokens share is a mixture of one.
  struct Experts {
    RouteScore score{};
    bool renormalize = false;
    std::int32_t n_top = 0;
    std::int64_t ffn_dim = 0;
    WeightId router;
    WeightId gate_up;
    WeightId down;
    std::optional<WeightId> router_bias = {};
    std::optional<WeightId> gate_up_bias = {};
    std::optional<WeightId> down_bias = {};
    std::optional<WeightId> choice_bias = {};
    Choice choice = {};
  };

  /// Adds the output of the experts for `input` to the hidden state.
  void add_experts(const std::string& label, ValueId input, const Experts& experts, Hidden& x) {
    const ValueId expert = value(Rows::kTokens, experts.n_top, DType::kI32);
    const ValueId share = value(Rows::kTokens, experts.n_top);
    add(label + "route", Route{.x = input,
                               .gate = experts.router,
                               .bias = experts.router_bias,
                               .score = experts.score,
                               .n_top = experts.n_top,
                               .renormalize = experts.renormalize,
                               .choice_bias = experts.choice_bias,
                               .n_groups = experts.choice.n_groups,
                               .n_top_groups = experts.choice.n_top_groups,
                               .group_score = experts.choice.group_score,
                               .scale = experts.choice.scale,
                               .expert = expert,
                               .weight = share});
    const ExpertInputs of_gate_up =
        in_order_of_experts(experts.gate_up, label + "gate_up", input, false, expert, experts.n_top);
    const ValueId hidden = value(Rows::kTokens, experts.n_top * experts.ffn_dim);
    add(label + "gate_up", GroupedMatmul{.x = of_gate_up.x,
                                         .expert = expert,
                                         .weight = {},
                                         .weights = experts.gate_up,
                                         .bias = experts.gate_up_bias,
                                         .out = hidden,
                                         .n_top = experts.n_top,
                                         .act = act_of(experts.gate_up),
                                         .act_scale = act_scale_of(experts.gate_up),
                                         .epilogue = gated(),
                                         .aux = {},
                                         .x_per_expert = of_gate_up.x_per_expert});
    const ExpertInputs of_down = in_order_of_experts(experts.down, label + "down", hidden, true, expert, experts.n_top);
    const ValueId out = in_place_of(x.sum);
    add(label + "down", GroupedMatmul{.x = of_down.x,
                                      .expert = expert,
                                      .weight = share,
                                      .weights = experts.down,
                                      .bias = experts.down_bias,
                                      .out = out,
                                      .n_top = experts.n_top,
                                      .act = act_of(experts.down),
                                      .act_scale = act_scale_of(experts.down),
                                      .epilogue = Epilogue::kAddResidual,
                                      .aux = x.sum});
    x.sum = out;
  }

  /// How the input of a product with this weight is quantized. It is not quantized if the weight is not, because a
  /// published checkpoint leaves some weights unquantized.
  [[nodiscard]] ActQuant act_of(WeightId weight) const {
    const auto extent = weights_.extents.find(weight);
    const bool is_plain = extent != weights_.extents.end() && scales_per_row(extent->second.encoding, 1) == 0;
    return is_plain ? ActQuant::kNone : options_.act;
  }

  /// Matmul::act_scale or GroupedMatmul::act_scale for a product with this weight.
  [[nodiscard]] float act_scale_of(WeightId weight) const {
    const auto found = weights_.input_scales.find(weight);
    return has_stored_scale(act_of(weight)) && found != weights_.input_scales.end() ? found->second : 0.0F;
  }

  [[nodiscard]] Epilogue gated() const {
    switch (config_.activation) {
      case Activation::kSilu:
        return Epilogue::kGatedSilu;
      case Activation::kGeluTanh:
        return Epilogue::kGatedGelu;
      case Activation::kClampedSwiGlu:
        break;
    }
    return Epilogue::kGatedClampedSwish;
  }

  void head(const Hidden& x) {
    Hidden last{.sum = select_rows("select_rows", x.sum)};
    if (x.pending) last.pending = select_rows("select_pending_rows", *x.pending);
    const ValueId normed = norm("final_norm", last, weights_.final_norm, weights_.final_norm_bias);
    const ValueId ordered = in_order_of(weights_.head, "head", normed);
    const ValueId logits = value(Rows::kLogits, config_.vocab_size);
    add("head", Matmul{.x = ordered,
                       .weight = weights_.head,
                       .out = logits,
                       .act = act_of(weights_.head),
                       .act_scale = act_scale_of(weights_.head),
                       .aux = {},
                       .bias = {},
                       .softcap = static_cast<float>(config_.logit_softcap)});
    add("sample", Sample{.logits = logits,
                         .n_top = std::min(options_.n_top, narrow(config_.vocab_size)),
                         .keep_logits = options_.keep_logits});
  }

  /// The rows that need logits.
  ValueId select_rows(std::string label, ValueId x) {
    const ValueId last = value(Rows::kLogits, config_.dim);
    add(std::move(label), SelectRows{.x = x, .out = last});
    return last;
  }

  /// The epsilon of a norm of the hidden state. What blocks add to it would have to be multiplied by residual_scale,
  /// but no operation can do that, and it cannot be folded into rounded weights. Therefore the hidden state is kept
  /// divided by residual_scale. A norm of x / c with epsilon / c^2 equals the norm of x.
  [[nodiscard]] float hidden_eps() const {
    return static_cast<float>(config_.norm_eps / (config_.residual_scale * config_.residual_scale));
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
                .latent_dim = narrow(config.latent.kv_rank),
                .page_tokens = page_tokens,
                .dtype = dtype};
}

}  // namespace secondsource

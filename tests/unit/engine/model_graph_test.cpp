#include "engine/model_graph.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <span>

#include "backend/check_graph.h"
#include "backend/op_access.h"
#include "bundle/model_config.h"
#include "fake_backend.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// A configuration of the family, parsed from the text of a config.json.
ModelConfig config_of(const std::string& architecture, const std::string& more) {
  const std::string text = R"({"architectures": [")" + architecture +
                           R"("], "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                           "num_attention_heads": 4, "vocab_size": 64, "max_position_embeddings": 128,
                           "rms_norm_eps": 1e-6, "num_key_value_heads": )" +
                           (architecture.starts_with("Deepseek") ? "4" : "2") + more + "}";
  auto config = parse_model_config(text, "test");
  if (!config) FAIL(config.error().message);
  return *config;
}

/// Which of k and v have a weight of their own instead of being joined with q.
enum class Apart : std::uint8_t { kNothing, kValues, kKeysAndValues };

/// A model's weights, numbered consecutively, and their specs by id.
struct Numbered {
  ModelWeights weights;
  std::vector<WeightSpec> specs;

  WeightId next(std::int64_t n_rows, std::int64_t n_cols, Join join = Join::kNone, std::int64_t n_experts = 1) {
    specs.push_back(
        {.name = "w", .n_rows = n_rows, .n_cols = n_cols, .parts = {}, .join = join, .n_experts = n_experts});
    return WeightId{static_cast<std::int32_t>(specs.size()) - 1};
  }

  void add_latent(const ModelConfig& config, LayerWeights& layer) {
    const LatentAttention& latent = config.latent;
    LatentWeights weights_of;
    if (latent.q_rank > 0) {
      weights_of.q_a = next(latent.q_rank, config.dim);
      if (config.qkv_bias) weights_of.q_a_bias = next(1, latent.q_rank);
      weights_of.q_norm = next(1, latent.q_rank);
    }
    weights_of.q_b = next(config.n_heads * latent.qk_dim(), latent.q_rank > 0 ? latent.q_rank : config.dim);
    weights_of.kv_a = next(latent.kv_rank + latent.rotary_dim, config.dim);
    if (config.qkv_bias) weights_of.kv_a_bias = next(1, latent.kv_rank + latent.rotary_dim);
    weights_of.kv_norm = next(1, latent.kv_rank);
    weights_of.query_heads = next(config.n_heads * latent.kv_rank, latent.plain_dim, Join::kConcatRows, config.n_heads);
    weights_of.value_heads = next(config.n_heads * latent.value_dim, latent.kv_rank, Join::kConcatRows, config.n_heads);
    layer.latent = weights_of;
  }

  /// `apart` says which of k and v have weights of their own in the first layer.
  explicit Numbered(const ModelConfig& config, Apart apart = Apart::kNothing) {
    weights.embedding = next(config.vocab_size, config.dim);
    for (std::int64_t i = 0; i < config.n_layers; ++i) {
      LayerWeights layer;
      if (config.has_norms_before()) layer.attention_norm = next(1, config.dim);
      if (config.norm_biases) layer.attention_norm_bias = next(1, config.dim);
      if (config.norm_biases) layer.ffn_norm_bias = next(1, config.dim);
      if (config.latent.is_present()) {
        add_latent(config, layer);
      } else {
        const bool has_v = apart != Apart::kNothing && i == 0;
        const bool has_k = apart == Apart::kKeysAndValues && i == 0;
        const std::int64_t n_joined = config.q_dim() + (has_k ? 0 : has_v ? 1 : 2) * config.kv_dim();
        layer.qkv = next(n_joined, config.dim, Join::kConcatRows);
        if (config.qkv_bias) layer.qkv_bias = next(1, n_joined);
        if (has_k) layer.k = next(config.kv_dim(), config.dim);
        if (has_k && config.qkv_bias) layer.k_bias = next(1, config.kv_dim());
        if (has_v) layer.v = next(config.kv_dim(), config.dim);
        if (has_v && config.qkv_bias) layer.v_bias = next(1, config.kv_dim());
      }
      const bool has_shared_weights = config.qk_norm == QkNorm::kEachHead;
      const bool has_qk_norm = config.qk_norm != QkNorm::kNone;
      if (has_qk_norm) layer.q_norm = next(1, has_shared_weights ? config.head_dim : config.q_dim());
      if (has_qk_norm) layer.k_norm = next(1, has_shared_weights ? config.head_dim : config.kv_dim());
      if (config.attention_sinks) layer.sinks = next(1, config.n_heads);
      layer.attention_out =
          next(config.dim, config.latent.is_present() ? config.n_heads * config.latent.value_dim : config.q_dim());
      if (config.out_bias) layer.out_bias = next(1, config.dim);
      if (config.has_norms_before() && !config.parallel_blocks) layer.ffn_norm = next(1, config.dim);
      const bool is_mixture = config.is_mixture_layer(i);
      const std::int64_t n_experts = is_mixture ? config.n_experts : 1;
      const std::int64_t ffn_dim = is_mixture ? config.expert_ffn_dim : config.ffn_dim;
      if (is_mixture) layer.router = next(config.n_experts, config.dim);
      layer.gate_up = config.gated_ffn ? next(n_experts * 2 * ffn_dim, config.dim, Join::kInterleaveGateUp, n_experts)
                                       : next(ffn_dim, config.dim);
      layer.down = next(n_experts * config.dim, ffn_dim, Join::kConcatRows, n_experts);
      if (config.ffn_bias && !is_mixture) {
        layer.gate_up_bias = next(1, (config.gated_ffn ? 2 : 1) * config.ffn_dim);
        layer.down_bias = next(1, config.dim);
      }
      if (is_mixture && config.sigmoid_experts) layer.choice_bias = next(1, n_experts);
      if (config.expert_biases) {
        layer.router_bias = next(1, n_experts);
        layer.gate_up_bias = next(1, n_experts * 2 * ffn_dim);
        layer.down_bias = next(1, n_experts * config.dim);
      }
      if (is_mixture && config.shared_ffn_dim > 0) {
        layer.shared = SharedExpert{.gate_up = next(2 * config.shared_ffn_dim, config.dim, Join::kInterleaveGateUp),
                                    .down = next(config.dim, config.shared_ffn_dim)};
        if (config.shared_gate) layer.shared->gate = next(1, config.dim);
        if (!config.shared_gate && config.ffn_bias) {
          layer.shared->gate_up_bias = next(1, 2 * config.shared_ffn_dim);
          layer.shared->down_bias = next(1, config.dim);
        }
      }
      if (config.has_norms_after()) layer.post_attention_norm = next(1, config.dim);
      if (config.has_norms_after()) layer.post_ffn_norm = next(1, config.dim);
      weights.layers.push_back(layer);
    }
    weights.final_norm = next(1, config.dim);
    if (config.norm_biases) weights.final_norm_bias = next(1, config.dim);
    weights.head = next(config.vocab_size, config.dim);
  }
};

TEST_CASE("the graph of every family is well formed, uses every weight and cache layer once, and fits its weights") {
  const auto [architecture, more] = GENERATE(table<std::string, std::string>({
      {"LlamaForCausalLM", ""},
      {"LlamaForCausalLM", R"(, "head_dim": 16, "tie_word_embeddings": true)"},
      {"MistralForCausalLM", R"(, "sliding_window": 16)"},
      {"Qwen2ForCausalLM", ""},
      {"Qwen3ForCausalLM", R"(, "head_dim": 16)"},
      {"MixtralForCausalLM", R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"},
      {"LlamaForCausalLM", R"(, "attention_bias": true)"},
      {"Qwen3MoeForCausalLM", R"(, "num_experts": 4, "num_experts_per_tok": 2, "mlp_only_layers": [0])"},
      {"GraniteForCausalLM", R"(, "residual_multiplier": 0.5, "attention_bias": true)"},
      {"SmolLM3ForCausalLM", R"(, "no_rope_layer_interval": 2)"},
      {"SeedOssForCausalLM", R"(, "attention_out_bias": true)"},
      {"Ernie4_5ForCausalLM", ""},
      {"LlamaForCausalLM", R"(, "mlp_bias": true)"},
      {"Qwen2MoeForCausalLM", R"(, "num_experts": 4, "num_experts_per_tok": 2)"},
      {"Phi3ForCausalLM", R"(, "partial_rotary_factor": 0.5)"},
      {"GemmaForCausalLM", R"(, "head_dim": 16)"},
      {"Gemma2ForCausalLM", R"(, "head_dim": 16)"},
      {"Gemma3ForCausalLM", R"(, "head_dim": 16, "attention_bias": true)"},
      {"GraniteMoeForCausalLM", R"(, "residual_multiplier": 0.5, "num_local_experts": 4)"},
      {"Olmo2ForCausalLM", ""},
      {"Olmo2ForCausalLM", R"(, "head_dim": 16, "attention_bias": true)"},
      {"GptOssForCausalLM", R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"},
      {"CohereForCausalLM", ""},
      {"CohereForCausalLM", R"(, "use_qk_norm": true)"},
      {"Cohere2ForCausalLM", ""},
      {"Cohere2ForCausalLM", R"(, "attention_bias": true)"},
      {"Starcoder2ForCausalLM", ""},
      {"Starcoder2ForCausalLM", R"(, "use_bias": false)"},
      {"DeepseekV2ForCausalLM", R"(, "num_experts_per_tok": 2, "q_lora_rank": null, "kv_lora_rank": 16)"},
      {"DeepseekV2ForCausalLM",
       R"(, "num_experts_per_tok": 2, "attention_bias": true, "mlp_bias": true, "first_k_dense_replace": 1)"},
      {"DeepseekV3ForCausalLM", R"(, "first_k_dense_replace": 1)"},
  }));
  const bool observe_all = GENERATE(false, true);
  const Apart apart = GENERATE(Apart::kNothing, Apart::kValues, Apart::kKeysAndValues);
  CAPTURE(architecture, more, observe_all, static_cast<int>(apart));
  const ModelConfig config = config_of(architecture, more);
  const Numbered numbered(config, apart);
  const StepGraph graph =
      build_step_graph(config, numbered.weights, {.n_top = 5, .keep_logits = true, .observe_all = observe_all});
  REQUIRE_OK(check_graph(graph));
  REQUIRE_OK(check_graph_weights(graph, numbered.specs));
  CHECK(graph.labels.size() == graph.ops.size());
  CHECK(std::set<std::string>(graph.labels.begin(), graph.labels.end()).size() == graph.labels.size());

  std::multiset<std::int32_t> used;
  std::multiset<std::int32_t> written;
  for (const Op& op : graph.ops) {
    for (const WeightId id : op_access(op).weights) used.insert(index_of(id));
    for (const ValueId id : op_access(op).writes) written.insert(index_of(id));
  }
  CHECK(used.size() == numbered.specs.size());
  CHECK(std::set<std::int32_t>(used.begin(), used.end()).size() == used.size());
  if (observe_all) CHECK(std::set<std::int32_t>(written.begin(), written.end()).size() == written.size());
}

/// The weight of each matmul, except those of routed experts, with the matmul's input.
std::map<WeightId, ValueId> products_of(const StepGraph& graph, std::span<const WeightSpec> specs) {
  std::map<WeightId, ValueId> products;
  for (const Op& op : graph.ops) {
    if (const auto* const product = std::get_if<Matmul>(&op)) products[product->weight] = product->x;
    const auto* const grouped = std::get_if<GroupedMatmul>(&op);
    if (grouped == nullptr || specs[static_cast<std::size_t>(index_of(grouped->weights))].n_experts > 1) continue;
    products[grouped->weights] = grouped->x;
  }
  return products;
}

TEST_CASE("the input of every product whose weight has an order of columns is brought to that order") {
  const auto [architecture, more] = GENERATE(table<std::string, std::string>({
      {"LlamaForCausalLM", ""},
      {"Qwen2MoeForCausalLM", R"(, "num_experts": 4, "num_experts_per_tok": 2)"},  // a shared expert behind a sigmoid
      {"DeepseekV3ForCausalLM", R"(, "first_k_dense_replace": 1)"},  // latents, and a shared expert without a gate
      {"Gemma2ForCausalLM", R"(, "head_dim": 16)"},                  // norms of block outputs
      {"Cohere2ForCausalLM", ""},                                    // parallel blocks
      {"Starcoder2ForCausalLM", ""},                                 // biases, and an FFN without a gate
  }));
  const Apart apart = GENERATE(Apart::kNothing, Apart::kValues, Apart::kKeysAndValues);
  CAPTURE(architecture, more, static_cast<int>(apart));
  const ModelConfig config = config_of(architecture, more);
  Numbered numbered(config, apart);
  const StepGraph plain = build_step_graph(config, numbered.weights, {});
  for (const auto& [weight, x] : products_of(plain, numbered.specs)) {
    const auto n_cols = static_cast<std::size_t>(numbered.specs[static_cast<std::size_t>(index_of(weight))].n_cols);
    std::vector<std::int32_t>& order = numbered.weights.column_orders[weight];
    order.resize(n_cols);
    std::iota(order.rbegin(), order.rend(), 0);
  }
  const StepGraph graph = build_step_graph(config, numbered.weights, {});
  REQUIRE_OK(check_graph(graph));
  REQUIRE_OK(check_graph_weights(graph, numbered.specs));
  CHECK(std::set<std::string>(graph.labels.begin(), graph.labels.end()).size() == graph.labels.size());
  const std::set<std::vector<std::int32_t>> different(graph.column_lists.begin(), graph.column_lists.end());
  CHECK(different.size() == graph.column_lists.size());
  for (const auto& product : products_of(graph, numbered.specs)) {
    const std::vector<std::int32_t>& order = numbered.weights.column_orders.at(product.first);
    const auto is_order = [&](const Op& op) {
      const auto* const select = std::get_if<SelectColumns>(&op);
      return select != nullptr && select->out == product.second &&
             graph.column_lists[static_cast<std::size_t>(index_of(select->columns))] == order;
    };
    CHECK(std::ranges::count_if(graph.ops, is_order) == 1);
  }
  CHECK(graph.ops.size() == plain.ops.size() + numbered.weights.column_orders.size());
}

TEST_CASE("the inputs of experts are brought to the order of each expert, or to one that all have") {
  const auto [architecture, more] = GENERATE(table<std::string, std::string>({
      {"MixtralForCausalLM", R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"},
      {"Qwen2MoeForCausalLM", R"(, "num_experts": 4, "num_experts_per_tok": 2)"},
      {"DeepseekV3ForCausalLM", R"(, "first_k_dense_replace": 1)"},
  }));
  const bool is_of_each = GENERATE(true, false);
  CAPTURE(architecture, is_of_each);
  const ModelConfig config = config_of(architecture, more);
  Numbered numbered(config);
  const auto n_experts = static_cast<std::size_t>(config.n_experts);
  const auto n_top = static_cast<std::int32_t>(config.n_experts_per_token);
  for (const LayerWeights& layer : numbered.weights.layers) {
    if (!layer.router) continue;
    for (const WeightId weights : {layer.gate_up, layer.down}) {
      const auto n_cols = static_cast<std::size_t>(numbered.specs[static_cast<std::size_t>(index_of(weights))].n_cols);
      std::vector<std::int32_t>& order = numbered.weights.column_orders[weights];
      for (std::size_t expert = 0; expert < (is_of_each ? n_experts : 1); ++expert) {
        for (std::size_t i = 0; i < n_cols; ++i) {
          order.push_back(static_cast<std::int32_t>((i + 1 + expert) % n_cols));
        }
      }
    }
  }
  const StepGraph graph = build_step_graph(config, numbered.weights, {});
  REQUIRE_OK(check_graph(graph));
  REQUIRE_OK(check_graph_weights(graph, numbered.specs));
  std::size_t n_products = 0;
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const auto* const product = std::get_if<GroupedMatmul>(&graph.ops[i]);
    if (product == nullptr || !numbered.weights.column_orders.contains(product->weights)) continue;
    ++n_products;
    CAPTURE(graph.labels[i]);
    CHECK(graph.labels[i - 1] == graph.labels[i] + "_columns");
    const auto& select = std::get<SelectColumns>(graph.ops[i - 1]);
    CHECK(select.out == product->x);
    CHECK(product->n_top == n_top);
    CHECK(product->x_per_expert == (is_of_each && !product->weight));
    const std::vector<std::int32_t>& order = numbered.weights.column_orders.at(product->weights);
    const std::vector<std::int32_t>& list = graph.column_lists[static_cast<std::size_t>(index_of(select.columns))];
    if (is_of_each) {
      CHECK(select.expert == product->expert);
      CHECK(select.n_top == n_top);
      CHECK(select.x_per_expert == product->weight.has_value());
      CHECK(list == order);
      continue;
    }
    CHECK_FALSE(select.expert.has_value());
    // The second matmul's inputs for a token's experts are adjacent; the order applies within each expert's inputs.
    REQUIRE(list.size() == order.size() * static_cast<std::size_t>(product->weight ? n_top : 1));
    for (std::size_t c = 0; c < list.size(); ++c) {
      const std::size_t first = c - c % order.size();
      CHECK(list[c] == static_cast<std::int32_t>(first) + order[c - first]);
    }
  }
  CHECK(n_products == numbered.weights.column_orders.size());
  CHECK(n_products > 0);
}

/// The graph of a small Qwen2; `apart` says which weights are separate in the first layer.
struct QwenGraph {
  Numbered numbered;
  StepGraph graph;

  explicit QwenGraph(Apart apart) : QwenGraph(config_of("Qwen2ForCausalLM", ""), apart) {}
  QwenGraph(const ModelConfig& config, Apart apart)
      : numbered(config, apart), graph(build_step_graph(config, numbered.weights, {})) {}

  /// The operation of this label, whose type is known.
  template <typename T>
  T op(const std::string& label) const {
    const auto found = std::ranges::find(graph.labels, label);
    REQUIRE(found != graph.labels.end());
    return std::get<T>(graph.ops[static_cast<std::size_t>(found - graph.labels.begin())]);
  }
  std::int32_t columns(ValueId id) const { return graph.values[static_cast<std::size_t>(index_of(id))].cols; }
};

TEST_CASE("values with a weight of their own have a product of their own, of the same input") {
  const QwenGraph qwen(Apart::kValues);
  const LayerWeights& weights = qwen.numbered.weights.layers[0];
  const auto joined = qwen.op<Matmul>("layers.0.attention.qk");
  const auto v = qwen.op<Matmul>("layers.0.attention.v");
  const auto append = qwen.op<RopeAppend>("layers.0.attention.rope_append");
  CHECK(v.x == joined.x);
  CHECK(v.weight == *weights.v);
  CHECK(v.bias == weights.v_bias);
  CHECK(joined.weight == weights.qkv);
  CHECK(joined.bias == weights.qkv_bias);
  CHECK(append.qkv == joined.out);
  CHECK_FALSE(append.k.has_value());
  CHECK(append.v == v.out);
  CHECK(qwen.columns(joined.out) == (4 + 2) * 8);
  CHECK(qwen.columns(v.out) == 2 * 8);
  // The other layer has one joined matmul.
  CHECK(qwen.columns(qwen.op<Matmul>("layers.1.attention.qkv").out) == (4 + 2 * 2) * 8);
  CHECK_FALSE(qwen.op<RopeAppend>("layers.1.attention.rope_append").v.has_value());
  CHECK(std::ranges::count(qwen.graph.labels, "layers.1.attention.v") == 0);
}

TEST_CASE("keys with a weight of their own have a product of their own, beside that of the values") {
  const QwenGraph qwen(Apart::kKeysAndValues);
  const LayerWeights& weights = qwen.numbered.weights.layers[0];
  const auto q = qwen.op<Matmul>("layers.0.attention.q");
  const auto k = qwen.op<Matmul>("layers.0.attention.k");
  const auto v = qwen.op<Matmul>("layers.0.attention.v");
  const auto append = qwen.op<RopeAppend>("layers.0.attention.rope_append");
  CHECK(k.x == q.x);
  CHECK(v.x == q.x);
  CHECK(q.weight == weights.qkv);
  CHECK(q.bias == weights.qkv_bias);
  CHECK(k.weight == *weights.k);
  CHECK(k.bias == weights.k_bias);
  CHECK(v.weight == *weights.v);
  CHECK(append.qkv == q.out);
  CHECK(append.k == k.out);
  CHECK(append.v == v.out);
  CHECK(qwen.columns(q.out) == 4 * 8);
  CHECK(qwen.columns(k.out) == 2 * 8);
}

TEST_CASE("what a family adds is in its graph: biases, head norms, windows") {
  const auto first = [](const StepGraph& graph, auto op) {
    for (const Op& candidate : graph.ops) {
      if (const auto* found = std::get_if<decltype(op)>(&candidate)) return *found;
    }
    FAIL("no such operation");
    return op;
  };
  const auto graph_of = [](const ModelConfig& config) {
    return build_step_graph(config, Numbered(config).weights, {.act = ActQuant::kInt8PerRow});
  };
  const StepGraph granite = graph_of(config_of("GraniteForCausalLM", R"(, "embedding_multiplier": 12,
      "residual_multiplier": 0.5, "attention_multiplier": 0.25)"));
  // The hidden state is kept divided by residual_multiplier.
  CHECK(first(granite, Embed{}).scale == 24.0F);
  CHECK(first(granite, RmsNorm{}).eps == 4e-6F);
  CHECK(first(granite, Attention{}).scale == 0.25F);
  const StepGraph gemma = graph_of(config_of("Gemma2ForCausalLM", R"(, "head_dim": 8, "sliding_window": 16)"));
  CHECK(first(gemma, Attention{}).softcap == 50.0F);
  CHECK(first(gemma, Attention{}).window == 16);
  CHECK(std::get<Matmul>(gemma.ops[gemma.ops.size() - 2]).softcap == 30.0F);
  CHECK(std::get<Matmul>(gemma.ops[gemma.ops.size() - 2]).out == std::get<Sample>(gemma.ops.back()).logits);
  const StepGraph qwen2_moe = graph_of(config_of("Qwen2MoeForCausalLM", R"(, "norm_topk_prob": false)"));
  CHECK_FALSE(first(qwen2_moe, Route{}).renormalize);
  CHECK(std::ranges::count_if(qwen2_moe.ops, [](const Op& op) {
          const auto* route = std::get_if<Route>(&op);
          return route != nullptr && route->score == RouteScore::kSigmoid && route->n_top == 1;
        }) == 2);
  const StepGraph smollm3 = graph_of(config_of("SmolLM3ForCausalLM", R"(, "no_rope_layer_interval": 1)"));
  CHECK(index_of(first(smollm3, RopeAppend{}).rope) == 1);
  CHECK(smollm3.ropes[1].inv_freq == std::vector<float>(4, 0.0F));
  const StepGraph qwen2 = graph_of(config_of("Qwen2ForCausalLM", ""));
  CHECK(first(qwen2, Matmul{}).epilogue == Epilogue::kBias);
  CHECK(first(qwen2, Matmul{}).act == ActQuant::kInt8PerRow);
  CHECK(first(graph_of(config_of("Qwen3ForCausalLM", "")), RopeAppend{}).q_norm.has_value());
  CHECK(first(graph_of(config_of("Qwen3ForCausalLM", "")), RopeAppend{}).head_norm == HeadNorm::kRmsOfHead);
  const StepGraph olmo2 = graph_of(config_of("Olmo2ForCausalLM", ""));
  CHECK(first(olmo2, RopeAppend{}).head_norm == HeadNorm::kRmsOfAllHeads);
  const StepGraph command_r_plus = graph_of(config_of("CohereForCausalLM", R"(, "use_qk_norm": true)"));
  CHECK(first(command_r_plus, RopeAppend{}).head_norm == HeadNorm::kLayerNormOfHead);
  CHECK(first(command_r_plus, RopeAppend{}).norm_eps == first(command_r_plus, RmsNorm{}).eps);
  CHECK(first(olmo2, Matmul{}).x == first(olmo2, Embed{}).out);  // no norm before a block
  CHECK(first(olmo2, RmsNorm{}).residual == first(olmo2, Embed{}).out);
  CHECK(first(olmo2, RmsNorm{}).out == first(olmo2, Embed{}).out);
  const ModelConfig deepseek = config_of("DeepseekV3ForCausalLM", R"(, "first_k_dense_replace": 0,
      "rope_scaling": {"type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                       "original_max_position_embeddings": 16})");
  const StepGraph latents = graph_of(deepseek);
  // 512 + 64 numbers are cached per token, of which 512 also serve as the value.
  CHECK(first(latents, Attention{}).heads == HeadShape{4, 1, 576, 512});
  CHECK(kv_spec_of(deepseek, 16, DType::kBf16).latent_dim == 512);
  CHECK(kv_page_bytes(kv_spec_of(deepseek, 16, DType::kBf16)) == 2 * 16 * 576 * 2);
  CHECK(first(latents, LatentAppend{}).norm_eps == 1e-6F);
  CHECK(latents.ropes[0].inv_freq.size() == 32);
  CHECK(first(latents, Route{}).group_score == GroupScore::kSumOfTwo);
  CHECK(first(latents, Route{}).n_top_groups == 4);
  CHECK(first(latents, Route{}).scale == 2.5F);
  CHECK(first(graph_of(config_of("MistralForCausalLM", R"(, "sliding_window": 16)")), Attention{}).window == 16);
  CHECK(first(graph_of(config_of("LlamaForCausalLM", "")), Attention{}).scale == Approx(1.0 / std::sqrt(8.0)));
  CHECK(first(graph_of(config_of("LlamaForCausalLM", "")), RmsNorm{}).eps == 1e-6F);
}

}  // namespace
}  // namespace secondsource

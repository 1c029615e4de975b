// Reads one config.json per line from stdin and writes the resulting model configuration as a line of JSON, which
// config_defaults_test.py compares with transformers.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bundle/model_config.h"
#include "bundle/model_tensors.h"

using namespace secondsource;
using Json = nlohmann::json;

namespace {

std::string_view name_of(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return "silu";
    case Activation::kGeluTanh:
      return "gelu_pytorch_tanh";
    case Activation::kClampedSwiGlu:
      break;
  }
  return "clamped_swish";
}

Json described(const ModelConfig& config) {
  Json tensors = Json::object();
  for (const TensorSpec& spec : model_tensors(config)) {
    Json shape = Json::array();
    for (std::size_t i = 0; i < spec.shape.rank(); ++i) shape.push_back(spec.shape.extent(i));
    tensors[spec.name] = shape;
  }
  std::vector<bool> rotated;
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) rotated.push_back(config.is_rotated(layer));
  return {{"vocab_size", config.vocab_size},
          {"hidden_size", config.dim},
          {"intermediate_size", config.ffn_dim},
          {"num_hidden_layers", config.n_layers},
          {"num_attention_heads", config.n_heads},
          {"num_key_value_heads", config.n_kv_heads},
          {"head_dim", config.head_dim},
          {"max_position_embeddings", config.max_seq_len},
          {"rms_norm_eps", config.norm_eps},
          {"hidden_act", name_of(config.activation)},
          {"tie_word_embeddings", config.tied_embeddings},
          {"windows", config.windows},
          {"bos_token_id", config.bos_id ? Json(*config.bos_id) : Json()},
          {"eos_token_id", config.eos_ids},
          {"num_local_experts", config.n_experts},
          {"num_experts_per_tok", config.n_experts_per_token},
          {"inv_freq", config.rope_tables.front().inv_freq},
          {"attention_factor", config.rope_tables.front().attention_factor},
          {"llama_4_scaling_beta", config.rope.query_beta},
          {"query_period", config.rope_tables.front().query_growth.period},
          {"rotated", rotated},
          {"mixture_layers", config.mixture_layers},
          {"moe_intermediate_size", config.expert_ffn_dim},
          {"norm_topk_prob", config.renormalizes_experts},
          {"attention_scale", config.attention_scale},
          {"embedding_scale", config.embedding_scale},
          {"residual_scale", config.residual_scale},
          {"logit_scale", config.logit_scale},
          {"attention_softcap", config.attention_softcap},
          {"logit_softcap", config.logit_softcap},
          {"local_inv_freq", config.rope_tables.back().inv_freq},
          {"long_inv_freq",
           config.long_rope_tables.empty() ? std::vector<float>() : config.long_rope_tables.front().inv_freq},
          {"shared_expert_intermediate_size", config.shared_ffn_dim},
          {"routed_scaling_factor", config.expert_scale},
          {"n_group", config.n_expert_groups},
          {"topk_group", config.n_top_groups},
          {"rope_interleave", config.rotary_pairs == RotaryPairs::kNeighbours},
          {"tensors", tensors}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const Result<ModelConfig> config = parse_model_config(line, "config.json");
    std::cout << (config ? described(*config) : Json{{"refused", config.error().message}}).dump() << "\n";
  }
}

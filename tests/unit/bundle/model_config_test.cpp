// config.json. The expected values come from independent sources: rotary frequencies as computed by transformers
// (assets/rope), parameter counts and KV bytes as published for those checkpoints
// (assets/model-configs/derived_memory_plan.json).
#include "bundle/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bundle/model_tensors.h"
#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// A small valid configuration with one field replaced ("" leaves it out).
std::string config_with(std::string_view key, std::string_view value) {
  nlohmann::json config = nlohmann::json::parse(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
    "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4,
    "vocab_size": 512, "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
    "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2})");
  config.erase(std::string(key));
  if (!value.empty()) config[std::string(key)] = nlohmann::json::parse(value);
  return config.dump();
}

TEST_CASE("rotary frequencies are those of transformers") {
  const auto path = test::asset("rope/hf_rope_inv_freq_snapshots.json");
  if (!path) return;
  const auto text = read_file(*path);
  REQUIRE_OK(text);
  const nlohmann::json snapshots = nlohmann::json::parse(*text);
  for (const auto& entry : snapshots["cases"]) {
    const auto type = entry["rope_type"].get<std::string>();
    CAPTURE(type);
    RopeConfig rope{.type = *rope_type_from_name(type), .theta = 10000.0, .original_max_seq_len = 2048};
    rope.factor = entry.value("factor", 1.0);
    const RopeTable table =
        make_rope_table(rope, 128, {.max_seq_len = 2048, .seq_len = entry.value("seq_len", std::int64_t{2048})});
    CHECK(table.attention_factor == Approx(entry["attention_scale"].get<double>()).epsilon(1e-6));
    REQUIRE(table.inv_freq.size() == entry["inv_freq"].size());
    for (std::size_t i = 0; i < table.inv_freq.size(); ++i) {
      CAPTURE(i);
      CHECK(table.inv_freq[i] == Approx(entry["inv_freq"][i].get<double>()).epsilon(5e-5));
    }
  }
}

// Values of transformers 5.23.0 (modeling_rope_utils.py and LlamaRotaryEmbedding) with PyTorch 2.13.0, rotary dimension 24, as f32
// in hexadecimal. PyTorch's power in f32 is the only step that is not correctly rounded: hence 2 units in the last place.
TEST_CASE("rotary frequencies are those of transformers to the last bits, since positions multiply their errors") {
  struct Case {
    RopeConfig rope;
    std::vector<float> inv_freq;
  };
  std::vector<double> long_factors(12);
  for (std::size_t i = 0; i < 12; ++i) long_factors[i] = 1.0 + 0.7 * static_cast<double>(i);
  const std::vector<Case> cases = {
      {{.theta = 1e6},
       {0x1.000000p+0F, 0x1.43d136p-2F, 0x1.999998p-4F, 0x1.030dc6p-5F, 0x1.47ae12p-7F, 0x1.9e7c72p-9F, 0x1.0624dep-10F,
        0x1.4b96c4p-12F, 0x1.a36e26p-14F, 0x1.094564p-15F, 0x1.4f8b60p-17F, 0x1.a86f02p-19F}},
      {{.type = RopeType::kLinear, .theta = 1e6, .factor = 3.0},
       {0x1.555556p-2F, 0x1.afc19ep-4F, 0x1.111110p-5F, 0x1.5967b2p-7F, 0x1.b4e818p-9F, 0x1.1452f6p-10F,
        0x1.5d867ep-12F, 0x1.ba1e5ap-14F, 0x1.179ec4p-15F, 0x1.61b1dap-17F, 0x1.bf6480p-19F, 0x1.1af4acp-20F}},
      {{.type = RopeType::kLlama3, .theta = 5e5, .factor = 8.0, .original_max_seq_len = 8192},
       {0x1.000000p+0F, 0x1.571288p-2F, 0x1.cbc2aap-4F, 0x1.341190p-5F, 0x1.9cd9d2p-7F, 0x1.14a2e4p-8F, 0x1.132ba4p-11F,
        0x1.f0d270p-15F, 0x1.4ce6ecp-16F, 0x1.be2188p-18F, 0x1.2aefa4p-19F, 0x1.909caap-21F}},
      {{.type = RopeType::kYarn, .theta = 150000.0, .factor = 32.0, .original_max_seq_len = 4096, .truncate = false},
       {0x1.000000p+0F, 0x1.7b4778p-2F, 0x1.18f65ap-3F, 0x1.a04328p-5F, 0x1.c375dep-7F, 0x1.9f33bap-9F, 0x1.dea878p-12F,
        0x1.f56624p-16F, 0x1.736d10p-17F, 0x1.132518p-18F, 0x1.97a4c4p-20F, 0x1.2df954p-21F}},
      {{.type = RopeType::kLongRope,
        .theta = 1e4,
        .factor = 32.0,
        .original_max_seq_len = 4096,
        .short_factors = std::vector<double>(12, 1.0),
        .long_factors = long_factors},
       {0x1.000000p+0F, 0x1.179664p-2F, 0x1.6fb0aep-4F, 0x1.084210p-5F, 0x1.904060p-7F, 0x1.39c326p-8F, 0x1.f81f82p-10F,
        0x1.9c7670p-11F, 0x1.56493cp-12F, 0x1.1f47f6p-13F, 0x1.e6b4b8p-15F, 0x1.9f76e6p-16F}},
  };
  for (const Case& one : cases) {
    CAPTURE(to_string(one.rope.type));
    const RopeTable table = make_rope_table(one.rope, 24, {.max_seq_len = 131072, .seq_len = 131072});
    REQUIRE(table.inv_freq.size() == one.inv_freq.size());
    for (std::size_t i = 0; i < one.inv_freq.size(); ++i) {
      CAPTURE(i);
      const auto bits = std::bit_cast<std::int32_t>(table.inv_freq[i]);
      CHECK(std::abs(bits - std::bit_cast<std::int32_t>(one.inv_freq[i])) <= 2);
    }
  }
}

TEST_CASE("dynamic scaling leaves sequences within the trained length alone, linear divides") {
  const RopeLengths lengths{.max_seq_len = 2048, .seq_len = 2048};
  const RopeTable plain = make_rope_table({.theta = 10000.0}, 64, lengths);
  const RopeTable dynamic = make_rope_table({.type = RopeType::kDynamic, .theta = 10000.0, .factor = 4.0}, 64, lengths);
  const RopeTable linear = make_rope_table({.type = RopeType::kLinear, .theta = 10000.0, .factor = 4.0}, 64, lengths);
  CHECK(plain.inv_freq == dynamic.inv_freq);
  for (std::size_t i = 0; i < 32; ++i) CHECK(linear.inv_freq[i] == Approx(plain.inv_freq[i] / 4).epsilon(1e-7));
}

TEST_CASE("configurations of published models give their published parameter count and KV size") {
  const auto folder = test::asset("model-configs");
  if (!folder) return;
  const auto text = read_file(*folder / "derived_memory_plan.json");
  REQUIRE_OK(text);
  const nlohmann::json plan = nlohmann::json::parse(*text)["models"];
  int n_checked = 0;
  for (const auto& [model, expected] : plan.items()) {
    CAPTURE(model);
    const std::string file = model + "_config.json";
    const auto config_text = read_file(*folder / file);
    REQUIRE_OK(config_text);
    const auto config = parse_model_config(*config_text, file);
    if (model.find("DeepSeek") != std::string::npos || model.find("gpt-oss") != std::string::npos) {
      CHECK_ERROR(config, ErrorCode::kUnsupported, "architectures: expected one of LlamaForCausalLM");
      continue;
    }
    REQUIRE_OK(config);
    CHECK(n_parameters(*config) == expected["params"].get<std::int64_t>());
    CHECK(2 * 2 * config->n_layers * config->kv_dim() == expected["kv_bytes_per_token_bf16"].get<std::int64_t>());
    ++n_checked;
  }
  CHECK(n_checked >= 10);
}

// The counts are those of the models that transformers 5.23 makes of these configurations.
TEST_CASE("shapes of published models have as many parameters as in transformers") {
  const auto [name, config_json, expected] = GENERATE(table<std::string, std::string, std::int64_t>({
      {"Granite 3.0 1B-A400M", R"({"architectures": ["GraniteMoeForCausalLM"], "vocab_size": 49155, "hidden_size": 1024,
        "intermediate_size": 512, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 8,
        "num_local_experts": 32, "num_experts_per_tok": 8, "tie_word_embeddings": true})",
       1'334'628'352},
      // The count covers the text model only.
      {"Mistral Small 3.1", R"({"architectures": ["Mistral3ForConditionalGeneration"], "text_config": {"head_dim": 128,
        "hidden_size": 5120, "intermediate_size": 32768, "model_type": "mistral", "num_attention_heads": 32,
        "num_hidden_layers": 40, "num_key_value_heads": 8, "sliding_window": null, "vocab_size": 131072}})",
       23'572'403'200},
      {"Ministral 3 8B", R"({"architectures": ["Mistral3ForConditionalGeneration"], "text_config": {
        "hidden_size": 4096, "intermediate_size": 14336, "model_type": "ministral3", "num_attention_heads": 32,
        "num_hidden_layers": 34, "num_key_value_heads": 8, "vocab_size": 131072}})",
       8'489'553'920},
      // As its config.json has it: most keys are absent.
      {"Gemma 3 4B", R"({"architectures": ["Gemma3ForConditionalGeneration"], "eos_token_id": [1, 106], "text_config": {
        "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}})",
       3'880'263'168},
  }));
  CAPTURE(name);
  const auto config = parse_model_config(config_json, "config.json");
  REQUIRE_OK(config);
  CHECK(n_parameters(*config) == expected);
}

TEST_CASE("the fields of a configuration are read") {
  const auto config = parse_model_config(config_with("eos_token_id", "[2, 5]"), "config.json");
  REQUIRE_OK(config);
  CHECK(config->architecture == Architecture::kLlama);
  CHECK(config->head_dim == 8);
  CHECK(config->q_dim() == 64);
  CHECK(config->kv_dim() == 32);
  CHECK(config->tied_embeddings);
  CHECK(config->bos_id == 1);
  CHECK(config->eos_ids == std::vector<std::int32_t>{2, 5});
  CHECK(config->windows == std::vector<std::int64_t>(5, 0));
  CHECK_FALSE(config->qkv_bias);
  CHECK(model_tensors(*config).size() == 2 + 5 * 9);
}

TEST_CASE("a configuration is refused for a field, by its name") {
  const auto [key, value, code, part] = GENERATE(table<std::string, std::string, ErrorCode, std::string>({
      {"hidden_size", "-64", ErrorCode::kInvalidInput,
       "config.json: hidden_size: expected an integer from 1 to 1048576, found -64"},
      {"hidden_size", "1e300", ErrorCode::kInvalidInput, "hidden_size"},
      {"hidden_size", "\"64\"", ErrorCode::kInvalidInput, "found \"64\""},
      {"hidden_size", "66", ErrorCode::kInvalidInput, "a multiple of num_attention_heads"},
      {"num_key_value_heads", "3", ErrorCode::kInvalidInput, "a divisor of num_attention_heads"},
      {"num_key_value_heads", "16", ErrorCode::kInvalidInput, "a divisor of num_attention_heads = 8, found 16"},
      {"head_dim", "7", ErrorCode::kInvalidInput, "an even number"},
      {"vocab_size", "100000000000", ErrorCode::kInvalidInput, "vocab_size"},
      {"num_hidden_layers", "1000000", ErrorCode::kInvalidInput, "num_hidden_layers"},
      {"rms_norm_eps", "-1", ErrorCode::kInvalidInput, "rms_norm_eps"},
      {"rope_theta", "0", ErrorCode::kInvalidInput, "rope_theta"},
      {"eos_token_id", "[-1]", ErrorCode::kInvalidInput, "eos_token_id"},
      {"architectures", "[\"FalconForCausalLM\"]", ErrorCode::kUnsupported, "found FalconForCausalLM"},
      {"architectures", "[\"Llama4ForCausalLM\"]", ErrorCode::kUnsupported, "found Llama4ForCausalLM"},
      {"architectures", "[\"Qwen3NextForCausalLM\"]", ErrorCode::kUnsupported, "found Qwen3NextForCausalLM"},
      {"architectures", "[\"GraniteMoeSharedForCausalLM\"]", ErrorCode::kUnsupported,
       "found GraniteMoeSharedForCausalLM"},
      {"architectures", "[]", ErrorCode::kInvalidInput, "a list with one class name"},
      {"hidden_act", "\"relu\"", ErrorCode::kUnsupported, "found relu"},
      {"mlp_bias", "1", ErrorCode::kInvalidInput, "mlp_bias"},
      {"attention_bias", "\"yes\"", ErrorCode::kInvalidInput, "attention_bias"},
      {"partial_rotary_factor", "0.5", ErrorCode::kUnsupported,
       "partial_rotary_factor: LlamaForCausalLM rotates whole heads"},
      {"quantization_config", "{\"quant_method\": \"fp8\"}", ErrorCode::kUnsupported, "quantization_config"},
      {"rope_scaling", "{\"rope_type\": \"proportional\"}", ErrorCode::kUnsupported, "found proportional"},
      {"rope_scaling", "{\"rope_type\": \"longrope\", \"factor\": 2, \"long_factor\": [1, 2, 3, 4]}",
       ErrorCode::kInvalidInput, "short_factor: expected a list of 4 numbers above 0, found nothing"},
      {"rope_scaling", "{\"rope_type\": \"longrope\", \"short_factor\": [1, 1, 1, 1], \"long_factor\": [1, 2, 0, 4]}",
       ErrorCode::kInvalidInput, "long_factor: expected a list of 4 numbers above 0"},
      {"rope_scaling", "{\"rope_type\": \"linear\"}", ErrorCode::kInvalidInput,
       "factor: expected a number, found nothing"},
      {"rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}", ErrorCode::kInvalidInput, "factor"},
      {"rope_scaling", "7", ErrorCode::kInvalidInput, "rope_scaling: expected an object, found 7"},
      {"rope_scaling", R"({"rope_type": "llama3", "factor": 8, "high_freq_factor": 4})", ErrorCode::kInvalidInput,
       "low_freq_factor: expected a number, found nothing"},
      {"rope_parameters", R"({"full_attention": {"rope_type": "default"}})", ErrorCode::kUnsupported,
       "parameters per kind of layer"},
  }));
  CAPTURE(key, value);
  CHECK_ERROR(parse_model_config(config_with(key, value), "config.json"), code, part);
}

TEST_CASE("windows follow the family's rule") {
  nlohmann::json config = nlohmann::json::parse(config_with("architectures", "[\"MistralForCausalLM\"]"));
  config["sliding_window"] = 128;
  const auto mistral = parse_model_config(config.dump(), "c");
  REQUIRE_OK(mistral);
  CHECK(mistral->windows == std::vector<std::int64_t>(5, 128));

  config["architectures"] = {"Qwen2ForCausalLM"};
  const auto unused = parse_model_config(config.dump(), "c");
  REQUIRE_OK(unused);
  CHECK(unused->windows == std::vector<std::int64_t>(5, 0));
  CHECK(unused->qkv_bias);

  config["use_sliding_window"] = true;
  config["max_window_layers"] = 3;
  const auto upper = parse_model_config(config.dump(), "c");
  REQUIRE_OK(upper);
  CHECK(upper->windows == std::vector<std::int64_t>{0, 0, 0, 128, 128});

  config["layer_types"] = {"sliding_attention", "full_attention", "full_attention", "full_attention", "full_attention"};
  const auto listed = parse_model_config(config.dump(), "c");
  REQUIRE_OK(listed);
  CHECK(listed->windows == std::vector<std::int64_t>{128, 0, 0, 0, 0});
}

// tests/recipes/config_defaults_test.py compares many more configurations with transformers itself.
TEST_CASE("an absent key has the value of its class in transformers") {
  const auto parsed = [](std::string_view text) {
    const auto config = parse_model_config(text, "c");
    REQUIRE_OK(config);
    return *config;
  };
  const ModelConfig llama = parsed(R"({"architectures": ["LlamaForCausalLM"]})");
  CHECK(llama.n_kv_heads == 32);
  CHECK(llama.head_dim == 128);
  CHECK(llama.max_seq_len == 2048);
  CHECK(llama.norm_eps == 1e-6);
  CHECK(llama.eos_ids == std::vector<std::int32_t>{2});
  const ModelConfig mistral = parsed(R"({"architectures": ["MistralForCausalLM"], "bos_token_id": null})");
  CHECK(mistral.n_kv_heads == 8);
  CHECK(mistral.windows == std::vector<std::int64_t>(32, 4096));
  CHECK_FALSE(mistral.bos_id);
  const ModelConfig qwen3 = parsed(R"({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024})");
  CHECK(qwen3.head_dim == 128);
  CHECK(qwen3.eos_ids.empty());
  const ModelConfig qwen2 = parsed(R"({"architectures": ["Qwen2ForCausalLM"], "use_sliding_window": true})");
  CHECK(qwen2.windows[27] == 0);
  CHECK(qwen2.windows[28] == 4096);
  const ModelConfig mixtral = parsed(R"({"architectures": ["MixtralForCausalLM"]})");
  CHECK(mixtral.rope.theta == 1e6);
  CHECK(mixtral.windows == std::vector<std::int64_t>(32, 0));
  CHECK(mixtral.n_experts == 8);
}

TEST_CASE("a key that a class does not have is ignored there") {
  nlohmann::json config = nlohmann::json::parse(config_with("attention_bias", "true"));
  config["layer_types"] = {"sliding_attention"};
  config["sliding_window"] = 0;
  config["architectures"] = {"LlamaForCausalLM"};
  config["attention_bias"] = false;
  CHECK(parse_model_config(config.dump(), "c")->windows == std::vector<std::int64_t>(5, 0));
  config["attention_bias"] = true;
  config["mlp_bias"] = true;
  config["sliding_window"] = 7;
  config["num_local_experts"] = 4;
  for (const char* name : {"MistralForCausalLM", "MixtralForCausalLM"}) {
    config["architectures"] = {name};
    const auto parsed = parse_model_config(config.dump(), "c");
    REQUIRE_OK(parsed);
    CHECK(parsed->windows == std::vector<std::int64_t>(5, 7));
  }
  config.erase("layer_types");
  config["architectures"] = {"Qwen2ForCausalLM"};
  REQUIRE_OK(parse_model_config(config.dump(), "c"));
}

/// A small configuration of a class with more fields.
Result<ModelConfig> config_of(std::string_view class_name, std::string_view more) {
  nlohmann::json config = nlohmann::json::parse(config_with("architectures", fmt::format("[\"{}\"]", class_name)));
  config.update(nlohmann::json::parse(more));
  return parse_model_config(config.dump(), "c");
}

TEST_CASE("what a class adds to Llama is read") {
  const auto granite = config_of("GraniteForCausalLM", R"({"embedding_multiplier": 12, "residual_multiplier": 0.22,
      "attention_multiplier": 0.015625, "logits_scaling": 8})");
  REQUIRE_OK(granite);
  CHECK(granite->embedding_scale == 12.0);
  CHECK(granite->residual_scale == 0.22);
  CHECK(granite->attention_scale == 0.015625);
  CHECK(granite->logit_scale == 0.125);

  const auto smollm3 = config_of("SmolLM3ForCausalLM", R"({"no_rope_layers": [1, 1, 0, 1, 0, 1]})");
  REQUIRE_OK(smollm3);
  CHECK(smollm3->layer_ropes == std::vector<std::int32_t>{0, 0, 1, 0, 1});
  CHECK_FALSE(smollm3->is_rotated(2));
  CHECK(smollm3->is_rotated(3));

  const auto qwen = config_of("Qwen2MoeForCausalLM", R"({"num_experts": 4, "num_experts_per_tok": 3,
      "moe_intermediate_size": 32, "shared_expert_intermediate_size": 24, "decoder_sparse_step": 2,
      "mlp_only_layers": [3]})");
  REQUIRE_OK(qwen);
  CHECK(qwen->mixture_layers == std::vector<bool>{false, true, false, false, false});
  CHECK(qwen->expert_ffn_dim == 32);
  CHECK(qwen->shared_ffn_dim == 24);
  CHECK_FALSE(qwen->renormalizes_experts);
  CHECK(qwen->qkv_bias);
  // Norms and projections of five layers with 3 biases each, four dense networks, one router with 4 + 1 experts and a gate.
  CHECK(model_tensors(*qwen).size() == 2 + 5 * (2 + 4 + 3) + 4 * 3 + 1 + 5 * 3 + 1);

  const auto granite_moe = config_of("GraniteMoeForCausalLM", R"({"num_local_experts": 6, "num_experts_per_tok": 3,
      "residual_multiplier": 0.22})");
  REQUIRE_OK(granite_moe);
  CHECK(granite_moe->residual_scale == 0.22);
  CHECK(granite_moe->renormalizes_experts);
  const FfnTensors last = expert_tensors(*granite_moe, 4, 5);
  CHECK(last.gate.tensor == "model.layers.4.block_sparse_moe.input_linear.weight");
  CHECK(last.gate.first_row == 5 * 344);
  CHECK(last.up.first_row == 5 * 344 + 172);
  CHECK(last.up.n_rows == 172);
  CHECK(last.down.first_row == 5 * 64);
  // Two norms, four projections, the router and the two tensors of all experts.
  CHECK(model_tensors(*granite_moe).size() == 2 + 5 * (2 + 4 + 1 + 2));

  const auto gemma3 = config_of("Gemma3ForCausalLM", R"({"sliding_window": 64, "sliding_window_pattern": 2,
      "head_dim": 16, "rope_theta": 500000, "rope_local_base_freq": 5000, "query_pre_attn_scalar": 4,
      "rope_scaling": {"rope_type": "linear", "factor": 8}})");
  REQUIRE_OK(gemma3);
  CHECK(gemma3->windows == std::vector<std::int64_t>{64, 0, 64, 0, 64});
  CHECK(gemma3->layer_ropes == std::vector<std::int32_t>{1, 0, 1, 0, 1});
  REQUIRE(gemma3->rope_tables.size() == 2);
  CHECK(gemma3->rope_tables[0].inv_freq[0] == 0.125F);
  CHECK(gemma3->rope_tables[1].inv_freq[4] == Approx(std::pow(5000.0, -0.5)));
  CHECK(gemma3->attention_scale == 0.5);
  CHECK(gemma3->embedding_scale == 8.0);
  CHECK(gemma3->norms_add_one);

  // transformers reads both caps of Gemma 3, and applies that of the logits alone.
  const auto capped =
      config_of("Gemma3ForCausalLM", R"({"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0})");
  REQUIRE_OK(capped);
  CHECK(capped->attention_softcap == 0.0);
  CHECK(capped->logit_softcap == 5.0);

  const auto gemma2 = config_of("Gemma2ForCausalLM", R"({"final_logit_softcapping": null})");
  REQUIRE_OK(gemma2);
  CHECK(gemma2->attention_softcap == 50.0);
  CHECK(gemma2->logit_softcap == 0.0);

  const auto olmo2 = config_of("Olmo2ForCausalLM", "{}");
  REQUIRE_OK(olmo2);
  CHECK(olmo2->qk_norm == QkNorm::kAllHeads);
  CHECK_FALSE(olmo2->has_norms_before());
  CHECK(olmo2->has_norms_after());
  const std::vector<TensorSpec> tensors = model_tensors(*olmo2);
  const auto shape_of = [&](std::string_view name) {
    const auto found = std::ranges::find(tensors, name, &TensorSpec::name);
    return found == tensors.end() ? "none" : found->shape.to_string();
  };
  // The norms cover all 8 heads of q and all 4 of k, with 8 values each.
  CHECK(shape_of("model.layers.4.self_attn.q_norm.weight") == "[64]");
  CHECK(shape_of("model.layers.4.self_attn.k_norm.weight") == "[32]");
  CHECK(shape_of("model.layers.4.post_attention_layernorm.weight") == "[64]");
  CHECK(shape_of("model.layers.4.post_feedforward_layernorm.weight") == "[64]");
  CHECK(shape_of("model.layers.4.input_layernorm.weight") == "none");
  CHECK(shape_of("model.layers.4.pre_feedforward_layernorm.weight") == "none");
}

TEST_CASE("Cohere is Cohere 2 without windows, and its heads may have LayerNorms") {
  const auto cohere = config_of("CohereForCausalLM", R"({"sliding_window": 8, "layer_norm_eps": 1e-4})");
  REQUIRE_OK(cohere);
  CHECK(cohere->norms_center);
  CHECK(cohere->parallel_blocks);
  CHECK(cohere->rotary_pairs == RotaryPairs::kNeighbours);
  CHECK(cohere->windows == std::vector<std::int64_t>(5, 0));
  for (std::int64_t layer = 0; layer < 5; ++layer) CHECK(cohere->is_rotated(layer));
  CHECK(cohere->norm_eps == 1e-4);
  CHECK(cohere->logit_scale == 0.0625);
  CHECK(cohere->qk_norm == QkNorm::kNone);
  const auto with_norms = config_of("CohereForCausalLM", R"({"use_qk_norm": true})");
  REQUIRE_OK(with_norms);
  CHECK(with_norms->qk_norm == QkNorm::kEachHeadCentered);
  const std::vector<TensorSpec> tensors = model_tensors(*with_norms);
  const auto k_norm = std::ranges::find(tensors, layer_tensor_name(0, "self_attn.k_norm.weight"), &TensorSpec::name);
  REQUIRE(k_norm != tensors.end());
  CHECK(k_norm->shape == Shape{with_norms->n_kv_heads, with_norms->head_dim});
  CHECK_ERROR(config_of("CohereForCausalLM", R"({"use_qk_norm": 1})"), ErrorCode::kInvalidInput, "use_qk_norm");
}

TEST_CASE("Cohere 2 and StarCoder 2 have LayerNorms, one of them blocks in parallel and the other no gates") {
  const auto cohere = config_of("Cohere2ForCausalLM", R"({"sliding_window_pattern": 2, "layer_norm_eps": 1e-4})");
  REQUIRE_OK(cohere);
  CHECK(cohere->norms_center);
  CHECK(cohere->parallel_blocks);
  CHECK_FALSE(cohere->norm_biases);
  CHECK(cohere->norm_eps == 1e-4);
  CHECK(cohere->logit_scale == 0.0625);
  CHECK(cohere->windows == std::vector<std::int64_t>{4096, 0, 4096, 0, 4096});
  CHECK(cohere->is_rotated(0));
  CHECK_FALSE(cohere->is_rotated(1));
  CHECK(cohere->rotary_pairs == RotaryPairs::kNeighbours);
  CHECK(cohere->tied_embeddings);
  // A norm, four projections and a network in each of five layers.
  CHECK(model_tensors(*cohere).size() == 2 + 5 * (1 + 4 + 3));

  const auto starcoder =
      config_of("Starcoder2ForCausalLM", R"({"norm_epsilon": 1e-3, "hidden_act": "gelu_pytorch_tanh"})");
  REQUIRE_OK(starcoder);
  CHECK(starcoder->norm_biases);
  CHECK_FALSE(starcoder->gated_ffn);
  CHECK(starcoder->ffn_bias);
  CHECK(starcoder->norm_eps == 1e-3);
  const FfnTensors network = ffn_tensors(*starcoder, 3);
  CHECK(network.up.tensor == "model.layers.3.mlp.c_fc.weight");
  CHECK(network.down.tensor == "model.layers.3.mlp.c_proj.weight");
  // Two norms, four projections and two matrices, each with a bias.
  CHECK(model_tensors(*starcoder).size() == 3 + 5 * 2 * (2 + 4 + 2));
  CHECK_ERROR(config_of("Starcoder2ForCausalLM", R"({"hidden_act": "silu"})"), ErrorCode::kUnsupported,
              "hidden_act: expected gelu_pytorch_tanh without a gate");
}

TEST_CASE("gpt-oss has sinks, experts with biases in columns, and a rotation of its own where none is given") {
  const auto config = config_of("GptOssForCausalLM", R"({"num_local_experts": 6, "num_experts_per_tok": 3,
      "head_dim": 8, "max_position_embeddings": 131072})");
  REQUIRE_OK(config);
  CHECK(config->attention_sinks);
  CHECK(config->expert_biases);
  CHECK(config->activation == Activation::kClampedSwiGlu);
  CHECK(config->windows == std::vector<std::int64_t>{128, 0, 128, 0, 128});
  CHECK(config->renormalizes_experts);
  CHECK(config->rope.type == RopeType::kYarn);
  CHECK_FALSE(config->rope.truncate);
  CHECK(config->rope.factor == 32.0);
  CHECK(config->rope.original_max_seq_len == 4096);
  CHECK(config->rope_tables[0].attention_factor == Approx(0.1 * std::log(32.0) + 1.0));
  const auto plain = config_of("GptOssForCausalLM", R"({"rope_parameters": {}, "attention_bias": false})");
  REQUIRE_OK(plain);
  CHECK(plain->rope.type == RopeType::kDefault);
  CHECK_FALSE(plain->qkv_bias);

  const FfnTensors last = expert_tensors(*config, 4, 5);
  CHECK(last.gate.tensor == "model.layers.4.mlp.experts.gate_up_proj");
  CHECK(last.gate.transposed_matrix == 5);
  CHECK(last.gate.first_row == 0);
  CHECK(last.up.first_row == 1);
  CHECK(last.up.step == 2);
  CHECK(last.up.n_rows == 172);
  CHECK(last.down.tensor == "model.layers.4.mlp.experts.down_proj");
  CHECK(last.down.n_rows == 64);
  CHECK(last.down.step == 1);
  const std::vector<TensorSpec> tensors = model_tensors(*config);
  const auto gate_up = std::ranges::find(tensors, last.gate.tensor, &TensorSpec::name);
  REQUIRE(gate_up != tensors.end());
  CHECK(gate_up->is_transposed);
  CHECK(gate_up->shape == Shape{6, 64, 344});
  // Two norms, four projections, the sinks, the router and two tensors of experts; all but norms and sinks have a bias.
  CHECK(tensors.size() == 2 + 5 * (2 + 8 + 1 + 2 + 4));

  CHECK_ERROR(config_of("GptOssForCausalLM", R"({"swiglu_limit": 6.0})"), ErrorCode::kUnsupported,
              "swiglu_limit: expected 7, found 6");
  CHECK_ERROR(config_of("GptOssForCausalLM", R"({"swiglu_alpha": 1.0})"), ErrorCode::kUnsupported,
              "swiglu_alpha: expected 1.702, found 1");
}

/// A multimodal model's configuration: `text` changes its text_config, and `file` the top level of the file.
Result<ModelConfig> mistral3_of(std::string_view text, std::string_view file) {
  nlohmann::json config = {{"architectures", {"Mistral3ForConditionalGeneration"}}};
  config["text_config"] = nlohmann::json::parse(config_with("architectures", ""));
  config["text_config"].update(nlohmann::json::parse(text));
  config["vision_config"] = {{"hidden_size", 32}};
  config.update(nlohmann::json::parse(file));
  return parse_model_config(config.dump(), "c");
}

TEST_CASE("of a model for text and pictures the part for text is read") {
  const auto config = mistral3_of(R"({"sliding_window": 128, "model_type": "mistral"})", R"({"dtype": "float16"})");
  REQUIRE_OK(config);
  CHECK(config->architecture == Architecture::kMistral3);
  CHECK(to_string(config->architecture) == "mistral3");
  CHECK(config->dim == 64);
  CHECK(config->windows == std::vector<std::int64_t>(5, 128));
  CHECK(config->torch_dtype == "float16");
  CHECK(config->tied_embeddings);
  CHECK(name_of_stored(*config, "language_model.model.norm.weight") == "model.norm.weight");
  CHECK(name_of_stored(*config, "model.language_model.norm.weight") == "model.norm.weight");
  CHECK(name_of_stored(*config, "language_model.lm_head.weight") == "lm_head.weight");
  CHECK(name_of_stored(*config, "lm_head.weight") == "lm_head.weight");
  CHECK(stored_name(*config, "model.norm.weight") == "language_model.model.norm.weight");
  CHECK(is_for_pictures(*config, "vision_tower.ln_pre.weight"));
  CHECK_FALSE(is_for_pictures(*config, "model.norm.weight"));

  // tie_word_embeddings of the top level takes precedence over that of text_config.
  CHECK_FALSE(mistral3_of("{}", R"({"tie_word_embeddings": false})")->tied_embeddings);
  CHECK(mistral3_of(R"({"tie_word_embeddings": false})", R"({"tie_word_embeddings": true})")->tied_embeddings);

  CHECK_ERROR(mistral3_of(R"({"model_type": "llama"})", "{}"), ErrorCode::kUnsupported,
              "c: text_config: model_type: expected mistral or ministral3, found llama");
  CHECK_ERROR(mistral3_of(R"({"hidden_size": 66})", "{}"), ErrorCode::kInvalidInput, "c: text_config: hidden_size");
  CHECK_ERROR(mistral3_of("{}", R"({"text_config": 7})"), ErrorCode::kInvalidInput,
              "c: text_config: expected an object");
  CHECK_ERROR(mistral3_of("{}", R"({"text_config": null})"), ErrorCode::kInvalidInput, "c: text_config: expected");
  CHECK_ERROR(mistral3_of("{}", R"({"quantization_config": {"quant_method": "fp8"}})"), ErrorCode::kUnsupported,
              "c: quantization_config: expected weights in F32");
  CHECK_ERROR(mistral3_of(R"({"quantization_config": {"quant_method": "fp8"}})", "{}"), ErrorCode::kUnsupported,
              "c: text_config: quantization_config: expected weights in F32");
}

// The values are those of transformers' Gemma3TextConfig.
TEST_CASE("the part for text of a Gemma 3 with pictures is read as a Gemma 3") {
  const auto config = parse_model_config(R"({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {
    "num_hidden_layers": 7, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
    "attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}})",
                                         "c");
  REQUIRE_OK(config);
  CHECK(config->attention_softcap == 0.0);
  CHECK(config->logit_softcap == 0.0);  // this class applies none, whatever its configuration says
  CHECK(to_string(config->architecture) == "gemma3");
  CHECK(config->is_text_part);
  CHECK(config->vocab_size == 262208);
  CHECK(config->dim == 2304);
  CHECK(config->head_dim == 256);
  CHECK(config->n_heads == 8);
  CHECK(config->n_kv_heads == 4);
  CHECK(config->tied_embeddings);
  CHECK(config->bos_id == 2);
  CHECK(config->eos_ids == std::vector<std::int32_t>{1});
  CHECK(config->windows == std::vector<std::int64_t>{1024, 1024, 1024, 1024, 1024, 0, 1024});
  CHECK(config->rope_tables.size() == 2);
  CHECK(config->qk_norm == QkNorm::kEachHead);
  CHECK(name_of_stored(*config, "language_model.model.norm.weight") == "model.norm.weight");
  CHECK(is_for_pictures(*config, "multi_modal_projector.mm_input_projection_weight"));
  CHECK_ERROR(parse_model_config(R"({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {
    "model_type": "gemma2"}})",
                                 "c"),
              ErrorCode::kUnsupported, "c: text_config: model_type: expected gemma3_text, found gemma2");
  CHECK_ERROR(parse_model_config(R"({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {
    "model_type": ""}})",
                                 "c"),
              ErrorCode::kUnsupported, "expected gemma3_text, found ");
}

TEST_CASE("queries of Ministral 3 grow with the position, by the parameters of its rotation") {
  const auto absent = parse_model_config(R"({"architectures": ["Ministral3ForCausalLM"]})", "c");
  REQUIRE_OK(absent);
  CHECK(to_string(absent->architecture) == "ministral3");
  CHECK(absent->rope.type == RopeType::kYarn);
  CHECK(absent->rope.theta == 1e6);
  REQUIRE(absent->rope_tables.size() == 1);
  CHECK(absent->rope_tables[0].query_growth.beta == 0.1F);
  CHECK(absent->rope_tables[0].query_growth.period == 16384);
  CHECK(absent->rope_tables[0].attention_factor == 1.0F);
  CHECK(absent->windows == std::vector<std::int64_t>(34, 0));

  const std::string rope = R"({"rope_parameters": {"rope_type": "default", "llama_4_scaling_beta": 0.25,
                               "original_max_position_embeddings": 64}, "model_type": "ministral3"})";
  const auto part = mistral3_of(rope, "{}");
  REQUIRE_OK(part);
  CHECK(part->architecture == Architecture::kMistral3);
  CHECK(part->is_text_part);
  CHECK(part->rope_tables[0].query_growth.beta == 0.25F);
  CHECK(part->rope_tables[0].query_growth.period == 64);
  // The class Mistral of transformers does not read this key.
  CHECK(config_of("MistralForCausalLM", rope)->rope_tables[0].query_growth.period == 0);

  const auto refused = [](std::string_view parameters) {
    return config_of("Ministral3ForCausalLM", fmt::format(R"({{"rope_parameters": {}}})", parameters));
  };
  CHECK_ERROR(refused(R"({"rope_type": "default", "llama_4_scaling_beta": 0.25})"), ErrorCode::kInvalidInput,
              "c: rope_parameters: original_max_position_embeddings: expected an integer");
  CHECK_ERROR(refused(R"({"rope_type": "yarn", "factor": 2.0})"), ErrorCode::kInvalidInput,
              "c: rope_parameters: llama_4_scaling_beta: expected a number");
  CHECK_ERROR(refused(R"({"rope_type": "yarn", "factor": 2.0, "llama_4_scaling_beta": -1})"), ErrorCode::kInvalidInput,
              "c: rope_parameters: llama_4_scaling_beta: expected a number from 0 to 100");
  CHECK_ERROR(refused("{}"), ErrorCode::kInvalidInput, "c: rope_parameters: expected an object with llama_4");
}

TEST_CASE("a part of a head is rotated, by factors of the length, in the order of the boundary") {
  const auto phi = config_of("Phi3ForCausalLM", R"({"hidden_size": 128, "max_position_embeddings": 512,
      "original_max_position_embeddings": 64, "partial_rotary_factor": 0.75, "rope_scaling": {"type": "su",
      "short_factor": [1, 2, 1, 1, 1, 1], "long_factor": [4, 1, 1, 1, 1, 1]}})");
  REQUIRE_OK(phi);
  CHECK(phi->rotary_dim == 12);
  CHECK(phi->long_rope_after == 64);
  REQUIRE(phi->long_rope_tables.size() == 1);
  const RopeTable& shorter = phi->rope_tables[0];
  const RopeTable& longer = phi->long_rope_tables[0];
  REQUIRE(shorter.inv_freq.size() == 8);
  CHECK(shorter.inv_freq[0] == 1.0F);
  CHECK(longer.inv_freq[0] == 0.25F);
  CHECK(longer.inv_freq[1] == 2.0F * shorter.inv_freq[1]);
  CHECK(shorter.inv_freq[6] == 0.0F);
  CHECK(shorter.attention_factor == Approx(std::sqrt(1.0 + std::log(8.0) / std::log(64.0))));
  CHECK(phi->fused_projections);
  CHECK_ERROR(config_of("Phi3ForCausalLM", R"({"rope_scaling": {"rope_type": "llama3"}})"), ErrorCode::kUnsupported,
              "rope_type: expected default or longrope, found llama3");
  CHECK_ERROR(config_of("Phi3ForCausalLM", R"({"partial_rotary_factor": 0.4})"), ErrorCode::kInvalidInput,
              "partial_rotary_factor: expected a share that gives an even part of head_dim = 8");
}

// The scales are those of transformers 5.23: model.layers[0].self_attn.scaling.
TEST_CASE("DeepSeek-V3 and DeepSeek-V2-Lite as they are published") {
  const auto v3 = config_of("DeepseekV3ForCausalLM", R"({"hidden_size": 7168, "num_hidden_layers": 61,
      "num_attention_heads": 128, "num_key_value_heads": 128, "kv_lora_rank": 512, "q_lora_rank": 1536,
      "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 256,
      "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048, "first_k_dense_replace": 3,
      "n_group": 8, "topk_group": 4, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": true,
      "routed_scaling_factor": 2.5, "moe_layer_freq": 1, "num_nextn_predict_layers": 1,
      "max_position_embeddings": 163840, "rope_scaling": {"type": "yarn", "factor": 40, "beta_fast": 32,
      "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096}})");
  REQUIRE_OK(v3);
  CHECK(v3->head_dim == 576);
  CHECK(v3->value_dim() == 512);
  CHECK(v3->n_kv_heads == 1);
  CHECK(v3->attention_scale == Approx(0.1352337788608801));
  CHECK(v3->rope_tables.front().attention_factor == 1.0F);
  CHECK(v3->rope_tables.front().inv_freq.size() == 32);
  CHECK(v3->rotary_pairs == RotaryPairs::kNeighbours);
  CHECK_FALSE(v3->is_mixture_layer(2));
  CHECK(v3->is_mixture_layer(3));
  CHECK(v3->shared_ffn_dim == 2048);
  CHECK(v3->sigmoid_experts);
  CHECK(v3->group_rule == GroupRule::kSumOfTwo);
  CHECK(v3->n_expert_groups == 8);
  CHECK(v3->n_top_groups == 4);
  CHECK(v3->renormalizes_experts);
  CHECK(v3->expert_scale == 2.5);

  const auto lite = config_of("DeepseekV2ForCausalLM", R"({"hidden_size": 2048, "intermediate_size": 10944,
      "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16, "kv_lora_rank": 512,
      "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 64,
      "num_experts_per_tok": 6, "n_shared_experts": 2, "moe_intermediate_size": 1408, "first_k_dense_replace": 1,
      "n_group": 1, "topk_group": 1, "topk_method": "greedy", "scoring_func": "softmax", "norm_topk_prob": false,
      "routed_scaling_factor": 1.0, "vocab_size": 102400, "max_position_embeddings": 163840, "rope_scaling":
      {"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707,
      "original_max_position_embeddings": 4096}})");
  REQUIRE_OK(lite);
  CHECK(lite->latent.q_rank == 0);
  CHECK(lite->attention_scale == Approx(0.1147213867929261));
  CHECK(lite->shared_ffn_dim == 2816);
  CHECK_FALSE(lite->sigmoid_experts);
  CHECK_FALSE(lite->renormalizes_experts);
  CHECK(lite->n_expert_groups == 1);
}

TEST_CASE("what DeepSeek's classes cannot compute is refused by its name") {
  const auto [class_name, more, code, part] = GENERATE(table<std::string, std::string, ErrorCode, std::string>({
      {"DeepseekV3ForCausalLM", R"({"num_key_value_heads": 2})", ErrorCode::kInvalidInput,
       "num_key_value_heads: expected num_attention_heads = 8, found 2"},
      {"DeepseekV3ForCausalLM", R"({"head_dim": 8})", ErrorCode::kInvalidInput,
       "head_dim: expected none, or qk_rope_head_dim = 64, found 8"},
      {"DeepseekV3ForCausalLM", R"({"qk_rope_head_dim": 7})", ErrorCode::kInvalidInput,
       "qk_rope_head_dim: expected an even number of at least 4, found 7"},
      {"DeepseekV3ForCausalLM", R"({"kv_lora_rank": 65538})", ErrorCode::kInvalidInput, "kv_lora_rank: expected"},
      {"DeepseekV3ForCausalLM", R"({"n_group": 7})", ErrorCode::kInvalidInput,
       "n_group: expected groups of equally many experts, at least 2, found 7 groups of 256 experts"},
      {"DeepseekV3ForCausalLM", R"({"n_group": null})", ErrorCode::kUnsupported, "n_group: expected a number"},
      {"DeepseekV3ForCausalLM", R"({"n_group": 64, "topk_group": 1})", ErrorCode::kInvalidInput,
       "topk_group: expected at most n_group = 64 groups, with num_experts_per_tok = 8 experts or more, found 1 of 4"},
      {"DeepseekV3ForCausalLM", R"({"scoring_func": "softmax"})", ErrorCode::kUnsupported,
       "scoring_func: expected sigmoid, found softmax"},
      {"DeepseekV3ForCausalLM", R"({"moe_layer_freq": 2})", ErrorCode::kUnsupported, "moe_layer_freq: expected 1"},
      {"DeepseekV3ForCausalLM", R"({"n_shared_experts": null})", ErrorCode::kUnsupported, "n_shared_experts"},
      {"DeepseekV2ForCausalLM", R"({})", ErrorCode::kInvalidInput, "num_experts_per_tok: expected an integer"},
      {"DeepseekV2ForCausalLM", R"({"num_experts_per_tok": 2, "norm_topk_prob": true})", ErrorCode::kUnsupported,
       "norm_topk_prob: expected false, found true"},
      {"DeepseekV2ForCausalLM", R"({"num_experts_per_tok": 2, "topk_method": "noaux_tc"})", ErrorCode::kUnsupported,
       "topk_method: expected greedy or group_limited_greedy, found noaux_tc"},
      {"DeepseekV2ForCausalLM", R"({"num_experts_per_tok": 2, "topk_method": "group_limited_greedy"})",
       ErrorCode::kInvalidInput, "n_group: expected an integer"},
  }));
  CAPTURE(class_name, more);
  nlohmann::json config =
      nlohmann::json::parse(R"({"num_key_value_heads": 8, "num_attention_heads": 8, "head_dim": null})");
  config.update(nlohmann::json::parse(more));
  CHECK_ERROR(config_of(class_name, config.dump()), code, part);
}

TEST_CASE("an option of a class that cannot be computed is refused by its name") {
  const auto [class_name, more, code, part] = GENERATE(table<std::string, std::string, ErrorCode, std::string>({
      {"GraniteForCausalLM", R"({"residual_multiplier": 0})", ErrorCode::kInvalidInput,
       "residual_multiplier: expected a number from 1e-6 to 1e6, found 0"},
      {"SmolLM3ForCausalLM", R"({"no_rope_layers": [1, 0]})", ErrorCode::kInvalidInput,
       "no_rope_layers: expected a list of at least 5"},
      {"SmolLM3ForCausalLM", R"({"no_rope_layers": [1, 0, 2, 1, 1]})", ErrorCode::kInvalidInput,
       "no_rope_layers: expected a list of 0 and 1"},
      {"Qwen3MoeForCausalLM", R"({"num_experts": 4, "num_experts_per_tok": 5})", ErrorCode::kInvalidInput,
       "num_experts_per_tok: expected at most num_experts = 4, found 5"},
      {"Qwen3MoeForCausalLM", R"({"mlp_only_layers": ["0"]})", ErrorCode::kInvalidInput,
       "mlp_only_layers: expected a list of layers"},
      {"Gemma2ForCausalLM", R"({"attn_logit_softcapping": -1})", ErrorCode::kInvalidInput,
       "attn_logit_softcapping: expected a number above 0"},
      {"Gemma2ForCausalLM", R"({"sliding_window": null})", ErrorCode::kInvalidInput,
       "sliding_window: expected a window"},
      {"GemmaForCausalLM", R"({"use_bidirectional_attention": true})", ErrorCode::kUnsupported,
       "use_bidirectional_attention"},
      {"Gemma3ForCausalLM", R"({"rope_parameters": {"full_attention": {"rope_type": "llama3"}}})",
       ErrorCode::kInvalidInput, "c: rope_parameters: full_attention: factor: expected a number"},
  }));
  CAPTURE(class_name, more);
  CHECK_ERROR(config_of(class_name, more), code, part);
}

TEST_CASE("a window of nothing, and layers with a window where there is none, are refused") {
  nlohmann::json config = nlohmann::json::parse(config_with("sliding_window", "0"));
  config["architectures"] = {"MistralForCausalLM"};
  CHECK_ERROR(parse_model_config(config.dump(), "c"), ErrorCode::kInvalidInput,
              "sliding_window: expected an integer from 1");
  config["architectures"] = {"Qwen3ForCausalLM"};
  REQUIRE_OK(parse_model_config(config.dump(), "c"));
  config["layer_types"] = {"full_attention"};
  CHECK_ERROR(parse_model_config(config.dump(), "c"), ErrorCode::kInvalidInput, "layer_types: expected a list of 5");
  config["layer_types"] = std::vector<std::string>(5, "sliding_attention");
  CHECK_ERROR(parse_model_config(config.dump(), "c"), ErrorCode::kInvalidInput,
              "use_sliding_window: expected a window for the layers of sliding_attention");
}

TEST_CASE("transformers 5 writes rope_parameters, and it means the same") {
  const auto before =
      parse_model_config(config_with("rope_scaling", R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 128})"),
                         "c");
  REQUIRE_OK(before);
  nlohmann::json config = nlohmann::json::parse(config_with("rope_theta", ""));
  config["rope_parameters"] = nlohmann::json::parse(R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 128, "rope_theta": 10000.0})");
  const auto after = parse_model_config(config.dump(), "c");
  REQUIRE_OK(after);
  CHECK(before->rope_tables.front().inv_freq == after->rope_tables.front().inv_freq);
}

}  // namespace
}  // namespace secondsource

// config.json. The expected values come from independent sources: rotary frequencies as computed by transformers
// (assets/rope), parameter counts and KV bytes as published for those checkpoints
// (assets/model-configs/derived_memory_plan.json).
#include "bundle/model_config.h"

#include <fmt/format.h>

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
      {"architectures", "[]", ErrorCode::kInvalidInput, "a list with one class name"},
      {"hidden_act", "\"relu\"", ErrorCode::kUnsupported, "found relu"},
      {"mlp_bias", "true", ErrorCode::kUnsupported, "mlp_bias"},
      {"attention_bias", "true", ErrorCode::kUnsupported, "attention_bias"},
      {"partial_rotary_factor", "0.5", ErrorCode::kUnsupported, "partial_rotary_factor"},
      {"quantization_config", "{\"quant_method\": \"fp8\"}", ErrorCode::kUnsupported, "quantization_config"},
      {"rope_scaling", "{\"rope_type\": \"longrope\"}", ErrorCode::kUnsupported, "found longrope"},
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
  CHECK(before->rope_table.inv_freq == after->rope_table.inv_freq);
}

}  // namespace
}  // namespace secondsource

// The counts of parameters are those of the published checkpoints (the sums over the tensors of their safetensors files);
// bytes a token follow by hand: 2 (K and V) x layers x KV heads x head_dim x 2 bytes.
#include "fit/model_memory.h"

#include "bundle/model_tensors.h"
#include "bundle/named_shape.h"
#include "bundle/safetensors_writer.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;

namespace {

ModelConfig config_of(const char* name) {
  const auto shape = find_named_shape(name);
  REQUIRE_OK(shape);
  const auto config = parse_model_config(shape->config_json, name);
  REQUIRE_OK(config);
  return *config;
}

ModelMemory memory_of(const ModelConfig& config, const char* variant) {
  const auto memory = model_memory(config, *variant_from_name(variant), {});
  REQUIRE_OK(memory);
  return *memory;
}

}  // namespace

TEST_CASE("parameters and bytes of published models") {
  const auto [name, n_parameters, kv_token_bytes] =
      GENERATE(table<const char*, std::int64_t, std::int64_t>({{"Llama-3.1-70B", 70'553'706'496, 327'680},
                                                               {"Llama-3.1-8B", 8'030'261'248, 131'072},
                                                               {"Llama-3.2-1B", 1'235'814'400, 32'768},
                                                               {"Qwen2.5-7B", 7'615'616'512, 57'344},
                                                               {"Qwen3-0.6B", 596'049'920, 114'688},
                                                               {"Qwen3-8B", 8'190'735'360, 147'456},
                                                               {"Mistral-7B", 7'248'023'552, 131'072},
                                                               {"Mixtral-8x7B", 46'702'792'704, 131'072},
                                                               {"Mixtral-8x22B", 140'620'634'112, 229'376}}));
  CAPTURE(name);
  const ModelMemory memory = memory_of(config_of(name), "bf16");
  CHECK(memory.n_parameters == n_parameters);
  CHECK(memory.weights_bytes == 2.0 * static_cast<double>(n_parameters));
  CHECK(memory.kv_token_bytes == kv_token_bytes);
  CHECK(memory.kv_page_bytes == 16 * kv_token_bytes);
}

TEST_CASE("of a mixture each token uses its share of the experts, and embeddings are not multiplied") {
  // By hand: 32 layers of 8 experts of 3 x 4096 x 14336; two of them are used.
  const ModelMemory memory = memory_of(config_of("Mixtral-8x7B"), "bf16");
  const double experts = 32.0 * 8 * 3 * 4096 * 14336;
  CHECK(memory.expert_bytes == 2 * experts);
  CHECK(memory.n_active_parameters == Approx(46'702'792'704.0 - 0.75 * experts - 32000.0 * 4096));
  CHECK(memory.read_bytes == 2 * (46'702'792'704.0 - experts - 32000.0 * 4096));
}

TEST_CASE("of latent attention a token takes one latent in the cache, in DeepSeek-V3 70,272 bytes") {
  // Absent keys have the values of DeepSeek-V3. transformers counts this many parameters, without the biases of the router.
  const auto v3 = parse_model_config(R"({"architectures": ["DeepseekV3ForCausalLM"]})", "v3");
  REQUIRE_OK(v3);
  const ModelMemory memory = memory_of(*v3, "bf16");
  CHECK(memory.n_parameters == 671'026'404'352 + 58 * 256);
  CHECK(memory.kv_token_bytes == 61 * (512 + 64) * 2);
  // The published checkpoint's tensors for multi-token prediction are not tensors of the model.
  CHECK(is_behind_last_layer(*v3, "model.layers.61.eh_proj.weight"));
  CHECK_FALSE(is_behind_last_layer(*v3, "model.layers.60.mlp.gate.weight"));
  CHECK_FALSE(is_behind_last_layer(*v3, "model.layers.x.mlp.gate.weight"));
  CHECK(memory.kv_page_bytes == 16 * 61 * (512 + 64) * 2);
  // By hand: 58 layers of 256 experts of 3 x 7168 x 2048, of which 8 are used; the shared expert is always used.
  const double experts = 58.0 * 256 * 3 * 7168 * 2048;
  CHECK(memory.expert_bytes == 2 * experts);
  const double others = 671'026'419'200.0 - experts - 129280.0 * 7168;
  CHECK(memory.n_active_parameters == Approx(others + experts * 8 / 256));
  // The same cache with 128 heads of keys and values would take 128 x (192 + 128) numbers a layer, 71 times as much.
  const auto lite = parse_model_config(
      R"({"architectures": ["DeepseekV2ForCausalLM"], "hidden_size": 2048, "intermediate_size": 10944,
          "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16, "q_lora_rank": null,
          "num_experts_per_tok": 6, "first_k_dense_replace": 1})",
      "v2-lite");
  REQUIRE_OK(lite);
  CHECK(memory_of(*lite, "bf16").n_parameters == 15'706'484'224);
  CHECK(memory_of(*lite, "bf16").kv_token_bytes == 27 * 576 * 2);
}

TEST_CASE("experts that are stored as two tensors a layer are counted as experts") {
  const auto config = parse_model_config(
      R"({"architectures": ["GraniteMoeForCausalLM"], "vocab_size": 49155, "hidden_size": 1024, "intermediate_size": 512,
          "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 8, "num_local_experts": 32,
          "num_experts_per_tok": 8, "tie_word_embeddings": true})",
      "config.json");
  REQUIRE_OK(config);
  // By hand: 24 layers of 32 experts of 3 x 1024 x 512; 8 of them are used. int8 has a scale for each row of an expert.
  const ModelMemory memory = memory_of(*config, "bf16");
  const double experts = 24.0 * 32 * 3 * 1024 * 512;
  CHECK(memory.expert_bytes == 2 * experts);
  CHECK(memory.n_active_parameters == Approx(1'334'628'352.0 - 0.75 * experts));
  CHECK(memory_of(*config, "int8").expert_bytes == experts + 24.0 * 32 * (2 * 512 + 1024) * 4);
}

TEST_CASE("a tied head that a variant quantizes is a second copy") {
  // SmolLM2: 49152 x 576 embeddings, tied. int8 keeps them in bf16 for lookups and adds a head of one byte a weight and
  // one scale a row.
  const ModelConfig config = config_of("SmolLM2-135M");
  REQUIRE(config.tied_embeddings);
  const ModelMemory bf16 = memory_of(config, "bf16");
  const ModelMemory int8 = memory_of(config, "int8");
  const double table = 49152.0 * 576;
  CHECK(bf16.weights_bytes == 2.0 * static_cast<double>(bf16.n_parameters));
  CHECK(int8.weights_bytes > static_cast<double>(int8.n_parameters) + table);
  CHECK(int8.read_bytes == Approx(int8.weights_bytes - 2 * table));
}

TEST_CASE("a cache in 8 bits has a scale for each row, and a sequence takes whole pages") {
  const ModelConfig config = config_of("Llama-3.1-8B");
  const MemoryPlan plan{.kv_dtype = DType::kI8};
  const auto memory = model_memory(config, *variant_from_name("bf16"), plan);
  REQUIRE_OK(memory);
  CHECK(memory->kv_token_bytes == 2 * 32 * 8 * (128 + 4));
  CHECK(sequence_kv_bytes(*memory, plan, 16) == 16.0 * 2 * 32 * 8 * 132);
  CHECK(sequence_kv_bytes(*memory, plan, 17) == 32.0 * 2 * 32 * 8 * 132);
}

TEST_CASE("weights that are stored in no floating-point type are refused") {
  ModelConfig config = config_of("Llama-3.2-1B");
  config.torch_dtype = "int8";
  CHECK_ERROR(model_memory(config, *variant_from_name("int8"), {}), ErrorCode::kUnsupported, "torch_dtype");
}

TEST_CASE("matrices of a file whose blocks are of several types count as they are stored") {
  const auto config = parse_model_config(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 256,
      "intermediate_size": 512, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
      "vocab_size": 64, "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "torch_dtype": "float32"})",
                                         "test");
  REQUIRE_OK(config);
  const test::ScratchFolder scratch;
  std::vector<TensorToWrite> written;
  std::size_t n_bytes = 0;
  for (const TensorSpec& spec : model_tensors(*config)) {
    const bool is_q6_k = spec.name.find("down_proj") != std::string::npos || spec.name == kHeadTensor;
    if (spec.shape.rank() == 1) {
      written.push_back({spec.name, DType::kF32, spec.shape});
    } else {
      const std::int64_t row_bytes = spec.shape.extent(1) / 256 * (is_q6_k ? 210 : 144);
      written.push_back({spec.name + (is_q6_k ? ".q6_k" : ".q4_k"), DType::kU8, {spec.shape.extent(0), row_bytes}});
    }
    n_bytes += static_cast<std::size_t>(*written.back().shape.n_elements()) * size_of(written.back().dtype);
  }
  auto writer =
      SafetensorsWriter::create(scratch.path() / "model.safetensors", written, {{"published_variant", "gguf-q4_k"}});
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->write(std::vector<std::byte>(n_bytes)));
  REQUIRE_OK(writer->finish());
  const auto store = TensorStore::open(scratch.path());
  REQUIRE_OK(store);
  const PublishedTypes types = types_of_store(*store);
  const auto counted = [&](const char* variant, const PublishedTypes& published) {
    const auto memory = model_memory(*config, *variant_from_name(variant), {}, published);
    REQUIRE_OK(memory);
    return *memory;
  };
  // By hand: rows have 256 inputs, those of down_proj 512. Queries and output have 256 rows, keys and values 128, gate and up 512.
  const double norms = 4.0 * 3 * 256;
  const double of_q4_k = 144.0 * (64 + 256 + 128 + 128 + 256 + 512 + 512);
  const double of_q6_k = 210.0 * (2 * 256 + 64);
  const ModelMemory stored = counted("gguf-q4_k", types);
  CHECK(stored.weights_bytes == of_q4_k + of_q6_k + norms);
  CHECK(stored.read_bytes == stored.weights_bytes - 144.0 * 64);
  // If the file's types are unknown, every matrix including the embedding counts in the type that the variant is named after.
  CHECK(counted("gguf-q4_k", {}).read_bytes == of_q4_k - 144.0 * 64 + 144.0 * (2 * 256 + 64) + norms);
  CHECK(counted("gguf-q4_k", {}).weights_bytes == counted("gguf-q4_k", {}).read_bytes + 144.0 * 64);
  // Other variants are made from the weights' values, whatever their stored types.
  CHECK(counted("bf16", types).weights_bytes == counted("bf16", {}).weights_bytes);
}

TEST_CASE(
    "inputs that are brought to act order are alive beside what they are made of, for each of a token's experts") {
  const auto config = parse_model_config(R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 64,
      "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
      "num_local_experts": 3, "num_experts_per_tok": 2, "vocab_size": 64, "max_position_embeddings": 128,
      "rms_norm_eps": 1e-6, "tie_word_embeddings": false})",
                                         "test");
  REQUIRE_OK(config);
  PublishedTypes types{.variant = "gptq-int4-g32"};
  const auto workspace = [&](const char* variant) {
    const auto memory = model_memory(*config, *variant_from_name(variant), {}, types);
    REQUIRE_OK(memory);
    return memory->workspace_bytes;
  };
  const double plain = workspace("gptq-int4-g32");
  types.ordered = {"model.layers.0.self_attn.q_proj.weight"};
  CHECK(workspace("gptq-int4-g32") == plain);
  // For 512 tokens: the hidden values of two experts in both orders (2 * 192), instead of once (192) beside the input of 64.
  types.ordered.insert("model.layers.0.block_sparse_moe.experts.1.w2.weight");
  CHECK(workspace("gptq-int4-g32") == plain + 4.0 * 512 * (2 * 192 - (192 + 64)));
  CHECK(workspace("bf16") == plain);  // made from the values, in the model's order
}

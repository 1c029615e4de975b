// Tests that describe_model() predicts, from a checkpoint, what the bundle made of it contains.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "bundle/bundle.h"
#include "bundle/create.h"
#include "bundle/describe_model.h"
#include "bundle/quantized_folder.h"
#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

ModelDescription described(const fs::path& path) {
  SilentProgress progress;
  const InterruptFlag interrupt;
  Result<ModelDescription> model = describe_model(path, progress, interrupt);
  REQUIRE_OK(model);
  return *std::move(model);
}

/// Whether a note says why no variant keeps the weights.
bool has_reason(const ModelDescription& model) {
  return std::ranges::any_of(model.notes, [](const std::string& note) {
    return note.find("no variant keeps these weights as they are stored, because") != std::string::npos;
  });
}

void create(const CreateOptions& options, const fs::path& target) {
  SilentProgress progress;
  const InterruptFlag interrupt;
  REQUIRE_OK(create_bundle(options, target, progress, interrupt));
}

TEST_CASE("a quantized checkpoint is described as the bundle that is made of it") {
  const fs::path checkpoints = test::source_path("tests/data/quantized");
  const test::ScratchFolder scratch;
  int n_with_variant = 0;
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    const fs::path bundle = scratch.path() / name;
    CreateOptions options;
    options.model_folder = entry.path();
    create(options, bundle);
    const ModelDescription of_folder = described(entry.path());
    const ModelDescription of_bundle = described(bundle);
    CHECK(of_folder.published.variant == of_bundle.published.variant);
    CHECK(of_folder.published.encodings == of_bundle.published.encodings);
    CHECK(has_reason(of_folder) == of_folder.published.variant.empty());
    CHECK(of_folder.config.dim == of_bundle.config.dim);
    n_with_variant += of_folder.published.variant.empty() ? 0 : 1;
    // config.json alone yields the same variant, but not the types of the individual tensors.
    const fs::path alone = scratch.path() / (name + ".json");
    fs::copy_file(entry.path() / "config.json", alone);
    const ModelDescription of_config = described(alone);
    // In two checkpoints, modules that read the same input store different scales for it, so the scales are not used.
    // config.json alone does not show this.
    const std::string of_config_alone = name == "fp8-per-tensor"   ? "fp8-static"
                                        : name == "nvfp4-modelopt" ? "modelopt-nvfp4"
                                                                   : of_folder.published.variant;
    CHECK(of_config.published.variant == of_config_alone);
    CHECK_FALSE(of_config.published.encodings.has_value());
  }
  CHECK(n_with_variant == 6);  // the other variants, with larger groups: tests/recipes/published_variants_test.py
}

TEST_CASE("the variant of a checkpoint follows from its config.json") {
  struct Case {
    const char* quantization;
    const char* variant;
  };
  // These are entries of config.json files on Hugging Face, without the keys that are not read.
  const std::vector<Case> cases = {
      // DeepSeek-V3, DeepSeek-V3.1, gpt-oss
      {R"({"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]})",
       "fp8-block128"},
      {R"({"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "scale_fmt": "ue8m0",
           "weight_block_size": [128, 128]})",
       "fp8-block128-ue8m0"},
      {R"({"modules_to_not_convert": ["lm_head"], "quant_method": "mxfp4"})", "mxfp4"},
      // AutoGPTQ with and without zero points, AutoAWQ
      {R"({"bits": 4, "desc_act": false, "group_size": 128, "quant_method": "gptq", "sym": true})", "gptq-int4-g128"},
      {R"({"bits": 4, "desc_act": true, "group_size": 32, "quant_method": "gptq", "sym": false})", "gptq-int4-g32-zp"},
      {R"({"bits": 8, "group_size": -1, "quant_method": "gptq"})", "gptq-int8"},
      {R"({"bits": 4, "group_size": 128, "quant_method": "awq", "version": "gemm", "zero_point": true})",
       "awq-int4-g128"},
      // AutoRound in the layouts of AutoGPTQ and AutoAWQ; the first checkpoint leaves lm_head at 16 bits
      {R"({"bits": 4, "data_type": "int", "extra_config": {"lm_head": {"bits": 16}}, "group_size": 128, "packing_format":
           "auto_round:auto_gptq", "quant_method": "auto-round", "sym": true})",
       "auto-round-int4-g128"},
      {R"({"bits": 4, "group_size": 128, "packing_format": "auto_round:auto_awq", "quant_method": "auto-round", "sym": false})",
       "auto-round-int4-g128-zp"},
      // llm-compressor's W4A16, W8A8 and FP8-dynamic
      {R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": true}}}})",
       "compressed-tensors-int4-g128"},
      {R"({"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": true}, "input_activations":
           {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": true, "dynamic": true}}}})",
       "compressed-tensors-int8-w8a8"},
      {R"({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true}, "input_activations":
           {"num_bits": 8, "type": "float", "strategy": "token", "symmetric": true, "dynamic": true}}}})",
       "compressed-tensors-fp8"},
      // llm-compressor's W4A8. Where the weights have zero points, the variant does not quantize activations.
      {R"({"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": true}, "input_activations":
           {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": true, "dynamic": true}}}})",
       "compressed-tensors-int4-g128-w8a8"},
      {R"({"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 4, "type": "int", "strategy": "channel", "symmetric": true}, "input_activations":
           {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": true, "dynamic": true}}}})",
       "compressed-tensors-int4-w8a8"},
      {R"({"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": false}, "input_activations":
           {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": true, "dynamic": true}}}})",
       "compressed-tensors-int4-g128-zp"},
      // INT8 with stored scales of activations, in llm-compressor and Quark; with zero points, only the weights stay quantized.
      {R"({"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": true}, "input_activations":
           {"num_bits": 8, "type": "int", "strategy": "tensor", "symmetric": true, "dynamic": false}}}})",
       "compressed-tensors-int8-static"},
      {R"({"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 8, "type": "int", "strategy": "tensor", "symmetric": true}, "input_activations":
           {"num_bits": 8, "type": "int", "strategy": "tensor", "symmetric": false, "dynamic": false}}}})",
       "compressed-tensors-int8"},
      {R"({"quant_method": "quark", "global_quant_config": {"input_tensors": {"dtype": "int8", "is_dynamic": false,
           "qscheme": "per_tensor", "symmetric": true}, "weight": {"dtype": "int8", "qscheme": "per_tensor",
           "symmetric": true}}})",
       "quark-int8-static"},
      {R"({"quant_method": "quark", "global_quant_config": {"input_tensors": {"dtype": "int8", "is_dynamic": true,
           "qscheme": "per_tensor", "symmetric": true}, "weight": {"dtype": "int8", "qscheme": "per_tensor",
           "symmetric": true}}})",
       "quark-int8"},
      // FP8 with stored scales of activations. fbgemm computes its scales at run time, with an upper bound, so its variant quantizes
      // only the weights.
      {R"({"quant_algo": "FP8", "quant_method": "modelopt"})", "modelopt-fp8-static"},
      {R"({"activation_scheme": "static", "quant_method": "fp8"})", "fp8-static"},
      {R"({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": true}, "input_activations":
           {"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": true, "dynamic": false}}}})",
       "compressed-tensors-fp8-static"},
      {R"({"activation_scale_ub": 1200.0, "quant_method": "fbgemm_fp8"})", "fbgemm-fp8-w8a16"},
      // AMD's Quark: FP8 with fixed scales of activations and a cache in FP8; FP8 with a scale for each token; INT8; MXFP4
      {R"({"quant_method": "quark", "exclude": ["lm_head"], "export": {"kv_cache_group": ["*k_proj"], "pack_method": "reorder",
           "weight_format": "real_quantized"}, "global_quant_config": {"bias": null, "input_tensors": {"dtype": "fp8_e4m3",
           "is_dynamic": false, "qscheme": "per_tensor", "symmetric": null}, "output_tensors": null, "weight": {"dtype": "fp8_e4m3",
           "is_dynamic": false, "qscheme": "per_tensor"}}, "layer_quant_config": {"*k_proj": {"output_tensors": {"dtype":
           "fp8_e4m3"}, "weight": {"dtype": "fp8_e4m3", "is_dynamic": false, "qscheme": "per_tensor"}}}})",
       "quark-fp8-static"},
      {R"({"quant_method": "quark", "global_quant_config": {"input_tensors": {"dtype": "fp8_e4m3", "is_dynamic": true,
           "qscheme": "per_channel"}, "weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel"}}})",
       "quark-fp8"},
      {R"({"quant_method": "quark", "global_quant_config": {"input_tensors": {"dtype": "int8", "is_dynamic": true,
           "qscheme": "per_channel", "symmetric": true}, "weight": {"dtype": "int8", "qscheme": "per_channel",
           "symmetric": true}}})",
       "quark-int8-w8a8"},
      {R"({"quant_method": "quark", "global_quant_config": {"input_tensors": {"dtype": "fp4", "group_size": 32, "is_dynamic":
           true, "qscheme": "per_group"}, "weight": {"dtype": "fp4", "group_size": 32, "qscheme": "per_group",
           "scale_format": "e8m0"}}})",
       "quark-mxfp4"},
      {R"({"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "symmetric": true}}}})",
       "compressed-tensors-mxfp4"},
      {R"({"quant_algo": "NVFP4", "quant_method": "modelopt"})", "modelopt-nvfp4"},
      {R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": true},
           "input_activations": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric":
           true, "dynamic": "local"}}}})",
       "compressed-tensors-nvfp4"},
      {R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": {"group_0": {"weights":
           {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": true}}}})",
       "compressed-tensors-nvfp4-w4a16"},
      // These have no published variant: their weights are stored as dequantized values.
      {R"({"bits": 2, "group_size": 128, "quant_method": "gptq"})", ""},
      {R"({"bits": 8, "group_size": 128, "quant_method": "gptq", "sym": false})", ""},
  };
  for (const Case& one : cases) {
    CAPTURE(one.quantization);
    nlohmann::json config =
        nlohmann::json::parse(*read_file(test::source_path("tests/data/quantized/awq/config.json")));
    config["quantization_config"] = nlohmann::json::parse(one.quantization);
    const test::ScratchFolder scratch;
    REQUIRE_OK(write_file(scratch.path() / "config.json", config.dump()));
    const ModelDescription model = described(scratch.path());
    CHECK(model.published.variant == one.variant);
    CHECK(has_reason(model) == model.published.variant.empty());
    CHECK(model.config.n_layers == config.at("num_hidden_layers").get<std::int64_t>());
  }
}

TEST_CASE("a setting of a checkpoint that is not known is refused, and modules that are left out are mentioned") {
  const auto text = read_file(test::source_path("tests/data/quantized/awq/config.json"));
  REQUIRE_OK(text);
  const auto describe = [&](const char* quantization) {
    nlohmann::json config = nlohmann::json::parse(*text);
    config["quantization_config"] = nlohmann::json::parse(quantization);
    return describe_checkpoint(config.dump(), "config.json");
  };
  CHECK_ERROR(describe(R"({"quant_method": "fp8", "activation_scheme": "sttaic"})"), ErrorCode::kUnsupported,
              "activation_scheme: expected one of dynamic, static; found sttaic");
  CHECK_ERROR(describe(R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 32})"),
              ErrorCode::kUnsupported, "group_size: expected 16, found 32");
  const auto has_note = [&](const char* quantization, const char* part) {
    const auto model = describe(quantization);
    REQUIRE_OK(model);
    return std::ranges::any_of(model->notes,
                               [&](const std::string& note) { return note.find(part) != std::string::npos; });
  };
  const char* const left_out = "leaves some modules unquantized";
  CHECK(has_note(
      R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["model.layers.0.self_attn*", "lm_head"]})",
      left_out));
  CHECK_FALSE(has_note(R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]})", left_out));
  CHECK(has_note(R"({"quant_method": "fp8", "ignored_layers": ["model.layers.0.self_attn.q_proj"]})", left_out));
  // As in Qwen3's FP8 checkpoints. Norms and routers are never quantized, so naming them excludes nothing.
  CHECK_FALSE(has_note(R"({"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head",
                           "model.layers.0.input_layernorm", "model.layers.0.mlp.gate", "re:.*mlp.gate$"]})",
                       left_out));
  CHECK(has_note(R"({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"})", "cache in FP8"));
  CHECK(
      has_note(R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_scheme": "NVFP4"})", "cache in NVFP4"));
  CHECK(
      has_note(R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "kv_cache_scheme": {"num_bits": 8,
                     "type": "float"}, "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int",
                     "strategy": "group", "group_size": 32}}}})",
               "cache in FP8"));
}

}  // namespace
}  // namespace secondsource

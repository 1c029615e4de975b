// Tests `secondsource fit`, and compares its prediction of memory with what a real run allocated.

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/file.h"
#include "expectations.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("fit: devices for a built-in shape, as table and as a page") {
  const ProgramRun table = run_program({"fit", "Llama-3.1-70B", "--on", "h100-sxm,mi300x", "--variant", "bf16,int8"});
  CAPTURE(table.out, table.err);
  REQUIRE(table.status == 0);
  CHECK(contains(table.out, "h100-sxm  bf16           2"));
  CHECK(contains(table.out, "mi300x    bf16           1"));
  CHECK(contains(table.out, "70.6 billion parameters"));
  CHECK(contains(table.out, "projected, not measured"));
  const ScratchFolder scratch;
  const auto page = scratch.path() / "fit.html";
  REQUIRE(run_program({"fit", "Mixtral-8x22B", "--prices", source_path("reports/prices.yaml"), "--format", "html",
                       "--out", page.string()})
              .status == 0);
  const std::string html = *read_file(page);
  CHECK(contains(html, "Does Mixtral-8x22B fit?"));
  CHECK(contains(html, "<svg"));
  CHECK(contains(html, "USD an hour: "));
}

TEST_CASE("fit: the memory that a run allocates is predicted within 2 %") {
  const ScratchFolder scratch;
  const auto bundle = scratch.path() / "bundle";
  REQUIRE(run_program({"bundle", "synth", "--like", "demo-50m", "--out", bundle.string()}).status == 0);
  for (const std::string variant : {"bf16", "int8", "int4"}) {
    CAPTURE(variant);
    const auto out = scratch.path() / variant;
    const ProgramRun run = run_program({"run", bundle.string(), "--backend", "cpu", "--variant", variant, "--scenario",
                                        "offline:4@32/8", "--repetitions", "1", "--no-golden", "--out", out.string()});
    CAPTURE(run.err);
    REQUIRE(run.status == 0);
    nlohmann::json memory;
    std::istringstream lines(*read_file(out / "samples.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line);
      if (record.value("type", "") == "repetition") memory = record.at("memory");
    }
    REQUIRE_FALSE(memory.is_null());
    const ProgramRun fit = run_program({"fit", bundle.string(), "--on", "grace", "--variant", variant, "--context",
                                        "40", "--sequences", "4", "--format", "json"});
    CAPTURE(fit.err);
    REQUIRE(fit.status == 0);
    const auto row = nlohmann::json::parse(fit.out).at("rows").at(0);
    const double measured = memory.at("weights_bytes").get<double>() + memory.at("workspace_bytes").get<double>();
    const double predicted = row.at("weights_bytes").get<double>() + row.at("workspace_bytes").get<double>();
    // `fit` assumes a device that multiplies in BF16. On instruction sets without BF16 products, cpu packs activations in FP32, which
    // takes two more bytes for each input of a layer's matmuls in the largest step.
    const auto config = nlohmann::json::parse(*read_file(bundle / "config.json"));
    const std::int64_t heads =
        config.at("num_attention_heads").get<std::int64_t>() + 2 * config.at("num_key_value_heads").get<std::int64_t>();
    const std::int64_t inputs =
        config.at("intermediate_size").get<std::int64_t>() + heads * config.at("head_dim").get<std::int64_t>();
    const auto isa = nlohmann::json::parse(*read_file(out / "run.json"))
                         .at("backends")
                         .at(0)
                         .at("device")
                         .at("properties")
                         .at("isa")
                         .get<std::string>();
    const std::set<std::string> with_bf16 = {"avx512_bf16", "amx", "neon_bf16", "sve256"};
    const double in_f32 = with_bf16.contains(isa) ? 0 : 2.0 * 512 * static_cast<double>(inputs);
    CAPTURE(isa);
    CHECK(predicted + in_f32 == Approx(measured).epsilon(0.02));
    // The engine allocates whole pages of 16 tokens; a sequence of 40 tokens takes three of them.
    const double page_bytes = row.at("kv_bytes_per_sequence").get<double>() / 3;
    CHECK(std::fmod(memory.at("kv_bytes").get<double>(), page_bytes) == 0);
  }
}

TEST_CASE("fit: a quantized config.json alone, and a model in GGUF") {
  const ScratchFolder scratch;
  // The config.json of deepseek-ai/DeepSeek-V3, reduced to the model's dimensions and the quantization.
  const auto config = scratch.path() / "config.json";
  REQUIRE(write_file(config,
                     R"({"architectures": ["DeepseekV3ForCausalLM"], "first_k_dense_replace": 3, "hidden_size": 7168,
      "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v3",
      "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
      "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
      "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
      "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000, "routed_scaling_factor": 2.5,
      "scoring_func": "sigmoid", "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16",
      "v_head_dim": 128, "vocab_size": 129280, "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3",
      "quant_method": "fp8", "weight_block_size": [128, 128]}})")
              .has_value());
  const ProgramRun table = run_program({"fit", config.string(), "--on", "h200"});
  CAPTURE(table.out, table.err);
  REQUIRE(table.status == 0);
  // The model card states 671 billion parameters, 37 billion of which are active per token.
  CHECK(contains(table.out, "671.0 billion parameters"));
  const std::size_t published = table.out.find("h200      fp8-block128        8");
  CHECK(published != std::string::npos);
  CHECK(table.out.find("h200      bf16") > published);
  check_refused(run_program({"fit", config.string(), "--on", "h200", "--variant", "bf16,gptq-int4-g128"}),
                "found \"gptq-int4-g128\"");
  const auto model = asset("models/stories260K/stories260K.gguf");
  if (!model) return;
  const auto bundle = scratch.path() / "bundle";
  REQUIRE(run_program({"bundle", "create", "--from-gguf", model->string(), "--out", bundle.string()}).status == 0);
  const auto rows_of = [](const std::filesystem::path& path) {
    const ProgramRun fit = run_program({"fit", path.string(), "--on", "h200", "--format", "json"});
    CAPTURE(fit.err);
    REQUIRE(fit.status == 0);
    return nlohmann::json::parse(fit.out).at("rows");
  };
  const auto of_file = rows_of(*model);
  CHECK(of_file.size() == 3);
  CHECK(of_file == rows_of(bundle));
}

TEST_CASE("fit: what cannot be answered is refused in one line") {
  check_refused(run_program({"fit", "Llama-9"}), "Llama-3.1-70B");
  check_refused(run_program({"fit", source_path("README.md")}), "README.md");
  check_refused(run_program({"fit", source_path("bundles/default/manifest.yaml")}), "manifest.yaml");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--on", "h101"}), "expected one of a100-40");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--on", "xeon-8480p"}), "--memory");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--context", "9999999"}), "expected a context of 1 to 131072");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--hardware", "/nowhere"}), "/nowhere");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--context", "0"}), "expected a context of 1 to 131072");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--context", "-5"}),
                "to 131072 tokens (the model's positions), found -5");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--sequences", "999999999999"}),
                "expected 1 to 1000000000 sequences");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--reserve", "-1"}), "from 0 to below 100 %, found -1 %");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--memory", "512"}), "a size has a unit, as 512GiB");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--memory", "0GiB"}), "--memory: ");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--variant", "mxfp4"}), "mxfp4: expected a mixture");
  // A flag with a list of values takes only one word, so that the model can follow it.
  CHECK(run_program({"fit", "--on", "h200,h100-sxm", "--variant", "bf16", "Llama-3.1-8B"}).status == 0);
  CHECK(run_program({"fit", "Llama-3.1-8B", "--on", "xeon-8480p", "--memory", "512GiB"}).status == 0);
}

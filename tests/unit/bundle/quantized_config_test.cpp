// Where a checkpoint declares how its weights are quantized, and how one is handled that does not declare it or whose weights
// contradict it.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bundle/bundle.h"
#include "bundle/model_tensors.h"
#include "bundle/quantized_folder.h"
#include "core/file.h"
#include "quantized_checkpoint.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::bytes_of_values;
using test::checkpoints;
using test::create;

/// A checkpoint whose config.json does not say that its weights are quantized.
void copy_without_configuration(const char* name, const fs::path& folder) {
  fs::copy(checkpoints() / name, folder);
  const auto text = read_file(folder / "config.json");
  REQUIRE_OK(text);
  json config = json::parse(*text);
  config.erase("quantization_config");
  REQUIRE_OK(write_file(folder / "config.json", config.dump()));
}

TEST_CASE("ModelOpt's own file says how a checkpoint is quantized whose config.json does not") {
  const test::ScratchFolder scratch;
  const fs::path folder = scratch.path() / "modelopt";
  copy_without_configuration("fp8-per-tensor", folder);
  const auto write_own = [&](const std::string& algorithm) {
    REQUIRE_OK(write_file(folder / kModeloptConfigFile,
                          json{{"producer", {{"name", "modelopt"}, {"version", "0.27.0"}}},
                               {"quantization", {{"quant_algo", algorithm}, {"exclude_modules", {"lm_head"}}}}}
                              .dump()));
  };
  write_own("FP8");
  SilentProgress progress;
  const InterruptFlag interrupt;
  CHECK_ERROR(Bundle::open(folder, progress, interrupt), ErrorCode::kUnsupported,
              "`secondsource bundle create --from-hf " + folder.string() + " --out BUNDLE`");
  REQUIRE_OK(create(folder, scratch.path() / "out"));
  REQUIRE_OK(create(checkpoints() / "fp8-per-tensor", scratch.path() / "same"));
  const auto found = Bundle::open(scratch.path() / "out", progress, interrupt);
  const auto same = Bundle::open(scratch.path() / "same", progress, interrupt);
  REQUIRE_OK(found);
  REQUIRE_OK(same);
  CHECK(found->tensors().published_variant() == "modelopt-fp8-w8a16");
  for (const TensorSpec& spec : model_tensors(same->config())) {
    CHECK(bytes_of_values(*found->tensor(spec.name)) == bytes_of_values(*same->tensor(spec.name)));
  }
  const auto described = describe_checkpoint_folder(folder, interrupt);
  REQUIRE_OK(described);
  CHECK(described->published.variant == "modelopt-fp8-w8a16");
  CHECK(described->notes.size() == 1);
  write_own("W4A8_AWQ");
  CHECK_ERROR(create(folder, scratch.path() / "awq"), ErrorCode::kUnsupported, "hf_quant_config.json");
  // A configuration without an algorithm quantizes only the KV cache, which the scales beside these weights contradict.
  REQUIRE_OK(write_file(folder / kModeloptConfigFile,
                        R"({"quantization": {"quant_algo": null, "kv_cache_quant_algo": "FP8"}})"));
  const char* const contradiction =
      "_proj.weight_scale belongs to a quantized weight, and neither config.json nor hf_quant_config.json says how";
  CHECK_ERROR(create(folder, scratch.path() / "plain"), ErrorCode::kInvalidInput, contradiction);
  CHECK_ERROR(describe_checkpoint_folder(folder, interrupt), ErrorCode::kInvalidInput, contradiction);
  fs::remove(folder / "model.safetensors");
  const auto plain = describe_checkpoint_folder(folder, interrupt);
  REQUIRE_OK(plain);
  CHECK(plain->published.variant.empty());
  REQUIRE(plain->notes.size() == 1);
  CHECK(plain->notes[0].find("keep the cache in FP8; here it is in bf16 unless another type is chosen") !=
        std::string::npos);
}

TEST_CASE("ModelOpt's entry of config.json may be of the cache alone, beside a file that names the algorithm") {
  const test::ScratchFolder scratch;
  const InterruptFlag interrupt;
  const auto text = read_file(checkpoints() / "nvfp4-modelopt" / "config.json");
  REQUIRE_OK(text);
  json config = json::parse(*text);
  config["quantization_config"] = {
      {"quant_method", "modelopt"}, {"quant_algo", nullptr}, {"kv_cache_quant_algo", "FP8"}};
  REQUIRE_OK(write_file(scratch.path() / "config.json", config.dump()));
  const auto variant = [&] {
    const auto model = describe_checkpoint_folder(scratch.path(), interrupt);
    REQUIRE_OK(model);
    CHECK(std::ranges::any_of(model->notes,
                              [](const std::string& note) { return note.find("cache in FP8") != std::string::npos; }));
    return model->published.variant;
  };
  CHECK(variant().empty());
  const auto write_own = [&](const json& quantization) {
    REQUIRE_OK(write_file(scratch.path() / kModeloptConfigFile, json{{"quantization", quantization}}.dump()));
  };
  write_own({{"quant_algo", "NVFP4"}, {"group_size", 16}});
  CHECK(variant() == "modelopt-nvfp4");
  write_own({{"quant_algo", "NVFP4"}, {"exclude_modules", {"lm_head", "model.layers.0.self_attn*"}}});
  const auto partial = describe_checkpoint_folder(scratch.path(), interrupt);
  REQUIRE_OK(partial);
  CHECK(std::ranges::any_of(partial->notes, [](const std::string& note) {
    return note.find("leaves some modules unquantized") != std::string::npos;
  }));
  write_own({{"quant_algo", "NVFP4"}, {"group_size", 32}});
  CHECK_ERROR(describe_checkpoint_folder(scratch.path(), interrupt), ErrorCode::kUnsupported,
              "group_size: expected 16, found 32");
}

TEST_CASE("a description says which file of weights is missing, and why they cannot be read") {
  const InterruptFlag interrupt;
  const test::ScratchFolder scratch;
  fs::copy(checkpoints() / "gptq-4", scratch.path(), fs::copy_options::recursive);
  REQUIRE_OK(write_file(scratch.path() / "model.safetensors.index.json",
                        R"({"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}})"));
  const auto partial = describe_checkpoint_folder(scratch.path(), interrupt);
  REQUIRE_OK(partial);
  CHECK(std::ranges::any_of(partial->notes, [](const std::string& note) {
    return note.find("model-00002-of-00002.safetensors") != std::string::npos &&
           note.find("so the types are those of its configuration") != std::string::npos;
  }));
  fs::remove(scratch.path() / "model.safetensors.index.json");
  REQUIRE_OK(write_file(scratch.path() / "model.safetensors", "no tensors"));
  const auto damaged = describe_checkpoint_folder(scratch.path(), interrupt);
  REQUIRE_OK(damaged);
  CHECK(std::ranges::any_of(damaged->notes, [](const std::string& note) {
    return note.find("model.safetensors: ") != std::string::npos &&
           note.find("so the types are those of its configuration") != std::string::npos;
  }));
}

TEST_CASE("codes of which no configuration says of which kind they are, are refused with what to bring") {
  const test::ScratchFolder scratch;
  const fs::path folder = scratch.path() / "gptq";
  copy_without_configuration("gptq-4", folder);
  SilentProgress progress;
  const InterruptFlag interrupt;
  CHECK_ERROR(Bundle::open(folder, progress, interrupt), ErrorCode::kInvalidInput, "bring the file that does");
  REQUIRE_OK(write_file(folder / "quantize_config.json", "{}"));
  const char* const advice =
      "qweight belongs to a quantized weight, and neither config.json nor hf_quant_config.json says how it is quantized; put "
      "what quantize_config.json says into config.json, as its quantization_config with quant_method gptq";
  CHECK_ERROR(create(folder, scratch.path() / "out"), ErrorCode::kInvalidInput, advice);
  CHECK_ERROR(describe_checkpoint_folder(folder, interrupt), ErrorCode::kInvalidInput, advice);
}

}  // namespace
}  // namespace secondsource

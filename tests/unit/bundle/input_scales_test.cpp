// Stored scales of activations are kept beside the codes if every matmul can use them; otherwise none of them is kept.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "bundle/bundle.h"
#include "bundle/model_tensors.h"
#include "bundle/published_weights.h"
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
using test::ChangedCheckpoint;
using test::HandMadeTensor;
using test::Notes;

/// The input scale of each module; that of v_proj differs from those of q_proj and k_proj, which read the same input.
const std::map<std::string, float>& input_scales() {
  static const std::map<std::string, float> kScales = {{"q_proj", 0.5F},   {"k_proj", 0.5F},    {"v_proj", 0.25F},
                                                       {"o_proj", 0.125F}, {"gate_proj", 2.0F}, {"up_proj", 2.0F},
                                                       {"down_proj", 3.0F}};
  return kScales;
}

/// The name of a tensor's module: "q_proj" for "model.layers.0.self_attn.q_proj.input_scale".
std::string module_of(const std::string& name) {
  const std::size_t end = name.rfind('.');
  return name.substr(name.rfind('.', end - 1) + 1, end - name.rfind('.', end - 1) - 1);
}

/// A quantization config of llm-compressor with INT8 weights and the given activations.
json int8_quantization(const json& input_activations) {
  const json group = {{"targets", {"Linear"}},
                      {"weights", {{"num_bits", 8}, {"type", "int"}, {"strategy", "tensor"}, {"symmetric", true}}},
                      {"input_activations", input_activations}};
  return {{"quant_method", "compressed-tensors"}, {"format", "int-quantized"}, {"config_groups", {{"group_0", group}}}};
}

json static_int8(bool is_symmetric) {
  return {{"num_bits", 8}, {"type", "int"}, {"strategy", "tensor"}, {"dynamic", false}, {"symmetric", is_symmetric}};
}

enum class Codes : std::uint8_t { kFp8, kInt8 };

/// A checkpoint in FP8 or INT8 with static activation scales, those of input_scales().
struct StaticCheckpoint : ChangedCheckpoint {
  explicit StaticCheckpoint(Codes codes = Codes::kFp8) : ChangedCheckpoint("fp8-per-tensor") {
    for (HandMadeTensor& one : tensors) {
      if (one.name.ends_with("input_scale")) set_scale(one, input_scales().at(module_of(one.name)));
      if (codes == Codes::kInt8 && one.dtype == "F8_E4M3") one.dtype = "I8";
    }
    if (codes == Codes::kInt8) config["quantization_config"] = int8_quantization(static_int8(true));
  }
  static void set_scale(HandMadeTensor& tensor, float scale) {
    REQUIRE(tensor.data.size() == sizeof scale);
    std::memcpy(tensor.data.data(), &scale, sizeof scale);
  }
};

TEST_CASE("the scale of inputs of each module is kept beside its codes") {
  const auto [codes, variant] = GENERATE(
      table<Codes, std::string>({{Codes::kFp8, "fp8-static"}, {Codes::kInt8, "compressed-tensors-int8-static"}}));
  CAPTURE(variant);
  StaticCheckpoint checkpoint(codes);
  Notes notes;
  REQUIRE_OK(checkpoint.create(notes));
  CHECK(notes.lines.empty());
  const fs::path out = checkpoint.scratch.path() / "out";
  SilentProgress silent;
  const InterruptFlag interrupt;
  const auto bundle = Bundle::open(out, silent, interrupt);
  REQUIRE_OK(bundle);
  CHECK(bundle->tensors().published_variant() == variant);
  std::size_t n_codes = 0;
  for (const auto& [name, tensor] : bundle->tensors().tensors()) {
    if (!tensor.published) continue;
    CAPTURE(name);
    CHECK(tensor.published->input_scale == input_scales().at(module_of(name)));
    ++n_codes;
  }
  CHECK(n_codes >= input_scales().size());
  const auto manifest = read_file(out / "manifest.yaml");
  REQUIRE_OK(manifest);
  CHECK(manifest->find("activations quantized by its runtimes") == std::string::npos);
  const auto described = describe_checkpoint_folder(checkpoint.scratch.path() / "model", interrupt);
  REQUIRE_OK(described);
  CHECK(described->published.variant == variant);
  CHECK(described->notes.empty());
}

TEST_CASE("INT8 activations with zero points are not computed, and this is said") {
  StaticCheckpoint checkpoint(Codes::kInt8);
  json by_token = static_int8(false);
  by_token["dynamic"] = true;
  by_token["strategy"] = "token";
  checkpoint.config["quantization_config"] = int8_quantization(GENERATE_COPY(static_int8(false), by_token));
  Notes notes;
  REQUIRE_OK(checkpoint.create(notes));
  REQUIRE(notes.lines.size() == 1);
  CHECK(notes.lines[0].find("its weights alone are taken, because activations with zero points are not computed") !=
        std::string::npos);
  SilentProgress silent;
  const auto bundle = Bundle::open(checkpoint.scratch.path() / "out", silent, InterruptFlag());
  REQUIRE_OK(bundle);
  CHECK(bundle->tensors().published_variant() == "compressed-tensors-int8");
  const auto described = describe_checkpoint_folder(checkpoint.scratch.path() / "model", InterruptFlag());
  REQUIRE_OK(described);
  CHECK(described->notes == notes.lines);
}

TEST_CASE("where a scale of inputs cannot be used, none is, and the reason is said") {
  const auto [codes, without] =
      GENERATE(table<Codes, std::string>({{Codes::kFp8, "fp8-w8a16"}, {Codes::kInt8, "compressed-tensors-int8"}}));
  CAPTURE(without);
  const std::string down = "model.layers.0.mlp.down_proj.input_scale";
  const std::string up = "model.layers.0.mlp.up_proj.";
  const char* const no_number = "down_proj.weight has no scale of inputs that is one positive number";
  const char* const other = "mlp.up_proj.weight have different scales of inputs";
  const char* const plain =
      "mlp.gate_proj.weight is quantized, and model.layers.0.mlp.up_proj.weight in the same product is not";
  const auto change = [&, of = codes, expected = without](const char* reason,
                                                          const std::function<void(StaticCheckpoint&)>& make) {
    CAPTURE(reason);
    StaticCheckpoint checkpoint(of);
    make(checkpoint);
    Notes notes;
    REQUIRE_OK(checkpoint.create(notes));
    REQUIRE(notes.lines.size() == 1);
    CHECK(notes.lines[0].find("here its weights alone are taken, because ") != std::string::npos);
    CHECK(notes.lines[0].find(reason) != std::string::npos);
    SilentProgress silent;
    const auto bundle = Bundle::open(checkpoint.scratch.path() / "out", silent, InterruptFlag());
    REQUIRE_OK(bundle);
    CHECK(bundle->tensors().published_variant() == expected);
  };
  change(no_number, [&](StaticCheckpoint& made) { StaticCheckpoint::set_scale(made.tensor(down), 0.0F); });
  change(no_number, [&](StaticCheckpoint& made) { StaticCheckpoint::set_scale(made.tensor(down), NAN); });
  change(no_number, [&](StaticCheckpoint& made) { made.tensor(down).dtype = "I32"; });
  change(no_number, [&](StaticCheckpoint& made) { made.tensor(down) = {down, "F32", {3}, std::string(12, '\1')}; });
  change(no_number, [&](StaticCheckpoint& made) {
    std::erase_if(made.tensors, [&](const HandMadeTensor& one) { return one.name == down; });
  });
  change(other, [&](StaticCheckpoint& made) { StaticCheckpoint::set_scale(made.tensor(up + "input_scale"), 1.0F); });
  change(plain, [&](StaticCheckpoint& made) {  // an unquantized module has no scale
    HandMadeTensor& weight = made.tensor(up + "weight");
    weight = {weight.name, "F32", weight.shape, std::string(4 * weight.data.size(), '\0')};
    std::erase_if(made.tensors,
                  [&](const HandMadeTensor& one) { return one.name.starts_with(up) && one.name != weight.name; });
  });
}

TEST_CASE("a checkpoint none of whose tensors is quantized is said to be plain") {
  StaticCheckpoint checkpoint;
  std::vector<HandMadeTensor> plain;
  for (const HandMadeTensor& one : checkpoint.tensors) {
    if (one.name.ends_with("_scale")) continue;
    plain.push_back(one.dtype != "F8_E4M3"
                        ? one
                        : HandMadeTensor{one.name, "F32", one.shape, std::string(4 * one.data.size(), '\0')});
  }
  checkpoint.tensors = plain;
  Notes notes;
  REQUIRE_OK(checkpoint.create(notes));
  REQUIRE(notes.lines.size() == 1);
  CHECK(notes.lines[0].find("no tensor is stored like this, and all are plain") != std::string::npos);
  const auto described = describe_checkpoint_folder(checkpoint.scratch.path() / "model", InterruptFlag());
  REQUIRE_OK(described);
  CHECK(described->notes == notes.lines);
}

TEST_CASE("experts of which one is unquantized are kept as their weights alone") {
  json config = {{"architectures", {"MixtralForCausalLM"}},
                 {"hidden_size", 32},
                 {"intermediate_size", 48},
                 {"num_hidden_layers", 1},
                 {"num_attention_heads", 2},
                 {"num_key_value_heads", 1},
                 {"num_local_experts", 3},
                 {"num_experts_per_tok", 2},
                 {"vocab_size", 16},
                 {"max_position_embeddings", 64},
                 {"rms_norm_eps", 1e-6},
                 {"tie_word_embeddings", false}};
  const auto model = parse_model_config(config.dump(), "test");
  REQUIRE_OK(model);
  config["quantization_config"] = {{"quant_method", "fp8"}, {"activation_scheme", "static"}};
  const float one = 1.0F;
  const std::string scale(reinterpret_cast<const char*>(&one), sizeof one);
  const auto note_where = [&](const std::string& plain) {
    CAPTURE(plain);
    StaticCheckpoint checkpoint;
    checkpoint.config = config;
    checkpoint.tensors.clear();
    for (const TensorSpec& spec : model_tensors(*model)) {
      const auto n_values = static_cast<std::size_t>(*spec.shape.n_elements());
      if (spec.role != TensorRole::kMatmul || spec.name == kHeadTensor || spec.name == plain) {
        checkpoint.tensors.push_back({spec.name, "F32", spec.shape, std::string(4 * n_values, '\0')});
        continue;
      }
      const std::string module = spec.name.substr(0, spec.name.rfind('.') + 1);
      checkpoint.tensors.push_back({spec.name, "F8_E4M3", spec.shape, std::string(n_values, '\0')});
      checkpoint.tensors.push_back({module + "weight_scale", "F32", {1}, scale});
      checkpoint.tensors.push_back({module + "input_scale", "F32", {1}, scale});
    }
    Notes notes;
    REQUIRE_OK(checkpoint.create(notes));
    SilentProgress silent;
    const auto bundle = Bundle::open(checkpoint.scratch.path() / "out", silent, InterruptFlag());
    REQUIRE_OK(bundle);
    CHECK(bundle->tensors().published_variant() == (plain.empty() ? "fp8-static" : "fp8-w8a16"));
    return notes.lines.empty() ? std::string() : notes.lines[0];
  };
  CHECK(note_where("").empty());
  for (const char* const matrix : {"0.w1", "1.w1", "2.w2", "2.w3"}) {
    const std::string note = note_where(fmt::format("model.layers.0.block_sparse_moe.experts.{}.weight", matrix));
    CHECK(note.find(fmt::format("experts.{}.weight in the same product is not", matrix)) != std::string::npos);
  }
}

}  // namespace
}  // namespace secondsource

// Compares quantized checkpoints with the values that the code of each format's authors computes for them
// (tests/data/quantized/make_checkpoints.py).
#include "bundle/quantized_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "bundle/bundle.h"
#include "bundle/create.h"
#include "bundle/model_tensors.h"
#include "bundle/published_types.h"
#include "bundle/published_weights.h"
#include "bundle/variant.h"
#include "core/file.h"
#include "core/half.h"
#include "core/hash.h"
#include "quantized_checkpoint.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::bytes_of_values;
using test::ChangedCheckpoint;
using test::checkpoints;
using test::create;
using test::HandMadeTensor;
using test::Notes;
using test::values_of_codes;

TEST_CASE("a bundle of a quantized checkpoint has the values, bit for bit, that the authors' code gives its weights") {
  const auto text = read_file(checkpoints() / "expected.json");
  REQUIRE_OK(text);
  const json expected = json::parse(*text);
  REQUIRE(expected.size() == 17);
  const test::ScratchFolder scratch;
  SilentProgress progress;
  const InterruptFlag interrupt;
  for (const auto& [name, tensors] : expected.items()) {
    CAPTURE(name);
    // For NVFP4 the authors' code first combines both scales, with a rounding; runtimes, and our codes, scale the sums instead.
    const auto form = name.starts_with("nvfp4") ? QuantizedWeights::kAsValues : QuantizedWeights::kAsCodes;
    REQUIRE_OK(create(checkpoints() / name, scratch.path() / name, progress, form));
    const auto bundle = Bundle::open(scratch.path() / name, progress, interrupt);
    REQUIRE_OK(bundle);
    CHECK(bundle->name() == name);
    REQUIRE(tensors.size() == model_tensors(bundle->config()).size());
    for (const auto& [tensor, digest] : tensors.items()) {
      CAPTURE(tensor);
      const auto stored = bundle->tensor(tensor);
      REQUIRE_OK(stored);
      CHECK(sha256_hex(bytes_of_values(*stored)) == digest.get<std::string>());
    }
  }
}

TEST_CASE("codes of NVFP4 have the values that the authors' code gives them, but for the order of two roundings") {
  const test::ScratchFolder scratch;
  SilentProgress progress;
  const InterruptFlag interrupt;
  for (const std::string name : {"nvfp4", "nvfp4-modelopt"}) {
    CAPTURE(name);
    REQUIRE_OK(create(checkpoints() / name, scratch.path() / name));
    REQUIRE_OK(create(checkpoints() / name, scratch.path() / "values" / name, progress, QuantizedWeights::kAsValues));
    const auto codes = Bundle::open(scratch.path() / name, progress, interrupt);
    const auto values = Bundle::open(scratch.path() / "values" / name, progress, interrupt);
    REQUIRE_OK(codes);
    REQUIRE_OK(values);
    const bool is_modelopt = name == "nvfp4-modelopt";
    CHECK(codes->tensors().published_variant() ==
          (is_modelopt ? "modelopt-nvfp4-w4a16" : "compressed-tensors-nvfp4-w4a16"));
    std::size_t n_of_codes = 0;
    std::size_t n_equal = 0;
    for (const TensorSpec& spec : model_tensors(codes->config())) {
      const auto stored = codes->tensor(spec.name);
      REQUIRE_OK(stored);
      if (!stored->published) continue;
      CHECK(stored->published->form.encoding == WeightEncoding::kNvfp4Group16);
      const std::vector<float> found = values_of_codes(*stored);
      const std::string bytes = bytes_of_values(*values->tensor(spec.name));
      REQUIRE(bytes.size() == found.size() * sizeof(float));
      for (std::size_t i = 0; i < found.size(); ++i) {
        float expected = 0.0F;
        std::memcpy(&expected, bytes.data() + i * sizeof(float), sizeof(float));
        // The two ways differ by three roundings: one of the product of codes, one each of a dequantized scale and value. The
        // reciprocal in compressed-tensors is a fourth one, which does not increase the error of any of these values.
        if (std::abs(found[i] - expected) > 0x1.8p-23F * std::abs(expected)) FAIL(spec.name << ": " << i);
        n_equal += found[i] == expected ? 1 : 0;
      }
      n_of_codes += found.size();
    }
    CHECK(n_of_codes > 4000);
    CHECK(2 * n_equal > n_of_codes);
  }
}

TEST_CASE("the manifest says how the source of a bundle was quantized") {
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"fp8-blocks", "FP8 E4M3, blocks of 12 x 20 (7 tensors), BF16 (5), activations quantized by its runtimes"},
      {"int8-per-channel", "compressed-tensors, INT 8 with zero points, a scale for each output (7 tensors), BF16 (5)"},
      {"packed-4", "compressed-tensors, INT 4, groups of 16 (7 tensors), BF16 (5)"},
      {"gptq-8-act-order", "GPTQ, 8 bits, groups of 16, act order (7 tensors), BF16 (5)"},
      {"gptq-2-whole", "GPTQ, 2 bits, a scale for each output (7 tensors), BF16 (5)"},
      {"awq", "AWQ, 4 bits, groups of 16 (7 tensors), BF16 (5)"},
      {"mxfp4", "MXFP4 (2 tensors), BF16 (18)"},
      {"mxfp4-rows", "MXFP4 of Quark (7 tensors), BF16 (5)"},
      {"nvfp4", "compressed-tensors, NVFP4 (7 tensors), BF16 (5)"},
      {"nvfp4-modelopt", "NVFP4 of ModelOpt (7 tensors), BF16 (5), activations quantized by its runtimes"},
      {"fp8-deepseek",
       "FP8 E4M3, blocks of 12 x 20 (25 tensors), BF16 (12), F32 (1), activations quantized by its runtimes"}};
  const test::ScratchFolder scratch;
  SilentProgress progress;
  const InterruptFlag interrupt;
  for (const auto& [name, quantization] : expected) {
    REQUIRE_OK(create(checkpoints() / name, scratch.path() / name));
    const auto bundle = Bundle::open(scratch.path() / name, progress, interrupt);
    REQUIRE_OK(bundle);
    CHECK(bundle->manifest()->source_quantization == quantization);
  }
}

TEST_CASE("why codes are not kept, and that a checkpoint's runtimes quantize activations, is said") {
  const test::ScratchFolder scratch;
  Notes notes;
  REQUIRE_OK(create(checkpoints() / "fp8-blocks", scratch.path() / "fp8", notes));
  REQUIRE(notes.lines.size() == 2);
  CHECK(notes.lines[0].find("q_proj.weight has scales of blocks of 12 x 20") != std::string::npos);
  CHECK(notes.lines[1].find("quantize activations") != std::string::npos);
  notes.lines.clear();
  REQUIRE_OK(create(checkpoints() / "awq", scratch.path() / "awq", notes));
  REQUIRE(notes.lines.size() == 1);
  CHECK(notes.lines[0].find("q_proj.weight has groups of 16, no multiple of 32") != std::string::npos);
  notes.lines.clear();
  REQUIRE_OK(create(checkpoints() / "int8-per-channel", scratch.path() / "int8", notes));
  REQUIRE(notes.lines.size() == 1);
  CHECK(notes.lines[0].find("q_proj.weight has zero points of codes of 8 bits") != std::string::npos);
  notes.lines.clear();
  REQUIRE_OK(create(checkpoints() / "nvfp4", scratch.path() / "nvfp4", notes));
  CHECK(notes.lines.empty());
  REQUIRE_OK(create(checkpoints() / "nvfp4-modelopt", scratch.path() / "nvfp4-modelopt", notes));
  REQUIRE(notes.lines.size() == 1);
  CHECK(notes.lines[0].find("its weights alone are taken, because model.layers.0.mlp.gate_proj.weight and "
                            "model.layers.0.mlp.up_proj.weight have different scales of inputs") != std::string::npos);
}

TEST_CASE("codes in FP8 are kept beside activations that are not quantized, or in a way that is not computed") {
  const test::ScratchFolder scratch;
  SilentProgress silent;
  const InterruptFlag interrupt;
  // In fp8-per-tensor, modules that read the same input store different scales for it, so the scales are not used.
  const std::vector<std::tuple<std::string, std::string, std::size_t>> cases = {
      {"float-per-channel", "compressed-tensors-fp8-w8a16", 0}, {"fp8-per-tensor", "fp8-w8a16", 1}};
  for (const auto& [name, variant, n_notes] : cases) {
    CAPTURE(name);
    Notes notes;
    REQUIRE_OK(create(checkpoints() / name, scratch.path() / name, notes));
    REQUIRE(notes.lines.size() == n_notes);
    if (n_notes > 0) {
      CHECK(notes.lines[0].find("its weights alone are taken, because model.layers.0.mlp.gate_proj.weight and "
                                "model.layers.0.mlp.up_proj.weight have different scales of inputs") !=
            std::string::npos);
    }
    const auto bundle = Bundle::open(scratch.path() / name, silent, interrupt);
    REQUIRE_OK(bundle);
    CHECK(bundle->tensors().published_variant() == variant);
    CHECK(variant_from_name(variant)->activations == ActQuant::kNone);
  }
}

TEST_CASE("a bundle's codes are not read as the weights that a quantization_config announces") {
  const test::ScratchFolder scratch;
  const fs::path folder = scratch.path() / "codes";
  REQUIRE_OK(create(checkpoints() / "mxfp4", folder));
  const auto announced = read_file(checkpoints() / "mxfp4" / "config.json");
  REQUIRE_OK(announced);
  REQUIRE_OK(write_file(folder / "config.json", *announced));
  fs::remove(folder / "manifest.yaml");
  CHECK_ERROR(create(folder, scratch.path() / "out"), ErrorCode::kInvalidInput, "found a bundle's codes of mxfp4");
}

constexpr const char* kQ = "model.layers.0.self_attn.q_proj.";

/// The first layer's q_proj weight, as FP32, in a bundle made of the checkpoint.
std::string bytes_in_bundle_of(ChangedCheckpoint& checkpoint) {
  REQUIRE_OK(checkpoint.create());
  SilentProgress progress;
  const auto bundle = Bundle::open(checkpoint.scratch.path() / "out", progress, InterruptFlag());
  REQUIRE_OK(bundle);
  const auto stored = bundle->tensor(std::string(kQ) + "weight");
  REQUIRE_OK(stored);
  return bytes_of_values(*stored);
}

TEST_CASE("parts of a quantized weight that contradict its shape are refused") {
  const auto refused = [](const std::string& checkpoint, const std::string& ending, const std::string& part) {
    ChangedCheckpoint changed(checkpoint);
    HandMadeTensor& tensor = changed.tensor(kQ + ending);
    // Drop the second half of the tensor; the first extent is even in all of these.
    tensor.shape = tensor.shape.rank() == 1 ? Shape{tensor.shape.extent(0) / 2}
                                            : Shape{tensor.shape.extent(0) / 2, tensor.shape.extent(1)};
    tensor.data.resize(tensor.data.size() / 2);
    changed.expect_refused(ErrorCode::kInvalidInput, part);
  };
  refused("fp8-blocks", "weight", "q_proj.weight: expected [32, 32], found [16, 32]");
  refused("packed-4", "weight_packed", "q_proj.weight_packed: expected [32, 4], found [16, 4]");
  refused("packed-4", "weight_scale", "q_proj.weight_scale: expected [32, 2], found [16, 2]");
  refused("packed-4-zeros", "weight_zero_point", "q_proj.weight_zero_point: expected [4, 2], found [2, 2]");
  refused("packed-by-input", "weight_g_idx", "q_proj.weight_g_idx: expected [32], found [16]");
  refused("int8-per-channel", "weight_zero_point", "q_proj.weight_zero_point: expected [32, 1], found [16, 1]");
  refused("gptq-4", "qweight", "q_proj.qweight: expected [4, 32], found [2, 32]");
  refused("gptq-4", "qzeros", "q_proj.qzeros: expected [2, 4], found [1, 4]");
  refused("gptq-4", "scales", "q_proj.scales: expected [2, 32], found [1, 32]");
  refused("awq", "qweight", "q_proj.qweight: expected [32, 4], found [16, 4]");
}

TEST_CASE("a part of a quantized weight that is missing or of another type is refused") {
  ChangedCheckpoint missing("gptq-4");
  std::erase_if(missing.tensors,
                [](const HandMadeTensor& tensor) { return tensor.name == std::string(kQ) + "scales"; });
  missing.expect_refused(ErrorCode::kInvalidInput, "q_proj.scales: expected [2, 32], found no such tensor");

  for (const auto& [checkpoint, ending, shape] :
       {std::tuple("fp8-blocks", "weight_scale_inv", "[3, 2]"), std::tuple("fp8-per-tensor", "weight_scale", "[32, 1]"),
        std::tuple("float-per-channel", "weight_scale", "[32, 1]")}) {
    ChangedCheckpoint scales(checkpoint);
    const std::string name = kQ + std::string(ending);
    std::erase_if(scales.tensors, [&](const HandMadeTensor& tensor) { return tensor.name == name; });
    scales.expect_refused(ErrorCode::kInvalidInput,
                          fmt::format("q_proj.{}: expected {}, found no such tensor", ending, shape));
  }

  ChangedCheckpoint act_order("gptq-8-act-order");
  std::erase_if(act_order.tensors,
                [](const HandMadeTensor& tensor) { return tensor.name == std::string(kQ) + "g_idx"; });
  act_order.expect_refused(ErrorCode::kInvalidInput, "q_proj.g_idx: expected [32], found no such tensor");

  ChangedCheckpoint words("fp8-blocks");
  words.tensor(std::string(kQ) + "weight_scale_inv").dtype = "I32";
  words.expect_refused(ErrorCode::kUnsupported,
                       "q_proj.weight_scale_inv: expected F32, F16, BF16 or F8_E8M0, found I32");
}

TEST_CASE("scales in E8M0 are the powers of two that they stand for") {
  ChangedCheckpoint exponents("fp8-blocks");
  ChangedCheckpoint powers("fp8-blocks");
  HandMadeTensor& in_bytes = exponents.tensor(std::string(kQ) + "weight_scale_inv");
  HandMadeTensor& in_floats = powers.tensor(std::string(kQ) + "weight_scale_inv");
  const auto n_scales = static_cast<int>(in_bytes.data.size() / sizeof(float));
  REQUIRE(n_scales == 6);
  std::vector<float> floats;
  in_bytes.dtype = "F8_E8M0";
  in_bytes.data.clear();
  for (int i = 0; i < n_scales; ++i) {
    in_bytes.data.push_back(static_cast<char>(127 - 8 + 3 * i));
    floats.push_back(std::ldexp(1.0F, -8 + 3 * i));
  }
  in_floats.data = test::bytes_of(floats);
  CHECK(bytes_in_bundle_of(exponents) == bytes_in_bundle_of(powers));
}

TEST_CASE("groups and zero points outside their range are refused") {
  for (const std::int32_t group : {-1, 2}) {
    ChangedCheckpoint changed("gptq-8-act-order");
    std::memcpy(changed.tensor(std::string(kQ) + "g_idx").data.data() + 5 * sizeof(group), &group, sizeof(group));
    changed.expect_refused(ErrorCode::kInvalidInput,
                           fmt::format("q_proj.g_idx: [5]: expected a group below 2, found {}", group));
  }
  ChangedCheckpoint changed("gptq-4");
  changed.tensor(std::string(kQ) + "qzeros").data[0] = '\x0f';
  changed.expect_refused(ErrorCode::kInvalidInput, "group 0, output 0: expected a zero point below 15, found 15");
}

TEST_CASE("a code or a scale that is not a number is refused") {
  ChangedCheckpoint code("fp8-blocks");
  code.tensor(std::string(kQ) + "weight").data[7] = '\x7f';
  code.expect_refused(ErrorCode::kInvalidInput, "q_proj.weight: row 0: expected finite values");
  ChangedCheckpoint scale("packed-8");
  scale.tensor(std::string(kQ) + "weight_scale").data.replace(12, 4, std::string("\x00\x00\x80\x7f", 4));
  scale.expect_refused(ErrorCode::kInvalidInput, "q_proj.weight: row 1: expected finite values");
  ChangedCheckpoint exponent("fp8-blocks");
  HandMadeTensor& exponents = exponent.tensor(std::string(kQ) + "weight_scale_inv");
  exponents.dtype = "F8_E8M0";
  exponents.data =
      std::string(exponents.data.size() / sizeof(float) - 1, '\x7f') + '\xff';  // ones, and the one code for NaN
  exponent.expect_refused(ErrorCode::kInvalidInput,
                          "q_proj.weight_scale_inv: [2, 1]: expected a finite scale of at least 0, found nan");
}

TEST_CASE("a scale of codes in FP8 may be 0, but not negative, infinite or NaN") {
  const auto set_scale = [](HandMadeTensor& scales, std::size_t place, float scale) {
    std::memcpy(scales.data.data() + place * sizeof scale, &scale, sizeof scale);
  };
  for (const auto& [scale, found] :
       {std::pair(-0.5F, "-0.5"), std::pair(HUGE_VALF, "inf"), std::pair(std::nanf(""), "nan")}) {
    ChangedCheckpoint blocks("fp8-blocks");
    set_scale(blocks.tensor(std::string(kQ) + "weight_scale_inv"), 3, scale);
    blocks.expect_refused(
        ErrorCode::kInvalidInput,
        fmt::format("q_proj.weight_scale_inv: [1, 1]: expected a finite scale of at least 0, found {}", found));
    ChangedCheckpoint whole("fp8-per-tensor");
    set_scale(whole.tensor(std::string(kQ) + "weight_scale"), 0, scale);
    whole.expect_refused(ErrorCode::kInvalidInput,
                         fmt::format("q_proj.weight_scale: expected a finite scale of at least 0, found {}", found));
  }
  ChangedCheckpoint zeros("fp8-per-tensor");
  set_scale(zeros.tensor(std::string(kQ) + "weight_scale"), 0, 0.0F);
  std::string& codes = zeros.tensor(std::string(kQ) + "weight").data;
  codes.assign(codes.size(), '\0');
  CHECK(bytes_in_bundle_of(zeros) == std::string(codes.size() * sizeof(float), '\0'));
}

TEST_CASE("what a quantized module has besides and nobody reads is refused unless it is zero") {
  ChangedCheckpoint zeros("gptq-4");  // early AutoGPTQ files store such biases for models without biases
  zeros.tensors.push_back({std::string(kQ) + "bias", "F16", {32}, std::string(64, '\0')});
  REQUIRE_OK(zeros.create());
  ChangedCheckpoint bias("gptq-4");
  bias.tensors.push_back({std::string(kQ) + "bias", "F16", {32}, std::string(64, 'a')});
  bias.expect_refused(ErrorCode::kUnsupported, "q_proj.bias: expected none of this name beside GPTQ, 4 bits");
  ChangedCheckpoint global("packed-4");
  global.tensors.push_back({std::string(kQ) + "weight_global_scale", "F32", {1}, "abcd"});
  global.expect_refused(ErrorCode::kUnsupported, "q_proj.weight_global_scale: expected none");
  ChangedCheckpoint other("nvfp4-modelopt");
  other.tensors.push_back({std::string(kQ) + "weight_global_scale", "F32", {1}, "abcd"});
  other.expect_refused(ErrorCode::kUnsupported, "q_proj.weight_global_scale: expected none");
}

TEST_CASE("a matrix in NVFP4 needs its one number, its shapes and whole blocks") {
  ChangedCheckpoint absent("nvfp4");
  std::erase_if(absent.tensors,
                [](const HandMadeTensor& one) { return one.name == std::string(kQ) + "weight_global_scale"; });
  absent.expect_refused(ErrorCode::kInvalidInput,
                        "q_proj.weight_global_scale: expected one number in F32, found no such tensor");
  ChangedCheckpoint zero("nvfp4");
  zero.tensor(std::string(kQ) + "weight_global_scale").data = std::string(4, '\0');
  zero.expect_refused(ErrorCode::kInvalidInput, "q_proj.weight_global_scale: expected a positive number, found 0");
  zero.tensor(std::string(kQ) + "weight_global_scale").data = test::bytes_of(std::vector<float>{-1.0F});
  zero.expect_refused(ErrorCode::kInvalidInput, "q_proj.weight_global_scale: expected a positive number, found -1");
  ChangedCheckpoint none("nvfp4-modelopt");
  none.tensor(std::string(kQ) + "weight_scale").data[1] = '\x7f';
  none.expect_refused(ErrorCode::kInvalidInput, "q_proj.weight: row 0: expected finite values");
  ChangedCheckpoint pairs("nvfp4");
  HandMadeTensor& packed = pairs.tensor(std::string(kQ) + "weight_packed");
  packed.shape = {32, 15};
  packed.data.resize(32 * 15);
  pairs.expect_refused(ErrorCode::kInvalidInput, "q_proj.weight_packed: expected [32, 16], found [32, 15]");
  ChangedCheckpoint narrow("mxfp4-rows");
  narrow.config["intermediate_size"] = 48;
  for (const std::string module : {"gate_proj", "up_proj"}) {
    HandMadeTensor& codes = narrow.tensor("model.layers.0.mlp." + module + ".weight");
    codes.shape = {48, 16};
    codes.data.resize(48 * 16);
    HandMadeTensor& scales = narrow.tensor("model.layers.0.mlp." + module + ".weight_scale");
    scales.shape = {48, 1};
    scales.data.resize(48);
  }
  narrow.expect_refused(ErrorCode::kInvalidInput, "inputs in multiples of 32, found [32, 48]");
}

TEST_CASE("methods and settings that are not computed are refused by name") {
  const auto refused = [](const std::string& checkpoint, const json& change, ErrorCode code, const std::string& part) {
    ChangedCheckpoint changed(checkpoint);
    changed.config["quantization_config"].merge_patch(change);
    changed.expect_refused(code, part);
  };
  const auto unsupported = ErrorCode::kUnsupported;
  refused("awq", {{"quant_method", "bitsandbytes"}}, unsupported, "quant_method: expected one of fp8, fbgemm_fp8");
  refused("awq", {{"version", "gemv"}}, unsupported, "version: expected one of gemm; found gemv");
  refused("awq", {{"zero_point", false}}, unsupported, "zero_point: expected true");
  refused("gptq-4", {{"bits", 3}}, unsupported, "bits: expected 2, 4, 8; found 3");
  refused("gptq-4", {{"checkpoint_format", "marlin"}}, unsupported, "checkpoint_format: expected one of gptq, gptq_v2");
  refused("gptq-4", {{"group_size", 0}}, ErrorCode::kInvalidInput, "group_size: expected -1 or 1 and above, found 0");
  refused("fp8-blocks", {{"weight_block_size", {128}}}, ErrorCode::kInvalidInput, "weight_block_size: expected a list");
  refused("packed-4", {{"format", "mxfp8-pack-quantized"}}, unsupported, "found mxfp8-pack-quantized");
  refused("packed-4", {{"format", "nvfp4-pack-quantized"}}, unsupported, "type: expected one of float; found int");
  refused("nvfp4-modelopt", {{"quant_algo", "W4A8_NVFP4_FP8"}}, unsupported, "quant_algo: expected one of fp8, nvfp4");
  const json auto_round = {{"quant_method", "auto-round"}, {"packing_format", "auto_round:auto_gptq"}};
  const auto with = [&](const json& change) {
    json changed = auto_round;
    changed.merge_patch(change);
    return changed;
  };
  refused("gptq-4", with({{"data_type", "mx_fp"}}), unsupported, "data_type: expected one of int; found mx_fp");
  refused("gptq-4", with({{"packing_format", "auto_round:llm_compressor"}}), unsupported,
          "packing_format: expected one of");
  refused("gptq-4", with({{"extra_config", {{"lm_head", {{"bits", 8}}}}}}), unsupported,
          "lm_head: bits: expected 4 or 16, found 8");
  const auto quark = [&](const json& change, const std::string& part) {
    refused("mxfp4-rows", change, unsupported, part);
  };
  quark({{"export", {{"weight_format", "fake_quantized"}}}}, "weight_format: expected one of real_quantized");
  quark({{"layer_quant_config", {{"*k_proj", {{"weight", {{"dtype", "int8"}}}}}}}},
        "weights of global_quant_config for \"*k_proj\"");
  quark({{"global_quant_config", {{"weight", json::array({1, 2})}}}}, "weight: expected weights in one stage");
  quark({{"global_quant_config", {{"weight", {{"dtype", "mx"}}}}}},
        "dtype: expected one of fp8_e4m3, int8, fp4; found mx");
  quark({{"global_quant_config", {{"weight", {{"group_size", 16}}}}}}, "group_size: expected 32, found 16");
  refused("packed-4", {{"sparsity_config", {{"format", "sparse-24-bitmask"}}}}, unsupported, "found sparse-24-bitmask");
  refused("packed-4", {{"transform_config", {{"config_groups", 1}}}}, unsupported, "transform_config: rotations");
  for (const char* const status : {"initialized", "calibration", "decompressed"}) {
    refused("packed-4", {{"quantization_status", status}}, unsupported,
            fmt::format("quantization_status: expected one of compressed, frozen; found {}", status));
  }
  refused("packed-4", {{"config_groups", {{"group_1", {{"weights", {{"num_bits", 8}}}}}}}}, unsupported,
          "config_groups: expected the same weights in all groups");
  refused("packed-4", {{"config_groups", nullptr}}, ErrorCode::kInvalidInput, "config_groups");
  refused("awq", {{"quant_method", nullptr}}, ErrorCode::kInvalidInput, "quant_method: expected a string");
}

TEST_CASE(
    "a frozen checkpoint of compressed-tensors is taken where its weights are codes and refused where they are values") {
  for (const char* const name : {"packed-4", "int8-per-channel"}) {
    CAPTURE(name);
    ChangedCheckpoint compressed(name);
    ChangedCheckpoint frozen(name);
    frozen.config["quantization_config"]["quantization_status"] = "frozen";
    CHECK(bytes_in_bundle_of(frozen) == bytes_in_bundle_of(compressed));

    ChangedCheckpoint values(name);
    values.config["quantization_config"]["quantization_status"] = "frozen";
    std::erase_if(values.tensors, [](const HandMadeTensor& tensor) {
      return tensor.name == std::string(kQ) + "weight" || tensor.name == std::string(kQ) + "weight_packed";
    });
    values.tensors.push_back({std::string(kQ) + "weight", "BF16", {32, 32}, std::string(2048, '\1')});
    values.expect_refused(ErrorCode::kUnsupported,
                          "q_proj.weight: expected codes beside model.layers.0.self_attn.q_proj.weight_scale, found "
                          "values in BF16; store the model compressed");
  }
}

TEST_CASE("a configuration that announces quantized weights and a folder that has none make a bundle") {
  ChangedCheckpoint changed("awq");
  std::vector<HandMadeTensor> numbers;
  std::erase_if(changed.tensors,
                [](const HandMadeTensor& tensor) { return tensor.name.find("_proj.") != std::string::npos; });
  for (const auto& [module, rows, cols] :
       {std::tuple("self_attn.q_proj", 32, 32), std::tuple("self_attn.k_proj", 16, 32),
        std::tuple("self_attn.v_proj", 16, 32), std::tuple("self_attn.o_proj", 32, 32),
        std::tuple("mlp.gate_proj", 48, 32), std::tuple("mlp.up_proj", 48, 32), std::tuple("mlp.down_proj", 32, 48)}) {
    changed.tensors.push_back({fmt::format("model.layers.0.{}.weight", module),
                               "BF16",
                               {rows, cols},
                               std::string(static_cast<std::size_t>(rows * cols) * 2, '\1')});
  }
  REQUIRE_OK(changed.create());
}

TEST_CASE("each expert of a mixture keeps its codes in the order of its own groups") {
  const json plain = {{"architectures", {"MixtralForCausalLM"}},
                      {"hidden_size", 64},
                      {"intermediate_size", 96},
                      {"num_hidden_layers", 1},
                      {"num_attention_heads", 2},
                      {"num_key_value_heads", 1},
                      {"num_local_experts", 3},
                      {"num_experts_per_tok", 2},
                      {"vocab_size", 16},
                      {"max_position_embeddings", 64},
                      {"rms_norm_eps", 1e-6},
                      {"tie_word_embeddings", false}};
  const auto model = parse_model_config(plain.dump(), "test");
  REQUIRE_OK(model);
  const auto expert_of = [](const std::string& name) {
    const std::size_t at = name.find("experts.");
    return at == std::string::npos ? -1 : name[at + 8] - '0';
  };
  // Input i of expert e is in group (i + e) modulo the number of groups. Other matrices have consecutive groups of 32 inputs.
  const auto group_of = [](int expert, std::int64_t input, std::int64_t n_groups) {
    return static_cast<std::int32_t>(expert < 0 ? input / 32 : (input + expert) % n_groups);
  };
  ChangedCheckpoint checkpoint("gptq-4");
  checkpoint.config = plain;
  checkpoint.config["quantization_config"] = {
      {"quant_method", "gptq"}, {"bits", 4}, {"group_size", 32}, {"desc_act", true}, {"sym", true}};
  checkpoint.tensors.clear();
  for (const TensorSpec& spec : model_tensors(*model)) {
    const auto n_values = static_cast<std::size_t>(*spec.shape.n_elements());
    if (spec.role != TensorRole::kMatmul || spec.name == kHeadTensor) {
      checkpoint.tensors.push_back({spec.name, "F32", spec.shape, std::string(4 * n_values, '\0')});
      continue;
    }
    const std::string module = spec.name.substr(0, spec.name.rfind('.') + 1);
    const std::int64_t n_outputs = spec.shape.extent(0);
    const std::int64_t n_inputs = spec.shape.extent(1);
    const std::int64_t n_groups = n_inputs / 32;
    std::vector<std::int32_t> groups;
    for (std::int64_t i = 0; i < n_inputs; ++i) groups.push_back(group_of(expert_of(spec.name), i, n_groups));
    const std::vector<F16> scales(static_cast<std::size_t>(n_groups * n_outputs), to_f16(0.5F));
    checkpoint.tensors.push_back(
        {module + "qweight", "I32", {n_inputs / 8, n_outputs}, std::string(n_values / 2, '\x5a')});
    checkpoint.tensors.push_back({module + "qzeros",
                                  "I32",
                                  {n_groups, n_outputs / 8},
                                  std::string(static_cast<std::size_t>(n_groups * n_outputs / 2), '\x77')});
    checkpoint.tensors.push_back({module + "scales", "F16", {n_groups, n_outputs}, test::bytes_of(scales)});
    checkpoint.tensors.push_back({module + "g_idx", "I32", {n_inputs}, test::bytes_of(groups)});
  }
  Notes notes;
  REQUIRE_OK(checkpoint.create(notes));
  CHECK(notes.lines.empty());
  SilentProgress silent;
  const auto bundle = Bundle::open(checkpoint.scratch.path() / "out", silent, InterruptFlag());
  REQUIRE_OK(bundle);
  CHECK(bundle->tensors().published_variant() == "gptq-int4-g32");
  const PublishedTypes types = types_of_store(bundle->tensors());
  std::set<std::string, std::less<>> of_experts;
  for (const TensorSpec& spec : model_tensors(*model)) {
    const StoredTensor* const tensor = bundle->tensors().find(spec.name);
    REQUIRE(tensor != nullptr);
    if (expert_of(spec.name) < 0) {
      CHECK((tensor->published == nullptr || tensor->published->columns.empty()));
      continue;
    }
    of_experts.insert(spec.name);
    REQUIRE(tensor->published != nullptr);
    std::vector<std::int32_t> order;
    const std::int64_t n_inputs = spec.shape.extent(1);
    for (std::int64_t group = 0; group < n_inputs / 32; ++group) {
      for (std::int64_t i = 0; i < n_inputs; ++i) {
        if (group_of(expert_of(spec.name), i, n_inputs / 32) == group) order.push_back(static_cast<std::int32_t>(i));
      }
    }
    CHECK(tensor->published->columns == order);
  }
  CHECK(types.ordered == of_experts);
  CHECK(of_experts.size() == 9);
  const auto described = describe_checkpoint_folder(checkpoint.scratch.path() / "model", InterruptFlag());
  REQUIRE_OK(described);
  CHECK(described->published.ordered == of_experts);
}

}  // namespace
}  // namespace secondsource

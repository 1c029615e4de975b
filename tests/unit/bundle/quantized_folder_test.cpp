// Checkpoints with quantized weights, against the values that the code of the formats' authors gives them
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
#include <tuple>

#include "bundle/bundle.h"
#include "bundle/create.h"
#include "bundle/published_weights.h"
#include "bundle/variant.h"
#include "core/file.h"
#include "core/half.h"
#include "core/hash.h"
#include "safetensors_bytes.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::HandMadeTensor;

/// The values of a tensor that is kept as codes, in the order of its own rows; experts of MXFP4 are kept by their columns.
std::vector<float> values_of_codes(const StoredTensor& tensor) {
  const bool is_transposed = tensor.published->form.is_transposed;
  const Shape rows = shape_of_rows(tensor.published->form, tensor.info.shape);
  const auto n_inputs = static_cast<std::size_t>(rows.extent(rows.rank() - 1));
  const auto n_outputs = static_cast<std::size_t>(rows.extent(rows.rank() - 2));
  std::vector<float> values(static_cast<std::size_t>(rows.n_elements().value()));
  std::vector<float> row(n_inputs);
  std::vector<std::byte> codes;
  std::vector<float> scales;
  for (std::size_t i = 0; i < values.size() / n_inputs; ++i) {
    REQUIRE(tensor.published->read_values(static_cast<std::int64_t>(i), row, codes, scales));
    for (std::size_t input = 0; input < n_inputs; ++input) {
      const std::size_t place =
          is_transposed ? (i / n_outputs * n_inputs + input) * n_outputs + i % n_outputs : i * n_inputs + input;
      values[place] = row[input];
    }
  }
  return values;
}

/// The stored values as little-endian FP32.
std::string bytes_of_values(const StoredTensor& tensor) {
  if (tensor.published) {
    const std::vector<float> values = values_of_codes(tensor);
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  }
  const DType dtype = *tensor.info.dtype;
  std::string bytes;
  for (std::size_t offset = 0; offset < tensor.info.size_bytes; offset += size_of(dtype)) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, tensor.bytes().data() + offset, size_of(dtype));
    const auto narrow = static_cast<std::uint16_t>(bits);
    const float value = dtype == DType::kF32    ? std::bit_cast<float>(bits)
                        : dtype == DType::kBf16 ? to_float(Bf16{narrow})
                                                : to_float(F16{narrow});
    char word[sizeof(float)];
    std::memcpy(word, &value, sizeof(float));
    bytes.append(word, sizeof(float));
  }
  return bytes;
}

fs::path checkpoints() {
  return test::source_path("tests/data/quantized");
}

Result<void> create(const fs::path& folder, const fs::path& target, Progress& progress,
                    QuantizedWeights form = QuantizedWeights::kAsCodes) {
  CreateOptions options;
  options.model_folder = folder;
  options.quantized_weights = form;
  return create_bundle(options, target, progress, InterruptFlag());
}
Result<void> create(const fs::path& folder, const fs::path& target) {
  SilentProgress progress;
  return create(folder, target, progress);
}

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
    // The authors' code multiplies or divides the scales of NVFP4 first and rounds; runtimes multiply sums, as codes are.
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
        // Three roundings in all: of the reciprocal or not, of a scale, and of a value.
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

/// Keeps the notes.
class Notes final : public Progress {
 public:
  void begin(std::string_view, std::int64_t) override {}
  void update(std::int64_t) override {}
  void note(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

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
  // Modules of fp8-per-tensor that read the same input store different scales for it, so that the scales are not used.
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

TEST_CASE("ModelOpt's own file says how a checkpoint is quantized whose config.json does not") {
  const test::ScratchFolder scratch;
  const fs::path folder = scratch.path() / "modelopt";
  fs::copy(checkpoints() / "fp8-per-tensor", folder);
  const auto text = read_file(folder / "config.json");
  REQUIRE_OK(text);
  json config = json::parse(*text);
  config.erase("quantization_config");
  REQUIRE_OK(write_file(folder / "config.json", config.dump()));
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
  // Without an algorithm only the cache is quantized, which these weights contradict.
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
  fs::copy(checkpoints() / "gptq-4", folder);
  const auto text = read_file(folder / "config.json");
  REQUIRE_OK(text);
  json config = json::parse(*text);
  config.erase("quantization_config");
  REQUIRE_OK(write_file(folder / "config.json", config.dump()));
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

/// One of the checkpoints in a folder of its own, to be changed.
class ChangedCheckpoint {
 public:
  explicit ChangedCheckpoint(const std::string& name) {
    const auto text = read_file(checkpoints() / name / "config.json");
    const auto file = read_file(checkpoints() / name / "model.safetensors");
    REQUIRE_OK(text);
    REQUIRE_OK(file);
    config = json::parse(*text);
    const auto header = parse_safetensors(std::as_bytes(std::span(*file)), "model.safetensors");
    REQUIRE_OK(header);
    for (const TensorInfo& info : header->tensors) {
      tensors.push_back({info.name, info.dtype_name, info.shape, file->substr(info.offset_bytes, info.size_bytes)});
    }
  }

  HandMadeTensor& tensor(const std::string& name) {
    const auto found = std::ranges::find(tensors, name, &HandMadeTensor::name);
    REQUIRE(found != tensors.end());
    return *found;
  }

  Result<void> create() {
    SilentProgress progress;
    return create(progress);
  }
  Result<void> create(Progress& progress) {
    const fs::path folder = scratch.path() / "model";
    fs::create_directories(folder);
    REQUIRE_OK(write_file(folder / "config.json", config.dump()));
    REQUIRE_OK(write_file(folder / "model.safetensors", test::safetensors_bytes(tensors)));
    return secondsource::create(folder, scratch.path() / "out", progress);
  }
  void expect_refused(ErrorCode code, const std::string& part) {
    const auto result = create();
    REQUIRE_FALSE(result);
    CHECK(result.error().code == code);
    CAPTURE(result.error().message, part);
    CHECK(result.error().message.find(part) != std::string::npos);
    CHECK_FALSE(fs::exists(scratch.path() / "out"));
  }

  json config;
  std::vector<HandMadeTensor> tensors;
  test::ScratchFolder scratch;
};

constexpr const char* kQ = "model.layers.0.self_attn.q_proj.";

/// The weight of the first product of queries, as FP32, in a bundle that is made of the checkpoint.
std::string bytes_in_bundle_of(ChangedCheckpoint& checkpoint) {
  REQUIRE_OK(checkpoint.create());
  SilentProgress progress;
  const auto bundle = Bundle::open(checkpoint.scratch.path() / "out", progress, InterruptFlag());
  REQUIRE_OK(bundle);
  const auto stored = bundle->tensor(std::string(kQ) + "weight");
  REQUIRE_OK(stored);
  return bytes_of_values(*stored);
}

/// Scales of inputs by modules; v_proj has another than those that read the same input.
const std::map<std::string, float>& input_scales() {
  static const std::map<std::string, float> kScales = {{"q_proj", 0.5F},   {"k_proj", 0.5F},    {"v_proj", 0.25F},
                                                       {"o_proj", 0.125F}, {"gate_proj", 2.0F}, {"up_proj", 2.0F},
                                                       {"down_proj", 3.0F}};
  return kScales;
}

/// "q_proj" of "model.layers.0.self_attn.q_proj.input_scale" and of "....q_proj.weight".
std::string module_of(const std::string& name) {
  const std::size_t end = name.rfind('.');
  return name.substr(name.rfind('.', end - 1) + 1, end - name.rfind('.', end - 1) - 1);
}

/// A checkpoint in static FP8 with these scales.
struct StaticCheckpoint : ChangedCheckpoint {
  StaticCheckpoint() : ChangedCheckpoint("fp8-per-tensor") {
    for (HandMadeTensor& one : tensors) {
      if (one.name.ends_with("input_scale")) set_scale(one, input_scales().at(module_of(one.name)));
    }
  }
  static void set_scale(HandMadeTensor& tensor, float scale) {
    REQUIRE(tensor.data.size() == sizeof scale);
    std::memcpy(tensor.data.data(), &scale, sizeof scale);
  }
};

TEST_CASE("the scale of inputs of each module is kept beside its codes") {
  StaticCheckpoint checkpoint;
  Notes notes;
  REQUIRE_OK(checkpoint.create(notes));
  CHECK(notes.lines.empty());
  const fs::path out = checkpoint.scratch.path() / "out";
  SilentProgress silent;
  const InterruptFlag interrupt;
  const auto bundle = Bundle::open(out, silent, interrupt);
  REQUIRE_OK(bundle);
  CHECK(bundle->tensors().published_variant() == "fp8-static");
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
  CHECK(described->published.variant == "fp8-static");
  CHECK(described->notes.empty());
}

TEST_CASE("where a scale of inputs cannot be used, none is, and the reason is said") {
  const std::string down = "model.layers.0.mlp.down_proj.input_scale";
  const std::string up = "model.layers.0.mlp.up_proj.";
  const char* const no_number = "down_proj.weight has no scale of inputs that is one positive number";
  const char* const other = "mlp.up_proj.weight have different scales of inputs";
  const char* const plain =
      "mlp.gate_proj.weight is quantized, and model.layers.0.mlp.up_proj.weight in the same product is not";
  const auto change = [&](const char* reason, const std::function<void(StaticCheckpoint&)>& make) {
    CAPTURE(reason);
    StaticCheckpoint checkpoint;
    make(checkpoint);
    Notes notes;
    REQUIRE_OK(checkpoint.create(notes));
    REQUIRE(notes.lines.size() == 1);
    CHECK(notes.lines[0].find("here its weights alone are taken, because ") != std::string::npos);
    CHECK(notes.lines[0].find(reason) != std::string::npos);
    SilentProgress silent;
    const auto bundle = Bundle::open(checkpoint.scratch.path() / "out", silent, InterruptFlag());
    REQUIRE_OK(bundle);
    CHECK(bundle->tensors().published_variant() == "fp8-w8a16");
  };
  change(no_number, [&](StaticCheckpoint& made) { StaticCheckpoint::set_scale(made.tensor(down), 0.0F); });
  change(no_number, [&](StaticCheckpoint& made) { StaticCheckpoint::set_scale(made.tensor(down), NAN); });
  change(no_number, [&](StaticCheckpoint& made) { made.tensor(down).dtype = "I32"; });
  change(no_number, [&](StaticCheckpoint& made) { made.tensor(down) = {down, "F32", {3}, std::string(12, '\1')}; });
  change(no_number, [&](StaticCheckpoint& made) {
    std::erase_if(made.tensors, [&](const HandMadeTensor& one) { return one.name == down; });
  });
  change(other, [&](StaticCheckpoint& made) { StaticCheckpoint::set_scale(made.tensor(up + "input_scale"), 1.0F); });
  change(plain, [&](StaticCheckpoint& made) {  // a module that was left as it was has no scale
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

TEST_CASE("parts of a quantized weight that contradict its shape are refused") {
  const auto refused = [](const std::string& checkpoint, const std::string& ending, const std::string& part) {
    ChangedCheckpoint changed(checkpoint);
    HandMadeTensor& tensor = changed.tensor(kQ + ending);
    // Half of it: the first extent is even in all of these.
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
  exponent.expect_refused(ErrorCode::kInvalidInput, "q_proj.weight: row 24: expected finite values");
}

TEST_CASE("what a quantized module has besides and nobody reads is refused unless it is zero") {
  ChangedCheckpoint zeros("gptq-4");  // as early files of AutoGPTQ have them for models without biases
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

}  // namespace
}  // namespace secondsource

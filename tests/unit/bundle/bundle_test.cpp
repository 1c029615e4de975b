// Bundles as a whole: synthesized, created, zipped, opened, verified, and damaged in every way that verify must detect.
#include "bundle/bundle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bundle/bundle_text.h"
#include "bundle/create.h"
#include "bundle/named_shape.h"
#include "bundle/prompt_suite.h"
#include "bundle/safetensors_writer.h"
#include "bundle/synth.h"
#include "bundle/synth_weights.h"
#include "bundle/verify.h"
#include "bundle/weight_source.h"
#include "core/file.h"
#include "core/hash.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "tokenizer/tokenizer_config.h"
#include "unit/bundle/zip_bytes.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// Opens and verifies without progress.
struct Quiet {
  SilentProgress progress;
  InterruptFlag interrupt;
  OpenOptions options;

  Result<Bundle> open(const fs::path& path) { return Bundle::open(path, progress, interrupt, options); }
  std::vector<Finding> verify(const fs::path& path, const PromptEncoder& encode = nullptr) {
    const auto bundle = open(path);
    REQUIRE_OK(bundle);
    auto findings = verify_bundle(*bundle, encode, progress, interrupt);
    REQUIRE_OK(findings);
    return *std::move(findings);
  }
};

int n_faults(const std::vector<Finding>& findings) {
  return static_cast<int>(std::count_if(findings.begin(), findings.end(),
                                        [](const Finding& finding) { return finding.severity == Severity::kFault; }));
}

/// Writes a tiny synthesized bundle to scratch/bundle.
fs::path tiny_bundle(const test::ScratchFolder& scratch, Quiet& quiet,
                     const std::string& shape_name = "small-gqa8-hd64") {
  const auto shape = find_named_shape(shape_name);
  REQUIRE_OK(shape);
  const fs::path path = scratch.path() / "bundle";
  REQUIRE_OK(synthesize_bundle({.name = shape->name, .source = shape->source, .config_json = shape->config_json}, path,
                               quiet.progress, quiet.interrupt));
  return path;
}

/// Rewrites the manifest with the current sizes and hashes of the files, and applies `change`.
template <typename Change>
void rewrite_manifest(const fs::path& folder, Change&& change) {
  const auto text = read_file(folder / kManifestFile);
  REQUIRE_OK(text);
  auto manifest = parse_manifest(*text, "m");
  REQUIRE_OK(manifest);
  change(*manifest);
  for (ManifestFile& file : manifest->files) {
    const auto content = read_file(folder / file.path);
    REQUIRE_OK(content);
    file.size_bytes = static_cast<std::int64_t>(content->size());
    file.sha256 = sha256_hex(*content);
  }
  std::sort(manifest->files.begin(), manifest->files.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  REQUIRE_OK(write_file(folder / kManifestFile, write_manifest(*manifest)));
}

std::string zip_of(const fs::path& folder, const std::string& prefix) {
  std::vector<test::HandMadeEntry> entries;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    entries.push_back({.name = prefix + entry.path().lexically_relative(folder).generic_string(),
                       .data = read_file(entry.path()).value(),
                       .deflate = true});
  }
  return test::zip_bytes(entries);
}

TEST_CASE("a synthesized bundle opens, is whole, and says that it is unverified") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  const auto bundle = quiet.open(path);
  REQUIRE_OK(bundle);
  CHECK(bundle->name() == "small-gqa8-hd64");
  CHECK(bundle->config().n_heads == 8 * bundle->config().n_kv_heads);
  CHECK(bundle->config().head_dim == 64);
  CHECK(bundle->chat_template().value()->name == "chat template chatml");
  CHECK(bundle->tokenizer_json().value().has_value());
  CHECK(bundle->prompts().value().prompts.size() > 10);
  CHECK_FALSE(bundle->expected("bf16").value().has_value());
  CHECK(bundle->content_hash() == sha256_of_file(path / kManifestFile).value());
  const auto findings = quiet.verify(path);
  CHECK(n_faults(findings) == 0);
  REQUIRE_FALSE(findings.empty());
  CHECK(findings[0].message.find("unverified") != std::string::npos);
}

TEST_CASE("random weights are the same bytes for the same seed, and have the spread that they should") {
  std::vector<Bf16> whole(100000);
  std::vector<Bf16> part(1000);
  const WeightNoise noise{.seed = 7, .offset = 0.0F, .spread = 0.02F};
  fill_noise(noise, 0, whole);
  fill_noise(noise, 50000, part);
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + 50000, [](Bf16 a, Bf16 b) { return a.bits == b.bits; }));
  double sum = 0.0;
  double sum_of_squares = 0.0;
  for (const Bf16 value : whole) {
    sum += to_float(value);
    sum_of_squares += static_cast<double>(to_float(value)) * to_float(value);
  }
  // Standard errors at n = 100000: 0.02 / 316 = 6e-5 for the mean, 0.2 % for the deviation.
  CHECK(std::abs(sum / 1e5) < 3e-4);
  CHECK(std::sqrt(sum_of_squares / 1e5) == Approx(0.02).epsilon(0.01));
}

TEST_CASE("every named shape is a configuration that we can run") {
  const std::vector<std::string> names = named_shapes();
  CHECK(names.size() >= 11);
  for (const std::string& name : names) {
    const auto shape = find_named_shape(name);
    REQUIRE_OK(shape);
    CAPTURE(name);
    CHECK(shape->name == name);
    const auto config = parse_model_config(shape->config_json, name);
    REQUIRE_OK(config);
  }
  CHECK_ERROR(find_named_shape("GPT-5"), ErrorCode::kInvalidInput,
              "expected the name of a built-in shape (Llama-3.1-70B");
  const auto demo = parse_model_config(find_named_shape("demo-50m")->config_json, "demo");
  REQUIRE_OK(demo);
  CHECK(n_parameters(*demo) > 40'000'000);
  CHECK(n_parameters(*demo) < 60'000'000);
  CHECK(n_parameters(*demo) * 2 > 100'000'000);
}

TEST_CASE("a zip of a bundle is the same bundle, with its folder in the zip or without") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  quiet.options.cache = scratch.path() / "cache";
  const fs::path path = tiny_bundle(scratch, quiet);
  const auto folder = quiet.open(path);
  REQUIRE_OK(folder);
  const std::string prefix = GENERATE("", "inside/");
  REQUIRE_OK(write_file(scratch.path() / "b.zip", zip_of(path, prefix)));
  const auto zipped = quiet.open(scratch.path() / "b.zip");
  REQUIRE_OK(zipped);
  CHECK(zipped->content_hash() == folder->content_hash());
  CHECK(zipped->prompts().value().prompts.size() == folder->prompts().value().prompts.size());
  CHECK(n_faults(quiet.verify(scratch.path() / "b.zip")) == 0);
}

TEST_CASE("an interrupted or refused synthesis leaves nothing behind") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  quiet.interrupt.request();
  const auto shape = find_named_shape("small-gqa8-hd64");
  REQUIRE_OK(shape);
  SynthOptions options{.name = "x", .source = "shape.json", .config_json = shape->config_json};
  CHECK_ERROR(synthesize_bundle(options, scratch.path() / "b", quiet.progress, quiet.interrupt),
              ErrorCode::kInterrupted, "");
  CHECK(fs::is_empty(scratch.path()));
  options.config_json = "{";
  CHECK_ERROR(synthesize_bundle(options, scratch.path() / "b", quiet.progress, {}), ErrorCode::kInvalidInput,
              "shape.json");
  REQUIRE_OK(write_file(scratch.path() / "taken", ""));
  options.config_json = shape->config_json;
  CHECK_ERROR(synthesize_bundle(options, scratch.path() / "taken", quiet.progress, {}), ErrorCode::kInvalidInput,
              "found something there already");
}

TEST_CASE("a bundle made from a real Hugging Face folder keeps its tensors and is whole") {
  const auto folder = test::asset("models/stories260K-hf");
  if (!folder) return;
  const test::ScratchFolder scratch;
  Quiet quiet;
  fs::create_directories(scratch.path() / "prompts");
  REQUIRE_OK(write_file(scratch.path() / "prompts" / "ids.yaml",
                        "suite_format: 1\nname: ids\nlicense: MIT\nprompts:\n"
                        "  - {id: p-1, tags: [smoke], kind: code, ids: [1, 403, 407], max_new_tokens: 2}\n"));
  const CreateOptions options{
      .model_folder = *folder, .name = "", .license = "MIT", .source_url = "", .prompts = scratch.path() / "prompts"};
  REQUIRE_OK(create_bundle(options, scratch.path() / "b", quiet.progress, quiet.interrupt));
  const auto bundle = quiet.open(scratch.path() / "b");
  REQUIRE_OK(bundle);
  CHECK(bundle->name() == "stories260K-hf");
  CHECK(bundle->manifest()->find_variant("f32")->is_stored);
  CHECK_FALSE(bundle->manifest()->find_variant("bf16")->is_stored);
  CHECK(bundle->prompts().value().find("p-1") != nullptr);
  const auto original = Bundle::open_model_folder(*folder);
  REQUIRE_OK(original);
  for (const auto& [name, tensor] : original->tensors().tensors()) {
    const auto copy = bundle->tensor(name);
    REQUIRE_OK(copy);
    CHECK(std::equal(tensor.bytes().begin(), tensor.bytes().end(), copy->bytes().begin(), copy->bytes().end()));
  }
  CHECK(n_faults(quiet.verify(scratch.path() / "b")) == 0);
}

TEST_CASE("a stored head decides where it differs from the embedding, whatever the configuration says") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  REQUIRE(nlohmann::json::parse(read_file(path / "config.json").value())["tie_word_embeddings"] == true);
  const auto tied = quiet.open(path);
  REQUIRE_OK(tied);
  REQUIRE(tied->config().tied_embeddings);
  const std::string old_weights = read_file(path / "model.safetensors").value();
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, old_weights.data(), sizeof header_bytes);
  auto header = nlohmann::json::parse(old_weights.substr(8, header_bytes));
  const auto embedding = header[std::string(kEmbeddingTensor)];
  const std::size_t begin = embedding["data_offsets"][0];
  const std::size_t n_bytes = embedding["data_offsets"][1].get<std::size_t>() - begin;
  const std::size_t n_data = old_weights.size() - 8 - header_bytes;
  header[std::string(kHeadTensor)] = embedding;
  header[std::string(kHeadTensor)]["data_offsets"] = {n_data, n_data + n_bytes};
  const std::string new_header = header.dump();
  const std::uint64_t new_header_bytes = new_header.size();
  for (const bool differs : {false, true}) {
    CAPTURE(differs);
    std::string head = old_weights.substr(8 + header_bytes + begin, n_bytes);
    if (differs) head.back() = static_cast<char>(head.back() ^ 1);
    std::string weights(8, '\0');
    std::memcpy(weights.data(), &new_header_bytes, sizeof new_header_bytes);
    weights += new_header + old_weights.substr(8 + header_bytes) + head;
    REQUIRE_OK(write_file(path / "model.safetensors", weights));
    rewrite_manifest(path, [](Manifest&) {});
    const auto bundle = quiet.open(path);
    REQUIRE_OK(bundle);
    CHECK(bundle->config().tied_embeddings == !differs);
    CHECK(n_faults(quiet.verify(path)) == 0);
  }
}

TEST_CASE("a tied matrix is found when only the head is stored") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  auto config = nlohmann::json::parse(read_file(path / "config.json").value());
  REQUIRE(config["tie_word_embeddings"] == true);
  std::string weights = read_file(path / "model.safetensors").value();
  // The new name is padded to the length of the old one, so that no offset changes.
  const std::string old_name = "\"model.embed_tokens.weight\"";
  weights.replace(weights.find(old_name), old_name.size(), "\"lm_head.weight\"           ");
  REQUIRE_OK(write_file(path / "model.safetensors", weights));
  rewrite_manifest(path, [](Manifest&) {});
  const auto bundle = quiet.open(path);
  REQUIRE_OK(bundle);
  const auto matrix = bundle->tensor(kEmbeddingTensor);
  REQUIRE_OK(matrix);
  CHECK(matrix->info.name == "lm_head.weight");
  CHECK(matrix->info.shape == Shape{bundle->config().vocab_size, bundle->config().dim});
  CHECK(n_faults(quiet.verify(path)) == 0);

  config["tie_word_embeddings"] = false;
  REQUIRE_OK(write_file(path / "config.json", config.dump()));
  rewrite_manifest(path, [](Manifest&) {});
  CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput, "tensor model.embed_tokens.weight: expected");
}

TEST_CASE("the part for text of a model for text and pictures is found under its stored names") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const auto shape = find_named_shape("small-gqa8-hd64");
  REQUIRE_OK(shape);
  nlohmann::json config = {{"architectures", {"Mistral3ForConditionalGeneration"}}, {"tie_word_embeddings", false}};
  config["text_config"] = nlohmann::json::parse(shape->config_json);
  config["text_config"]["model_type"] = "mistral";
  const fs::path path = scratch.path() / "bundle";
  REQUIRE_OK(synthesize_bundle({.name = "mistral3", .source = "a test", .config_json = config.dump()}, path,
                               quiet.progress, quiet.interrupt));
  const auto bundle = quiet.open(path);
  REQUIRE_OK(bundle);
  CHECK(bundle->tensor("model.norm.weight")->info.name == "language_model.model.norm.weight");
  CHECK(bundle->tensor("lm_head.weight")->info.name == "language_model.lm_head.weight");
  CHECK(bundle->config().eos_ids.size() == 1);
  CHECK(n_faults(quiet.verify(path)) == 0);

  const std::string weights = read_file(path / "model.safetensors").value();
  /// Renames a tensor and sets tie_word_embeddings in config.json.
  const auto rewrite = [&](std::string_view old_name, std::string_view new_name, bool is_tied) {
    std::string changed = weights;
    // The new name is padded to the length of the old one, so that no offset changes.
    const std::string new_key = fmt::format("{:{}}", fmt::format("\"{}\"", new_name), old_name.size() + 2);
    changed.replace(changed.find(fmt::format("\"{}\"", old_name)), new_key.size(), new_key);
    REQUIRE_OK(write_file(path / "model.safetensors", changed));
    auto file = nlohmann::json::parse(read_file(path / "config.json").value());
    file["tie_word_embeddings"] = is_tied;
    REQUIRE_OK(write_file(path / "config.json", file.dump()));
    rewrite_manifest(path, [](Manifest&) {});
  };
  rewrite("language_model.model.norm.weight", "model.language_model.norm.weight", true);
  const auto of_modules = quiet.open(path);
  REQUIRE_OK(of_modules);
  CHECK(of_modules->tensor("model.norm.weight")->info.name == "model.language_model.norm.weight");
  CHECK_FALSE(of_modules->config().tied_embeddings);  // because a head is stored

  rewrite("language_model.lm_head.weight", "vision_tower.weight", true);
  const auto tied = quiet.open(path);
  REQUIRE_OK(tied);
  CHECK(tied->config().tied_embeddings);
  const auto findings = quiet.verify(path);
  CHECK(n_faults(findings) == 0);
  CHECK(std::ranges::any_of(findings, [](const Finding& finding) {
    return finding.message == "tensors of the part for pictures: 1, ignored";
  }));

  rewrite("language_model.lm_head.weight", "vision_tower.weight", false);
  CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput, "tensor language_model.lm_head.weight: expected [");
  rewrite("language_model.model.layers.0.input_layernorm.weight", "model.norm.weight", true);
  CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput,
              "tensor language_model.model.norm.weight: expected it once, found it as model.norm.weight, too");
}

TEST_CASE("weights that are not finite make no bundle, and verify finds them in one") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  std::string weights = read_file(path / "model.safetensors").value();
  weights[weights.size() - 1] = '\x7f';  // the last value in BF16, little-endian: 0x7fc0 is a NaN
  weights[weights.size() - 2] = '\xc0';
  REQUIRE_OK(write_file(path / "model.safetensors", weights));
  rewrite_manifest(path, [](Manifest&) {});
  const auto findings = quiet.verify(path);
  CHECK(n_faults(findings) == 1);
  CHECK(std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.message.find(": expected finite values that fit bf16, found others") != std::string::npos;
  }));
  const CreateOptions options{.model_folder = path, .name = "", .license = "MIT", .source_url = "", .prompts = {}};
  CHECK_ERROR(create_bundle(options, scratch.path() / "b", quiet.progress, quiet.interrupt), ErrorCode::kInvalidInput,
              ": expected finite values that fit bf16, found others");
  CHECK_FALSE(fs::exists(scratch.path() / "b"));
}

TEST_CASE("a folder in another format is refused by what it holds") {
  const auto [file, with_config, part] = GENERATE(table<std::string, bool, std::string>({
      {"pytorch_model.bin", false, "expected config.json, found pytorch_model.bin: weights as pickled Python objects"},
      {"pytorch_model.bin", true, "expected model.safetensors, found pytorch_model.bin: weights as pickled"},
      {"pytorch_model-00001-of-00002.bin", true, "found pytorch_model-00001-of-00002.bin: weights as pickled"},
      {"model-q4.gguf", false, "expected config.json, found model-q4.gguf: a GGUF file; make a bundle of it"},
      {"model-q4.gguf", true, "expected model.safetensors, found model-q4.gguf: a GGUF file"},
      {"adapter_model.safetensors", true, "the weights of an adapter (LoRA), which are not a model"},
      {"weights.safetensors", true, "found weights.safetensors: safetensors of another name"},
      {"tf_model.h5", true, "weights for TensorFlow"},
  }));
  CAPTURE(file, with_config);
  const test::ScratchFolder scratch;
  Quiet quiet;
  REQUIRE_OK(write_file(scratch.path() / file, "x"));
  if (with_config) {
    REQUIRE_OK(write_file(scratch.path() / "config.json", find_named_shape("small-gqa8-hd64")->config_json));
  }
  CHECK_ERROR(quiet.open(scratch.path()), ErrorCode::kUnsupported, part);
  const CreateOptions options{
      .model_folder = scratch.path(), .name = "", .license = "MIT", .source_url = "", .prompts = {}};
  CHECK_ERROR(create_bundle(options, scratch.path() / "b", quiet.progress, quiet.interrupt), ErrorCode::kUnsupported,
              part);
}

/// One question as rendered by the folder's chat template.
std::string rendered(Quiet& quiet, const fs::path& path) {
  const auto bundle = quiet.open(path);
  REQUIRE_OK(bundle);
  const auto text = BundleText::load(*bundle);
  REQUIRE_OK(text);
  const Result<std::string> result = text->render({{"user", "Hi"}});
  return result ? *result : result.error().message;
}

TEST_CASE("a model's own chat template is used, read where transformers reads it") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  fs::remove(path / kManifestFile);
  CHECK(rendered(quiet, path) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  REQUIRE_OK(
      write_file(path / "tokenizer_config.json",
                 R"({"bos_token": "<B>", "chat_template": [{"name": "default", "template": "{{ bos_token }}list"}]})"));
  REQUIRE_OK(write_file(path / "special_tokens_map.json", R"({"bos_token": "<C>", "eos_token": {"content": "<E>"}})"));
  REQUIRE_OK(write_file(path / "chat_template.json", R"({"chat_template": "processor"})"));
  CHECK(rendered(quiet, path) == "<B>list");
  REQUIRE_OK(write_file(path / kChatTemplateFile, "{{ bos_token }}{{ eos_token }}{{ messages[0].content }}"));
  CHECK(rendered(quiet, path) == "<B><E>Hi");
  fs::remove(path / kChatTemplateFile);
  fs::remove(path / "tokenizer_config.json");
  CHECK(rendered(quiet, path) == "processor");
  REQUIRE_OK(write_file(path / kChatTemplateFile, "{% if %}"));
  CHECK(rendered(quiet, path).find("chat_template.jinja: line 1: expected an expression") != std::string::npos);
}

TEST_CASE("the chat template travels in the bundle as a file, whatever the model's folder called it") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  fs::remove(path / kManifestFile);
  REQUIRE_OK(write_file(path / "tokenizer_config.json",
                        R"({"chat_template": [{"name": "default", "template": "{{ strftime_now('%Y') }}"},)"
                        R"({"name": "tool_use", "template": "tools"}, {"name": "../x", "template": "y"}]})"));
  CreateOptions options{.model_folder = path, .name = "", .license = "MIT", .source_url = "", .prompts = {}};
  options.chat_date = "2031-02-03";
  REQUIRE_OK(create_bundle(options, scratch.path() / "b", quiet.progress, quiet.interrupt));
  const auto bundle = quiet.open(scratch.path() / "b");
  REQUIRE_OK(bundle);
  CHECK(bundle->manifest()->chat_template == "chat_template.jinja");
  CHECK(bundle->manifest()->chat_date == "2031-02-03");
  CHECK(rendered(quiet, scratch.path() / "b") == "2031");
  CHECK(bundle->chat_template().value()->templates.at("tool_use") == "tools");
  CHECK_FALSE(fs::exists(scratch.path() / "b" / "x.jinja"));
  CHECK(n_faults(quiet.verify(scratch.path() / "b")) == 0);
}

TEST_CASE("bundle create takes another chat template by name or file, or none") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  fs::remove(path / kManifestFile);
  REQUIRE_OK(write_file(scratch.path() / "own.txt", "own {{ messages[0].content }}"));
  REQUIRE_OK(write_file(scratch.path() / "broken.txt", "{{ x"));
  CreateOptions options{.model_folder = path, .name = "", .license = "MIT", .source_url = "", .prompts = {}};
  options.chat_template = "phi4";
  REQUIRE_OK(create_bundle(options, scratch.path() / "named", quiet.progress, quiet.interrupt));
  CHECK(rendered(quiet, scratch.path() / "named") ==
        "<|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>");
  options.chat_template = (scratch.path() / "own.txt").string();
  REQUIRE_OK(create_bundle(options, scratch.path() / "file", quiet.progress, quiet.interrupt));
  CHECK(rendered(quiet, scratch.path() / "file") == "own Hi");
  options.chat_template = "none";
  REQUIRE_OK(create_bundle(options, scratch.path() / "none", quiet.progress, quiet.interrupt));
  CHECK(rendered(quiet, scratch.path() / "none").find("expected a chat template, which messages need, found none") !=
        std::string::npos);
  options.chat_template = "vicuna";
  CHECK_ERROR(create_bundle(options, scratch.path() / "x", quiet.progress, quiet.interrupt), ErrorCode::kInvalidInput,
              "chat template \"vicuna\": expected one of chatml");
  options.chat_template = (scratch.path() / "broken.txt").string();
  CHECK_ERROR(create_bundle(options, scratch.path() / "x", quiet.progress, quiet.interrupt), ErrorCode::kInvalidInput,
              "broken.txt: line 1: expected }}");
  options.chat_template = "chatml";
  options.chat_date = "tomorrow";
  CHECK_ERROR(create_bundle(options, scratch.path() / "x", quiet.progress, quiet.interrupt), ErrorCode::kInvalidInput,
              "--chat-date: expected a day YYYY-MM-DD, found \"tomorrow\"");
}

TEST_CASE("a prompt that the model cannot take is skipped with its reason, and the others are encoded") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  fs::remove(path / kManifestFile);
  REQUIRE_OK(write_file(
      path / kChatTemplateFile,
      "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}"));
  const auto bundle = quiet.open(path);
  REQUIRE_OK(bundle);
  const auto text = BundleText::load(*bundle);
  REQUIRE_OK(text);
  GoldenPrompts prompts;
  const auto add = [&](std::string id, PromptContent content) {
    GoldenPrompt prompt;
    prompt.id = std::move(id);
    prompt.tags = {"full"};
    prompt.content = std::move(content);
    prompt.max_new_tokens = 4;
    prompts.prompts.push_back(std::move(prompt));
  };
  add("good", std::vector<ChatMessage>{{"user", "Hi"}});
  add("refused", std::vector<ChatMessage>{{"system", "Be brief."}, {"user", "Hi"}});
  add("long", std::string(5000, 'x'));
  add("ids", std::vector<std::int32_t>{1, 2});
  const auto encoded = encode_prompts(prompts, "full", *text, 1000);
  REQUIRE_OK(encoded);
  REQUIRE(encoded->prompts.size() == 2);
  CHECK(encoded->prompts[0].id == "good");
  CHECK(encoded->prompts[1].id == "ids");
  REQUIRE(encoded->skipped.size() == 2);
  const std::vector<std::string> sentences = describe_skipped(encoded->skipped);
  REQUIRE(sentences.size() == 2);
  CHECK(sentences[0].starts_with("prompt refused is skipped: "));
  CHECK(sentences[0].ends_with("chat_template.jinja: line 1: the template refuses this conversation: no system"));
  CHECK(sentences[1] ==
        "prompt long is skipped: expected at most the model's 1000 positions with the answer, found more");
}

TEST_CASE("generation_config.json says which ids end a generation, if it says any") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  fs::remove(path / kManifestFile);
  const std::vector<std::int32_t> own = quiet.open(path)->config().eos_ids;
  const auto with = [&](std::string_view json) {
    REQUIRE_OK(write_file(path / "generation_config.json", json));
    const auto bundle = quiet.open(path);
    REQUIRE_OK(bundle);
    return bundle->config().eos_ids;
  };
  CHECK(with(R"({"eos_token_id": [3, 5], "temperature": 0.6})") == std::vector<std::int32_t>{3, 5});
  CHECK(with(R"({"eos_token_id": 7})") == std::vector<std::int32_t>{7});
  CHECK(with(R"({"eos_token_id": null})") == own);
  CHECK(with("{}") == own);
  REQUIRE_OK(write_file(path / "generation_config.json", R"({"eos_token_id": "x"})"));
  CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput, "eos_token_id: expected a token id or a list of token ids");
}

TEST_CASE("a sharded folder reads like one file, and its index is held to its word") {
  const test::ScratchFolder scratch;
  const auto write_shard = [&](const std::string& file, const std::string& tensor) {
    auto writer = SafetensorsWriter::create(scratch.path() / file, {{tensor, DType::kBf16, {2, 2}}});
    REQUIRE_OK(writer);
    const std::string data(8, '\1');
    REQUIRE_OK(writer->write(std::as_bytes(std::span(data))));
    REQUIRE_OK(writer->finish());
  };
  write_shard("model-1.safetensors", "a");
  write_shard("model-2.safetensors", "b");
  const auto index = [&](std::string_view map) {
    REQUIRE_OK(
        write_file(scratch.path() / "model.safetensors.index.json", fmt::format(R"({{"weight_map": {}}})", map)));
    return TensorStore::open(scratch.path());
  };
  const auto store = index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})");
  REQUIRE_OK(store);
  CHECK(store->tensors().size() == 2);
  CHECK_ERROR(index(R"({"a": "model-1.safetensors", "c": "model-2.safetensors"})"), ErrorCode::kInvalidInput,
              "expected tensor c");
  CHECK_ERROR(index(R"({"a": "../model-1.safetensors"})"), ErrorCode::kInvalidInput, "it leaves its folder");
  CHECK_ERROR(index(R"({"a": "model-3.safetensors"})"), ErrorCode::kInvalidInput, "cannot open");
  CHECK_ERROR(index(R"({"a": 1})"), ErrorCode::kInvalidInput, "expected a string");
  CHECK_ERROR(index("[]"), ErrorCode::kInvalidInput, "weight_map: expected an object");
  write_shard("model-2.safetensors", "a");
  CHECK_ERROR(index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})"), ErrorCode::kInvalidInput,
              "found it in another too");
}

TEST_CASE("open refuses a bundle whose files are not those of its manifest") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  SECTION("a file is missing") {
    fs::remove(path / "tokenizer.json");
    CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput, "tokenizer.json: No such file");
  }
  SECTION("a file has another size") {
    REQUIRE_OK(write_file(path / "tokenizer_config.json", "{}"));
    CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput, "tokenizer_config.json: expected");
  }
  SECTION("a file is a link that leaves the bundle") {
    fs::rename(path / "tokenizer.json", scratch.path() / "outside.json");
    fs::create_symlink(scratch.path() / "outside.json", path / "tokenizer.json");
    CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput, "found a link to");
  }
  SECTION("the configuration asks for other shapes") {
    nlohmann::json config = nlohmann::json::parse(read_file(path / "config.json").value());
    config["intermediate_size"] = 705;
    REQUIRE_OK(write_file(path / "config.json", config.dump()));
    rewrite_manifest(path, [](Manifest&) {});
    CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput,
                "mlp.gate_proj.weight: expected [705, 256], found [704, 256]");
  }
  SECTION("the weights are not listed") {
    rewrite_manifest(path, [](Manifest& manifest) {
      std::erase_if(manifest.files, [](const ManifestFile& file) { return file.path == "model.safetensors"; });
    });
    CHECK_ERROR(quiet.open(path), ErrorCode::kInvalidInput, "model.safetensors: expected it in the manifest's files");
  }
  SECTION("there is nothing") {
    CHECK_ERROR(quiet.open(scratch.path() / "absent"), ErrorCode::kInvalidInput, "found nothing");
    CHECK_ERROR(quiet.open(scratch.path()), ErrorCode::kInvalidInput,
                "found a folder with neither manifest.yaml nor config.json");
    fs::create_directory(scratch.path() / "empty");
    CHECK_ERROR(quiet.open(scratch.path() / "empty"), ErrorCode::kInvalidInput, "found an empty folder");
    CHECK_ERROR(Bundle::open_model_folder(scratch.path() / "empty"), ErrorCode::kInvalidInput,
                "expected a Hugging Face folder, with config.json and *.safetensors; found an empty folder");
  }
}

/// A line of expected output for this prompt, whose token ids are those of a tokenizer with one token per byte.
nlohmann::json expected_line_of(const GoldenPrompt& prompt) {
  std::vector<std::int32_t> ids;
  for (const char c : std::get<std::string>(prompt.content)) ids.push_back(static_cast<unsigned char>(c));
  nlohmann::json line = {{"prompt", prompt.id},
                         {"prompt_ids", ids},
                         {"prompt_sha256", sha256_of_ids(ids)},
                         {"ids", {65, 258}},
                         {"finish", "eos"},
                         {"top", {{{65, -0.5}, {66, -1.5}}, {{258, -0.1}, {2, -3.0}}}},
                         {"top1_margin", {1.0, 2.9}},
                         {"logsumexp", {5.0, 5.5}}};
  return line;
}

TEST_CASE("verify finds what is wrong with expected outputs") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  fs::create_directories(path / "expected");
  const auto one_prompt = [&] {
    const auto bundle = quiet.open(path);
    REQUIRE_OK(bundle);
    return bundle->prompts().value().prompts.front();
  }();
  REQUIRE_OK(write_file(path / "prompts" / "synthetic.yaml",
                        fmt::format("suite_format: 1\nname: s\nlicense: MIT\nprompts:\n  - {{id: {}, tags: [smoke], "
                                    "kind: code, text: \"{}\", max_new_tokens: 4}}\n",
                                    one_prompt.id, std::get<std::string>(one_prompt.content))));
  const PromptEncoder encode = [](const GoldenPrompts& prompts) -> Result<EncodedPrompts> {
    EncodedPrompts encoded;
    for (const GoldenPrompt& prompt : prompts.prompts) {
      std::vector<std::int32_t>& ids = encoded[prompt.id].emplace();
      for (const char c : std::get<std::string>(prompt.content)) ids.push_back(static_cast<unsigned char>(c));
    }
    return encoded;
  };
  const auto findings_for = [&](const nlohmann::json& line) {
    REQUIRE_OK(write_file(path / "expected" / "bf16.jsonl", line.dump() + "\n"));
    rewrite_manifest(path, [](Manifest& manifest) {
      if (manifest.find_file("expected/bf16.jsonl") == nullptr)
        manifest.files.push_back({"expected/bf16.jsonl", 0, ""});
      manifest.variants[0].expected = "expected/bf16.jsonl";
      manifest.variants[0].acceptance = Acceptance{};
      manifest.variants[1].tier = Tier::kOpportunistic;
      manifest.expected_from = ExpectedFrom{"p", std::string(64, '0'), "2", "5", "float32"};
    });
    return quiet.verify(path, encode);
  };
  CHECK(n_faults(findings_for(expected_line_of(one_prompt))) == 0);

  const auto [key, value, part] = GENERATE(table<std::string, std::string, std::string>({
      {"ids", "[65, 600]", "expected the greedy choice"},
      {"finish", "\"length\"", "expected 4 ids without end-of-text"},
      {"prompt", "\"other\"", "expected a prompt of the bundle"},
      {"top", "[[[65, -0.5], [600, -1.5]], [[258, -0.1]]]", "expected ids below 512"},
  }));
  nlohmann::json line = expected_line_of(one_prompt);
  line[key] = nlohmann::json::parse(value);
  CAPTURE(key, value);
  const auto findings = findings_for(line);
  CHECK(n_faults(findings) > 0);
  CHECK(std::any_of(findings.begin(), findings.end(),
                    [&text = part](const Finding& f) { return f.message.find(text) != std::string::npos; }));
  // Every reader refuses such ids, not only `verify`; otherwise a backend would be blamed for them.
  if (key == "top") CHECK_ERROR(quiet.open(path)->expected("bf16"), ErrorCode::kInvalidInput, "found 600");
}

TEST_CASE("verify finds a changed byte, a file too many, a strange tensor and a wrong family") {
  const test::ScratchFolder scratch;
  Quiet quiet;
  const fs::path path = tiny_bundle(scratch, quiet);
  std::string part;
  SECTION("a changed byte") {
    std::string config = read_file(path / "config.json").value();
    config[config.find("silu")] = 'S';
    config.replace(config.find("Silu"), 4, "silu");
    config[config.size() - 1] = ' ';
    REQUIRE_OK(write_file(path / "config.json", config));
    part = "config.json: expected SHA-256";
  }
  SECTION("a file too many") {
    REQUIRE_OK(write_file(path / "extra.bin", "x"));
    part = "extra.bin: expected every file in the manifest";
  }
  SECTION("a wrong family") {
    rewrite_manifest(path, [](Manifest& manifest) { manifest.family = "mistral"; });
    part = "family: expected llama as config.json says, found mistral";
  }
  SECTION("a broken tokenizer") {
    REQUIRE_OK(write_file(path / "tokenizer.json", "{\"model\": }"));
    rewrite_manifest(path, [](Manifest&) {});
    part = "tokenizer.json: expected JSON";
  }
  SECTION("broken prompts") {
    REQUIRE_OK(write_file(path / "prompts/synthetic.yaml", "suite_format: 1\nname: s\n"));
    rewrite_manifest(path, [](Manifest&) {});
    part = "expected the key \"license\"";
  }
  const auto findings = quiet.verify(path);
  CHECK(n_faults(findings) >= 1);
  CHECK(std::any_of(findings.begin(), findings.end(),
                    [&text = part](const Finding& f) { return f.message.find(text) != std::string::npos; }));
}

}  // namespace
}  // namespace secondsource

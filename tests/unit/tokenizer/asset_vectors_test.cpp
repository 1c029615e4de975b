// Tokenizers of real models, read in place. The expected ids come from llama.cpp (.inp with .out), from transformers.js
// (vectors/transformers.js), and otherwise from the Hugging Face `tokenizers` package 0.23.3
// (tests/data/tokenizer/asset_vectors.json, made by make_vectors.py beside it).
#include <iostream>

#include "core/file.h"
#include "llama_cpp_vectors.h"
#include "support/assets.h"
#include "support/source_path.h"
#include "vector_file.h"

namespace secondsource {
namespace {

using test::Ids;
using test::read_inputs;
using test::read_outputs;

Result<Tokenizer> load(const std::filesystem::path& path) {
  SS_TRY(const std::string text, read_file(path));
  return Tokenizer::from_json(text, path.filename().string());
}

TEST_CASE("the llama.cpp vectors of phi-3 come out with its tokenizer.json") {
  const auto file = test::asset("tokenizers/hf/phi-3-mini/tokenizer.json");
  const auto inputs_file = test::asset("tokenizers/llama.cpp/ggml-vocab-phi-3.gguf.inp");
  const auto outputs_file = test::asset("tokenizers/llama.cpp/ggml-vocab-phi-3.gguf.out");
  if (!file || !inputs_file || !outputs_file) return;
  const Result<Tokenizer> tokenizer = load(*file);
  REQUIRE_OK(tokenizer);
  const std::vector<std::string> inputs = read_inputs(*inputs_file);
  const std::vector<Ids> outputs = read_outputs(*outputs_file);
  REQUIRE(inputs.size() == 47);
  REQUIRE(outputs.size() == 47);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    CAPTURE(i, inputs[i]);
    const Result<Ids> ids = tokenizer->encode(inputs[i], {.add_special_tokens = false});
    REQUIRE_OK(ids);
    CHECK(*ids == outputs[i]);
  }
}

TEST_CASE("the transformers.js vectors of llama2 come out with the tokenizer.json of phi-3") {
  const auto file = test::asset("tokenizers/hf/phi-3-mini/tokenizer.json");
  const auto vectors_file = test::asset("tokenizers/vectors/transformers.js/llama2.json");
  if (!file || !vectors_file) return;
  const Result<Tokenizer> tokenizer = load(*file);
  REQUIRE_OK(tokenizer);
  const auto vectors = nlohmann::json::parse(*read_file(*vectors_file));
  REQUIRE(vectors["cases"].size() == 37);
  for (const auto& [name, one] : vectors["cases"].items()) {
    CAPTURE(name);
    // The expected ids begin with <s>, which phi-3's own template leaves out.
    Ids expected = one["ids"];
    REQUIRE(expected.front() == 1);
    const Result<Ids> ids = tokenizer->encode(one["text"].get<std::string>(), {.add_special_tokens = false});
    REQUIRE_OK(ids);
    Ids with_bos = *ids;
    with_bos.insert(with_bos.begin(), 1);
    CHECK(with_bos == expected);
  }
}

TEST_CASE("the llama-bpe vectors are skipped: their vocabulary is not among the assets") {
  if (!test::asset("tokenizers/llama.cpp/ggml-vocab-llama-bpe.gguf.inp")) return;
  CHECK_FALSE(std::filesystem::exists(*test::asset("tokenizers/llama.cpp") / "ggml-vocab-llama-bpe.gguf"));
  std::cout << "skipped: llama-bpe: 47 vectors, but ggml-vocab-llama-bpe.gguf (the vocabulary) is absent\n";
}

TEST_CASE("the tokenizers of real models give the ids of Hugging Face tokenizers") {
  const auto vectors = nlohmann::json::parse(*read_file(test::data_file("tokenizer/asset_vectors.json")));
  REQUIRE(vectors["cases"].size() == 5);
  for (const nlohmann::json& one : vectors["cases"]) {
    const auto file = test::asset(one["file"].get<std::string>());
    if (!file) continue;
    CAPTURE(one["name"].get<std::string>());
    const Result<Tokenizer> tokenizer = load(*file);
    REQUIRE_OK(tokenizer);
    test::check_rows(*tokenizer, one);
  }
}

TEST_CASE("special tokens of real files are known by name") {
  const auto file = test::asset("tokenizers/hf/SmolLM2-135M-Instruct/tokenizer.json");
  if (!file) return;
  const Result<Tokenizer> tokenizer = load(*file);
  REQUIRE_OK(tokenizer);
  CHECK(tokenizer->vocab_size() == 49152);
  CHECK(tokenizer->kind() == "byte-level BPE");
  CHECK(tokenizer->n_merges() == 48900);
  CHECK(tokenizer->end_ids() == Ids{0, 2});  // <|endoftext|>, <|im_end|>
  CHECK(tokenizer->special_ids().size() == 17);
  CHECK(tokenizer->id_of("<|im_start|>") == 1);
  CHECK(tokenizer->token(1) == "<|im_start|>");
  CHECK_FALSE(tokenizer->bos_id());
}

}  // namespace
}  // namespace secondsource

// Tokenizers from GGUF vocabularies, against the ids of llama.cpp (.inp with .out) and of transformers.js.
#include "bundle/gguf_tokenizer.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "llama_cpp_vectors.h"
#include "support/assets.h"
#include "support/result.h"
#include "tokenizer/gguf_tokenizer_json.h"

namespace secondsource {
namespace {

using test::Ids;

Result<Tokenizer> load_directly(const std::filesystem::path& path) {
  SS_TRY(const MappedFile file, MappedFile::map(path));
  SS_TRY(const GgufHeader header, parse_gguf(file.bytes(), path.filename().string()));
  SS_TRY(const GgufVocabulary vocabulary, gguf_vocabulary_of(header));
  return tokenizer_from_gguf(vocabulary, path.filename().string());
}

/// Loads the same tokenizer by converting it to a tokenizer.json.
Result<Tokenizer> load_by_json(const std::filesystem::path& path) {
  SS_TRY(const MappedFile file, MappedFile::map(path));
  SS_TRY(const GgufHeader header, parse_gguf(file.bytes(), path.filename().string()));
  SS_TRY(const GgufVocabulary vocabulary, gguf_vocabulary_of(header));
  SS_TRY(const std::string json, gguf_tokenizer_json(vocabulary, path.filename().string()));
  return Tokenizer::from_json(json, "tokenizer.json");
}

TEST_CASE("the llama.cpp vectors come out with the vocabulary of their GGUF file") {
  const auto load = GENERATE(&load_directly, &load_by_json);
  for (const std::string name : {"gpt-2", "phi-3"}) {
    const std::string base = "tokenizers/llama.cpp/ggml-vocab-" + name + ".gguf";
    const auto file = test::asset(base);
    const auto inputs_file = test::asset(base + ".inp");
    const auto outputs_file = test::asset(base + ".out");
    if (!file || !inputs_file || !outputs_file) continue;
    const Result<Tokenizer> tokenizer = load(*file);
    REQUIRE_OK(tokenizer);
    const std::vector<std::string> inputs = test::read_inputs(*inputs_file);
    const std::vector<Ids> outputs = test::read_outputs(*outputs_file);
    REQUIRE(inputs.size() == 47);
    REQUIRE(outputs.size() == 47);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      CAPTURE(name, i, inputs[i]);
      const Result<Ids> ids = tokenizer->encode(inputs[i], {.add_special_tokens = false});
      REQUIRE_OK(ids);
      CHECK(*ids == outputs[i]);
      CHECK(tokenizer->decode(*ids) == inputs[i]);
    }
  }
}

TEST_CASE("the transformers.js vectors of gpt2 come out with the GGUF of gpt-2") {
  const auto file = test::asset("tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf");
  const auto vectors_file = test::asset("tokenizers/vectors/transformers.js/gpt2.json");
  if (!file || !vectors_file) return;
  const Result<Tokenizer> tokenizer = load_directly(*file);
  REQUIRE_OK(tokenizer);
  const auto vectors = nlohmann::json::parse(*read_file(*vectors_file));
  REQUIRE(vectors["cases"].size() == 26);
  for (const auto& [name, one] : vectors["cases"].items()) {
    CAPTURE(name);
    const Result<Ids> ids = tokenizer->encode(one["text"].get<std::string>());
    REQUIRE_OK(ids);
    CHECK(*ids == one["ids"].get<Ids>());
    // The decoded texts of the file went through clean_up_tokenization_spaces of transformers, so we expect the
    // original text.
    CHECK(tokenizer->decode(*ids) == one["text"].get<std::string>());
  }
}

TEST_CASE("the GGUF of stories260K has its begin-of-text and end-of-text") {
  const auto file = test::asset("models/stories260K/stories260K.gguf");
  if (!file) return;
  const Result<Tokenizer> tokenizer = load_directly(*file);
  REQUIRE_OK(tokenizer);
  CHECK(tokenizer->vocab_size() == 512);
  CHECK(tokenizer->bos_id() == 1);
  CHECK(tokenizer->end_ids() == Ids{2});
  // The upstream documentation contains the text of the ids that the model generates.
  const auto expected_file = test::asset("models/stories260K/expected_greedy.json");
  REQUIRE(expected_file);
  const auto expected = nlohmann::json::parse(*read_file(*expected_file));
  const Ids greedy = expected["cases"][0]["greedy_ids"];
  const std::string text = tokenizer->decode(greedy);
  CHECK(text.starts_with(expected["upstream_expected_200_steps"].get<std::string>()));
}

GgufVocabulary tiny() {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "ab", "\u2581ab", "ba"};
  vocabulary.scores = {0, 0, 0, -5, -6, -7, -1, -2, -1};
  vocabulary.token_types = {2, 3, 3, 1, 1, 1, 1, 1, 1};
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 2;
  vocabulary.unk_id = 0;
  return vocabulary;
}

TEST_CASE("SentencePiece merges the best score first and the leftmost of equal ones") {
  const Result<Tokenizer> tokenizer = tokenizer_from_gguf(tiny(), "tiny.gguf");
  REQUIRE_OK(tokenizer);
  CHECK(*tokenizer->encode("ab") == Ids{1, 7});
  CHECK(*tokenizer->encode("aba") == Ids{1, 7, 4});  // "ab" and "ba" have the same score
  CHECK(*tokenizer->encode("bab") == Ids{1, 3, 8, 5});
  CHECK(*tokenizer->encode("axyb", {.add_special_tokens = false}) == Ids{3, 4, 0, 5});
  CHECK(*tokenizer->encode("a</s>b", {.add_special_tokens = false}) == Ids{3, 4, 2, 3, 5});
  CHECK(tokenizer->decode(Ids{7, 3, 4}) == "ab a");
}

TEST_CASE("a vocabulary that does not fit together is refused with one line") {
  const auto check = [](auto change, ErrorCode code, std::string_view message) {
    GgufVocabulary vocabulary = tiny();
    change(vocabulary);
    const Result<Tokenizer> tokenizer = tokenizer_from_gguf(vocabulary, "t.gguf");
    CHECK_ERROR(tokenizer, code, message);
    if (!tokenizer) CHECK(tokenizer.error().message.starts_with("t.gguf: "));
  };
  using V = GgufVocabulary;
  check([](V& v) { v.model = "bert"; }, ErrorCode::kUnsupported,
        "tokenizer.ggml.model \"bert\": expected gpt2 or llama");
  check([](V& v) { v.tokens.clear(); }, ErrorCode::kInvalidInput, "expected 1 to 4194304 tokens, found 0");
  check([](V& v) { v.scores.pop_back(); }, ErrorCode::kInvalidInput, "scores: expected 9 values, found 8");
  check([](V& v) { v.token_types.push_back(1); }, ErrorCode::kInvalidInput, "token_type: expected 9 values, found 10");
  check([](V& v) { v.token_types[3] = 9; }, ErrorCode::kInvalidInput, "token_type[3]: expected 1 to 6, found 9");
  check([](V& v) { v.scores[4] = std::numeric_limits<float>::quiet_NaN(); }, ErrorCode::kInvalidInput, "found NaN");
  check([](V& v) { v.bos_id = 9; }, ErrorCode::kInvalidInput, "bos_token_id: expected an id in [0, 9), found 9");
  check([](V& v) { v.tokens[4] = "\xff"; }, ErrorCode::kInvalidInput, "tokens[4]: expected UTF-8");
  check([](V& v) { v.tokens[4] = std::string(70000, 'a'); }, ErrorCode::kInvalidInput, "expected at most 65536 bytes");
  check(
      [](V& v) {
        v.tokens.assign(9, std::string(40000, 'a'));
        v.tokens[0] = "<unk>";
        for (std::size_t i = 1; i < 9; ++i) v.tokens[i] += static_cast<char>('a' + i);
      },
      ErrorCode::kInvalidInput, "expected shorter tokens");
  check(
      [](V& v) {
        v.model = "gpt2";
        v.pre = "unheard-of";
      },
      ErrorCode::kUnsupported, "tokenizer.ggml.pre \"unheard-of\": expected one of default, gpt-2");
  check(
      [](V& v) {
        v.model = "gpt2";
        v.merges = {"ab"};
      },
      ErrorCode::kInvalidInput, "merges[0]: expected \"left right\"");
  check(
      [](V& v) {
        v.model = "gpt2";
        v.merges = {"a b", "a x"};
      },
      ErrorCode::kInvalidInput, "merges[1]: expected two tokens that make a third, found \"a x\"");
}

TEST_CASE("of several tokens with one text the first stands for it") {
  GgufVocabulary vocabulary = tiny();
  for (const std::string text : {"a", "<s>", "</s>", "<unk>"}) {
    vocabulary.tokens.push_back(text);
    vocabulary.scores.push_back(0);
    vocabulary.token_types.push_back(1);
  }
  const auto taken = [&] {
    const auto json = gguf_tokenizer_json(vocabulary, "t.gguf");
    REQUIRE_OK(json);
    const auto tokenizer = Tokenizer::from_json(*json, "tokenizer.json");
    REQUIRE_OK(tokenizer);
    CHECK(*tokenizer->encode("a") == *tokenizer_from_gguf(vocabulary, "t.gguf")->encode("a"));
    return *tokenizer->encode("a");
  };
  CHECK(taken() == Ids{1, 3, 4});
  const auto refused = [&](const char* part) {
    CHECK_ERROR(tokenizer_from_gguf(vocabulary, "t.gguf"), ErrorCode::kInvalidInput, part);
    CHECK_ERROR(gguf_tokenizer_json(vocabulary, "t.gguf"), ErrorCode::kInvalidInput, part);
  };
  vocabulary.bos_id = 10;
  refused("bos_token_id: expected the first token with the text \"<s>\", which is 1, found 10");
  vocabulary.add_bos = false;
  CHECK(taken() == Ids{3, 4});
  vocabulary.eos_id = 11;
  CHECK(taken() == Ids{3, 4});
  vocabulary.add_eos = true;
  refused("eos_token_id: expected the first token with the text \"</s>\", which is 2, found 11");
  vocabulary.eos_id = 2;
  CHECK(taken() == Ids{3, 4, 2});
  vocabulary.unk_id = 12;
  refused("unknown_token_id: expected the first token with the text \"<unk>\", which is 0, found 12");
}

TEST_CASE("a vocabulary with more control tokens than a tokenizer.json may add is refused") {
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  for (int i = 0; i <= 65536; ++i) vocabulary.tokens.push_back("<" + std::to_string(i) + ">");
  vocabulary.token_types.assign(vocabulary.tokens.size(), 3);
  CHECK_ERROR(tokenizer_from_gguf(vocabulary, "t.gguf"), ErrorCode::kInvalidInput, "at most 65536 added tokens");
}

TEST_CASE("the metadata of a GGUF file must have the types of its keys") {
  GgufHeader header;
  CHECK_ERROR(gguf_vocabulary_of(header), ErrorCode::kInvalidInput, "expected a tokenizer");
  header.metadata["tokenizer.ggml.model"] = {.type = "u32", .value = std::int64_t{3}};
  CHECK_ERROR(gguf_vocabulary_of(header), ErrorCode::kInvalidInput,
              "tokenizer.ggml.model: expected a string, found u32");
}

}  // namespace
}  // namespace secondsource

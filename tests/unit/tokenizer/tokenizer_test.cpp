#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <thread>

#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

using Ids = std::vector<std::int32_t>;

/// The smallest tokenizer, with "a", "b" and "ab"; `rest` is added beside the model, `model_rest` inside it.
std::string tiny(std::string_view rest = {}, std::string_view model_rest = {}) {
  return fmt::format(R"({{"model": {{"type": "BPE", "vocab": {{"a": 0, "b": 1, "ab": 2}}, "merges": ["a b"]{}}}{}}})",
                     model_rest, rest);
}

TEST_CASE("a tokenizer of three tokens merges") {
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(tiny(), "tiny.json");
  REQUIRE_OK(tokenizer);
  CHECK(*tokenizer->encode("abba") == Ids{2, 1, 0});
  CHECK(*tokenizer->encode("xay") == Ids{0});  // without unk_token, unknown characters are left out
  CHECK(tokenizer->decode(Ids{2, 7, -1, 0}) == "ab a");
  CHECK(tokenizer->vocab_size() == 3);
  CHECK(tokenizer->kind() == "SentencePiece-style BPE");
}

TEST_CASE("a Unigram model without an unknown token fails only where the best way needs one") {
  // The package tokenizers 0.23.3 gives the same: ["ab"], an error, and ["ab", "a"].
  const auto tokenizer =
      Tokenizer::from_json(R"({"model": {"type": "Unigram", "vocab": [["a", -1], ["ab", -1]]}})", "t.json");
  REQUIRE_OK(tokenizer);
  CHECK(*tokenizer->encode("ab") == Ids{1});
  CHECK_ERROR(tokenizer->encode("b"), ErrorCode::kInvalidInput,
              "characters of the vocabulary, which has no unknown token");
  CHECK(*tokenizer->encode("aba") == Ids{1, 0});
}

TEST_CASE("what a tokenizer.json may not say is refused with one line") {
  std::string long_replacement = "BAAAAAAAAAB4";  // a trie of one unit, and 301 times "x"
  for (int i = 0; i < 100; ++i) long_replacement += "eHh4";
  long_replacement += "AA==";
  const struct {
    std::string json;
    ErrorCode code;
    std::string message;
  } cases[] = {
      {R"({"model": {"type": "WordPiece", "vocab": {}}})", ErrorCode::kUnsupported,
       "t.json: model type: expected BPE or Unigram, found WordPiece, the model of BERT and its like"},
      {R"({"model": {"vocab": {}}})", ErrorCode::kUnsupported, "model type: expected BPE or Unigram, found no type"},
      {R"({"model": {"type": "Unigram", "unk_id": 2, "vocab": [["<pad>", 0.0]]}})", ErrorCode::kInvalidInput,
       "t.json: unk_id: expected an id of the vocabulary, found 2"},
      {R"({"model": {"unk_id": 0, "vocab": {"a": 0}}})", ErrorCode::kInvalidInput,
       "t.json: model: vocab: expected an array of [piece, score]"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", 0.0], ["b"]]}})", ErrorCode::kInvalidInput,
       "t.json: model: vocab[1]: expected [piece, score], found another array"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", "0"]]}})", ErrorCode::kInvalidInput,
       "vocab[0]: expected [piece, score]"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", 0], ["a", 1]]}})", ErrorCode::kInvalidInput,
       "model: vocab: token \"a\""},
      {fmt::format(R"({{"model": {{"type": "Unigram", "vocab": [["a", 0], ["{}", 1]]}}}})", std::string(1025, 'x')),
       ErrorCode::kInvalidInput, "t.json: piece 1: expected at most 1024 bytes, found 1025"},
      {R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0]]}, "pre_tokenizer": {"type": "ByteLevel"}})",
       ErrorCode::kUnsupported, "t.json: pre_tokenizer: ByteLevel before a Unigram model is not supported"},
      {"[]", ErrorCode::kInvalidInput, "t.json: expected an object"},
      {"{}", ErrorCode::kInvalidInput, "t.json: model: expected an object"},
      {"{\"model\": \"\xff\"}", ErrorCode::kInvalidInput, "expected UTF-8"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})", ErrorCode::kInvalidInput,
       "model: vocab: token \"b\": id 0 is already that of \"a\""},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}})", ErrorCode::kInvalidInput,
       "the key \"a\" occurs twice"},
      {R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})", ErrorCode::kInvalidInput, "found -1"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 99999999999}, "merges": []}})", ErrorCode::kInvalidInput,
       "token \"a\": expected an integer id"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 1.5}, "merges": []}})", ErrorCode::kInvalidInput,
       "expected an integer id, found number"},
      {R"({"model": {"type": "BPE", "vocab": ["a"], "merges": []}})", ErrorCode::kInvalidInput,
       "vocab: expected an object of token: id"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a x"]}})", ErrorCode::kInvalidInput,
       "merges[0]: expected a token of the vocabulary, found \"x\""},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]]}})", ErrorCode::kInvalidInput,
       "expected a token of the vocabulary, found \"aa\""},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["aa"]}})", ErrorCode::kInvalidInput,
       "merges[0]: expected [\"left\", \"right\"] or \"left right\""},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}})", ErrorCode::kInvalidInput,
       "found an array of 1"},
      {tiny("", R"(, "unk_token": "<unk>")"), ErrorCode::kInvalidInput, "unk_token \"<unk>\""},
      {tiny("", R"(, "dropout": 0.1)"), ErrorCode::kUnsupported, "dropout: expected nothing"},
      {tiny("", R"(, "end_of_word_suffix": "</w>")"), ErrorCode::kUnsupported, "end_of_word_suffix"},
      {tiny("", R"(, "continuing_subword_prefix": "##")"), ErrorCode::kUnsupported, "continuing_subword_prefix"},
      {tiny("", R"(, "fuse_unk": 1)"), ErrorCode::kInvalidInput, "fuse_unk: expected"},
      {tiny(R"(, "normalizer": {"type": "Precompiled"})"), ErrorCode::kInvalidInput,
       "t.json: normalizer: precompiled_charsmap: expected a string"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAA"})"), ErrorCode::kInvalidInput,
       "t.json: normalizer.precompiled_charsmap: expected base64, found 3 characters"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=A"})"), ErrorCode::kInvalidInput,
       "expected base64"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA "})"), ErrorCode::kInvalidInput,
       "expected base64"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"})"), ErrorCode::kInvalidInput,
       "a map of characters: expected the size of a trie within 3 bytes, found 0"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "CAAAAGE="})"), ErrorCode::kInvalidInput,
       "expected the size of a trie within 5 bytes, found 8"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AwAAAAAAAAA="})"),
       ErrorCode::kInvalidInput, "expected the size of a trie within 8 bytes, found 3"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAABh/wA="})"),
       ErrorCode::kInvalidInput, "expected replacements in UTF-8, found an invalid byte at 1"},
      {tiny(R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": ")" + long_replacement + "\"}"),
       ErrorCode::kInvalidInput, "a map of characters: expected replacements of at most 256 bytes, found 301"},
      {tiny(R"(, "pre_tokenizer": {"type": "UnicodeScripts"})"), ErrorCode::kUnsupported,
       "pre_tokenizer type \"UnicodeScripts\""},
      {tiny(
           R"(, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "("}}]})"),
       ErrorCode::kInvalidInput, "pre_tokenizer[0]: pattern: regex \"(\""},
      {tiny(R"(, "pre_tokenizer": {"type": "Split", "pattern": {"String": ""}})"), ErrorCode::kInvalidInput,
       "a text that is not empty"},
      {tiny(R"(, "pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd"})"),
       ErrorCode::kInvalidInput, "behavior: expected Removed"},
      {tiny(R"(, "pre_tokenizer": {"type": "Metaspace", "replacement": "ab"})"), ErrorCode::kInvalidInput,
       "replacement: expected one character"},
      {tiny(R"(, "decoder": {"type": "WordPiece"})"), ErrorCode::kUnsupported, "decoder type \"WordPiece\""},
      {tiny(R"(, "decoder": {"type": "Strip", "content": "", "start": 1})"), ErrorCode::kInvalidInput, "one character"},
      {tiny(R"(, "decoder": {"type": "Strip", "start": -1})"), ErrorCode::kInvalidInput, "start"},
      {tiny(R"(, "post_processor": {"type": "BertProcessing"})"), ErrorCode::kUnsupported, "\"BertProcessing\""},
      {tiny(R"(, "post_processor": {"type": "TemplateProcessing", "single": []})"), ErrorCode::kInvalidInput,
       "single: expected a Sequence in it"},
      {tiny(R"(, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}},
           {"Sequence": {"id": "A"}}], "special_tokens": {"x": {"ids": [77]}}})"),
       ErrorCode::kInvalidInput, "post_processor: expected ids of the vocabulary, found 77"},
      {tiny(R"(, "added_tokens": [{"id": 1, "content": "x"}])"), ErrorCode::kInvalidInput,
       "added token \"x\": expected an id of its own, found 1, which is \"b\""},
      {tiny(R"(, "added_tokens": [{"id": 9, "content": "a"}])"), ErrorCode::kInvalidInput,
       "added token \"a\": expected id 0 as in the vocabulary, found 9"},
      {tiny(R"(, "added_tokens": [{"id": 9, "content": ""}])"), ErrorCode::kInvalidInput, "content that is not empty"},
      {tiny(R"(, "added_tokens": [{"id": 9, "content": "x"}, {"id": 9, "content": "y"}])"), ErrorCode::kInvalidInput,
       "added_tokens[1]: token \"y\": id 9 is already that of \"x\""},
      {tiny(R"(, "decoder": {"type": "Replace", "pattern": {"String": "a"}, "content": ")" + std::string(5000, 'a') +
            "\"}"),
       ErrorCode::kInvalidInput, "decoder: expected replacements that make a text at most 4096 times as long"},
      {tiny(R"(, "added_tokens": [{"id": 9, "content": "xxxxxxxxxx", "normalized": true}],
           "normalizer": {"type": "Replace", "pattern": {"String": "x"}, "content": ")" +
            std::string(500'000, 'y') + "\"}"),
       ErrorCode::kInvalidInput, "added tokens: expected at most 4194304 bytes after the normalizer"},
      {tiny(R"(, "added_tokens": {})"), ErrorCode::kInvalidInput, "added_tokens: expected an array"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.json);
    const Result<Tokenizer> tokenizer = Tokenizer::from_json(one.json, "t.json");
    CHECK_ERROR(tokenizer, one.code, one.message);
    if (tokenizer) continue;
    CHECK(tokenizer.error().message.starts_with("t.json: "));
    CHECK(tokenizer.error().message.find('\n') == std::string::npos);
  }
}

TEST_CASE("a tokenizer.json that nests without end is refused") {
  std::string deep = R"({"model": )";
  for (int i = 0; i < 100'000; ++i) deep += '[';
  CHECK_ERROR(Tokenizer::from_json(deep, "t.json"), ErrorCode::kInvalidInput, "levels of nesting");
  std::string steps = R"(, "normalizer": {"type": "Sequence", "normalizers": [)";
  for (int i = 0; i < 40; ++i) steps += i == 0 ? R"({"type": "NFC"})" : R"(, {"type": "NFC"})";
  CHECK_ERROR(Tokenizer::from_json(tiny(steps + "]}"), "t.json"), ErrorCode::kInvalidInput, "at most 32 steps");
}

TEST_CASE("text that is not UTF-8 is refused") {
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(tiny(), "tiny.json");
  REQUIRE_OK(tokenizer);
  CHECK_ERROR(tokenizer->encode("ab\xc3"), ErrorCode::kInvalidInput,
              "text to tokenize: expected UTF-8, found an invalid byte at offset 2");
}

TEST_CASE("a pattern that explodes on a text is an error, not a hang") {
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(
      tiny(R"(, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"})"),
      "t.json");
  REQUIRE_OK(tokenizer);
  CHECK(*tokenizer->encode("ab") == Ids{2});
  CHECK_ERROR(tokenizer->encode(std::string(64, 'a') + "b"), ErrorCode::kInvalidInput, "text to tokenize: regex");
}

TEST_CASE("threads may share a tokenizer") {
  const Result<std::string> json = read_file(test::data_file("tokenizer/byte_level.json"));
  REQUIRE_OK(json);
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(*json, "byte_level.json");
  REQUIRE_OK(tokenizer);
  const std::string text = "The quick brown fox; it's \U0001f999 and 12 more <|end|>";
  const Ids expected = *tokenizer->encode(text);
  std::vector<int> n_wrong(4);
  std::vector<std::thread> threads;
  for (int& wrong : n_wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const Result<Ids> ids = tokenizer->encode(text);
        if (!ids || *ids != expected || tokenizer->decode(*ids) != text) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(n_wrong == std::vector<int>(4));
}

TEST_CASE("a stream survives its tokenizer being moved") {
  Result<Tokenizer> loaded = Tokenizer::from_json(tiny(R"(, "decoder": {"type": "Fuse"})"), "tiny.json");
  REQUIRE_OK(loaded);
  StreamingDecoder decoder = loaded->stream();
  const Tokenizer moved = std::move(loaded).value();
  CHECK(decoder.push(2) + decoder.push(0) + decoder.finish() == "aba");
}

}  // namespace
}  // namespace secondsource

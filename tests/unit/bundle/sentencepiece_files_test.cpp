// What a folder adds to SentencePiece's tokenizer.model: tokens, and ids before and after every text. The ids of the pieces
// themselves are compared with those of the package `sentencepiece` in tests/unit/tokenizer/sentencepiece_model_test.cpp.
#include "bundle/sentencepiece_files.h"

#include <map>

#include "core/base64.h"
#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"
#include "tokenizer/tokenizer.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

using FolderFiles = std::map<std::string, std::string, std::less<>>;

/// The Llama-like tokenizer of 700 pieces with these files beside it.
FolderFiles llama_folder(FolderFiles files) {
  const auto model = read_file(data_file("tokenizer/sentencepiece/llama.model"));
  REQUIRE_OK(model);
  files[std::string(kSentencePieceFile)] = *model;
  return files;
}

/// A Unigram tokenizer like T5's, with 300 pieces, under the file name that T5 uses.
FolderFiles t5_folder(std::string config) {
  const auto model = read_file(data_file("tokenizer/sentencepiece/t5.model"));
  REQUIRE_OK(model);
  return {{std::string(kOtherSentencePieceFile), *model}, {"tokenizer_config.json", std::move(config)}};
}

Result<std::optional<std::string>> json_of(const FolderFiles& files) {
  const ChatFileReader read = [&](std::string_view path) -> Result<std::optional<std::string>> {
    const auto found = files.find(path);
    return found == files.end() ? std::optional<std::string>() : std::optional(found->second);
  };
  return tokenizer_json_of_sentencepiece(read, "model");
}

std::vector<std::int32_t> ids_of(const FolderFiles& files, std::string_view text) {
  const auto json = json_of(files);
  REQUIRE_OK(json);
  REQUIRE(json->has_value());
  const auto tokenizer = Tokenizer::from_json(**json, "tokenizer.json");
  REQUIRE_OK(tokenizer);
  const auto ids = tokenizer->encode(text, {});
  REQUIRE_OK(ids);
  return *ids;
}

void check_refused_files(FolderFiles files, const char* part) {
  CHECK_ERROR(json_of(llama_folder(std::move(files))), ErrorCode::kInvalidInput, part);
}

}  // namespace

TEST_CASE("a folder without tokenizer.model has no such tokenizer") {
  const auto json = json_of({{"tokenizer_config.json", "{}"}});
  REQUIRE_OK(json);
  CHECK_FALSE(json->has_value());
}

TEST_CASE("a tiktoken file of a family that is not known is refused for what it is") {
  // The first lines of Llama 3's file: "!" and "\"".
  CHECK_ERROR(json_of({{"tokenizer.model", "IQ== 0\nIg== 1\n"}}), ErrorCode::kUnsupported, "a tiktoken file");
  CHECK_ERROR(json_of({{"tokenizer.model", "IQ== zero\n"}}), ErrorCode::kInvalidInput, "SentencePiece model");
}

TEST_CASE("a tiktoken file of a known family needs its number of tokens and the special tokens beside it") {
  // The single bytes, all pairs of "a" to "z", and then sequences of three bytes that are not valid UTF-8.
  std::string ranks;
  int n_ranks = 0;
  const auto add = [&](const std::string& token) {
    ranks += encode_base64(token) + " " + std::to_string(n_ranks++) + "\n";
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (char first = 'a'; first <= 'z'; ++first) {
    for (char second = 'a'; second <= 'z'; ++second) add({first, second});
  }
  for (int i = 0; n_ranks < 128000; ++i)
    add({'\xff', static_cast<char>(i & 0xff), static_cast<char>(i >> 8 & 0xff), static_cast<char>(i >> 16)});
  const std::string config = R"({"model_type": "llama"})";
  const std::string settings = R"({"bos_token": "<|begin|>", "added_tokens_decoder": {
      "128000": {"content": "<|begin|>", "special": true}, "128001": {"content": "<|end|>", "special": true}}})";
  const FolderFiles files = {{"tokenizer.model", ranks}, {"config.json", config}, {"tokenizer_config.json", settings}};
  CHECK(ids_of(files, "abc<|end|>Z") == std::vector<std::int32_t>{128000, 257, 'c', 128001, 'Z'});
  const auto refused = [&](const std::string& file, const std::string& content, ErrorCode code, const char* part) {
    FolderFiles changed = files;
    changed[file] = content;
    CHECK_ERROR(json_of(changed), code, part);
  };
  refused("config.json", R"({"model_type": "gpt_oss"})", ErrorCode::kUnsupported,
          "expected the 199998 tokens for which the pattern of gpt_oss");
  refused("config.json", R"({"model_type": "olmo2"})", ErrorCode::kUnsupported,
          "found model_type \"olmo2\" and a tiktoken file");
  refused("tokenizer_config.json", "{}", ErrorCode::kUnsupported,
          "expected added_tokens_decoder in tokenizer_config.json");
  refused("tokenizer.model", ranks + "IQ==", ErrorCode::kInvalidInput,
          "line 128001: expected a token in base64 and its rank");
  refused("tokenizer.model", ranks + "YWI= 128000\n", ErrorCode::kInvalidInput,
          "line 128001: expected another token than that of rank 257");
  refused("tokenizer.model", "IQ== 1\n", ErrorCode::kInvalidInput, "line 1: expected rank 0, found 1");
  refused("tokenizer.model", "IQ== 0\n", ErrorCode::kInvalidInput,
          "expected a token for each byte, found none for 0x00");
}

TEST_CASE("a text begins with the model's first id unless the settings say otherwise") {
  const auto usual = ids_of(llama_folder({}), "the king");
  CHECK(usual.front() == 1);
  CHECK(usual.back() != 2);
  const auto ended = ids_of(
      llama_folder({{"tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true})"}}), "the king");
  CHECK(ended.front() != 1);
  CHECK(ended.back() == 2);
  CHECK(std::vector(usual.begin() + 1, usual.end()) == std::vector(ended.begin(), ended.end() - 1));
  CHECK(ids_of(llama_folder({{"tokenizer_config.json", R"({"add_bos_token": null})"}}), "the king") == usual);
}

TEST_CASE("added tokens have the ids behind the pieces") {
  const std::string decoder = R"({"added_tokens_decoder": {
      "0": {"content": "<unk>", "special": true}, "1": {"content": "<s>", "special": true},
      "700": {"content": "<pad>", "special": true}, "701": {"content": "<tool>", "special": false}}})";
  CHECK(ids_of(llama_folder({{"tokenizer_config.json", decoder}}), "<tool><pad></s>") ==
        std::vector<std::int32_t>{1, 701, 700, 2});
  // The form of folders written before transformers 4.34.
  CHECK(ids_of(llama_folder({{"added_tokens.json", R"({"<tool>": 701, "<pad>": 700})"}}), "<pad><tool>") ==
        std::vector<std::int32_t>{1, 700, 701});
}

TEST_CASE("a folder of T5 ends a text with </s> and has extra ids behind the pieces") {
  using Ids = std::vector<std::int32_t>;
  const auto plain = ids_of(t5_folder("{}"), "the king");
  Ids ended = plain;
  ended.push_back(1);
  CHECK(ids_of(t5_folder(R"({"tokenizer_class": "T5TokenizerFast"})"), "the king") == ended);
  CHECK(ids_of(t5_folder(R"({"tokenizer_class": "T5Tokenizer", "add_eos_token": false})"), "the king") == plain);
  const char* const symbols = "<extra_id_0><extra_id_99>";
  CHECK(ids_of(t5_folder(R"({"tokenizer_class": "T5Tokenizer"})"), symbols) == Ids{399, 300, 1});
  CHECK(ids_of(t5_folder(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 100, "added_tokens_decoder": {
      "300": {"content": "<extra_id_0>"}, "301": {"content": "<extra_id_99>"}}})"),
               symbols) == Ids{300, 301, 1});
  const auto refused = [](const char* config, ErrorCode code, const char* part) {
    CHECK_ERROR(json_of(t5_folder(config)), code, part);
  };
  refused(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 1001})", ErrorCode::kInvalidInput, "extra_ids");
  refused(
      R"({"tokenizer_class": "XLMRobertaTokenizerFast"})", ErrorCode::kUnsupported,
      "tokenizer_class: expected one that takes ids and text as the SentencePiece model has them, found XLMRoberta");
  refused(R"({"tokenizer_class": 5})", ErrorCode::kInvalidInput, "tokenizer_class");
}

TEST_CASE("added tokens that do not fit the pieces are refused in one line") {
  check_refused_files({{"added_tokens.json", R"({"<pad>": 702})"}}, "added token 702: expected 700 to come first");
  check_refused_files({{"added_tokens.json", R"({"<pad>": 1})"}},
                      "added token 1: expected the piece \"<s>\", found \"<pad>\"");
  check_refused_files({{"added_tokens.json", R"({"<pad>": -1})"}}, "a token id");
  check_refused_files({{"added_tokens.json", R"({"<pad>": "x"})"}}, "a token id");
  check_refused_files({{"added_tokens.json", "[]"}}, "added_tokens.json");
  check_refused_files({{"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<pad>"}}})"}},
                      "a token id as its key");
  check_refused_files({{"tokenizer_config.json", R"({"added_tokens_decoder": {"700": {"content": ""}}})"}},
                      "added token 700: expected a text");
  check_refused_files({{"tokenizer_config.json", R"({"added_tokens_decoder": {"700": 1}})"}}, "700");
  check_refused_files({{"tokenizer_config.json", R"({"add_bos_token": 1})"}}, "add_bos_token");
}

// tokenizer_config.json and special_tokens_map.json, in the forms that Hugging Face has written over time.
#include "tokenizer/tokenizer_config.h"

#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

TEST_CASE("a tokenizer_config.json may hold tokens as objects and several templates") {
  const Result<TokenizerConfig> config = parse_tokenizer_config(
      R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": null, "pad_token": "<pad>",
          "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]})",
      "c.json");
  REQUIRE_OK(config);
  CHECK(config->special_tokens ==
        std::map<std::string, std::string, std::less<>>{{"bos_token", "<s>"}, {"pad_token", "<pad>"}});
  CHECK(config->chat_templates == std::map<std::string, std::string, std::less<>>{{"default", "y"}, {"tool_use", "x"}});
  CHECK(parse_tokenizer_config(R"({"chat_template": "z"})", "c.json")->chat_templates.at("default") == "z");
  CHECK_ERROR(parse_tokenizer_config("[]", "c.json"), ErrorCode::kInvalidInput, "c.json: expected an object");
  CHECK_ERROR(parse_tokenizer_config(R"({"bos_token": 3})", "c.json"), ErrorCode::kInvalidInput, "bos_token");
  CHECK_ERROR(parse_tokenizer_config(R"({"chat_template": 3})", "c.json"), ErrorCode::kInvalidInput, "chat_template");
  CHECK_ERROR(parse_tokenizer_config(R"({"chat_template": [{"name": "a"}]})", "c.json"), ErrorCode::kInvalidInput,
              "template");
}

TEST_CASE("the tokens and the template of Phi-3-mini are read") {
  const auto path = test::asset("tokenizers/hf/phi-3-mini/tokenizer_config.json");
  if (!path) return;
  const Result<TokenizerConfig> config = parse_tokenizer_config(*read_file(*path), "tokenizer_config.json");
  REQUIRE_OK(config);
  CHECK(config->special_tokens.at("bos_token") == "<s>");
  CHECK(config->special_tokens.at("eos_token") == "<|endoftext|>");
  CHECK(config->chat_templates.contains("default"));
}

}  // namespace
}  // namespace secondsource

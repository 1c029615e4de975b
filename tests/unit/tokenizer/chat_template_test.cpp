// Compares chat templates with renderings by other programs: tests/data/tokenizer/chat_cases.json (Jinja2 3.1.6, from
// the published template of each family) and the cases of llama.cpp and huggingface.js among the assets.
#include "tokenizer/chat_template.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"
#include "tokenizer/tokenizer_config.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

std::vector<ChatMessage> messages_of(const Json& values) {
  std::vector<ChatMessage> messages;
  for (const Json& value : values) messages.push_back({value["role"], value["content"]});
  return messages;
}

Json read_json(const std::filesystem::path& path) {
  const Result<std::string> text = read_file(path);
  REQUIRE_OK(text);
  return Json::parse(*text);
}

TEST_CASE("every family renders what its own Jinja template renders") {
  const Json file = read_json(test::data_file("tokenizer/chat_cases.json"));
  REQUIRE(file["cases"].size() > 200);
  for (const Json& one : file["cases"]) {
    const std::string name = one["family"];
    CAPTURE(name, one["messages"].dump(), one["add_generation_prompt"].get<bool>());
    const Result<ChatFamily> family = chat_family_from_name(name);
    REQUIRE_OK(family);
    CHECK(to_string(*family) == name);
    const Result<std::string> text =
        render_chat(*family, messages_of(one["messages"]), one["add_generation_prompt"].get<bool>());
    if (one.contains("refused")) {
      CHECK_FALSE(text);
      continue;
    }
    REQUIRE_OK(text);
    CHECK(*text == one["text"].get<std::string>());
  }
}

TEST_CASE("the cases of llama.cpp that a family covers come out as plain Jinja renders them") {
  const auto path = test::asset("chat-templates/llamacpp_chat_template_cases.json");
  if (!path) return;
  const Json file = read_json(*path);
  int n_covered = 0;
  for (const Json& one : file["cases"]) {
    const std::string name = one["name"];
    CAPTURE(name);
    const Result<ChatFamily> family = detect_chat_family(one["template_str"].get<std::string>());
    if (!family) {
      CHECK(family.error().code == ErrorCode::kUnsupported);
      std::cout << "not covered: " << name << "\n";
      continue;
    }
    REQUIRE(one["plain_jinja_matches"].get<bool>());
    const Result<std::string> text = render_chat(
        *family, messages_of(file["messages"]),
        ChatOptions{.add_generation_prompt = true, .bos_token = one["bos_token"], .eos_token = one["eos_token"]});
    REQUIRE_OK(text);
    CHECK(*text == one["expected_output_jinja"].get<std::string>());
    std::cout << "covered as " << to_string(*family) << ": " << name << "\n";
    ++n_covered;
  }
  CHECK(n_covered == 7);
}

TEST_CASE("the cases of huggingface.js that a family covers come out the same") {
  const auto path = test::asset("chat-templates/hfjs_jinja_e2e_cases.json");
  if (!path) return;
  const Json file = read_json(*path);
  int n_covered = 0;
  for (const auto& [name, one] : file["cases"].items()) {
    CAPTURE(name);
    const Result<ChatFamily> family = detect_chat_family(one["chat_template"].get<std::string>());
    const Json& data = one["data"];
    if (!family || data.contains("tools")) {
      std::cout << "not covered: " << name << (family ? " (tools)" : "") << "\n";
      continue;
    }
    ChatOptions options{
        .add_generation_prompt = data.value("add_generation_prompt", false), .bos_token = {}, .eos_token = {}};
    if (data.contains("bos_token")) options.bos_token = data["bos_token"];
    if (data.contains("eos_token")) options.eos_token = data["eos_token"];
    const Result<std::string> text = render_chat(*family, messages_of(data["messages"]), options);
    REQUIRE_OK(text);
    CHECK(*text == one["target"].get<std::string>());
    std::cout << "covered as " << to_string(*family) << ": " << name << "\n";
    ++n_covered;
  }
  CHECK(n_covered == 2);
}

TEST_CASE("a template is recognised only for sure") {
  const struct {
    std::string_view jinja;
    std::string_view family;
  } cases[] = {
      {"{% for m in messages %}{{'<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n'}}{% endfor %}",
       "chatml"},
      {"{{ bos_token }}'<|im_start|>' '<|im_end|>'", ""},
      {"'<|im_start|>system\\nYou are Foo.<|im_end|>'", ""},
      {"{{ '<start_of_turn>' }} '<end_of_turn>' raise_exception('System role not supported')", "gemma"},
      {"{%- set first_user_prefix = '' %}<start_of_turn> <end_of_turn>", "gemma3"},
      {"'<|im_start|>user<|im_sep|>' '<|im_end|>' add_generation_prompt", "phi4"},
      {"<|start_header_id|> Cutting Knowledge Date strftime_now('%d %b %Y') 26 Jul 2024", ""},
      {"{{ message.content }}", ""},
      {"", ""},
  };
  for (const auto& one : cases) {
    CAPTURE(one.jinja);
    const Result<ChatFamily> family = detect_chat_family(one.jinja);
    if (one.family.empty()) {
      CHECK_ERROR(family, ErrorCode::kUnsupported, "expected that of a known family");
    } else {
      REQUIRE_OK(family);
      CHECK(to_string(*family) == one.family);
    }
  }
}

TEST_CASE("the templates of real models are recognised") {
  const auto path = test::asset("tokenizers/hf/phi-3-mini/tokenizer_config.json");
  if (!path) return;
  const Result<TokenizerConfig> config = parse_tokenizer_config(*read_file(*path), "tokenizer_config.json");
  REQUIRE_OK(config);
  CHECK(config->bos_token == "<s>");
  CHECK(config->eos_token == "<|endoftext|>");
  REQUIRE(config->chat_template);
  CHECK(*detect_chat_family(*config->chat_template) == ChatFamily::kPhi3);
}

TEST_CASE("a tokenizer_config.json may hold tokens as objects and several templates") {
  const Result<TokenizerConfig> config = parse_tokenizer_config(
      R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": null,
          "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]})",
      "c.json");
  REQUIRE_OK(config);
  CHECK(config->bos_token == "<s>");
  CHECK_FALSE(config->eos_token);
  CHECK(config->chat_template == "y");
  CHECK_ERROR(parse_tokenizer_config("[]", "c.json"), ErrorCode::kInvalidInput, "c.json: expected an object");
  CHECK_ERROR(parse_tokenizer_config(R"({"bos_token": 3})", "c.json"), ErrorCode::kInvalidInput, "bos_token");
  CHECK_ERROR(parse_tokenizer_config(R"({"chat_template": 3})", "c.json"), ErrorCode::kInvalidInput, "chat_template");
}

TEST_CASE("the tokenizer's begin-of-text is written by the templates that write one, and by no other") {
  const std::vector<ChatMessage> messages = {{"user", "Hi"}};
  const ChatOptions options{.add_generation_prompt = false, .bos_token = "<B>", .eos_token = {}};
  CHECK(*render_chat(ChatFamily::kChatMl, messages, options) == "<|im_start|>user\nHi<|im_end|>\n");
  CHECK(*render_chat(ChatFamily::kGemma, messages, options) == "<B><start_of_turn>user\nHi<end_of_turn>\n");
  CHECK(*render_chat(ChatFamily::kLlama2, messages, options) == "<B>[INST] Hi [/INST]");
}

TEST_CASE("what a family has no place for is refused with a line") {
  using Messages = std::vector<ChatMessage>;
  const Messages with_system = {{"system", "s"}, {"user", "u"}};
  CHECK_ERROR(render_chat(ChatFamily::kGemma, with_system, true), ErrorCode::kInvalidInput,
              "chat template gemma: message 1: expected role user or assistant, found system");
  CHECK_ERROR(render_chat(ChatFamily::kMistralV1, with_system, true), ErrorCode::kInvalidInput, "found system");
  CHECK_ERROR(render_chat(ChatFamily::kLlama2, Messages{{"user", "a"}, {"user", "b"}}, true), ErrorCode::kInvalidInput,
              "chat template llama2: message 2: expected role assistant, found user");
  CHECK_ERROR(render_chat(ChatFamily::kChatMl, Messages{}, true), ErrorCode::kInvalidInput, "at least one message");
  CHECK_ERROR(render_chat(ChatFamily::kChatMl, Messages{{"tool", "a"}}, true), ErrorCode::kInvalidInput,
              "expected role system, user or assistant, found tool");
  CHECK_ERROR(render_chat(ChatFamily::kChatMl, Messages{{"user", "\xff"}}, true), ErrorCode::kInvalidInput, "UTF-8");
  CHECK_ERROR(chat_family_from_name("vicuna"), ErrorCode::kUnsupported,
              "chat template \"vicuna\": expected one of chatml, qwen2");
  CHECK(*chat_family_from_name("mistral") == ChatFamily::kMistralV1);
}

}  // namespace
}  // namespace secondsource

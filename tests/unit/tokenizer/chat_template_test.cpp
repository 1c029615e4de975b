// Compares chat templates with renderings by other programs: tests/data/tokenizer/chat_cases.json (Jinja2 3.1.6, from
// the published template of each family) and the cases of llama.cpp and huggingface.js among the assets.
#include "tokenizer/chat_template.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"
#include "tokenizer/known_templates.h"
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

TEST_CASE("every recognised template has its own hash and a known family, and every family has a template") {
  std::set<std::string_view> hashes;
  std::set<std::string_view> families;
  for (const tokenizer::KnownTemplate& known : tokenizer::known_templates()) {
    CAPTURE(known.sha256, known.family);
    CHECK(known.sha256.size() == 64);
    CHECK(hashes.insert(known.sha256).second);
    const Result<ChatFamily> family = chat_family_from_name(known.family);
    REQUIRE_OK(family);
    CHECK(to_string(*family) == known.family);
    families.insert(known.family);
  }
  for (int i = 0; to_string(static_cast<ChatFamily>(i)) != "unknown"; ++i) {
    CHECK(families.contains(to_string(static_cast<ChatFamily>(i))));
  }
}

TEST_CASE("the cases of llama.cpp come out as plain Jinja renders them, or their template is not recognised") {
  const auto path = test::asset("chat-templates/llamacpp_chat_template_cases.json");
  if (!path) return;
  const std::map<std::string, std::string> families = {
      {"teknium/OpenHermes-2.5-Mistral-7B", "chatml"},
      {"TheBloke/FusionNet_34Bx2_MoE-AWQ", "llama2-untrimmed"},
      {"Phi-3-small", "phi3-small"},
      {"Phi-3-vision", "phi3-vision"},
      {"Mistral-Large-Instruct-2407 (mistralai 'v3' template; modified to have system prompt at start)", "mistral-v3"},
      {"mistralai/Mistral-Large-Instruct-2411 (mistralai 'v7' template)", "mistral-v7"}};
  const Json file = read_json(*path);
  std::size_t n_recognised = 0;
  for (const Json& one : file["cases"]) {
    const std::string name = one["name"];
    CAPTURE(name);
    const Result<ChatFamily> family = detect_chat_family(one["template_str"].get<std::string>());
    const auto expected = families.find(name);
    if (expected == families.end()) {
      CHECK_ERROR(family, ErrorCode::kUnsupported, "expected exactly that of a known family");
      continue;
    }
    REQUIRE_OK(family);
    CHECK(to_string(*family) == expected->second);
    const Result<std::string> text = render_chat(
        *family, messages_of(file["messages"]),
        ChatOptions{.add_generation_prompt = true, .bos_token = one["bos_token"], .eos_token = one["eos_token"]});
    REQUIRE_OK(text);
    CHECK(*text == one["expected_output_jinja"].get<std::string>());
    ++n_recognised;
  }
  CHECK(n_recognised == families.size());
}

TEST_CASE("the cases of huggingface.js come out the same, or their template is not recognised") {
  const auto path = test::asset("chat-templates/hfjs_jinja_e2e_cases.json");
  if (!path) return;
  const std::map<std::string, std::string> families = {{"TheBloke/Mistral-7B-Instruct-v0.1-GPTQ", "mistral-v0.1"},
                                                       {"meta-llama/Llama-3.1-8B-Instruct", "llama3.1"},
                                                       {"Qwen/Qwen2.5-7B-Instruct", "qwen2.5"},
                                                       {"mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral-v1"}};
  const Json file = read_json(*path);
  int n_rendered = 0;
  for (const auto& [name, one] : file["cases"].items()) {
    CAPTURE(name);
    const std::string jinja = one["chat_template"];
    const Result<ChatFamily> family = detect_chat_family(jinja);
    CHECK_FALSE(detect_chat_family(jinja + " "));
    const auto expected = families.find(name);
    CHECK((family ? std::string(to_string(*family)) : "") == (expected == families.end() ? "" : expected->second));
    const Json& data = one["data"];
    if (!family || data.contains("tools")) continue;
    ChatOptions options{
        .add_generation_prompt = data.value("add_generation_prompt", false), .bos_token = {}, .eos_token = {}};
    if (data.contains("bos_token")) options.bos_token = data["bos_token"];
    if (data.contains("eos_token")) options.eos_token = data["eos_token"];
    const Result<std::string> text = render_chat(*family, messages_of(data["messages"]), options);
    REQUIRE_OK(text);
    CHECK(*text == one["target"].get<std::string>());
    ++n_rendered;
  }
  CHECK(n_rendered == 2);
}

TEST_CASE("a template is recognised by its exact text, and a near relative is not") {
  // The template of this project's bundles, and a near relative that opens an answer after each question.
  constexpr std::string_view kChatMl =
      "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
      "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
  constexpr std::string_view kRelative =
      "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
      "'\n' }}{% if message['role'] == 'user' %}{{ '<|im_start|>assistant\n' }}{% endif %}{% endfor %}";
  CHECK(*detect_chat_family(kChatMl) == ChatFamily::kChatMl);
  for (const std::string& jinja :
       {std::string(kRelative), std::string(kChatMl) + "\n", std::string(kChatMl.substr(1)), std::string()}) {
    CHECK_ERROR(detect_chat_family(jinja), ErrorCode::kUnsupported, "expected exactly that of a known family");
  }
  CHECK_ERROR(detect_chat_family(""), ErrorCode::kUnsupported,
              "(SHA-256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855)");
}

TEST_CASE("the template of Phi-3-mini is recognised") {
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

// Compares the named templates with renderings by Jinja2 3.1.6 of the template that each family's models publish:
// tests/data/tokenizer/chat_cases.json.
#include "chat/named_templates.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "chat/chat_template.h"
#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

using Json = nlohmann::ordered_json;

ChatTemplate named(const std::string& name, std::map<std::string, std::string, std::less<>> tokens = {}) {
  const Result<std::string_view> text = named_chat_template(name);
  REQUIRE_OK(text);
  Result<ChatTemplate> chat = ChatTemplate::parse({.templates = {{"default", std::string(*text)}},
                                                   .special_tokens = std::move(tokens),
                                                   .name = "chat template " + name});
  REQUIRE_OK(chat);
  return *std::move(chat);
}

TEST_CASE("every named template renders what the published template of its models renders") {
  const Result<std::string> text = read_file(test::data_file("tokenizer/chat_cases.json"));
  REQUIRE_OK(text);
  const Json file = Json::parse(*text);
  REQUIRE(file["cases"].size() > 200);
  std::set<std::string> seen;
  for (const Json& one : file["cases"]) {
    const std::string family = one["family"];
    CAPTURE(family, one["messages"].dump(), one["add_generation_prompt"].get<bool>());
    seen.insert(family);
    std::vector<ChatMessage> messages;
    for (const Json& message : one["messages"]) messages.push_back({message["role"], message["content"]});
    const Result<std::string> found = named(family).render(messages, one["add_generation_prompt"].get<bool>());
    if (one.contains("refused")) {
      CHECK_FALSE(found);
      continue;
    }
    REQUIRE_OK(found);
    CHECK(*found == one["text"].get<std::string>());
  }
  std::size_t n_files = 0;
  for (const auto& file_entry : std::filesystem::directory_iterator(test::source_path("lib/chat/templates"))) {
    CAPTURE(file_entry.path().string());
    CHECK(seen.contains(file_entry.path().stem().string()));
    ++n_files;
  }
  CHECK(n_files == seen.size());
}

TEST_CASE("the tokenizer's begin-of-text is written by the templates that write one, and by no other") {
  const std::vector<ChatMessage> messages = {{"user", "Hi"}};
  const std::map<std::string, std::string, std::less<>> tokens = {{"bos_token", "<B>"}};
  CHECK(*named("chatml", tokens).render(messages, false) == "<|im_start|>user\nHi<|im_end|>\n");
  CHECK(*named("gemma", tokens).render(messages, false) == "<B><start_of_turn>user\nHi<end_of_turn>\n");
  CHECK(*named("llama2", tokens).render(messages, false) == "<B>[INST] Hi [/INST]");
}

TEST_CASE("what a named template has no place for is refused with a line") {
  using Messages = std::vector<ChatMessage>;
  const Messages with_system = {{"system", "s"}, {"user", "u"}};
  CHECK_ERROR(named("gemma").render(with_system), ErrorCode::kInvalidInput, "expected role user, found system");
  CHECK_ERROR(named("mistral-v1").render(with_system), ErrorCode::kInvalidInput, "found system");
  CHECK_ERROR(named("llama2").render(Messages{{"user", "a"}, {"user", "b"}}), ErrorCode::kInvalidInput,
              "expected role assistant, found user");
  CHECK_ERROR(named("chatml").render(Messages{{"tool", "a"}}), ErrorCode::kInvalidInput,
              "expected role system, user or assistant, found tool");
  CHECK_ERROR(named_chat_template("vicuna"), ErrorCode::kUnsupported,
              "chat template \"vicuna\": expected one of chatml, gemma");
  CHECK(*named_chat_template("mistral") == *named_chat_template("mistral-v1"));
}

}  // namespace
}  // namespace secondsource

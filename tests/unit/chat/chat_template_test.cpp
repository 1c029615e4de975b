// Tests the variables that are passed to a template; the expected values are what transformers 5.23 passes.
#include "chat/chat_template.h"

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

using Json = nlohmann::ordered_json;

ChatTemplate parsed(ChatTemplateSource source) {
  source.name = "t";
  Result<ChatTemplate> chat = ChatTemplate::parse(source);
  REQUIRE_OK(chat);
  return *std::move(chat);
}

TEST_CASE("a template sees messages, tools, documents, the generation prompt and the special tokens") {
  const ChatTemplate chat =
      parsed({.templates = {{"default",
                             "{{ bos_token }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}"
                             "{{ pad_token is defined }}{{ messages | tojson }}"}},
              .special_tokens = {{"bos_token", "<s>"}},
              .name = {}});
  const std::vector<ChatMessage> messages = {{"user", "Hi"}};
  CHECK(*chat.render(messages) == R"(<s>TrueTrueTrueFalse[{"role": "user", "content": "Hi"}])");
  CHECK(*chat.render(messages, false) == R"(<s>TrueTrueFalseFalse[{"role": "user", "content": "Hi"}])");
}

TEST_CASE("keys of a message that are null are left out, and reasoning has all of its names") {
  const ChatTemplate chat =
      parsed({.templates = {{"default", "{{ messages[0] | tojson }}"}}, .special_tokens = {}, .name = {}});
  const Json conversation = Json::parse(
      R"({"messages": [{"role": "assistant", "content": null, "tool_calls": [], "reasoning": "hm", "z": 1, "a": 2}]})");
  const Result<std::string> text = chat.render(conversation, false);
  REQUIRE_OK(text);
  CHECK(
      *text ==
      R"({"thinking": "hm", "role": "assistant", "tool_calls": [], "reasoning": "hm", "z": 1, "a": 2, "reasoning_content": "hm"})");
}

TEST_CASE("tools choose the template tool_use, if there is one") {
  const ChatTemplate both = parsed(
      {.templates = {{"default", "plain"}, {"tool_use", "{{ tools[0].name }}"}}, .special_tokens = {}, .name = {}});
  Json conversation = {{"messages", Json::array({{{"role", "user"}, {"content", "x"}}})}};
  CHECK(*both.render(conversation, true) == "plain");
  conversation["tools"] = Json::array({{{"name", "f"}}});
  CHECK(*both.render(conversation, true) == "f");
  const ChatTemplate one =
      parsed({.templates = {{"default", "plain {{ tools | length }}"}}, .special_tokens = {}, .name = {}});
  CHECK(*one.render(conversation, true) == "plain 1");
}

TEST_CASE("the day is fixed, so that a prompt has the same ids every day") {
  const ChatTemplateSource source{
      .templates = {{"default", "{{ strftime_now('%Y-%m-%d') }}"}}, .special_tokens = {}, .name = {}};
  const std::vector<ChatMessage> messages = {{"user", "x"}};
  CHECK(*parsed(source).render(messages) == "2024-07-26");
  ChatTemplateSource later = source;
  later.date = "2026-11-22";
  CHECK(*parsed(later).render(messages) == "2026-11-22");
}

TEST_CASE("what cannot be rendered is one line") {
  CHECK_ERROR(ChatTemplate::parse({.templates = {{"rag", "x"}}, .special_tokens = {}, .name = "t"}),
              ErrorCode::kInvalidInput, "t: expected a chat template named default, found others only");
  CHECK_ERROR(ChatTemplate::parse({.templates = {{"default", "{{ x"}}, .special_tokens = {}, .name = "t"}),
              ErrorCode::kInvalidInput, "t: line 1: ");
  const ChatTemplate chat = parsed({.templates = {{"default", "x"}}, .special_tokens = {}, .name = {}});
  CHECK_ERROR(chat.render(std::vector<ChatMessage>{}), ErrorCode::kInvalidInput, "t: expected at least one message");
  CHECK_ERROR(chat.render(std::vector<ChatMessage>{{"user", "\xff"}}), ErrorCode::kInvalidInput,
              "message 1: expected UTF-8");
}

}  // namespace
}  // namespace secondsource

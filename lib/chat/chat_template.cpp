#include "chat/chat_template.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::ordered_json;

/// The reasoning of a message under any of its names; nullptr without one.
const Json* reasoning_of(const Json& message) {
  constexpr std::array<const char*, 3> kNames = {"reasoning_content", "thinking", "reasoning"};
  for (const char* name : kNames) {
    const auto found = message.find(name);
    if (found != message.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

/// A message as transformers hands it to a template: without keys that are null, and with its reasoning under all names
/// that templates read, in this order of the keys.
Json prepared(const Json& message) {
  const Json* reasoning = reasoning_of(message);
  Json result = Json::object();
  if (reasoning != nullptr) result["thinking"] = *reasoning;
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) result[key] = value;
  }
  if (reasoning != nullptr) result["reasoning_content"] = *reasoning;
  return result;
}

}  // namespace

ChatTemplate::ChatTemplate(ChatTemplateSource source, jinja::Template text, std::optional<jinja::Template> with_tools)
    : special_tokens_(std::move(source.special_tokens)),
      name_(std::move(source.name)),
      date_(std::move(source.date)),
      default_(std::move(text)),
      with_tools_(std::move(with_tools)) {}

Result<ChatTemplate> ChatTemplate::parse(const ChatTemplateSource& source) {
  const auto found = source.templates.find("default");
  if (found == source.templates.end()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a chat template named default, found others only", source.name)};
  }
  SS_TRY(jinja::Template text, jinja::Template::parse(found->second, source.name));
  std::optional<jinja::Template> with_tools;
  if (const auto tools = source.templates.find("tool_use"); tools != source.templates.end()) {
    SS_TRY(with_tools, jinja::Template::parse(tools->second, source.name + " (tool_use)"));
  }
  return ChatTemplate(source, std::move(text), std::move(with_tools));
}

Result<std::string> ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  Json list = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (find_invalid_utf8(messages[i].role) || find_invalid_utf8(messages[i].content)) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: message {}: expected UTF-8", name_, i + 1)};
    }
    list.push_back({{"role", messages[i].role}, {"content", messages[i].content}});
  }
  return render(Json{{"messages", std::move(list)}}, add_generation_prompt);
}

Result<std::string> ChatTemplate::render(const Json& conversation, bool add_generation_prompt) const {
  const auto messages = conversation.find("messages");
  const bool has_messages = messages != conversation.end() && messages->is_array() && !messages->empty();
  if (!has_messages) return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected at least one message", name_)};
  Json variables = Json::object();
  for (const auto& [key, text] : special_tokens_) variables[key] = text;
  variables["messages"] = Json::array();
  for (const Json& message : *messages) {
    if (!message.is_object())
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected messages as objects", name_)};
    variables["messages"].push_back(prepared(message));
  }
  variables["tools"] = conversation.value("tools", Json());
  variables["documents"] = conversation.value("documents", Json());
  variables["add_generation_prompt"] = add_generation_prompt;
  const bool has_tools = !variables["tools"].is_null();
  const jinja::Template& chosen = has_tools && with_tools_ ? *with_tools_ : default_;
  return chosen.render(variables, {.date = date_});
}

}  // namespace secondsource

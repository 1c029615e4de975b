#pragma once
// Renders a conversation as the text on which a model was trained, with the Jinja template of the model, as transformers'
// apply_chat_template does. The text contains special tokens as text ("<|im_start|>"), so encode it with parse_special
// and without add_special_tokens.
//
//   SS_TRY(const ChatTemplate chat, ChatTemplate::parse({.templates = {{"default", jinja}}, .name = "chat_template.jinja"}));
//   SS_TRY(const std::string text, chat.render(messages));

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "chat/message.h"
#include "core/result.h"
#include "jinja/template.h"

namespace secondsource {

/// The day that a template takes for today if a bundle names none, so that ids do not change from day to day. It is the
/// default of Llama 3.1's own template.
inline constexpr std::string_view kDefaultChatDate = "2024-07-26";

/// The parts that a model provides: its templates by name, and the texts of its special tokens.
struct ChatTemplateSource {
  std::map<std::string, std::string, std::less<>> templates;       ///< "default" and others, such as "tool_use"
  std::map<std::string, std::string, std::less<>> special_tokens;  ///< variables: "bos_token", "eos_token", ...
  std::string name;                                                ///< of the file, for messages
  std::string date = std::string(kDefaultChatDate);                ///< YYYY-MM-DD, for strftime_now
};

class ChatTemplate {
 public:
  /// Errors: kInvalidInput, kUnsupported with the line of the template.
  static Result<ChatTemplate> parse(const ChatTemplateSource& source);

  /// The text of a conversation; with `add_generation_prompt` it ends with the beginning of an answer. Errors:
  /// kInvalidInput without messages and where the template refuses the conversation.
  Result<std::string> render(std::span<const ChatMessage> messages, bool add_generation_prompt = true) const;

  /// The same for {"messages": [...], "tools": [...], "documents": [...]} as apply_chat_template takes them: with tools
  /// the template "tool_use" is used if there is one; keys of messages that are null count as absent.
  Result<std::string> render(const nlohmann::ordered_json& conversation, bool add_generation_prompt) const;

 private:
  ChatTemplate(ChatTemplateSource source, jinja::Template text, std::optional<jinja::Template> with_tools);

  std::map<std::string, std::string, std::less<>> special_tokens_;
  std::string name_;
  std::string date_;
  jinja::Template default_;
  std::optional<jinja::Template> with_tools_;
};

}  // namespace secondsource

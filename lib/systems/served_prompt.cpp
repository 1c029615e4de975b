#include "systems/served_prompt.h"

#include <string>
#include <vector>

#include "serving/preset.h"

namespace secondsource {
namespace {

std::string joined(const std::vector<std::string>& texts) {
  std::string whole;
  for (const std::string& text : texts) whole += text;
  return whole;
}

std::vector<std::pair<std::string, std::string>> messages_of(const EncodedPrompt& prompt) {
  std::vector<std::pair<std::string, std::string>> messages;
  for (const ChatMessage& message : prompt.messages) messages.emplace_back(message.role, message.content);
  return messages;
}

/// A text from which a tokenizer that adds its special tokens makes these ids: `text`, or `text` without the
/// begin-of-text token at its beginning; nullopt if neither does.
std::optional<std::string> text_for(const std::vector<std::int32_t>& ids, std::string text,
                                    const Tokenizer& tokenizer) {
  const auto fits = [&](const std::string& candidate) {
    const auto encoded = tokenizer.encode(candidate, {.add_special_tokens = true});
    return encoded && *encoded == ids;
  };
  if (fits(text)) return text;
  const auto bos = tokenizer.bos_id();
  const auto token = bos ? tokenizer.token(*bos) : std::nullopt;
  if (!token || !text.starts_with(*token)) return std::nullopt;
  text.erase(0, token->size());
  return fits(text) ? std::optional(text) : std::nullopt;
}

/// The text of each part of a conversation. Each part is decoded separately, so that the text of every turn begins with
/// that of the turn before, even if a part ends within a character.
std::vector<std::string> texts_of_parts(const TimedRequest& request, const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  std::int32_t begin = 0;
  for (const std::int32_t end : request.part_ends) {
    const std::vector<std::int32_t> part(request.ids.begin() + begin, request.ids.begin() + end);
    texts.push_back(tokenizer.decode(part, {.skip_special = true}));
    begin = end;
  }
  return texts;
}

/// The parts are alternately questions of the user and answers of the assistant.
std::vector<std::pair<std::string, std::string>> messages_of(const std::vector<std::string>& parts) {
  std::vector<std::pair<std::string, std::string>> messages;
  for (const std::string& part : parts) messages.emplace_back(messages.size() % 2 == 0 ? "user" : "assistant", part);
  return messages;
}

}  // namespace

std::optional<ServedPrompt> exact_prompt(const EncodedPrompt& prompt, const ServedSystem& system,
                                         const Tokenizer* tokenizer) {
  if (system.api == ServedApi::kChat) {
    // The chat API has no place for a document before the messages.
    if (prompt.messages.empty() || !prompt.document.empty()) return std::nullopt;
    return ServedPrompt{.ids = {}, .text = {}, .messages = messages_of(prompt)};
  }
  if (facts_of(system.preset).takes_ids) return ServedPrompt{.ids = prompt.ids, .text = joined(prompt.texts)};
  const bool is_all_text = prompt.n_text_ids == static_cast<std::int64_t>(prompt.ids.size());
  if (tokenizer == nullptr || !is_all_text) return std::nullopt;
  auto text = text_for(prompt.ids, joined(prompt.texts), *tokenizer);
  if (!text) return std::nullopt;
  return ServedPrompt{.ids = {}, .text = *std::move(text)};
}

Result<ServedPrompt> nearest_prompt(const TimedRequest& request, const ServedSystem& system,
                                    const Tokenizer* tokenizer) {
  if (request.prompt != nullptr) {
    if (auto exact = exact_prompt(*request.prompt, system, tokenizer)) return *std::move(exact);
  }
  const bool takes_ids = system.api == ServedApi::kCompletions && facts_of(system.preset).takes_ids;
  if (takes_ids && request.texts.empty()) return ServedPrompt{.ids = request.ids, .text = {}};
  std::string text = joined(request.texts);
  if (!request.ids.empty()) {
    if (tokenizer == nullptr) {
      return Error{
          ErrorCode::kInvalidInput,
          "a prompt of ids: the server takes text alone, and the bundle has no tokenizer to make text of them"};
    }
    if (!request.part_ends.empty()) {
      const std::vector<std::string> parts = texts_of_parts(request, *tokenizer);
      if (system.api == ServedApi::kChat) return ServedPrompt{.ids = {}, .text = {}, .messages = messages_of(parts)};
      return ServedPrompt{.ids = {}, .text = joined(parts)};
    }
    text += tokenizer->decode(request.ids, {.skip_special = true});
  }
  if (system.api == ServedApi::kChat) return ServedPrompt{.ids = {}, .text = {}, .messages = {{"user", text}}};
  return ServedPrompt{.ids = {}, .text = std::move(text)};
}

}  // namespace secondsource

#pragma once
// Conversations, and the families of chat templates that this project renders by name (tokenizer/chat_template.h). A
// family is one exact text format: two versions of a model line whose formats differ by a space are two families.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

struct ChatMessage {
  std::string role;  ///< system, user or assistant
  std::string content;
};

enum class ChatFamily : std::uint8_t {
  kChatMl,           ///< "chatml"
  kQwen2,            ///< "qwen2": ChatML with a default system turn if the conversation has none
  kQwen25,           ///< "qwen2.5": as qwen2 with another default text
  kQwen3,            ///< "qwen3": ChatML; thoughts in earlier turns are dropped, those in later turns are marked
  kSmolLm2,          ///< "smollm2": ChatML with a default system turn
  kLlama2,           ///< "llama2": [INST] <<SYS>>, all texts trimmed
  kLlama2Untrimmed,  ///< "llama2-untrimmed": nothing trimmed, no begin-of-text before the first turn
  kLlama3,           ///< "llama3"
  kLlama31,          ///< "llama3.1": with a system turn that contains dates
  kMistralV01,       ///< "mistral-v0.1": a space after each end-of-text
  kMistralV1,        ///< "mistral-v1": Mixtral 8x7B and Mistral 7B before v0.3
  kMistralV3,        ///< "mistral-v3": the system text goes into the last user turn
  kMistralV3Tekken,  ///< "mistral-v3-tekken": as mistral-v3 without spaces after [INST]
  kMistralV7,        ///< "mistral-v7": [SYSTEM_PROMPT]
  kGemma,            ///< "gemma": Gemma 1 and 2, no system turn
  kGemma3,           ///< "gemma3": the system text goes into the first user turn
  kPhi3,             ///< "phi3"
  kPhi35,            ///< "phi3.5": as phi3, but an empty system message is left out
  kPhi3Small,        ///< "phi3-small": as phi3 with a begin-of-text token in front
  kPhi3Vision,       ///< "phi3-vision": as phi3, but nothing follows a conversation that ends with an answer
  kPhi4,             ///< "phi4": ChatML with <|im_sep|>
  kPhi4Mini,         ///< "phi4-mini": as phi3 without line ends
};

/// The family's name as above, as manifests write it.
[[nodiscard]] std::string_view to_string(ChatFamily family);

/// The family with this name; "mistral", "phi" and "qwen" mean mistral-v1, phi3 and qwen2.5.
/// Errors: kUnsupported with the known names.
Result<ChatFamily> chat_family_from_name(std::string_view name);

/// The family of a Jinja template (the chat_template of a tokenizer_config.json, or a chat_template.jinja), which must be
/// exactly one of those in chat_templates.json: a near relative may differ in a word that changes every prompt. Errors:
/// kUnsupported for any other text, naming its SHA-256.
Result<ChatFamily> detect_chat_family(std::string_view jinja_template);

}  // namespace secondsource

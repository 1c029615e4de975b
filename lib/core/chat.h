#pragma once
// Conversations, and the families of chat templates that this project renders by name (lib/tokenizer/chat_template.h).
// A family is one exact text format: two versions of one model line that differ by a space are two families.

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
  kQwen2,            ///< "qwen2": ChatML with a system turn of its own where there is none
  kQwen25,           ///< "qwen2.5": the same with another text
  kQwen3,            ///< "qwen3": ChatML; thoughts of earlier turns are dropped, later ones are marked
  kSmolLm2,          ///< "smollm2": ChatML with a system turn of its own
  kLlama2,           ///< "llama2": [INST] <<SYS>>, everything trimmed
  kLlama2Untrimmed,  ///< "llama2-untrimmed": nothing trimmed, no begin-of-text before the first turn
  kLlama3,           ///< "llama3"
  kLlama31,          ///< "llama3.1": with its system turn of dates
  kMistralV01,       ///< "mistral-v0.1": a space after each end-of-text
  kMistralV1,        ///< "mistral-v1": Mixtral 8x7B and Mistral 7B before v0.3
  kMistralV3,        ///< "mistral-v3": the system text goes into the last user turn
  kMistralV3Tekken,  ///< "mistral-v3-tekken": the same without spaces after [INST]
  kMistralV7,        ///< "mistral-v7": [SYSTEM_PROMPT]
  kGemma,            ///< "gemma": Gemma 1 and 2, no system turn
  kGemma3,           ///< "gemma3": the system text goes into the first user turn
  kPhi3,             ///< "phi3": Phi-3 and 3.5
  kPhi3Small,        ///< "phi3-small": the same after a begin-of-text
  kPhi4,             ///< "phi4": ChatML with <|im_sep|>
  kPhi4Mini,         ///< "phi4-mini": Phi-3's without line ends
};

/// The name above, as a manifest writes it.
[[nodiscard]] std::string_view to_string(ChatFamily family);

/// The family of a name; "mistral", "phi" and "qwen" are taken for mistral-v1, phi3 and qwen2.5.
/// Errors: kUnsupported with the known names.
Result<ChatFamily> chat_family_from_name(std::string_view name);

/// The family whose Jinja template this is (the chat_template of a tokenizer_config.json), by texts that only that
/// family's templates have. Errors: kUnsupported for a template that is none of them for sure: a wrong guess would
/// change every prompt in silence.
Result<ChatFamily> detect_chat_family(std::string_view jinja_template);

}  // namespace secondsource

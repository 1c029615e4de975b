#pragma once
// Conversations as the text that a model was trained on, by the name of the template's family (core/chat.h). The text
// holds special tokens as they are written ("<|im_start|>"): encode it with parse_special and without
// add_special_tokens.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/chat.h"
#include "core/result.h"

namespace secondsource {

struct ChatOptions {
  /// Ends with what begins an answer.
  bool add_generation_prompt = true;
  /// What the template writes for bos_token and eos_token; absent: the family's usual ones, for example "<s>" and
  /// "</s>".
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
};

/// The text of a conversation. Errors: kInvalidInput for no messages, an unknown role, a role out of turn, or a system
/// message where the family has no place for one.
Result<std::string> render_chat(ChatFamily family, std::span<const ChatMessage> messages, const ChatOptions& options);

/// The same with the family's usual tokens.
Result<std::string> render_chat(ChatFamily family, std::span<const ChatMessage> messages, bool add_generation_prompt);

}  // namespace secondsource

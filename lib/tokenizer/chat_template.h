#pragma once
// Renders a conversation as the text on which a model was trained, by the name of its template family
// (tokenizer/chat.h). The text contains special tokens as text ("<|im_start|>"), so encode it with parse_special and
// without add_special_tokens.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "tokenizer/chat.h"

namespace secondsource {

struct ChatOptions {
  /// Ends the text with the beginning of an answer.
  bool add_generation_prompt = true;
  /// The texts for bos_token and eos_token in the template; absent: the family's usual ones, for example "<s>" and
  /// "</s>".
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
};

/// The text of a conversation. Errors: kInvalidInput if there are no messages, for an unknown role, a role out of turn,
/// or a system message in a family that has no place for one.
Result<std::string> render_chat(ChatFamily family, std::span<const ChatMessage> messages, const ChatOptions& options);

/// Does the same with the family's usual tokens.
Result<std::string> render_chat(ChatFamily family, std::span<const ChatMessage> messages, bool add_generation_prompt);

}  // namespace secondsource

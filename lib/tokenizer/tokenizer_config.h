#pragma once
// The contents of tokenizer_config.json and special_tokens_map.json that complement tokenizer.json: the texts of the
// special tokens and the chat templates.

#include <map>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// The file beside tokenizer_config.json in which transformers writes a chat template since its version 4.51. If it
/// exists, it takes precedence.
inline constexpr std::string_view kChatTemplateFile = "chat_template.jinja";
/// The folder beside it for further templates, NAME.jinja.
inline constexpr std::string_view kMoreChatTemplates = "additional_chat_templates";

struct TokenizerConfig {
  /// Texts by name: bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token.
  std::map<std::string, std::string, std::less<>> special_tokens;
  /// Jinja by name; a single template is "default".
  std::map<std::string, std::string, std::less<>> chat_templates;
};

/// Reads the text of a tokenizer_config.json, or of a special_tokens_map.json or chat_template.json, which have some of its
/// keys. Errors: kInvalidInput.
Result<TokenizerConfig> parse_tokenizer_config(std::string_view json_text, std::string_view name_for_messages);

}  // namespace secondsource

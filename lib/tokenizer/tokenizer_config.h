#pragma once
// What tokenizer_config.json says beside tokenizer.json: the names of the special tokens and the chat template.

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> chat_template;  ///< Jinja; of several named ones that of the name "default"
};

/// Reads the text of a tokenizer_config.json. Errors: kInvalidInput.
Result<TokenizerConfig> parse_tokenizer_config(std::string_view json_text, std::string_view name_for_messages);

}  // namespace secondsource

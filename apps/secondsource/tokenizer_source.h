#pragma once
// A tokenizer with its chat template from whatever a person points at: a bundle (folder or zip), a Hugging Face folder,
// a tokenizer.json, or a GGUF file.

#include <filesystem>
#include <optional>
#include <string>

#include "command.h"
#include "core/chat.h"
#include "core/result.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

struct TokenizerSource {
  Tokenizer tokenizer;
  std::optional<ChatFamily>
      chat_family;                       ///< what the manifest names, or what the model's own template is recognised as
  std::string no_chat_reason;            ///< why there is no chat_family
  std::optional<std::string> bos_token;  ///< as tokenizer_config.json names them
  std::optional<std::string> eos_token;
};

/// Errors: kInvalidInput for a path with no tokenizer; those of the readers.
Result<TokenizerSource> open_tokenizer(const std::filesystem::path& path, CommandContext& context);

}  // namespace secondsource

#pragma once
// Opens a tokenizer with its chat template from any supported source: a bundle (folder or zip), a Hugging Face folder,
// a tokenizer.json, or a GGUF file.

#include <filesystem>
#include <optional>
#include <string>

#include "command.h"
#include "core/result.h"
#include "tokenizer/chat.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

struct TokenizerSource {
  Tokenizer tokenizer;
  std::optional<ChatFamily> chat_family;  ///< named by the manifest, or recognised from the model's own template
  std::string no_chat_reason;             ///< why there is no chat_family
  std::optional<std::string> bos_token;   ///< as named in tokenizer_config.json
  std::optional<std::string> eos_token;
};

/// Errors: kInvalidInput for a path without a tokenizer; those of the readers.
Result<TokenizerSource> open_tokenizer(const std::filesystem::path& path, CommandContext& context);

}  // namespace secondsource

#pragma once
// Opens a tokenizer with its chat template from any supported source: a bundle (folder or zip), a Hugging Face folder,
// a tokenizer.json, or a GGUF file.

#include <filesystem>
#include <optional>
#include <string>

#include "chat/chat_template.h"
#include "command.h"
#include "core/result.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

struct TokenizerSource {
  Tokenizer tokenizer;
  /// The template that the manifest names, or the model's own. Its special tokens are filled in even if there is no
  /// template.
  ChatTemplateSource chat;
};

/// `named` is a path, or an installed bundle as bundle_path() takes it. Errors: kInvalidInput for a path without a
/// tokenizer; those of the readers.
Result<TokenizerSource> open_tokenizer(const std::filesystem::path& named, CommandContext& context);

}  // namespace secondsource

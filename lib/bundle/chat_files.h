#pragma once
// The chat templates and special tokens of a model folder, read from the files in which transformers looks for them.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_template.h"
#include "core/result.h"

namespace secondsource {

/// How the files of a folder are read: nullopt for a file that is not there.
using ChatFileReader = std::function<Result<std::optional<std::string>>(std::string_view path)>;

/// Reads the files with these names, relative to a folder that may hold other things.
[[nodiscard]] ChatFileReader reader_of(const std::filesystem::path& folder);
/// The files additional_chat_templates/*.jinja of a folder, sorted. Errors: kIo.
Result<std::vector<std::string>> more_template_files(const std::filesystem::path& folder);

/// The texts of the special tokens by name: tokenizer_config.json, and for what it lacks special_tokens_map.json.
/// Errors: kInvalidInput, kIo.
Result<std::map<std::string, std::string, std::less<>>> special_tokens(const ChatFileReader& read,
                                                                       const std::string& folder_name);

/// The model's own templates: chat_template.jinja with `more_files`; without them the chat_template of
/// tokenizer_config.json; without it that of chat_template.json. `templates` is empty if there is none.
/// Errors: kInvalidInput, kIo.
Result<ChatTemplateSource> model_chat_templates(const ChatFileReader& read, const std::vector<std::string>& more_files,
                                                const std::string& folder_name);

}  // namespace secondsource

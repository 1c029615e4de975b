#include "bundle/chat_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/file.h"
#include "core/folder.h"
#include "core/utf8.h"
#include "tokenizer/tokenizer_config.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
constexpr std::string_view kSpecialTokensMap = "special_tokens_map.json";
constexpr std::string_view kProcessorTemplate = "chat_template.json";
constexpr std::string_view kJinja = ".jinja";

/// The contents of one of the JSON files; empty if it is not there.
Result<TokenizerConfig> read_config(const ChatFileReader& read, std::string_view file, const std::string& folder_name) {
  SS_TRY(const std::optional<std::string> text, read(file));
  if (!text) return TokenizerConfig();
  return parse_tokenizer_config(*text, fmt::format("{}/{}", folder_name, file));
}

}  // namespace

ChatFileReader reader_of(const fs::path& folder) {
  return [folder](std::string_view path) -> Result<std::optional<std::string>> {
    if (!path_exists(folder / path)) return std::optional<std::string>();
    SS_TRY(std::string text, read_file(folder / path));
    return std::optional(std::move(text));
  };
}

Result<std::vector<std::string>> more_template_files(const fs::path& folder) {
  std::vector<std::string> files;
  const fs::path more = folder / kMoreChatTemplates;
  std::error_code ignored;
  if (!fs::is_directory(more, ignored)) return files;
  SS_TRY(const std::vector<fs::path> found, list_files_below(more));
  for (const fs::path& file : found) {
    if (file.extension() != kJinja || file.parent_path() != more || find_invalid_utf8(file.string())) continue;
    files.push_back(file.lexically_relative(folder).generic_string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Result<std::map<std::string, std::string, std::less<>>> special_tokens(const ChatFileReader& read,
                                                                       const std::string& folder_name) {
  SS_TRY(TokenizerConfig config, read_config(read, kTokenizerConfig, folder_name));
  SS_TRY(TokenizerConfig map, read_config(read, kSpecialTokensMap, folder_name));
  config.special_tokens.merge(map.special_tokens);
  return std::move(config.special_tokens);
}

Result<ChatTemplateSource> model_chat_templates(const ChatFileReader& read, const std::vector<std::string>& more_files,
                                                const std::string& folder_name) {
  ChatTemplateSource source;
  SS_TRY(source.special_tokens, special_tokens(read, folder_name));
  source.name = fmt::format("{}/{}", folder_name, kChatTemplateFile);
  SS_TRY(const std::optional<std::string> file, read(kChatTemplateFile));
  if (file) source.templates["default"] = *file;
  for (const std::string& path : more_files) {
    SS_TRY(const std::optional<std::string> text, read(path));
    if (text) source.templates[fs::path(path).stem().string()] = *text;
  }
  for (const std::string_view json : {kTokenizerConfig, kProcessorTemplate}) {
    if (!source.templates.empty()) break;
    SS_TRY(TokenizerConfig config, read_config(read, json, folder_name));
    source.templates = std::move(config.chat_templates);
    source.name = fmt::format("{}/{}: chat_template", folder_name, json);
  }
  return source;
}

}  // namespace secondsource

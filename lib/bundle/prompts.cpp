#include "bundle/prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "bundle/model_config.h"
#include "bundle/relative_path.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/utf8.h"
#include "core/yaml.h"

namespace secondsource {
namespace {

constexpr std::array<std::string_view, 8> kKindNames = {"short-chat",   "multi-turn",   "code",      "rag",
                                                        "long-context", "unanswerable", "streaming", "scripts"};
constexpr std::int64_t kMaxNewTokens = 1 << 20;
constexpr std::size_t kMaxPrompts = 10'000;
constexpr std::int64_t kMaxDocumentBytes = std::int64_t{16} << 20;

Result<PromptKind> parse_kind(const YamlNode& prompt) {
  SS_TRY(const YamlNode node, prompt.at("kind"));
  SS_TRY(const std::string name, node.as_string());
  const auto found = std::find(kKindNames.begin(), kKindNames.end(), name);
  if (found == kKindNames.end()) return node.mismatch("a kind of prompt (short-chat, code, ...)");
  return static_cast<PromptKind>(found - kKindNames.begin());
}

/// Reads an id or a tag, which becomes a word on the command line and a key in results.
Result<std::string> parse_word(const YamlNode& node) {
  SS_TRY(std::string word, node.as_string());
  const bool is_word = !word.empty() && word.size() <= 100 && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
  if (!is_word) return node.mismatch("a word of letters, digits, '-', '_' and '.'");
  return word;
}

Result<std::vector<ChatMessage>> parse_messages(const YamlNode& node) {
  SS_TRY(const std::vector<YamlNode> entries, node.as_list());
  if (entries.empty()) return node.mismatch("at least one message");
  std::vector<ChatMessage> messages;
  for (const YamlNode& entry : entries) {
    SS_TRY_VOID(entry.expect_keys({"role", "content"}));
    ChatMessage message;
    SS_TRY(message.role, entry.string("role"));
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      return entry.at("role")->mismatch("system, user or assistant");
    }
    SS_TRY(message.content, entry.string("content"));
    messages.push_back(std::move(message));
  }
  return messages;
}

Result<std::vector<std::int32_t>> parse_ids(const YamlNode& node) {
  SS_TRY(const std::vector<YamlNode> entries, node.as_list());
  if (entries.empty()) return node.mismatch("at least one token id");
  std::vector<std::int32_t> ids;
  ids.reserve(entries.size());
  for (const YamlNode& entry : entries) {
    SS_TRY(const std::int64_t id, entry.as_integer(0, kMaxTokenId));
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

Result<PromptContent> parse_content(const YamlNode& node) {
  const auto messages = node.find("messages");
  const auto text = node.find("text");
  const auto ids = node.find("ids");
  if (messages.has_value() + text.has_value() + ids.has_value() != 1) {
    return node.fault("expected one of \"messages\", \"text\" and \"ids\"");
  }
  if (messages) {
    SS_TRY(std::vector<ChatMessage> value, parse_messages(*messages));
    return PromptContent(std::move(value));
  }
  if (ids) {
    SS_TRY(std::vector<std::int32_t> value, parse_ids(*ids));
    return PromptContent(std::move(value));
  }
  SS_TRY(std::string value, text->as_string());
  return PromptContent(std::move(value));
}

Result<GoldenPrompt> parse_prompt(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys(
      {"id", "tags", "kind", "messages", "text", "ids", "document", "max_new_tokens", "answer", "stream"}));
  GoldenPrompt prompt;
  SS_TRY(const YamlNode id, node.at("id"));
  SS_TRY(prompt.id, parse_word(id));
  SS_TRY(const std::vector<YamlNode> tags, node.list("tags"));
  for (const YamlNode& tag : tags) {
    SS_TRY(std::string word, parse_word(tag));
    prompt.tags.push_back(std::move(word));
  }
  SS_TRY(prompt.kind, parse_kind(node));
  SS_TRY(prompt.content, parse_content(node));
  if (const auto document = node.find("document")) {
    SS_TRY(prompt.document, parse_word(*document));
  }
  SS_TRY(prompt.max_new_tokens, node.integer("max_new_tokens", 1, kMaxNewTokens));
  if (const auto answer = node.find("answer")) {
    SS_TRY(prompt.answer, answer->as_string());
  }
  SS_TRY(prompt.stream, node.boolean_or("stream", false));
  return prompt;
}

Result<std::string> parse_document_text(const YamlNode& node, const DocumentReader& read_document) {
  if (node.has("text") == node.has("file")) return node.fault("expected one of \"text\" and \"file\"");
  if (node.has("text")) return node.string("text");
  SS_TRY(const std::string file, node.string("file"));
  SS_TRY_VOID(check_relative_path(file, fmt::format("{}:{}", node.document(), node.line())));
  SS_TRY(std::string text, read_document(file));
  if (const auto offset = find_invalid_utf8(text)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected UTF-8, found another byte at offset {}", file, *offset)};
  }
  return text;
}

Result<void> add_documents(const YamlNode& root, const DocumentReader& read_document, GoldenPrompts& prompts) {
  SS_TRY(const std::vector<YamlNode> documents, root.list_or_empty("documents"));
  for (const YamlNode& node : documents) {
    // `generator` and `seed` document the origin of the text and are not used.
    SS_TRY_VOID(node.expect_keys({"id", "generator", "seed", "text", "file"}));
    SS_TRY(const YamlNode id_node, node.at("id"));
    SS_TRY(std::string id, parse_word(id_node));
    SS_TRY(std::string text, parse_document_text(node, read_document));
    if (!prompts.documents.emplace(std::move(id), std::move(text)).second) {
      return id_node.mismatch("an id that no other document has");
    }
  }
  return {};
}

}  // namespace

std::string_view to_string(PromptKind kind) {
  return kKindNames[static_cast<std::size_t>(kind)];
}

bool GoldenPrompt::has_tag(std::string_view tag) const {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

const GoldenPrompt* GoldenPrompts::find(std::string_view id) const {
  const auto found =
      std::find_if(prompts.begin(), prompts.end(), [&](const GoldenPrompt& prompt) { return prompt.id == id; });
  return found == prompts.end() ? nullptr : &*found;
}

Result<void> add_prompt_suite(std::string_view text, std::string_view name, const DocumentReader& read_document,
                              GoldenPrompts& prompts) {
  SS_TRY(const YamlNode root, parse_yaml(text, name));
  SS_TRY_VOID(root.expect_keys({"suite_format", "name", "license", "prompts", "documents"}));
  SS_TRY_VOID(root.integer("suite_format", 1, 1));
  SS_TRY_VOID(root.string("name"));
  SS_TRY_VOID(root.string("license"));
  SS_TRY_VOID(add_documents(root, read_document, prompts));
  SS_TRY(const std::vector<YamlNode> nodes, root.list("prompts"));
  for (const YamlNode& node : nodes) {
    SS_TRY(GoldenPrompt prompt, parse_prompt(node));
    if (prompts.prompts.size() == kMaxPrompts)
      return node.fault(fmt::format("expected at most {} prompts", kMaxPrompts));
    if (prompts.find(prompt.id) != nullptr) return node.at("id")->mismatch("an id that no other prompt has");
    prompts.prompts.push_back(std::move(prompt));
  }
  return {};
}

Result<void> check_documents(const GoldenPrompts& prompts, std::string_view name) {
  for (const GoldenPrompt& prompt : prompts.prompts) {
    if (!prompt.document || prompts.documents.contains(*prompt.document)) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: prompt {}: document: expected the id of a document, found {}", name, prompt.id,
                             *prompt.document)};
  }
  return {};
}

Result<GoldenPrompts> read_prompts(const std::filesystem::path& folder) {
  SS_TRY(const std::vector<std::filesystem::path> files, list_folder(folder));
  GoldenPrompts prompts;
  for (const std::filesystem::path& file : files) {
    if (file.extension() != ".yaml") continue;
    SS_TRY(const std::string text, read_file(file, std::int64_t{16} << 20));
    const DocumentReader read_document = [&](const std::string& document) {
      return read_file(folder / document, kMaxDocumentBytes);
    };
    SS_TRY_VOID(add_prompt_suite(text, file.string(), read_document, prompts));
  }
  SS_TRY_VOID(check_documents(prompts, folder.string()));
  return prompts;
}

}  // namespace secondsource

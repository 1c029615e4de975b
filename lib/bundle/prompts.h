#pragma once
// Golden prompts: the suites in prompts/*.yaml (docs/bundle-format.md). How a prompt becomes token ids is said there
// too; lib/tokenizer does it.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/chat.h"
#include "core/result.h"

namespace secondsource {

enum class PromptKind : std::uint8_t {
  kShortChat,
  kMultiTurn,
  kCode,
  kRag,
  kLongContext,
  kUnanswerable,
  kStreaming,
  kScripts,
};
/// "short-chat", "multi-turn", "code", "rag", "long-context", "unanswerable", "streaming", "scripts"
[[nodiscard]] std::string_view to_string(PromptKind kind);

/// Messages for the bundle's chat template, a raw text, or token ids as they are.
using PromptContent = std::variant<std::vector<ChatMessage>, std::string, std::vector<std::int32_t>>;

struct GoldenPrompt {
  std::string id;
  std::vector<std::string> tags;  ///< the suites that select it: smoke, full, reference, ...
  PromptKind kind = PromptKind::kShortChat;
  PromptContent content;
  std::optional<std::string> document;  ///< id of the document whose ids come before the content's
  std::int64_t max_new_tokens = 0;
  std::optional<std::string> answer;  ///< what a right model's output begins with; quality, not fidelity
  bool stream = false;                ///< judged through the streaming decoder too

  [[nodiscard]] bool has_tag(std::string_view tag) const;
};

/// All prompts of a bundle, in the order of their files (by name) and of the prompts in them.
struct GoldenPrompts {
  std::vector<GoldenPrompt> prompts;
  std::map<std::string, std::string> documents;  ///< id -> text, each used by at least one prompt or none

  [[nodiscard]] const GoldenPrompt* find(std::string_view id) const;
};

/// Reads the text of a document that a suite names by file, relative to the prompts folder.
using DocumentReader = std::function<Result<std::string>(const std::string& file)>;

/// Adds one suite's prompts and documents; `name` stands first in errors. Ids are unique over all suites added.
/// Errors: kInvalidInput.
Result<void> add_prompt_suite(std::string_view text, std::string_view name, const DocumentReader& read_document,
                              GoldenPrompts& prompts);

/// Every prompt names a document that is there. Errors: kInvalidInput.
Result<void> check_documents(const GoldenPrompts& prompts, std::string_view name);

/// All suites (*.yaml) of a folder. Errors: kInvalidInput, kIo.
Result<GoldenPrompts> read_prompts(const std::filesystem::path& folder);

}  // namespace secondsource

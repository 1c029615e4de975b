#pragma once
// The golden prompts of a bundle: the suites in prompts/*.yaml. docs/bundle-format.md also defines how a prompt becomes
// token ids; prompt_suite.h does that with lib/tokenizer.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "chat/message.h"
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
/// "short-chat", "multi-turn", "code", "rag", "long-context", "unanswerable", "streaming" or "scripts".
[[nodiscard]] std::string_view to_string(PromptKind kind);

/// The content is messages for the bundle's chat template, a raw text, or token ids that are used unchanged.
using PromptContent = std::variant<std::vector<ChatMessage>, std::string, std::vector<std::int32_t>>;

struct GoldenPrompt {
  std::string id;
  std::vector<std::string> tags;  ///< the suites that it belongs to: smoke, full, reference, ...
  PromptKind kind = PromptKind::kShortChat;
  PromptContent content;
  std::optional<std::string> document;  ///< id of the document whose token ids precede those of the content
  std::int64_t max_new_tokens = 0;
  std::optional<std::string> answer;  ///< how a good model's output begins; a measure of quality, not of fidelity
  bool stream = false;                ///< also judged through the streaming decoder

  [[nodiscard]] bool has_tag(std::string_view tag) const;
};

/// All prompts of a bundle, in the order of the file names and, in each file, of the file.
struct GoldenPrompts {
  std::vector<GoldenPrompt> prompts;
  std::map<std::string, std::string> documents;  ///< id -> text; a document may be unused

  [[nodiscard]] const GoldenPrompt* find(std::string_view id) const;
};

/// Reads the text of a document that a suite gives as a file, relative to the prompts folder.
using DocumentReader = std::function<Result<std::string>(const std::string& file)>;

/// Adds the prompts and documents of one suite. Ids must be unique over all suites. Error messages begin with `name`.
/// Errors: kInvalidInput.
Result<void> add_prompt_suite(std::string_view text, std::string_view name, const DocumentReader& read_document,
                              GoldenPrompts& prompts);

/// Checks that every document that a prompt names exists. Errors: kInvalidInput.
Result<void> check_documents(const GoldenPrompts& prompts, std::string_view name);

/// Reads all suites (*.yaml) of a folder. Errors: kInvalidInput, kIo.
Result<GoldenPrompts> read_prompts(const std::filesystem::path& folder);

}  // namespace secondsource

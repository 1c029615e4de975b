#pragma once
// The text side of a bundle: its tokenizer and chat template together, and golden prompts as token ids, exactly as
// docs/bundle-format.md says.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "core/chat.h"
#include "core/result.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

class BundleText {
 public:
  /// A bundle without a tokenizer or without a chat template is fine, until one is needed. Errors: kInvalidInput,
  /// kUnsupported, kIo.
  static Result<BundleText> load(const Bundle& bundle);

  /// nullptr when the bundle has none.
  [[nodiscard]] const Tokenizer* tokenizer() const { return tokenizer_.get(); }
  [[nodiscard]] std::optional<ChatFamily> chat_family() const { return chat_family_; }

  /// Ids of a text as it is; special tokens are recognised, none is added. Errors: kInvalidInput without a tokenizer.
  Result<std::vector<std::int32_t>> encode(std::string_view text) const;
  /// The conversation as the bundle's template writes it, with the beginning of an answer. Errors: kInvalidInput
  /// without a template.
  Result<std::string> render(const std::vector<ChatMessage>& messages) const;

 private:
  explicit BundleText(std::string name) : name_(std::move(name)) {}

  std::string name_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatFamily> chat_family_;
  ChatOptions chat_options_;
};

/// A golden prompt as ids: those of its document first, if it has one.
struct EncodedPrompt {
  std::string id;
  std::string document;             ///< empty: none
  std::int64_t n_document_ids = 0;  ///< leading ids that all prompts of the document share
  std::vector<std::int32_t> ids;
  std::int64_t max_new_tokens = 0;
  bool stream = false;
  std::optional<std::string> answer;
};

/// The prompts that carry the tag `suite` ("all": every one), in their order. Documents are encoded once.
/// Errors: kInvalidInput, naming the prompt.
Result<std::vector<EncodedPrompt>> encode_prompts(const GoldenPrompts& prompts, std::string_view suite,
                                                  const BundleText& text);

}  // namespace secondsource

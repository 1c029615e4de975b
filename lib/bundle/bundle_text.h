#pragma once
// The text side of a bundle: its tokenizer and its chat template, used exactly as docs/bundle-format.md defines them.
// prompt_suite.h turns golden prompts into token ids with it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "chat/chat_template.h"
#include "core/result.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

class BundleText {
 public:
  /// Loads the tokenizer and the chat template. A bundle without them, or with a template that cannot be read, loads too;
  /// only the calls that need them fail.
  /// Errors: kInvalidInput, kUnsupported, kIo.
  static Result<BundleText> load(const Bundle& bundle);

  /// The tokenizer; nullptr if the bundle has none.
  [[nodiscard]] const Tokenizer* tokenizer() const { return tokenizer_.get(); }

  /// Encodes the text unchanged: special tokens in it are recognised, and none is added. Errors: kInvalidInput without
  /// a tokenizer.
  Result<std::vector<std::int32_t>> encode(std::string_view text) const;
  /// Renders the conversation with the bundle's template, up to the beginning of the next answer. Errors: kInvalidInput
  /// without a template and where it refuses the conversation, kUnsupported for a template that cannot be read.
  Result<std::string> render(const std::vector<ChatMessage>& messages) const;

 private:
  explicit BundleText(std::string name) : name_(std::move(name)) {}
  Result<void> load_chat(const Bundle& bundle);

  std::string name_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<Error> foreign_tokenizer_;  ///< what is there instead of a tokenizer.json, for encode()
  std::optional<ChatTemplate> chat_;
  std::optional<Error> no_chat_;  ///< why there is no chat_, for render()
};

}  // namespace secondsource

#include "bundle/bundle_text.h"

#include <fmt/format.h>

#include "bundle/foreign_model.h"

namespace secondsource {
Result<BundleText> BundleText::load(const Bundle& bundle) {
  BundleText text(bundle.name());
  const Result<std::optional<std::string>> json = bundle.tokenizer_json();
  if (!json) {
    // Prompts given as token ids need no tokenizer, so an unsupported one is not an error here.
    if (json.error().code != ErrorCode::kUnsupported) return json.error();
    text.foreign_tokenizer_ = json.error();
  } else if (*json) {
    SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(**json, (bundle.folder() / "tokenizer.json").string()));
    text.tokenizer_ = std::make_unique<Tokenizer>(std::move(tokenizer));
  } else if (const auto foreign = foreign_tokenizer(bundle.folder())) {
    text.foreign_tokenizer_ = refuse_foreign(bundle.folder(), "tokenizer.json", *foreign);
  }
  SS_TRY_VOID(text.load_chat(bundle));
  return text;
}

Result<std::vector<std::int32_t>> BundleText::encode(std::string_view text) const {
  if (tokenizer_ == nullptr) {
    if (foreign_tokenizer_) return *foreign_tokenizer_;
    return Error{ErrorCode::kInvalidInput, fmt::format("bundle {}: expected a tokenizer.json, which texts need, "
                                                       "found none; give token ids instead",
                                                       name_)};
  }
  return tokenizer_->encode(text, {.add_special_tokens = false, .parse_special = true});
}

Result<void> BundleText::load_chat(const Bundle& bundle) {
  const Result<std::optional<ChatTemplateSource>> source = bundle.chat_template();
  if (!source) {
    if (source.error().code == ErrorCode::kIo) return source.error();
    no_chat_ = source.error();
  } else if (*source) {
    Result<ChatTemplate> chat = ChatTemplate::parse(**source);
    if (chat) {
      chat_ = *std::move(chat);
    } else {
      no_chat_ = std::move(chat).error();
    }
  } else {
    no_chat_ = Error{ErrorCode::kInvalidInput, fmt::format("bundle {}: expected a chat template, which messages need, "
                                                           "found none; give a text instead",
                                                           name_)};
  }
  return {};
}

Result<std::string> BundleText::render(const std::vector<ChatMessage>& messages) const {
  if (!chat_) return *no_chat_;
  return chat_->render(messages);
}

}  // namespace secondsource

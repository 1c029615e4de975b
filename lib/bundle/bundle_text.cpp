#include "bundle/bundle_text.h"

#include <fmt/format.h>

#include "bundle/foreign_model.h"
#include "tokenizer/tokenizer_config.h"

namespace secondsource {
Result<BundleText> BundleText::load(const Bundle& bundle) {
  BundleText text(bundle.name());
  SS_TRY(const std::optional<std::string> json, bundle.tokenizer_json());
  if (json) {
    SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(*json, (bundle.folder() / "tokenizer.json").string()));
    text.tokenizer_ = std::make_unique<Tokenizer>(std::move(tokenizer));
  } else if (const auto foreign = foreign_tokenizer(bundle.folder())) {
    text.foreign_tokenizer_ = refuse_foreign(bundle.folder(), "tokenizer.json", *foreign);
  }
  SS_TRY(const std::string family, bundle.chat_template());
  if (family != "none") {
    SS_TRY(text.chat_family_, chat_family_from_name(family));
  }
  SS_TRY(const std::optional<std::string> config_json, bundle.tokenizer_config_json());
  if (config_json) {
    SS_TRY(const TokenizerConfig config,
           parse_tokenizer_config(*config_json, (bundle.folder() / "tokenizer_config.json").string()));
    text.chat_options_.bos_token = config.bos_token;
    text.chat_options_.eos_token = config.eos_token;
  }
  return text;
}

Result<std::vector<std::int32_t>> BundleText::encode(std::string_view text) const {
  if (tokenizer_ == nullptr) {
    if (foreign_tokenizer_) return *foreign_tokenizer_;
    return Error{ErrorCode::kInvalidInput, fmt::format("bundle {}: text needs a tokenizer.json, found none", name_)};
  }
  return tokenizer_->encode(text, {.add_special_tokens = false, .parse_special = true});
}

Result<std::string> BundleText::render(const std::vector<ChatMessage>& messages) const {
  if (!chat_family_) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bundle {}: messages need a chat template of a known family, found none", name_)};
  }
  return render_chat(*chat_family_, messages, chat_options_);
}

}  // namespace secondsource

#include "measure/bundle_text.h"

#include <fmt/format.h>

#include <map>

#include "tokenizer/tokenizer_config.h"

namespace secondsource {
namespace {

Result<std::vector<std::int32_t>> own_ids(const GoldenPrompt& prompt, const BundleText& text) {
  if (const auto* ids = std::get_if<std::vector<std::int32_t>>(&prompt.content)) return *ids;
  if (const auto* raw = std::get_if<std::string>(&prompt.content)) return text.encode(*raw);
  SS_TRY(const std::string rendered, text.render(std::get<std::vector<ChatMessage>>(prompt.content)));
  return text.encode(rendered);
}

}  // namespace

Result<BundleText> BundleText::load(const Bundle& bundle) {
  BundleText text(bundle.name());
  SS_TRY(const std::optional<std::string> json, bundle.tokenizer_json());
  if (json) {
    SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(*json, (bundle.folder() / "tokenizer.json").string()));
    text.tokenizer_ = std::make_unique<Tokenizer>(std::move(tokenizer));
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
    return Error{ErrorCode::kInvalidInput, fmt::format("bundle {}: text needs a tokenizer.json, found none", name_)};
  }
  return tokenizer_->encode(text, {.add_special_tokens = false, .parse_special = true});
}

Result<std::string> BundleText::render(const std::vector<ChatMessage>& messages) const {
  if (!chat_family_) {
    return Error{ErrorCode::kInvalidInput, fmt::format("bundle {}: messages need a chat template, found none", name_)};
  }
  return render_chat(*chat_family_, messages, chat_options_);
}

Result<std::vector<EncodedPrompt>> encode_prompts(const GoldenPrompts& prompts, std::string_view suite,
                                                  const BundleText& text) {
  std::map<std::string, std::vector<std::int32_t>> documents;
  std::vector<EncodedPrompt> encoded;
  for (const GoldenPrompt& prompt : prompts.prompts) {
    if (suite != "all" && !prompt.has_tag(suite)) continue;
    EncodedPrompt result{.id = prompt.id,
                         .document = prompt.document.value_or(""),
                         .ids = {},
                         .max_new_tokens = prompt.max_new_tokens,
                         .stream = prompt.stream,
                         .answer = prompt.answer};
    if (prompt.document) {
      auto& ids = documents[*prompt.document];
      if (ids.empty()) {
        SS_TRY(ids, text.encode(prompts.documents.at(*prompt.document)));
      }
      result.ids = ids;
      result.n_document_ids = static_cast<std::int64_t>(ids.size());
    }
    auto own = own_ids(prompt, text);
    if (!own) return own.error().with_context(fmt::format("prompt {}", prompt.id));
    result.ids.insert(result.ids.end(), own->begin(), own->end());
    encoded.push_back(std::move(result));
  }
  return encoded;
}

}  // namespace secondsource

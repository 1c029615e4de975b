#include "bundle/prompt_suite.h"

#include <fmt/format.h>

#include <map>
#include <utility>
#include <variant>

#include "core/utf8.h"

namespace secondsource {
namespace {

using Ids = std::vector<std::int32_t>;

void append(const Ids& ids, Ids& to) {
  to.insert(to.end(), ids.begin(), ids.end());
}

/// Appends the prompt's own content after that of its document.
Result<void> add_content(const GoldenPrompt& prompt, const BundleText& text, EncodedPrompt& encoded) {
  if (const auto* ids = std::get_if<Ids>(&prompt.content)) {
    append(*ids, encoded.ids);
    return {};
  }
  std::string own;
  if (const auto* raw = std::get_if<std::string>(&prompt.content)) {
    own = *raw;
  } else {
    SS_TRY(own, text.render(std::get<std::vector<ChatMessage>>(prompt.content)));
  }
  SS_TRY(const Ids ids, text.encode(own));
  append(ids, encoded.ids);
  encoded.texts.push_back(std::move(own));
  encoded.n_text_ids = static_cast<std::int64_t>(encoded.ids.size());
  return {};
}

}  // namespace

Result<std::vector<EncodedPrompt>> encode_prompts(const GoldenPrompts& prompts, std::string_view suite,
                                                  const BundleText& text) {
  std::map<std::string, Ids> documents;
  std::vector<EncodedPrompt> encoded;
  for (const GoldenPrompt& prompt : prompts.prompts) {
    if (suite != "all" && !prompt.has_tag(suite)) continue;
    EncodedPrompt result{.id = prompt.id,
                         .document = prompt.document.value_or(""),
                         .ids = {},
                         .texts = {},
                         .max_new_tokens = prompt.max_new_tokens,
                         .stream = prompt.stream,
                         .answer = prompt.answer};
    if (prompt.document) {
      const std::string& document = prompts.documents.at(*prompt.document);
      Ids& ids = documents[*prompt.document];
      if (ids.empty()) {
        SS_TRY(ids, text.encode(document));
      }
      result.ids = ids;
      result.texts.push_back(document);
      result.n_document_ids = result.n_text_ids = static_cast<std::int64_t>(ids.size());
    }
    if (const Result<void> added = add_content(prompt, text, result); !added) {
      return added.error().with_context(fmt::format("prompt {}", prompt.id));
    }
    encoded.push_back(std::move(result));
  }
  return encoded;
}

Result<PromptSuite> load_prompt_suite(const Bundle& bundle, const BundleText& text, std::string_view suite,
                                      std::string_view variant) {
  PromptSuite result{.name = std::string(suite), .prompts = {}, .expected = {}, .acceptance = {}};
  SS_TRY(const GoldenPrompts prompts, bundle.prompts());
  SS_TRY(result.prompts, encode_prompts(prompts, suite, text));
  if (result.prompts.empty() && !prompts.prompts.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bundle {}: suite {}: expected prompts with that tag, found none", bundle.name(),
                             in_quotes(suite))};
  }
  SS_TRY(result.expected, bundle.expected(variant));
  if (const Manifest* manifest = bundle.manifest()) {
    if (const ManifestVariant* listed = manifest->find_variant(variant)) result.acceptance = listed->acceptance;
  }
  return result;
}

}  // namespace secondsource

#include "bundle/prompt_suite.h"

#include <fmt/format.h>

#include <algorithm>
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
    encoded.messages = std::get<std::vector<ChatMessage>>(prompt.content);
    SS_TRY(own, text.render(encoded.messages));
  }
  SS_TRY(const Ids ids, text.encode(own));
  append(ids, encoded.ids);
  encoded.texts.push_back(std::move(own));
  encoded.n_text_ids = static_cast<std::int64_t>(encoded.ids.size());
  return {};
}

/// Puts the ids of the prompt's document in front, if it has one.
Result<void> add_document(const GoldenPrompt& prompt, const GoldenPrompts& prompts, const BundleText& text,
                          std::map<std::string, Ids>& documents, EncodedPrompt& encoded) {
  if (!prompt.document) return {};
  const std::string& document = prompts.documents.at(*prompt.document);
  Ids& ids = documents[*prompt.document];
  if (ids.empty()) {
    SS_TRY(ids, text.encode(document));
  }
  encoded.ids = ids;
  encoded.texts.push_back(document);
  encoded.n_document_ids = encoded.n_text_ids = static_cast<std::int64_t>(ids.size());
  return {};
}

Result<void> check_length(const EncodedPrompt& encoded, std::int64_t max_positions) {
  const std::int64_t n_positions = static_cast<std::int64_t>(encoded.ids.size()) + encoded.max_new_tokens;
  if (n_positions <= max_positions) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("expected at most the model's {} positions with the answer, found more", max_positions)};
}

Result<void> encode(const GoldenPrompt& prompt, const GoldenPrompts& prompts, const BundleText& text,
                    std::map<std::string, Ids>& documents, EncodedPrompt& encoded) {
  SS_TRY_VOID(add_document(prompt, prompts, text, documents, encoded));
  return add_content(prompt, text, encoded);
}

}  // namespace

Result<EncodedSuite> encode_prompts(const GoldenPrompts& prompts, std::string_view suite, const BundleText& text,
                                    std::int64_t max_positions) {
  std::map<std::string, Ids> documents;
  EncodedSuite result;
  for (const GoldenPrompt& prompt : prompts.prompts) {
    if (suite != "all" && !prompt.has_tag(suite)) continue;
    EncodedPrompt encoded{.id = prompt.id,
                          .kind = prompt.kind,
                          .document = prompt.document.value_or(""),
                          .ids = {},
                          .texts = {},
                          .max_new_tokens = prompt.max_new_tokens,
                          .stream = prompt.stream,
                          .answer = prompt.answer};
    Result<void> outcome = encode(prompt, prompts, text, documents, encoded);
    if (outcome) outcome = check_length(encoded, max_positions);
    if (outcome) {
      result.prompts.push_back(std::move(encoded));
    } else if (outcome.error().code == ErrorCode::kInvalidInput || outcome.error().code == ErrorCode::kUnsupported) {
      result.skipped.push_back({prompt.id, outcome.error().message});
    } else {
      return outcome.error().with_context(fmt::format("prompt {}", prompt.id));
    }
  }
  return result;
}

std::vector<std::string> describe_skipped(const std::vector<SkippedPrompt>& skipped) {
  std::vector<std::string> sentences;
  for (std::size_t i = 0; i < skipped.size(); ++i) {
    const auto is_same = [&](const SkippedPrompt& other) { return other.reason == skipped[i].reason; };
    const auto end = skipped.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::any_of(skipped.begin(), end, is_same)) continue;
    const auto n = std::count_if(skipped.begin(), skipped.end(), is_same);
    const std::string who =
        n == 1 ? fmt::format("prompt {} is", skipped[i].id) : fmt::format("{} prompts ({}, ...) are", n, skipped[i].id);
    sentences.push_back(fmt::format("{} skipped: {}", who, skipped[i].reason));
  }
  return sentences;
}

Result<PromptSuite> load_prompt_suite(const Bundle& bundle, const BundleText& text, std::string_view suite,
                                      std::string_view variant) {
  PromptSuite result{.name = std::string(suite), .prompts = {}, .skipped = {}, .expected = {}, .acceptance = {}};
  SS_TRY(const GoldenPrompts prompts, bundle.prompts());
  SS_TRY(EncodedSuite encoded, encode_prompts(prompts, suite, text, bundle.config().max_seq_len));
  result.prompts = std::move(encoded.prompts);
  result.skipped = std::move(encoded.skipped);
  if (result.prompts.empty() && result.skipped.empty() && !prompts.prompts.empty()) {
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

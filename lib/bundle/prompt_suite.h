#pragma once
// Loads the golden prompts of one suite: reads, renders and tokenizes them once, together with the expected outputs in
// one variant. The golden pass and the timed load both use it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/bundle_text.h"
#include "bundle/expected.h"
#include "bundle/manifest.h"
#include "bundle/prompts.h"
#include "core/result.h"

namespace secondsource {

/// A golden prompt as token ids. The ids of its document, if it has one, come first.
struct EncodedPrompt {
  std::string id;
  PromptKind kind = PromptKind::kShortChat;
  std::string document;             ///< empty if the prompt has none
  std::int64_t n_document_ids = 0;  ///< leading ids that all prompts of the document share
  std::vector<std::int32_t> ids;
  std::vector<std::string> texts;  ///< the pieces of the prompt that are text, the document first; tokenized apart
  std::int64_t n_text_ids = 0;     ///< number of leading ids that come from the texts; the other ids were given as ids
  std::int64_t max_new_tokens = 0;
  bool stream = false;
  std::optional<std::string> answer;
  std::vector<ChatMessage> messages{};  ///< its content before rendering; empty if it is a text or ids
};

/// A prompt that the model cannot take: messages without a template or that the template refuses, text without a
/// tokenizer, or a prompt that with its answer has more tokens than the model has positions.
struct SkippedPrompt {
  std::string id;
  std::string reason;
};

struct EncodedSuite {
  std::vector<EncodedPrompt> prompts;
  std::vector<SkippedPrompt> skipped;
};

/// Encodes the prompts that carry the tag `suite` ("all" selects every prompt), in their order; those with more than
/// `max_positions` tokens are skipped. Each document is encoded once. Errors: kOutOfMemory.
Result<EncodedSuite> encode_prompts(const GoldenPrompts& prompts, std::string_view suite, const BundleText& text,
                                    std::int64_t max_positions);

/// The skipped prompts as one sentence a reason, with their number and an example.
[[nodiscard]] std::vector<std::string> describe_skipped(const std::vector<SkippedPrompt>& skipped);

struct PromptSuite {
  std::string name;
  std::vector<EncodedPrompt> prompts;                   ///< empty if the bundle has none that can be encoded
  std::vector<SkippedPrompt> skipped;                   ///< what the model cannot take
  std::optional<std::vector<ExpectedOutput>> expected;  ///< the reference's answers; nullopt if the bundle has none
  std::optional<Acceptance> acceptance;                 ///< limits of the variant, from the manifest
};

/// Loads a suite in a variant. Errors: kIo; kInvalidInput, also if the bundle has prompts but none with the suite's
/// tag.
Result<PromptSuite> load_prompt_suite(const Bundle& bundle, const BundleText& text, std::string_view suite,
                                      std::string_view variant);

}  // namespace secondsource

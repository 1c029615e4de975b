#pragma once
// The form in which a prompt is sent to a server: token ids if it accepts them, otherwise text or messages, from which
// its own tokenizer and template must make the same ids.

#include <optional>

#include "bundle/prompt_suite.h"
#include "measure/system_under_test.h"
#include "record/served_system.h"
#include "serving/openai_request.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

/// The prompt in a form from which the server gets exactly its ids, as far as that can be known here. nullopt if there
/// is none: for the chat API, a prompt without messages or with a document; for a server that takes only text, a prompt
/// with ids that have no text, one of which a tokenizer that adds special tokens makes other ids, or any prompt if
/// `tokenizer` is null.
[[nodiscard]] std::optional<ServedPrompt> exact_prompt(const EncodedPrompt& prompt, const ServedSystem& system,
                                                       const Tokenizer* tokenizer);

/// The prompt in a form that the server accepts, for requests whose answers are not judged: if only text can be sent,
/// its length may differ by a few tokens. For the chat API, a turn of a conversation becomes alternating messages of
/// the user and the assistant. Errors: kInvalidInput if there is no such form.
Result<ServedPrompt> nearest_prompt(const TimedRequest& request, const ServedSystem& system,
                                    const Tokenizer* tokenizer);

}  // namespace secondsource

#pragma once
// The form in which a server takes a prompt: token ids where it takes them, otherwise text or messages, of which its own
// tokenizer and template must make the same ids.

#include <optional>

#include "bundle/prompt_suite.h"
#include "measure/system_under_test.h"
#include "record/served_system.h"
#include "serving/openai_request.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

/// The prompt such that the server works on exactly its ids, as far as that can be known here; nullopt if it cannot be
/// sent so: a prompt without messages to the chat API, or one of which a tokenizer that adds special tokens makes
/// other ids. `tokenizer` may be null.
[[nodiscard]] std::optional<ServedPrompt> exact_prompt(const EncodedPrompt& prompt, const ServedSystem& system,
                                                       const Tokenizer* tokenizer);

/// The prompt in a form that the server takes, for requests whose answers are not judged: its length may differ by a few
/// tokens where only text can be sent. A turn of a conversation is, for the chat API, messages of the user and the assistant in turn. Errors: kInvalidInput if there is no such form.
Result<ServedPrompt> nearest_prompt(const TimedRequest& request, const ServedSystem& system,
                                    const Tokenizer* tokenizer);

}  // namespace secondsource

#pragma once
// Bodies of requests to an OpenAI-compatible server.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "record/served_system.h"

namespace secondsource {

/// A prompt in exactly one of the forms in which it can be sent.
struct ServedPrompt {
  std::vector<std::int32_t> ids;                                ///< used if it is not empty
  std::string text;                                             ///< used otherwise, unless there are messages
  std::vector<std::pair<std::string, std::string>> messages{};  ///< role and content, for the chat API
};

enum class AnswerLength : std::uint8_t {
  kExact,   ///< timed: the end of text is ignored where the server can do that
  kAtMost,  ///< golden prompts: the answer ends where the model ends it
};

struct OpenAiRequest {
  ServedPrompt prompt;
  std::int32_t n_output_tokens = 0;
  AnswerLength length = AnswerLength::kExact;
  bool stream = true;
  /// True for a turn of a conversation: even if the preset's requests normally forbid it, the server may reuse what it
  /// computed for the earlier turns.
  bool continues = false;
};

/// "/completions" or "/chat/completions", to be put behind the URL of the system.
[[nodiscard]] std::string_view path_of(ServedApi api);

/// The JSON of a request: greedy, with the members that the system's preset adds.
[[nodiscard]] std::string openai_body(const ServedSystem& system, const OpenAiRequest& request);

}  // namespace secondsource

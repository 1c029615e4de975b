#pragma once
// Reads recorded conversations and requests as prompts. The files are untrusted, so every record is either understood,
// left out for a reason that is counted, or refused with its file and line.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/prompts.h"
#include "core/enum_names.h"
#include "core/result.h"

namespace secondsource {

enum class RecordedFormat : std::uint8_t {
  kShareGpt,  ///< {"conversations": [{"from": "human", "value": "..."}, ...]}
  kOpenAi,    ///< bodies of requests of the OpenAI API, lines of its Batch API, and its fine-tuning files
  kLiteLlm,   ///< what a LiteLLM proxy logs of each request (StandardLoggingPayload)
  kVllm,      ///< what a vLLM server logs of each request (recorded/vllm_log.h)
  kText,      ///< one prompt a file, or several with a line between them
};

SS_ENUM_NAMES(RecordedFormat, "sharegpt", "openai", "litellm", "vllm", "text")

/// Which answer of a conversation is the one to be generated.
enum class RecordedTurn : std::uint8_t { kFirst, kLast };

SS_ENUM_NAMES(RecordedTurn, "first", "last")

inline constexpr std::int64_t kMostAnswerTokens = 1 << 20;  ///< what a log says at most

struct RecordedPrompt {
  std::string place;  ///< "chats.jsonl:12"
  PromptContent content;
  std::optional<std::string> answer;  ///< as it was recorded
  std::optional<std::int64_t>
      n_answer_tokens;  ///< as the log counts them, with the tokenizer of the model that answered
};

struct RecordedFile {
  std::vector<RecordedPrompt> prompts;
  std::int64_t n_records = 0;
  std::map<std::string, std::int64_t> left_out;  ///< by reason
};

struct ReadRecordedOptions {
  RecordedFormat format = RecordedFormat::kOpenAi;
  RecordedTurn turn = RecordedTurn::kLast;
  std::string separator;  ///< of kText: the line between two prompts; empty: the file is one prompt
};

/// JSON is one array or one value a line. Messages begin with `name`, and the line or the number of the record. Errors:
/// kInvalidInput.
Result<RecordedFile> read_recorded(std::string_view text, const std::string& name, const ReadRecordedOptions& options);

}  // namespace secondsource

#pragma once
// Makes a suite of golden prompts from recorded prompts: selects them, removes private values, and gives each the
// length of its recorded answer.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/prompts.h"
#include "core/result.h"
#include "recorded/read_recorded.h"
#include "recorded/redaction.h"

namespace secondsource {

struct PromptImportOptions {
  std::string name;  ///< of the suite, with which the ids begin
  std::string license;
  std::vector<std::string> tags;
  std::int64_t sample = 0;                            ///< how many prompts to take; 0: all
  std::uint64_t seed = 1;                             ///< of the choice and of the made-up values
  std::int64_t most_bytes = std::int64_t{256} << 10;  ///< of a prompt; longer ones are left out
  std::int64_t most_new_tokens = 512;                 ///< longer answers are cut to this
  std::int64_t new_tokens = 64;                       ///< where no answer was recorded
  bool redacts = true;
  std::vector<std::string> own_patterns;
};

/// The number of tokens of a text. Errors: those of a tokenizer.
using CountTokens = std::function<Result<std::int64_t>(std::string_view)>;

/// What was replaced, and where.
struct RedactedPlace {
  std::string prompt;  ///< its id
  std::string place;   ///< "chats.jsonl:12"
  Redacted redacted;
};

struct ImportedSuite {
  std::string text;  ///< of the suite's file
  std::int64_t n_prompts = 0;
  std::int64_t n_records = 0;
  std::map<std::string, std::int64_t> left_out;  ///< by reason
  std::vector<RedactedPlace> redacted;
  std::int64_t n_counted = 0;  ///< lengths of answers by the tokenizer
  std::int64_t n_logged = 0;   ///< lengths of answers as the log has them
  std::int64_t n_unknown = 0;  ///< without a recorded answer, or without anything that counts it
  std::int64_t n_cut = 0;      ///< answers that were longer than the most
  std::optional<std::int64_t> tokens_before, tokens_after;  ///< of all texts, around the redaction; with a tokenizer
};

/// The text that is returned was read back by the strict reader. Errors: kInvalidInput, also if no prompt is left.
Result<ImportedSuite> import_prompts(std::vector<RecordedFile> files, const PromptImportOptions& options,
                                     const CountTokens& count_tokens);

}  // namespace secondsource

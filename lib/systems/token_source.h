#pragma once
// What the golden pass asks of a system that is not ours: what it gives to the reference's ids, and what it generates
// itself. A server and an adapter each implement it by their own requests (served_tokens, adapter_token_source).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundle/prompt_suite.h"
#include "core/result.h"
#include "golden/golden_pass.h"
#include "record/golden_record.h"
#include "serving/forced_scores.h"

namespace secondsource {

/// What a system gave, or why it gave nothing.
template <typename T>
struct Given {
  T value{};
  std::string why_not{};  ///< empty if it did
};

class TokenSource {
 public:
  virtual ~TokenSource() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// The system's name, as in "prompts cannot be sent to NAME".
  [[nodiscard]] virtual std::string entrance() const = 0;
  /// True if it can be given exactly the ids of the prompt.
  [[nodiscard]] virtual bool takes(const EncodedPrompt& prompt) const = 0;
  /// True if a prompt that consists of ids alone can be sent, and ids come back.
  [[nodiscard]] virtual bool takes_and_gives_ids() const = 0;
  /// The level at which each position can be judged with the reference's ids in front of it; nullopt if it cannot be.
  [[nodiscard]] virtual std::optional<VerdictLevel> forced_level() const = 0;

  /// Scores of the ids that are expected behind the prompt. Errors, here and below: it does not answer any more.
  virtual Result<Given<std::vector<ForcedScore>>> score(const GoldenCase& one) = 0;
  /// Generates at most `n_tokens` tokens greedily. Also errors: kInvalidInput for an answer that is none.
  virtual Result<Given<GeneratedAnswer>> generate(const EncodedPrompt& prompt, std::int32_t n_tokens) = 0;
  /// The same for all prompts at once; nullopt where there is no answer.
  virtual Result<std::vector<std::optional<GeneratedAnswer>>> generate_together(
      std::span<const EncodedPrompt* const> prompts, std::int32_t n_tokens) = 0;
};

}  // namespace secondsource

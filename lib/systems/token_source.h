#pragma once
// The interface through which the golden pass asks a system that is not ours for its predictions given the reference's
// ids, and for answers that it generates itself. A server and an adapter implement it with their own requests
// (served_tokens, adapter_token_source).

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
  /// The name of the system in messages such as "prompts cannot be sent to NAME".
  [[nodiscard]] virtual std::string entrance() const = 0;
  /// True if exactly the ids of the prompt can be sent to it.
  [[nodiscard]] virtual bool takes(const EncodedPrompt& prompt) const = 0;
  /// True if a prompt that consists of ids alone can be sent and the answer comes back as ids.
  [[nodiscard]] virtual bool takes_and_gives_ids() const = 0;
  /// The level at which each position can be judged given the reference's ids before it; nullopt if it cannot.
  [[nodiscard]] virtual std::optional<VerdictLevel> forced_level() const = 0;

  /// Scores the ids that are expected after the prompt. Errors, also of the functions below: the system no longer
  /// answers.
  virtual Result<Given<std::vector<ForcedScore>>> score(const GoldenCase& one) = 0;
  /// Generates at most `n_tokens` tokens greedily. Errors: also kInvalidInput for a malformed answer.
  virtual Result<Given<GeneratedAnswer>> generate(const EncodedPrompt& prompt, std::int32_t n_tokens) = 0;
  /// The same for all prompts at once; nullopt where there is no answer.
  virtual Result<std::vector<std::optional<GeneratedAnswer>>> generate_together(
      std::span<const EncodedPrompt* const> prompts, std::int32_t n_tokens) = 0;
};

}  // namespace secondsource

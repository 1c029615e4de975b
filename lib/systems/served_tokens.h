#pragma once
// Makes a server a TokenSource for the golden pass, through its own requests for the log-probabilities of given ids and
// for whole answers.

#include "core/progress.h"
#include "systems/served_endpoint.h"
#include "systems/token_source.h"

namespace secondsource {

class ServedTokens final : public TokenSource {
 public:
  /// `tokenizer` may be null. All outlive this object.
  ServedTokens(ServedEndpoint& endpoint, const Tokenizer* tokenizer, Progress& progress);

  [[nodiscard]] std::string name() const override { return endpoint_.name(); }
  [[nodiscard]] std::string entrance() const override;
  [[nodiscard]] bool takes(const EncodedPrompt& prompt) const override;
  [[nodiscard]] bool takes_and_gives_ids() const override;
  [[nodiscard]] std::optional<VerdictLevel> forced_level() const override;
  Result<Given<std::vector<ForcedScore>>> score(const GoldenCase& one) override;
  Result<Given<GeneratedAnswer>> generate(const EncodedPrompt& prompt, std::int32_t n_tokens) override;
  Result<std::vector<std::optional<GeneratedAnswer>>> generate_together(std::span<const EncodedPrompt* const> prompts,
                                                                        std::int32_t n_tokens) override;

 private:
  /// A reply to one request: its body, or why there is none.
  Result<Given<std::string>> post(const NativeCall& call);

  ServedEndpoint& endpoint_;
  const ServedSystem& system_;
  const Tokenizer* tokenizer_;
  Progress& progress_;
  std::int64_t n_steps_ = 0;
};

}  // namespace secondsource

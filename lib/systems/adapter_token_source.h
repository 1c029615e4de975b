#pragma once
// Makes a runtime behind an adapter a TokenSource for the golden pass.

#include <span>

#include "core/progress.h"
#include "systems/adapter_endpoint.h"
#include "systems/token_source.h"

namespace secondsource {

/// Uses an AdapterEndpoint that has no open requests.
class AdapterTokenSource final : public TokenSource {
 public:
  /// `eos_ids` are the model's: what an adapter generates after the end of text is not part of the answer. All
  /// arguments must outlive this object.
  AdapterTokenSource(AdapterEndpoint& endpoint, std::span<const std::int32_t> eos_ids, Progress& progress)
      : endpoint_(endpoint), eos_ids_(eos_ids), progress_(progress) {}

  [[nodiscard]] std::string name() const override { return endpoint_.name(); }
  [[nodiscard]] std::string entrance() const override { return "this adapter"; }
  [[nodiscard]] bool takes(const EncodedPrompt&) const override { return true; }
  [[nodiscard]] bool takes_and_gives_ids() const override;
  [[nodiscard]] std::optional<VerdictLevel> forced_level() const override;
  Result<Given<std::vector<ForcedScore>>> score(const GoldenCase& one) override;
  Result<Given<GeneratedAnswer>> generate(const EncodedPrompt& prompt, std::int32_t n_tokens) override;
  Result<std::vector<std::optional<GeneratedAnswer>>> generate_together(std::span<const EncodedPrompt* const> prompts,
                                                                        std::int32_t n_tokens) override;

 private:
  AdapterWait ticking();

  AdapterEndpoint& endpoint_;
  std::span<const std::int32_t> eos_ids_;
  Progress& progress_;
  std::int64_t n_steps_ = 0;
};

}  // namespace secondsource

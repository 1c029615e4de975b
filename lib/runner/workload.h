#pragma once
// Which requests a scenario sends. Golden prompts of the suite where the bundle has them, random token ids where not.
// A function of bundle, suite, scenario and seed alone: every backend gets the same requests in the same order.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "measure/arrival_trace.h"
#include "measure/bundle_text.h"
#include "measure/repetition.h"

namespace secondsource {

/// Longer golden prompts are judged, and left out of timed scenarios.
inline constexpr std::int32_t kLongestTimedPrompt = 1024;

/// A prompt of the suite, ready to be sent.
struct SuitePrompt {
  std::string id;
  std::vector<std::string> texts;
  std::vector<std::int32_t> ids;  ///< after the texts
  std::int32_t n_prompt_tokens = 0;
};

class Workload {
 public:
  /// Reads, renders and counts the prompts that have the suite's tag ("all": every one). Errors: kInvalidInput, also
  /// for a suite that no prompt of a bundle with prompts has; kIo.
  static Result<Workload> load(const Bundle& bundle, const BundleText& text, std::string_view suite,
                               std::string_view variant);

  /// The first `scenario.n_requests` requests, of a recorded load those of `trace`. Pointers into this object: it must
  /// outlive them.
  [[nodiscard]] std::vector<WorkItem> items(const Scenario& scenario, std::uint64_t seed,
                                            const ArrivalTrace* trace = nullptr) const;
  /// Prompt tokens of the longest request of a scenario that asks for prompts of `n_prompt_tokens` (0: the suite's).
  [[nodiscard]] std::int64_t longest_prompt(std::int32_t n_prompt_tokens) const;

 private:
  void make_random(WorkItem& item, const Scenario& scenario, std::uint64_t seed, std::int32_t n_tokens) const;

  std::vector<SuitePrompt> prompts_;  ///< those short enough to be timed
  std::vector<ExpectedOutput> expected_;
  double near_tie_tau_ = 0;
  std::int32_t vocab_size_ = 0;
};

/// Ids of a prompt without meaning, uniform over the vocabulary: the same for the same seed, index and length.
[[nodiscard]] std::vector<std::int32_t> random_prompt(std::uint64_t seed, std::int32_t index, std::int32_t n_tokens,
                                                      std::int32_t vocab_size);

}  // namespace secondsource

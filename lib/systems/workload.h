#pragma once
// Chooses the requests that a scenario sends: the suite's golden prompts if the bundle has any, random token ids
// otherwise. The choice depends on bundle, suite, scenario and seed alone, so that every backend gets the same requests
// in the same order.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/model_config.h"
#include "bundle/prompt_suite.h"
#include "measure/arrival_trace.h"
#include "measure/repetition.h"
#include "record/load_client.h"

namespace secondsource {

/// Golden prompts with more tokens than this are judged by the golden pass but left out of timed scenarios.
inline constexpr std::int32_t kLongestTimedPrompt = 1024;

/// What the random numbers of a load follow from.
struct LoadSeed {
  /// A seed alone is that of the first repetition.
  LoadSeed(std::uint64_t run_seed, std::int32_t of_repetition = 0)  // NOLINT(google-explicit-constructor)
      : run(run_seed), repetition(of_repetition) {}

  std::uint64_t run;        ///< of what is the same in every repetition: the order of golden prompts, a shared prefix
  std::int32_t repetition;  ///< each has random prompts of its own, since a prefix cache would know them otherwise
  /// Of random prompts. No repetition of a run has that of another run whose seed is near.
  [[nodiscard]] std::uint64_t of_prompts() const;
};

class Workload {
 public:
  Workload() = default;
  /// Takes the prompts of the suite that are short enough to be timed.
  Workload(PromptSuite suite, const ModelConfig& config);

  /// Returns the first `scenario.n_requests` requests; for a recorded load, those of `trace`. The items point into this
  /// object, which must outlive them. Of several clients, each has every count-th request (or conversation) of those that a
  /// single client with the load of all would send; a recorded load is never divided.
  /// The turns of a conversation are the beginnings of one row of random ids: a question, a recorded answer, and so on.
  /// Behind requests with random ids come others for the warm-up, so that a prefix cache does not know those that are measured:
  /// one, of a closed loop one for each request in flight, of conversations their last turns.
  [[nodiscard]] std::vector<WorkItem> items(const Scenario& scenario, const LoadSeed& seed,
                                            const ArrivalTrace* trace = nullptr, const LoadClient& client = {}) const;
  /// Number of prompt tokens of the longest request that the scenario can send.
  [[nodiscard]] std::int64_t longest_prompt(const Scenario& scenario) const;

 private:
  [[nodiscard]] std::vector<WorkItem> conversations(const Scenario& scenario, const LoadSeed& seed,
                                                    const LoadClient& client) const;
  /// `index` is that of the request among those of all clients. Blocks of a trace with one name get the same tokens; what is
  /// behind the blocks belongs to this request alone.
  void make_random(WorkItem& item, const Scenario& scenario, const LoadSeed& seed, std::int32_t index,
                   std::int32_t n_tokens, std::span<const std::int64_t> blocks = {}) const;

  std::vector<EncodedPrompt> prompts_;  ///< only prompts that are short enough to be timed
  std::vector<ExpectedOutput> expected_;
  double near_tie_tau_ = 0;
  std::int32_t vocab_size_ = 0;
};

/// Tokens of the prompt of a conversation's turn, counted from 0: all questions and answers before it, and its question.
[[nodiscard]] std::int64_t tokens_of_turn(const Scenario& scenario, std::int32_t turn);

/// True if a scenario sends this request of its trace longer than `context` tokens, prompt and answer together.
[[nodiscard]] bool is_too_long(const TraceEntry& entry, const Scenario& scenario, std::int64_t context);

/// The recorded load that a scenario follows, without the requests that are longer than its context, and with at least as many
/// as it sends; nullopt if it follows none. Errors: kInvalidInput, kIo.
Result<std::optional<ArrivalTrace>> trace_of(const Scenario& scenario);

/// The seed of a client's arrivals and pauses, which are independent of those of other clients; for a client alone that of the
/// run.
[[nodiscard]] std::uint64_t arrivals_seed(const LoadClient& client, std::uint64_t seed);

/// Token ids drawn uniformly from the vocabulary. The result depends on the arguments alone.
[[nodiscard]] std::vector<std::int32_t> random_prompt(std::uint64_t seed, std::int32_t index, std::int32_t n_tokens,
                                                      std::int32_t vocab_size);

}  // namespace secondsource

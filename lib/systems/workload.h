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

/// The seeds of the random numbers of a load.
struct LoadSeed {
  /// Without a repetition, the seed is that of the first one.
  LoadSeed(std::uint64_t run_seed, std::int32_t of_repetition = 0)  // NOLINT(google-explicit-constructor)
      : run(run_seed), repetition(of_repetition) {}

  std::uint64_t run;        ///< for what is the same in every repetition: the order of golden prompts, a shared prefix
  std::int32_t repetition;  ///< each has its own random prompts, since a prefix cache would otherwise know them
  /// The seed of random prompts. It differs from those of all repetitions of runs with nearby seeds.
  [[nodiscard]] std::uint64_t of_prompts() const;
};

class Workload {
 public:
  Workload() = default;
  /// Takes the prompts of the suite that are short enough to be timed.
  Workload(PromptSuite suite, const ModelConfig& config);

  /// Returns the first `scenario.n_requests` requests; for a recorded load, those of `trace`. The items point into this
  /// object, which must outlive them. With several clients, each gets every count-th request (or conversation) that a
  /// single client would send under the whole load; a recorded load is never divided.
  /// The turns of a conversation are prefixes of one row of random ids: a question, a recorded answer, and so on.
  /// Requests with random ids are followed by additional ones for the warm-up, so that a prefix cache does not know the
  /// measured ones: a single one; for the scenario `offline`, one for each request in flight; for conversations, the
  /// last turn of one further conversation for each user.
  [[nodiscard]] std::vector<WorkItem> items(const Scenario& scenario, const LoadSeed& seed,
                                            const ArrivalTrace* trace = nullptr, const LoadClient& client = {}) const;
  /// Number of prompt tokens of the longest request that the scenario can send.
  [[nodiscard]] std::int64_t longest_prompt(const Scenario& scenario) const;

 private:
  [[nodiscard]] std::vector<WorkItem> conversations(const Scenario& scenario, const LoadSeed& seed,
                                                    const LoadClient& client) const;
  /// `index` is that of the request among those of all clients. Blocks of a trace with the same name get the same
  /// tokens; the tokens after the blocks belong to this request alone.
  void make_random(WorkItem& item, const Scenario& scenario, const LoadSeed& seed, std::int32_t index,
                   std::int32_t n_tokens, std::span<const std::int64_t> blocks = {}) const;

  std::vector<EncodedPrompt> prompts_;  ///< only prompts that are short enough to be timed
  std::vector<ExpectedOutput> expected_;
  double near_tie_tau_ = 0;
  std::int32_t vocab_size_ = 0;
};

/// The number of prompt tokens of a conversation's turn, counted from 0: all earlier questions and answers, and its own
/// question.
[[nodiscard]] std::int64_t tokens_of_turn(const Scenario& scenario, std::int32_t turn);

/// True if this request, prompt and answer together, has more than `context` tokens in the form in which the scenario
/// sends it.
[[nodiscard]] bool is_too_long(const TraceEntry& entry, const Scenario& scenario, std::int64_t context);

/// The recorded load that a scenario follows, without the requests that exceed its context, and with at least as many
/// as it sends; nullopt if it follows none. Errors: kInvalidInput, kIo.
Result<std::optional<ArrivalTrace>> trace_of(const Scenario& scenario);

/// The seed of a client's arrivals and pauses, independent of those of other clients; for a single client, the seed of
/// the run.
[[nodiscard]] std::uint64_t arrivals_seed(const LoadClient& client, std::uint64_t seed);

/// Token ids drawn uniformly from the vocabulary. The result depends on the arguments alone.
[[nodiscard]] std::vector<std::int32_t> random_prompt(std::uint64_t seed, std::int32_t index, std::int32_t n_tokens,
                                                      std::int32_t vocab_size);

}  // namespace secondsource

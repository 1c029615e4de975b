#include "systems/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"

namespace secondsource {
namespace {

constexpr std::int32_t kDefaultRandomPrompt = 256;
// Index of the random prompt that provides the shared prefix; no request has this index.
constexpr std::int32_t kPrefixIndex = -1;
// Mixed into a repetition's seed for the blocks of a trace, because their names are numbers, as the indexes of requests
// are.
constexpr std::uint64_t kBlocksSeed = 0x6d6f6f6e63616b65ULL;
// Mixed into the run's seed, so that the prompts of a repetition differ from those of a run with a slightly larger
// seed.
constexpr std::uint64_t kRepetitionStream = 0x72657065746974ULL;
// Makes the choice of cancelled requests independent of the prompts and arrivals, which use the same seed.
constexpr std::uint64_t kCancelStream = 0x63616e63656cULL;
// Makes the arrivals at several clients independent of one another.
constexpr std::uint64_t kClientStream = 0x636c69656e74ULL;

/// The name of a prompt of random ids.
std::string random_name(const LoadSeed& seed, std::int32_t n_tokens) {
  return fmt::format("random-{}-{}-{}", seed.run, seed.repetition, n_tokens);
}

/// The number of tokens after which the client cancels this request; 0: it does not. A request that asks for no more
/// tokens than that is never cancelled.
std::int32_t cancel_after(const Scenario& scenario, std::uint64_t seed, std::int32_t index,
                          const TimedRequest& request) {
  if (!(scenario.cancel_share > 0) || scenario.cancel_after >= request.n_output_tokens) return 0;
  const double drawn = random_unit(random_bits(seed, kCancelStream), static_cast<std::uint64_t>(index));
  return drawn < scenario.cancel_share ? scenario.cancel_after : 0;
}

/// Fills the prompt with the tokens of its blocks, up to its length. The tokens of a block depend on its name alone.
void fill_blocks(std::span<std::int32_t> ids, std::span<const std::int64_t> blocks, std::uint64_t seed,
                 std::int32_t vocab_size) {
  for (std::size_t index = 0; index < blocks.size(); ++index) {
    const std::size_t begin = index * kTraceBlockTokens;
    if (begin >= ids.size()) return;
    const std::size_t end = std::min(begin + kTraceBlockTokens, ids.size());
    const std::uint64_t stream = random_bits(seed, static_cast<std::uint64_t>(blocks[index]));
    for (std::size_t at = begin; at < end; ++at) {
      ids[at] = static_cast<std::int32_t>(random_bits(stream, at - begin) % static_cast<std::uint64_t>(vocab_size));
    }
  }
}

}  // namespace

std::vector<std::int32_t> random_prompt(std::uint64_t seed, std::int32_t index, std::int32_t n_tokens,
                                        std::int32_t vocab_size) {
  const std::uint64_t stream = random_bits(seed, static_cast<std::uint64_t>(index));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(n_tokens));
  for (std::size_t position = 0; position < ids.size(); ++position) {
    ids[position] = static_cast<std::int32_t>(random_bits(stream, position) % static_cast<std::uint64_t>(vocab_size));
  }
  return ids;
}

Workload::Workload(PromptSuite suite, const ModelConfig& config)
    : vocab_size_(static_cast<std::int32_t>(config.vocab_size)) {
  for (EncodedPrompt& prompt : suite.prompts) {
    const auto n_tokens = static_cast<std::int64_t>(prompt.ids.size());
    if (n_tokens < config.max_seq_len && n_tokens <= kLongestTimedPrompt) prompts_.push_back(std::move(prompt));
  }
  if (suite.expected) expected_ = *std::move(suite.expected);
  if (suite.acceptance) near_tie_tau_ = suite.acceptance->near_tie_tau;
}

std::int64_t tokens_of_turn(const Scenario& scenario, std::int32_t turn) {
  const std::int64_t question = scenario.n_prompt_tokens;
  return turn * (question + scenario.n_output_tokens) + question;
}

std::uint64_t arrivals_seed(const LoadClient& client, std::uint64_t seed) {
  return client.count == 1 ? seed
                           : random_bits(random_bits(seed, kClientStream), static_cast<std::uint64_t>(client.index));
}

std::uint64_t LoadSeed::of_prompts() const {
  return repetition == 0 ? run
                         : random_bits(random_bits(run, kRepetitionStream), static_cast<std::uint64_t>(repetition));
}

std::vector<WorkItem> Workload::conversations(const Scenario& scenario, const LoadSeed& seed,
                                              const LoadClient& client) const {
  std::vector<WorkItem> items;
  const auto add = [&](std::int32_t conversation, std::int32_t turn) {
    WorkItem& item = items.emplace_back();
    item.request.tag = static_cast<std::int64_t>(items.size()) - 1;
    item.request.n_output_tokens = scenario.n_output_tokens;
    const std::int32_t of_all = index_of_all(client, conversation);
    const std::int64_t request_of_all = std::int64_t{of_all} * scenario.turns + turn;
    item.request.seed = random_bits(seed.run, static_cast<std::uint64_t>(request_of_all));
    // Drawing more ids does not change the first ones, so each turn begins with the ids of the turn before.
    const auto n_tokens = static_cast<std::int32_t>(tokens_of_turn(scenario, turn));
    item.prompt = random_name(seed, n_tokens);
    item.request.ids = random_prompt(seed.of_prompts(), of_all, n_tokens, vocab_size_);
    for (std::int32_t before = 0; before < turn; ++before) {
      const auto question_ends = static_cast<std::int32_t>(tokens_of_turn(scenario, before));
      item.request.part_ends.push_back(question_ends);
      item.request.part_ends.push_back(question_ends + scenario.n_output_tokens);
    }
    item.request.part_ends.push_back(n_tokens);
  };
  const std::int32_t n_conversations = scenario.n_requests / scenario.turns;
  for (std::int32_t index = 0; index < scenario.n_requests; ++index)
    add(index / scenario.turns, index % scenario.turns);
  for (std::int32_t user = 0; user < scenario.batch; ++user) add(n_conversations + user, scenario.turns - 1);
  return items;
}

std::vector<WorkItem> Workload::items(const Scenario& scenario, const LoadSeed& seed, const ArrivalTrace* trace,
                                      const LoadClient& client) const {
  if (scenario.has_conversations()) return conversations(scenario, seed, client);
  std::vector<const EncodedPrompt*> timed;
  for (const EncodedPrompt& prompt : prompts_) timed.push_back(&prompt);
  // std::shuffle is not used here because its result differs between standard libraries.
  for (std::size_t left = timed.size(); left > 1; --left) {
    std::swap(timed[left - 1], timed[random_bits(seed.run, left) % left]);
  }
  const bool is_random = scenario.n_prompt_tokens > 0 || timed.empty();
  const std::int32_t n_random = scenario.n_prompt_tokens > 0 ? scenario.n_prompt_tokens : kDefaultRandomPrompt;
  std::vector<WorkItem> items(static_cast<std::size_t>(scenario.n_requests));
  for (std::int32_t index = 0; index < scenario.n_requests; ++index) {
    WorkItem& item = items[static_cast<std::size_t>(index)];
    const std::int32_t of_all = index_of_all(client, index);
    item.request.tag = index;
    item.request.n_output_tokens = scenario.n_output_tokens;
    item.request.seed = random_bits(seed.run, static_cast<std::uint64_t>(of_all));
    if (trace != nullptr) {
      const TraceEntry& entry = trace->entries[static_cast<std::size_t>(index)];
      item.arrival_ns = std::llround(static_cast<double>(entry.at_ns) / scenario.trace_speed);
      item.request.n_output_tokens = std::min(entry.n_output_tokens, scenario.n_output_tokens);
      make_random(item, scenario, seed, of_all, std::min(entry.n_prompt_tokens, n_random), entry.blocks);
      continue;
    }
    if (is_random) {
      make_random(item, scenario, seed, of_all, n_random);
      continue;
    }
    const EncodedPrompt& prompt = *timed[static_cast<std::size_t>(of_all) % timed.size()];
    item.prompt = prompt.id;
    item.request.prompt = &prompt;
    item.request.texts = prompt.texts;
    item.request.ids.assign(prompt.ids.begin() + prompt.n_text_ids, prompt.ids.end());
    const auto found = std::find_if(expected_.begin(), expected_.end(),
                                    [&](const ExpectedOutput& output) { return output.prompt == prompt.id; });
    if (found != expected_.end()) item.expected = &*found;
    item.near_tie_tau = near_tie_tau_;
  }
  for (WorkItem& item : items) {
    const std::int32_t of_all = index_of_all(client, static_cast<std::int32_t>(item.request.tag));
    item.request.cancel_after = cancel_after(scenario, seed.run, of_all, item.request);
  }
  if (is_random || trace != nullptr) {
    const std::int32_t n_warm_up =
        scenario.kind == ScenarioKind::kOffline ? std::min(scenario.batch, scenario.n_requests) : 1;
    for (std::int32_t index = 0; index < n_warm_up; ++index) {
      WorkItem item;
      const std::int32_t of_all = index_of_all(client, scenario.n_requests + index);
      item.request.tag = scenario.n_requests + index;
      item.request.n_output_tokens = items[static_cast<std::size_t>(index)].request.n_output_tokens;
      item.request.seed = random_bits(seed.run, static_cast<std::uint64_t>(of_all));
      const auto n_tokens = static_cast<std::int32_t>(items[static_cast<std::size_t>(index)].request.ids.size());
      make_random(item, scenario, seed, of_all, n_tokens);
      items.push_back(std::move(item));
    }
  }
  return items;
}

bool is_too_long(const TraceEntry& entry, const Scenario& scenario, std::int64_t context) {
  const std::int64_t prompt = std::min(entry.n_prompt_tokens, scenario.n_prompt_tokens);
  const std::int64_t answer = std::min(entry.n_output_tokens, scenario.n_output_tokens);
  return prompt + answer > context;
}

Result<std::optional<ArrivalTrace>> trace_of(const Scenario& scenario) {
  if (scenario.arrivals != ArrivalKind::kTrace) return std::optional<ArrivalTrace>();
  SS_TRY(ArrivalTrace trace, read_arrival_trace(scenario.trace));
  if (scenario.trace_context > 0) {
    std::erase_if(trace.entries,
                  [&](const TraceEntry& entry) { return is_too_long(entry, scenario, scenario.trace_context); });
  }
  if (trace.entries.size() < static_cast<std::size_t>(scenario.n_requests)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected {} requests, found {}", scenario.trace,
                                                       scenario.n_requests, trace.entries.size())};
  }
  return std::optional(std::move(trace));
}

void Workload::make_random(WorkItem& item, const Scenario& scenario, const LoadSeed& seed, std::int32_t index,
                           std::int32_t n_tokens, std::span<const std::int64_t> blocks) const {
  const std::uint64_t of_prompts = seed.of_prompts();
  item.prompt = random_name(seed, n_tokens);
  item.request.ids = random_prompt(of_prompts, index, n_tokens, vocab_size_);
  fill_blocks(item.request.ids, blocks, random_bits(of_prompts, kBlocksSeed), vocab_size_);
  // At least one id of the prompt is not shared.
  item.request.n_shared_prefix = std::min(scenario.n_shared_prefix, n_tokens - 1);
  if (item.request.n_shared_prefix <= 0) return;
  const std::vector<std::int32_t> prefix =
      random_prompt(seed.run, kPrefixIndex, item.request.n_shared_prefix, vocab_size_);
  std::copy(prefix.begin(), prefix.end(), item.request.ids.begin());
}

std::int64_t Workload::longest_prompt(const Scenario& scenario) const {
  if (scenario.has_conversations()) return tokens_of_turn(scenario, scenario.turns - 1);
  if (scenario.n_prompt_tokens > 0) return scenario.n_prompt_tokens;
  if (prompts_.empty()) return kDefaultRandomPrompt;
  std::int64_t longest = 0;
  for (const EncodedPrompt& prompt : prompts_) {
    longest = std::max(longest, static_cast<std::int64_t>(prompt.ids.size()));
  }
  return longest;
}

}  // namespace secondsource

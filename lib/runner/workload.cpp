#include "runner/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"

namespace secondsource {
namespace {

constexpr std::int32_t kDefaultRandomPrompt = 256;
// Of the random ids that all prompts of a load begin with; no request has it.
constexpr std::int32_t kPrefixIndex = -1;

/// What a request carries: the document first, where there is one; tokenized apart, their ids joined.
Result<SuitePrompt> to_suite_prompt(const GoldenPrompt& prompt, const GoldenPrompts& prompts, const BundleText& text) {
  SuitePrompt result;
  result.id = prompt.id;
  if (prompt.document) result.texts.push_back(prompts.documents.at(*prompt.document));
  if (const auto* ids = std::get_if<std::vector<std::int32_t>>(&prompt.content)) {
    result.ids = *ids;
  } else if (const auto* raw = std::get_if<std::string>(&prompt.content)) {
    result.texts.push_back(*raw);
  } else {
    SS_TRY(std::string rendered, text.render(std::get<std::vector<ChatMessage>>(prompt.content)));
    result.texts.push_back(std::move(rendered));
  }
  std::size_t n_tokens = result.ids.size();
  for (const std::string& piece : result.texts) {
    SS_TRY(const std::vector<std::int32_t> ids, text.encode(piece));
    n_tokens += ids.size();
  }
  result.n_prompt_tokens = static_cast<std::int32_t>(n_tokens);
  return result;
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

Result<Workload> Workload::load(const Bundle& bundle, const BundleText& text, std::string_view suite,
                                std::string_view variant) {
  Workload workload;
  workload.vocab_size_ = static_cast<std::int32_t>(bundle.config().vocab_size);
  SS_TRY(const GoldenPrompts prompts, bundle.prompts());
  bool any = prompts.prompts.empty();
  for (const GoldenPrompt& prompt : prompts.prompts) {
    if (suite != "all" && !prompt.has_tag(suite)) continue;
    any = true;
    Result<SuitePrompt> ready = to_suite_prompt(prompt, prompts, text);
    if (!ready) return ready.error().with_context("prompt " + prompt.id);
    const bool fits = ready->n_prompt_tokens < bundle.config().max_seq_len;
    if (fits && ready->n_prompt_tokens <= kLongestTimedPrompt) workload.prompts_.push_back(*std::move(ready));
  }
  if (!any) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("bundle {}: suite \"{}\": expected prompts with that tag, found none", bundle.name(), suite)};
  }
  SS_TRY(std::optional<std::vector<ExpectedOutput>> expected, bundle.expected(variant));
  if (expected) workload.expected_ = *std::move(expected);
  if (const Manifest* manifest = bundle.manifest()) {
    const ManifestVariant* found = manifest->find_variant(variant);
    if (found != nullptr && found->acceptance) workload.near_tie_tau_ = found->acceptance->near_tie_tau;
  }
  return workload;
}

std::vector<WorkItem> Workload::items(const Scenario& scenario, std::uint64_t seed, const ArrivalTrace* trace) const {
  std::vector<const SuitePrompt*> timed;
  for (const SuitePrompt& prompt : prompts_) timed.push_back(&prompt);
  // Not std::shuffle: its result is not the same on every standard library.
  for (std::size_t left = timed.size(); left > 1; --left) {
    std::swap(timed[left - 1], timed[random_bits(seed, left) % left]);
  }
  const bool is_random = scenario.n_prompt_tokens > 0 || timed.empty();
  const std::int32_t n_random = scenario.n_prompt_tokens > 0 ? scenario.n_prompt_tokens : kDefaultRandomPrompt;
  std::vector<WorkItem> items(static_cast<std::size_t>(scenario.n_requests));
  for (std::int32_t index = 0; index < scenario.n_requests; ++index) {
    WorkItem& item = items[static_cast<std::size_t>(index)];
    item.request.tag = index;
    item.request.n_output_tokens = scenario.n_output_tokens;
    item.request.seed = random_bits(seed, static_cast<std::uint64_t>(index));
    if (trace != nullptr) {
      const TraceEntry& entry = trace->entries[static_cast<std::size_t>(index)];
      item.arrival_ns = std::llround(static_cast<double>(entry.at_ns) / scenario.trace_speed);
      item.request.n_output_tokens = std::min(entry.n_output_tokens, scenario.n_output_tokens);
      make_random(item, scenario, seed, std::min(entry.n_prompt_tokens, n_random));
      continue;
    }
    if (is_random) {
      make_random(item, scenario, seed, n_random);
      continue;
    }
    const SuitePrompt& prompt = *timed[static_cast<std::size_t>(index) % timed.size()];
    item.prompt = prompt.id;
    item.request.texts = prompt.texts;
    item.request.ids = prompt.ids;
    const auto found = std::find_if(expected_.begin(), expected_.end(),
                                    [&](const ExpectedOutput& output) { return output.prompt == prompt.id; });
    if (found != expected_.end()) item.expected = &*found;
    item.near_tie_tau = near_tie_tau_;
  }
  return items;
}

void Workload::make_random(WorkItem& item, const Scenario& scenario, std::uint64_t seed, std::int32_t n_tokens) const {
  const auto index = static_cast<std::int32_t>(item.request.tag);
  item.prompt = fmt::format("random-{}-{}", seed, n_tokens);
  item.request.ids = random_prompt(seed, index, n_tokens, vocab_size_);
  // At least one id stays the request's own.
  item.request.n_shared_prefix = std::min(scenario.n_shared_prefix, n_tokens - 1);
  if (item.request.n_shared_prefix <= 0) return;
  const std::vector<std::int32_t> prefix = random_prompt(seed, kPrefixIndex, item.request.n_shared_prefix, vocab_size_);
  std::copy(prefix.begin(), prefix.end(), item.request.ids.begin());
}

std::int64_t Workload::longest_prompt(std::int32_t n_prompt_tokens) const {
  if (n_prompt_tokens > 0) return n_prompt_tokens;
  if (prompts_.empty()) return kDefaultRandomPrompt;
  std::int64_t longest = 0;
  for (const SuitePrompt& prompt : prompts_) longest = std::max<std::int64_t>(longest, prompt.n_prompt_tokens);
  return longest;
}

}  // namespace secondsource

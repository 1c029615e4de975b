#include "stories.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/json.h"

namespace secondsource::test {
namespace {

/// Returns the events of all submitted requests, or an error, since a planted bug may make the engine fail.
Result<std::vector<TokenEvent>> run_engine(Engine& engine) {
  std::vector<TokenEvent> all;
  while (engine.has_work()) {
    SS_TRY(std::vector<TokenEvent> events, engine.step());
    std::move(events.begin(), events.end(), std::back_inserter(all));
  }
  return all;
}

std::optional<std::string> compare_ids(const std::vector<std::int32_t>& found, std::span<const std::int32_t> expected) {
  if (std::ranges::equal(found, expected)) return std::nullopt;
  return fmt::format("ids: expected {}, found {}", fmt::join(expected, " "), fmt::join(found, " "));
}

}  // namespace

std::vector<StoriesCase> read_stories_cases(const std::filesystem::path& path) {
  const std::string text = read_file(path, 1 << 24).value();
  const nlohmann::json root = parse_json(text, path.string()).value();
  std::vector<StoriesCase> cases;
  for (const auto& entry : root.at("cases")) {
    StoriesCase one;
    one.prompt_ids = entry.at("prompt_ids").get<std::vector<std::int32_t>>();
    one.greedy_ids = entry.at("greedy_ids").get<std::vector<std::int32_t>>();
    one.top2_gaps = entry.at("top2_gaps").get<std::vector<double>>();
    for (const auto& pair : entry.at("last_prompt_logits_top10")) {
      one.last_prompt_logits.emplace_back(pair.at(0).get<std::int32_t>(), pair.at(1).get<double>());
    }
    one.prompt_nll_sum = entry.at("prompt_nll_sum").get<double>();
    cases.push_back(std::move(one));
  }
  return cases;
}

StoriesTolerance stories_tolerance(bool is_f32) {
  return is_f32 ? StoriesTolerance{.logit = 2e-3, .gap = 1e-3} : StoriesTolerance{.logit = 0.15, .gap = 0.3};
}

std::optional<std::string> compare_with_stories(Engine& engine, const StoriesCase& one,
                                                const StoriesTolerance& tolerance, std::size_t n_tokens) {
  if (n_tokens == 0) n_tokens = one.greedy_ids.size();
  const auto id = engine.submit(
      {.prompt_ids = one.prompt_ids, .max_new_tokens = static_cast<std::int32_t>(n_tokens), .want_logits = true});
  if (!id) return id.error().message;
  const auto events = run_engine(engine);
  if (!events) return events.error().message;
  if (events->size() != n_tokens) return fmt::format("expected {} tokens, found {}", n_tokens, events->size());
  for (const auto& [token, logit] : one.last_prompt_logits) {
    const double found = static_cast<double>(events->front().logits[static_cast<std::size_t>(token)]);
    if (!(std::abs(found - logit) <= tolerance.logit)) {
      return fmt::format("logit of {} after the prompt: expected {} +- {}, found {}", token, logit, tolerance.logit,
                         found);
    }
  }
  // From the first position whose gap is within the tolerance, the outputs may differ without an error.
  const auto end = std::ranges::find_if(one.top2_gaps, [&](double gap) { return gap <= tolerance.gap; });
  const auto n_comparable = std::min(n_tokens, static_cast<std::size_t>(end - one.top2_gaps.begin()));
  std::vector<std::int32_t> found;
  for (std::size_t i = 0; i < n_comparable; ++i) found.push_back((*events)[i].id);
  return compare_ids(found, std::span(one.greedy_ids).first(n_comparable));
}

std::optional<std::string> compare_fork_with_stories(Engine& engine, const StoriesCase& one,
                                                     const StoriesTolerance& tolerance) {
  constexpr std::size_t kShared = 21;
  constexpr std::size_t kOwn = 3;
  constexpr std::size_t kGenerated = 24;
  std::vector<std::int32_t> tokens = one.prompt_ids;
  tokens.insert(tokens.end(), one.greedy_ids.begin(), one.greedy_ids.end());
  const auto first = [&](std::size_t n) {
    return std::vector<std::int32_t>(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n));
  };
  const auto parent = engine.submit({.prompt_ids = first(kShared), .hold = true});
  if (!parent) return parent.error().message;
  Request request{.prompt_ids = first(kShared + kOwn), .max_new_tokens = kGenerated, .want_logits = true};
  const auto whole = engine.submit(request);
  request.fork_of = *parent;
  const auto fork = engine.submit(std::move(request));
  if (!whole || !fork) return "a request was refused";
  const auto events = run_engine(engine);
  engine.release(*parent);
  if (!events) return events.error().message;
  std::vector<std::int32_t> found;
  std::vector<float> whole_logits;
  std::vector<float> fork_logits;
  for (const TokenEvent& event : *events) {
    if (event.request == *fork) found.push_back(event.id);
    if (event.request == *fork && event.index == 0) fork_logits = event.logits;
    if (event.request == *whole && event.index == 0) whole_logits = event.logits;
  }
  for (std::size_t i = 0; i < fork_logits.size(); ++i) {
    if (!(std::abs(static_cast<double>(fork_logits[i] - whole_logits[i])) <= tolerance.logit)) {
      return fmt::format("logit of {} after a fork: expected {} +- {}, found {}", i, whole_logits[i], tolerance.logit,
                         fork_logits[i]);
    }
  }
  return compare_ids(found, std::span(tokens).subspan(kShared + kOwn, kGenerated));
}

}  // namespace secondsource::test

// Tests the prompts of recorded loads whose blocks have names. Which tokens two prompts must have in common is derived here from the
// names alone.

#include "systems/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "support/assets.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// A vocabulary so large that two random ids practically never coincide.
Workload workload_of_many_ids() {
  ModelConfig config;
  config.vocab_size = 1 << 30;
  config.max_seq_len = 1 << 20;
  return {PromptSuite{}, config};
}

Scenario scenario_of(std::int32_t n_requests, std::int32_t longest_prompt) {
  Scenario scenario;
  scenario.kind = ScenarioKind::kServer;
  scenario.arrivals = ArrivalKind::kTrace;
  scenario.n_requests = n_requests;
  scenario.n_prompt_tokens = longest_prompt;
  scenario.n_output_tokens = 8;
  return scenario;
}

std::int64_t n_equal(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return end.first - a.begin();
}

/// Checks that any two prompts have the same tokens exactly as far as their leading blocks have the same names.
void check_prefixes(const ArrivalTrace& trace, const std::vector<WorkItem>& items) {
  for (std::size_t i = 0; i + 1 < items.size(); ++i) {  // the last item is the warm-up's
    for (std::size_t j = 0; j < i; ++j) {
      const auto& a = trace.entries[i].blocks;
      const auto& b = trace.entries[j].blocks;
      const auto n_blocks = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
      const auto n_shorter =
          static_cast<std::int64_t>(std::min(items[i].request.ids.size(), items[j].request.ids.size()));
      CAPTURE(i, j, n_blocks);
      REQUIRE(n_equal(items[i].request.ids, items[j].request.ids) == std::min<std::int64_t>(512 * n_blocks, n_shorter));
    }
  }
}

TEST_CASE("prompts of a trace have the tokens in common that the names of their blocks say") {
  const auto trace = parse_arrival_trace(
      "{\"timestamp\": 0, \"input_length\": 1300, \"output_length\": 9, \"hash_ids\": [4, 5, 6]}\n"
      "{\"timestamp\": 1, \"input_length\": 1200, \"output_length\": 9, \"hash_ids\": [4, 5, 7]}\n"
      "{\"timestamp\": 2, \"input_length\": 700, \"output_length\": 9, \"hash_ids\": [4, 5]}\n"
      "{\"timestamp\": 3, \"input_length\": 700, \"output_length\": 9, \"hash_ids\": [8, 5]}\n"
      "{\"timestamp\": 4, \"input_length\": 2000, \"output_length\": 9, \"hash_ids\": [4]}\n"
      "{\"timestamp\": 5, \"input_length\": 300, \"output_length\": 9}\n",
      "trace");
  REQUIRE_OK(trace);
  const Workload workload = workload_of_many_ids();
  for (const std::int32_t longest : {100, 600, 100'000}) {
    const auto items = workload.items(scenario_of(6, longest), 5, &*trace);
    REQUIRE(items.size() == 6 + 1);  // one for the warm-up
    CHECK(items[0].request.ids.size() == static_cast<std::size_t>(std::min(longest, 1300)));
    check_prefixes(*trace, items);
  }
  const auto items = workload.items(scenario_of(6, 2000), 5, &*trace);
  // The same seed gives the same prompts; the next repetition shares nothing with them.
  CHECK(workload.items(scenario_of(6, 2000), 5, &*trace)[1].request.ids == items[1].request.ids);
  CHECK(n_equal(workload.items(scenario_of(6, 2000), LoadSeed(5, 1), &*trace)[0].request.ids, items[0].request.ids) ==
        0);
}

TEST_CASE("the cancelled requests are a share of all, the same ones in every system, and none that ends before") {
  Scenario scenario{.kind = ScenarioKind::kOffline, .n_requests = 4000, .n_prompt_tokens = 4, .n_output_tokens = 9};
  scenario.cancel_share = 0.25;
  scenario.cancel_after = 5;
  const std::vector<WorkItem> items = workload_of_many_ids().items(scenario, 3);
  const auto n_cancelled =
      std::ranges::count_if(items, [](const WorkItem& item) { return item.request.cancel_after == 5; });
  CHECK(std::abs(static_cast<double>(n_cancelled) - 1000) < 4 * 27.4);  // four standard deviations of a binomial count
  CHECK(std::ranges::all_of(
      items, [](const WorkItem& item) { return item.request.cancel_after == 0 || item.request.cancel_after == 5; }));
  const std::vector<WorkItem> again = workload_of_many_ids().items(scenario, 3);
  for (std::size_t i = 0; i < items.size(); ++i) {
    REQUIRE(items[i].request.cancel_after == again[i].request.cancel_after);
  }
  scenario.n_output_tokens = 5;
  const std::vector<WorkItem> shorter = workload_of_many_ids().items(scenario, 3);
  CHECK(std::ranges::none_of(shorter, [](const WorkItem& item) { return item.request.cancel_after > 0; }));
}

TEST_CASE(
    "random prompts share nothing with those of the warm-up, of other repetitions and of runs with a seed near by") {
  const Scenario scenario{
      .kind = ScenarioKind::kOffline, .batch = 3, .n_requests = 8, .n_prompt_tokens = 64, .n_output_tokens = 2};
  const Workload workload = workload_of_many_ids();
  std::vector<WorkItem> all;
  for (const LoadSeed& seed : {LoadSeed(7), LoadSeed(7, 1), LoadSeed(7, 2), LoadSeed(8), LoadSeed(8, 1), LoadSeed(9)}) {
    std::vector<WorkItem> items = workload.items(scenario, seed);
    REQUIRE(items.size() == 8 + 3);
    CHECK(items[8].request.tag == 8);
    CHECK(items[8].request.ids.size() == 64);
    CHECK(items[8].prompt == fmt::format("random-{}-{}-64", seed.run, seed.repetition));
    CHECK(workload.items(scenario, seed)[5].request.ids == items[5].request.ids);
    std::ranges::move(items, std::back_inserter(all));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) REQUIRE(n_equal(all[i].request.ids, all[j].request.ids) <= 1);
  }
  // A shared prefix is the same in all repetitions; otherwise the prefix cache would never be warm.
  Scenario shared = scenario;
  shared.n_shared_prefix = 16;
  const auto first = workload.items(shared, LoadSeed(7));
  const auto second = workload.items(shared, LoadSeed(7, 1));
  CHECK(n_equal(first.front().request.ids, second.back().request.ids) == 16);
}

TEST_CASE(
    "each turn of a conversation repeats what was said before it and adds a question, and conversations share nothing") {
  Scenario scenario{
      .kind = ScenarioKind::kOffline, .batch = 2, .n_requests = 9, .n_prompt_tokens = 5, .n_output_tokens = 3};
  scenario.turns = 3;
  const std::vector<WorkItem> items = workload_of_many_ids().items(scenario, 11);
  REQUIRE(items.size() == 9 + 2);  // and one warm-up request for each user
  for (std::size_t i = 0; i < items.size(); ++i) {
    CAPTURE(i);
    const TimedRequest& request = items[i].request;
    const std::size_t turn = i < 9 ? i % 3 : 2;
    CHECK(request.tag == static_cast<std::int64_t>(i));
    CHECK(request.ids.size() == 8 * turn + 5);
    CHECK(static_cast<std::int64_t>(request.ids.size()) == tokens_of_turn(scenario, static_cast<std::int32_t>(turn)));
    CHECK(request.n_output_tokens == 3);
    CHECK(request.n_shared_prefix == 0);
    const std::vector<std::int32_t> ends = {5, 8, 13, 16, 21};
    CHECK(request.part_ends == std::vector(ends.begin(), ends.begin() + 1 + 2 * static_cast<std::ptrdiff_t>(turn)));
    for (std::size_t j = 0; j < i; ++j) {
      const bool is_same = i < 9 && i / 3 == j / 3;
      const auto shorter = static_cast<std::int64_t>(std::min(request.ids.size(), items[j].request.ids.size()));
      CHECK(n_equal(request.ids, items[j].request.ids) == (is_same ? shorter : 0));
    }
  }
  CHECK(workload_of_many_ids().longest_prompt(scenario) == 21);
  // No prompt of another repetition has a prefix in common with one of these.
  const std::vector<WorkItem> others = workload_of_many_ids().items(scenario, LoadSeed(11, 1));
  for (const WorkItem& one : items) {
    for (const WorkItem& other : others) REQUIRE(n_equal(one.request.ids, other.request.ids) == 0);
  }
}

TEST_CASE("a recorded request is too long if prompt and answer as they would be sent do not fit") {
  Scenario scenario = scenario_of(1, 100);  // answers of at most 8 tokens
  const auto entry = [](std::int32_t prompt, std::int32_t answer) {
    return TraceEntry{.n_prompt_tokens = prompt, .n_output_tokens = answer};
  };
  CHECK_FALSE(is_too_long(entry(92, 8), scenario, 100));
  CHECK(is_too_long(entry(93, 8), scenario, 100));
  CHECK(is_too_long(entry(93, 50), scenario, 100));
  CHECK_FALSE(is_too_long(entry(5000, 50), scenario, 108));
  CHECK(is_too_long(entry(INT32_MAX, INT32_MAX), scenario, 107));
  scenario.n_prompt_tokens = scenario.n_output_tokens = INT32_MAX;
  CHECK(is_too_long(entry(INT32_MAX, INT32_MAX), scenario, INT32_MAX));
}

TEST_CASE("a prefix that all prompts share is in front of the blocks of a trace") {
  const auto trace = parse_arrival_trace(
      "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 9, \"hash_ids\": [1, 2]}\n"
      "{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 9, \"hash_ids\": [3, 4]}\n",
      "trace");
  REQUIRE_OK(trace);
  Scenario scenario = scenario_of(2, 1000);
  scenario.n_shared_prefix = 40;
  const auto items = workload_of_many_ids().items(scenario, 5, &*trace);
  CHECK(items[0].request.n_shared_prefix == 40);
  CHECK(n_equal(items[0].request.ids, items[1].request.ids) == 40);
}

TEST_CASE("the real trace of Mooncake has its prefixes in the prompts") {
  const auto path = test::asset("traces/mooncake_conversation_first2000.jsonl");
  if (!path) return;
  const auto trace = read_arrival_trace(*path);
  REQUIRE_OK(trace);
  check_prefixes(*trace, workload_of_many_ids().items(scenario_of(60, 4000), 1, &*trace));
}

}  // namespace
}  // namespace secondsource

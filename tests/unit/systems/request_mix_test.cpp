// Tests which model each request of a mix goes to. Counts are compared with the binomial distribution, orders with a plain loop.

#include "systems/request_mix.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "record/swap.h"
#include "support/catch.h"

using namespace secondsource;

TEST_CASE("each model gets its share of the requests, and the draw depends on the seed alone") {
  const std::vector<double> shares = {0.5, 0.3, 0.2};
  constexpr std::int32_t kRequests = 20'000;
  const std::vector<std::int32_t> drawn = draw_models(shares, kRequests, 7);
  REQUIRE(drawn.size() == kRequests);
  for (std::size_t model = 0; model < shares.size(); ++model) {
    const auto n = static_cast<double>(std::ranges::count(drawn, static_cast<std::int32_t>(model)));
    const double deviation = std::sqrt(kRequests * shares[model] * (1 - shares[model]));
    CHECK(std::abs(n - kRequests * shares[model]) < 4 * deviation);
  }
  CHECK(draw_models(shares, kRequests, 7) == drawn);
  CHECK(draw_models(shares, kRequests, 8) != drawn);
  // A longer mix begins like a shorter one.
  const std::vector<std::int32_t> shorter = draw_models(shares, 100, 7);
  CHECK(std::equal(shorter.begin(), shorter.end(), drawn.begin()));
}

TEST_CASE("a model with all of the requests gets them all, one without any gets none") {
  CHECK(draw_models(std::vector<double>{1}, 50, 1) == std::vector<std::int32_t>(50, 0));
  const std::vector<std::int32_t> second = draw_models(std::vector<double>{0, 1}, 50, 1);
  CHECK(second == std::vector<std::int32_t>(50, 1));
  CHECK(draw_models(std::vector<double>{0.5, 0.5}, 0, 1).empty());
}

TEST_CASE("shares follow Zipf's law, or are given, and sum to 1") {
  SwapPlan plan;
  plan.models = {"a", "b", "c"};
  CHECK(mix_shares(plan) == std::vector<double>{1.0 / 3, 1.0 / 3, 1.0 / 3});
  plan.zipf = 2;  // 1, 1/4 and 1/9, whose sum is 49/36
  const std::vector<double> zipf = mix_shares(plan);
  CHECK(zipf[0] == Approx(36.0 / 49));
  CHECK(zipf[1] == Approx(9.0 / 49));
  CHECK(zipf[2] == Approx(4.0 / 49));
  plan.shares = {3, 1, 4};
  CHECK(mix_shares(plan) == std::vector<double>{3.0 / 8, 1.0 / 8, 4.0 / 8});
}

TEST_CASE("the requests of a mix are those of each model in their order, each with its model and its place as tag") {
  std::vector<std::vector<WorkItem>> items_of(2);
  for (int model = 0; model < 2; ++model) {
    for (int index = 0; index < 4; ++index) {
      WorkItem item;
      item.prompt = std::string(1, static_cast<char>('a' + model)) + std::to_string(index);
      item.request.tag = index;
      items_of[static_cast<std::size_t>(model)].push_back(item);
    }
  }
  const std::vector<std::int32_t> turns = {1, 0, 1, 1, 0};
  const std::vector<WorkItem> mixed = mixed_items(items_of, turns);
  const std::vector<std::string> expected = {"b0", "a0", "b1", "b2", "a1"};
  REQUIRE(mixed.size() == expected.size());
  for (std::size_t index = 0; index < mixed.size(); ++index) {
    CHECK(mixed[index].prompt == expected[index]);
    CHECK(mixed[index].request.model == turns[index]);
    CHECK(mixed[index].request.tag == static_cast<std::int64_t>(index));
  }
}

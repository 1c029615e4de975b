// Compares the models that the pool evicts to make room with those of a plain list, which is searched for each model.

#include "systems/resident_set.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/random.h"
#include "support/catch.h"

using namespace secondsource;

namespace {

SwapPlan budget_of_bytes(std::int64_t bytes) {
  SwapPlan plan;
  plan.memory_budget_bytes = bytes;
  return plan;
}

SwapPlan budget_of_models(std::int32_t models) {
  SwapPlan plan;
  plan.budget_models = models;
  return plan;
}

/// Uses a model in the same way as a pool. Returns the evicted models.
std::vector<std::int32_t> ask_for(ResidentSet& set, std::int32_t model) {
  set.use(model);
  if (set.is_resident(model)) return {};
  const std::vector<std::int32_t> victims = set.victims_for(model);
  for (const std::int32_t victim : victims) set.remove(victim);
  set.add(model);
  return victims;
}

/// A textbook LRU cache: the model at the front of the list was used longest ago.
struct ListCache {
  std::vector<std::int64_t> sizes;
  std::int64_t budget = 0;
  std::vector<std::int32_t> models;

  std::vector<std::int32_t> ask_for(std::int32_t model) {
    std::vector<std::int32_t> evicted;
    const auto found = std::ranges::find(models, model);
    if (found != models.end()) {
      models.erase(found);
    } else {
      const auto total = [this] {
        return std::accumulate(
            models.begin(), models.end(), std::int64_t{0},
            [this](std::int64_t sum, std::int32_t one) { return sum + sizes[static_cast<std::size_t>(one)]; });
      };
      while (!models.empty() && total() + sizes[static_cast<std::size_t>(model)] > budget) {
        evicted.push_back(models.front());
        models.erase(models.begin());
      }
    }
    models.push_back(model);
    return evicted;
  }
};

}  // namespace

TEST_CASE("the least recently used models make room until the next one fits") {
  const std::vector<std::int64_t> sizes = {6, 8, 16, 3, 11};
  const std::int64_t budget = GENERATE(16, 20, 24, 30, 44, 100);
  CAPTURE(budget);
  ResidentSet set(sizes.size());
  set.set_budget(budget_of_bytes(budget));
  for (std::size_t model = 0; model < sizes.size(); ++model) {
    set.note_bytes(static_cast<std::int32_t>(model), sizes[model]);
  }
  ListCache list{.sizes = sizes, .budget = budget, .models = {}};
  for (std::uint64_t turn = 0; turn < 500; ++turn) {
    const auto model = static_cast<std::int32_t>(random_bits(3, turn) % sizes.size());
    REQUIRE(ask_for(set, model) == list.ask_for(model));
    REQUIRE(set.resident() == list.models);
    REQUIRE(set.resident_bytes().value() <= budget);
  }
}

TEST_CASE("a budget in models counts them, whatever their sizes are") {
  const std::int32_t budget = GENERATE(1, 2, 3, 5);
  CAPTURE(budget);
  ResidentSet set(5);
  set.set_budget(budget_of_models(budget));
  ListCache list{.sizes = {1, 1, 1, 1, 1}, .budget = budget, .models = {}};
  for (std::uint64_t turn = 0; turn < 300; ++turn) {
    const auto model = static_cast<std::int32_t>(random_bits(9, turn) % 5);
    REQUIRE(ask_for(set, model) == list.ask_for(model));
    REQUIRE(set.resident() == list.models);
  }
  CHECK_FALSE(set.is_too_large(0));
  CHECK_FALSE(set.resident_bytes());  // their sizes are not known
}

TEST_CASE("a model whose size is not known yet gets the device alone, and its largest size counts afterwards") {
  ResidentSet set(3);
  set.set_budget(budget_of_bytes(10));
  CHECK(ask_for(set, 0).empty());
  set.note_bytes(0, 3);
  CHECK(ask_for(set, 1) == std::vector<std::int32_t>{0});
  set.note_bytes(1, 4);
  CHECK(ask_for(set, 0).empty());
  CHECK(set.resident_bytes() == 7);
  set.note_bytes(0, 5);
  set.note_bytes(0, 2);
  CHECK(set.bytes_of(0) == 5);
  CHECK(ask_for(set, 2) == std::vector<std::int32_t>{1, 0});
  CHECK_FALSE(set.is_too_large(2));
  set.note_bytes(2, 11);
  CHECK(set.is_too_large(2));
}

TEST_CASE("sizes near the largest number are not added past it") {
  ResidentSet set(2);
  set.set_budget(budget_of_bytes(INT64_MAX));
  set.add(0);
  CHECK(set.victims_for(1) == std::vector<std::int32_t>{0});  // neither size is known
}

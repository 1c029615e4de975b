// Tests a pool over a server that holds several models, with an in-memory host that records the calls it receives.

#include "systems/served_pool.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/host_files.h"
#include "support/catch.h"
#include "support/result.h"
#include "systems/null_system.h"

using namespace secondsource;

namespace {

/// The calls that the host received and the models that it holds; outlives the pool, which owns the host.
struct Told {
  std::vector<std::string> calls;
  std::vector<std::int32_t> loaded;
  std::map<std::int32_t, std::int64_t> bytes;
  std::map<std::int32_t, std::vector<std::string>> commands;  ///< of processes that hold one model each
  bool keeps_in_host_memory = false;
  std::int32_t evicts_at = 99;  ///< with this many models, the server itself evicts one
};

class HostInMemory final : public ModelHost {
 public:
  explicit HostInMemory(Told& told) : told_(told) {}
  Result<void> load(std::int32_t model) override {
    told_.calls.push_back("load " + std::to_string(model));
    if (std::ranges::find(told_.loaded, model) != told_.loaded.end()) {
      return Error{ErrorCode::kUnavailable, "model is already running"};
    }
    told_.loaded.push_back(model);
    if (std::ssize(told_.loaded) >= told_.evicts_at) told_.loaded.erase(told_.loaded.begin());
    return {};
  }
  Result<void> unload(std::int32_t model, UnloadTo to) override {
    told_.calls.push_back((to == UnloadTo::kFiles ? "unload " : "sleep ") + std::to_string(model));
    std::erase(told_.loaded, model);
    return {};
  }
  Result<std::vector<LoadedModel>> loaded() override {
    std::vector<LoadedModel> loaded;
    for (const std::int32_t model : told_.loaded) {
      const auto size = told_.bytes.find(model);
      const auto command = told_.commands.find(model);
      loaded.push_back({.model = model,
                        .bytes = size == told_.bytes.end() ? std::nullopt : std::optional(size->second),
                        .command = command == told_.commands.end() ? std::vector<std::string>() : command->second});
    }
    return loaded;
  }
  Result<std::vector<std::filesystem::path>> files(std::int32_t) override {
    return Error{ErrorCode::kUnavailable, "the files are elsewhere"};
  }
  [[nodiscard]] std::string why_no_host_memory() const override {
    return told_.keeps_in_host_memory ? "" : "not applicable";
  }

 private:
  Told& told_;
};

std::unique_ptr<ModelPool> pool_of(Told& told, SystemUnderTest& endpoint, const std::string& why_no_memory = "") {
  ServedPoolParts parts;
  parts.name = "a server";
  parts.models = {"a", "b", "c"};
  parts.endpoints = {&endpoint, &endpoint, &endpoint};
  parts.host = std::make_unique<HostInMemory>(told);
  parts.why_no_memory = why_no_memory;
  auto pool = make_served_pool(std::move(parts));
  REQUIRE_OK(pool);
  return *std::move(pool);
}

SwapPlan two_models() {
  SwapPlan plan;
  plan.budget_models = 2;
  return plan;
}

}  // namespace

TEST_CASE("a served pool tells the server what to load and what to unload, the least recently used first") {
  Told told;
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint, "it does not say");
  pool->set_budget(two_models());
  for (const std::int32_t model : {0, 1, 0, 2, 1}) REQUIRE_OK(pool->make_resident(model, model));
  CHECK(told.calls == std::vector<std::string>{"load 0", "load 1", "unload 1", "load 2", "unload 0", "load 1"});
  CHECK(pool->resident() == std::vector<std::int32_t>{2, 1});
  const std::vector<PoolEvent> events = pool->take_events();
  REQUIRE(events.size() == 6);
  CHECK(events[2].action == SwapAction::kEviction);
  CHECK(events[2].model == 1);
  CHECK(events[2].tag == 2);
  CHECK_FALSE(events[5].resident_bytes);
  CHECK(pool->why_no_memory() == "it does not say");
  CHECK(pool->take_events().empty());
  const auto cached = pool->cached_share(0);
  REQUIRE_FALSE(cached);
  CHECK(cached.error().message == "the files are elsewhere");
}

TEST_CASE("what a server has loaded from before is known, and counts") {
  Told told;
  told.loaded = {1};
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint);
  pool->set_budget(two_models());
  CHECK(pool->resident() == std::vector<std::int32_t>{1});
  REQUIRE_OK(pool->make_resident(1, 0));
  CHECK(told.calls.empty());
  REQUIRE_OK(pool->evict_all());
  CHECK(told.calls == std::vector<std::string>{"unload 1"});
}

TEST_CASE("where the server does not tell a size, the process that holds the model does") {
  Told told;
  const auto own = HostFiles().read("proc/self/cmdline");
  REQUIRE_OK(own);
  std::vector<std::string> command;
  for (std::size_t begin = 0; begin < own->size(); begin = own->find('\0', begin) + 1) {
    command.emplace_back(own->c_str() + begin);
  }
  told.commands = {{0, command}, {1, {"a-process-that-is-not-there"}}};
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint, "it does not say");
  pool->set_budget(two_models());
  REQUIRE_OK(pool->make_resident(0, 0));
  REQUIRE(pool->footprint(0).resident_bytes);
  CHECK(*pool->footprint(0).resident_bytes > 1 << 20);
  CHECK(pool->why_no_memory().empty());
  CHECK(pool->take_events().back().resident_bytes == pool->footprint(0).resident_bytes);
  REQUIRE_OK(pool->make_resident(1, 1));
  CHECK_FALSE(pool->footprint(1).resident_bytes);
  CHECK(pool->why_no_memory() == "it does not say, and no process of this machine has that command");
}

TEST_CASE("sizes are those that the server tells, and a model above the budget is named with its size") {
  Told told;
  told.bytes = {{0, 4 << 20}, {1, 5 << 20}, {2, 20 << 20}};
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint);
  SwapPlan plan;
  plan.memory_budget_bytes = 10 << 20;
  pool->set_budget(plan);
  REQUIRE_OK(pool->make_resident(0, 0));
  REQUIRE_OK(pool->make_resident(1, 1));  // its size is still unknown, so it gets the device alone
  REQUIRE_OK(pool->make_resident(0, 2));
  CHECK(told.calls == std::vector<std::string>{"load 0", "unload 0", "load 1", "load 0"});
  CHECK(pool->take_events().back().resident_bytes == 9 << 20);
  CHECK(pool->footprint(1).resident_bytes == 5 << 20);
  CHECK_FALSE(pool->footprint(1).weights_bytes);
  const auto large = pool->make_resident(2, 3);
  REQUIRE_FALSE(large);
  CHECK(large.error().code == ErrorCode::kInvalidInput);
  CHECK(large.error().message.find("c takes 20.0 MiB (20971520 bytes), the budget is 10.0 MiB") != std::string::npos);
}

TEST_CASE("a server that evicts by a rule of its own is an error, since nobody knows what that took") {
  Told told;
  told.evicts_at = 2;
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint);
  pool->set_budget(two_models());
  REQUIRE_OK(pool->make_resident(0, 0));
  const auto second = pool->make_resident(1, 1);
  REQUIRE_FALSE(second);
  CHECK(second.error().message.find("it evicted a by itself") != std::string::npos);
}

TEST_CASE("a model that the server evicts between two requests is found when the server is asked") {
  Told told;
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint);
  pool->set_budget(two_models());
  REQUIRE_OK(pool->make_resident(0, 0));
  REQUIRE_OK(pool->make_resident(1, 1));
  REQUIRE_OK(pool->check_resident());
  std::erase(told.loaded, 0);
  const auto gone = pool->check_resident();
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == ErrorCode::kInvalidInput);
  CHECK(gone.error().message.find("it evicted a by itself") != std::string::npos);
}

TEST_CASE("at the end of a request the server is asked whether the resident models are loaded still") {
  Told told;
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint);
  pool->set_budget(two_models());
  REQUIRE_OK(pool->make_resident(0, 0));
  TimedRequest request;
  request.ids = {5};
  request.n_output_tokens = 1;
  REQUIRE_OK(pool->submit(request));
  told.loaded.clear();
  SystemEvents events;
  Result<void> polled;
  for (int poll = 0; polled && events.ends.empty() && poll < 10; ++poll) polled = pool->poll(0, events);
  REQUIRE_FALSE(polled);
  CHECK(polled.error().message.find("it evicted a by itself") != std::string::npos);
}

TEST_CASE("evictions for room keep the weights on the host where a server can, and clearing discards them") {
  Told told;
  told.keeps_in_host_memory = true;
  NullSystem endpoint;
  const auto pool = pool_of(told, endpoint);
  SwapPlan plan;
  plan.budget_models = 1;
  pool->set_budget(plan);
  REQUIRE_OK(pool->make_resident(0, 0));
  REQUIRE_OK(pool->make_resident(1, 1));
  CHECK(told.calls == std::vector<std::string>{"load 0", "sleep 0", "load 1"});
  told.calls.clear();
  REQUIRE_OK(pool->evict_all());
  CHECK(told.calls == std::vector<std::string>{"load 0", "unload 0", "unload 1"});
}

#include "engine/engine.h"

#include <map>

#include "fake_backend.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

using test::expected_ids;
using test::FakeBackend;
using test::FakeLog;
using test::kFakeVocab;

/// An engine on the fake backend, with everything that it borrows.
struct Bench {
  explicit Bench(EngineOptions options = {}, std::int64_t max_seq_len = 256)
      : config(test::fake_config(max_seq_len)), engine(Engine::create(backend, config, weights, options).value()) {}

  /// Runs until no work is left or `max_steps` steps are done.
  std::map<RequestId, std::vector<TokenEvent>> run(int max_steps = 10000) {
    std::map<RequestId, std::vector<TokenEvent>> all;
    for (int i = 0; i < max_steps && engine->has_work(); ++i) {
      auto events = engine->step();
      if (!events) FAIL(events.error().message);
      n_preempted += engine->last_step().n_preempted;
      n_evicted += engine->last_step().n_evicted;
      for (TokenEvent& event : *events) all[event.request].push_back(std::move(event));
    }
    CHECK_FALSE(engine->has_work());
    return all;
  }

  FakeLog log;
  FakeBackend backend{log};
  ModelConfig config;
  ModelWeights weights = test::fake_weights();
  std::unique_ptr<Engine> engine;
  int n_preempted = 0;
  int n_evicted = 0;
};

std::vector<std::int32_t> random_prompt(std::uint64_t seed, std::size_t n) {
  std::vector<std::int32_t> ids(n);
  for (std::size_t i = 0; i < n; ++i) ids[i] = static_cast<std::int32_t>(random_bits(seed, i) % (kFakeVocab - 1));
  return ids;
}

std::vector<std::int32_t> generated(const std::vector<TokenEvent>& events) {
  std::vector<std::int32_t> ids;
  for (const TokenEvent& event : events) {
    if (!event.of_prompt && event.id >= 0) ids.push_back(event.id);
  }
  return ids;
}

EngineOptions options_of(Batching batching, std::int32_t max_seqs, std::int32_t max_tokens, std::int64_t kv_pages = 0) {
  EngineOptions options;
  options.scheduler = {
      .batching = batching, .max_seqs = max_seqs, .max_tokens_per_step = max_tokens, .max_queue_delay_ns = 0};
  options.kv_pages = kv_pages;
  return options;
}

TEST_CASE("tokens do not depend on policy, batch size, chunking or a cache so small that requests are preempted") {
  struct Setting {
    Batching batching;
    std::int32_t max_seqs;
    std::int32_t max_tokens;
    std::int64_t kv_pages;
    bool must_preempt;
  };
  using enum Batching;
  for (const Setting& s :
       {Setting{kContinuous, 1, 64, 0, false}, Setting{kContinuous, 8, 64, 0, false},
        Setting{kContinuous, 8, 5, 0, false}, Setting{kContinuous, 16, 1, 0, false},
        Setting{kContinuous, 16, 16, 24, true}, Setting{kContinuous, 5, 7, 16, true}, Setting{kStatic, 4, 16, 0, false},
        Setting{kStatic, 8, 16, 12, true}, Setting{kDynamic, 4, 16, 0, false}, Setting{kDynamic, 8, 7, 12, true}}) {
    CAPTURE(to_string(s.batching), s.max_seqs, s.max_tokens, s.kv_pages);
    Bench bench(options_of(s.batching, s.max_seqs, s.max_tokens, s.kv_pages));
    std::map<RequestId, std::vector<std::int32_t>> expected;
    for (std::uint64_t i = 0; i < 24; ++i) {
      const auto prompt = random_prompt(i, 1 + i % 11);
      const std::int32_t n_new = static_cast<std::int32_t>(1 + (i * 7) % 23);
      Request request{.prompt_ids = prompt, .max_new_tokens = n_new};
      if (i % 2 == 1) request.sampling = {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .seed = 1000 + i};
      const RequestId id = bench.engine->submit(request).value();
      const SamplingParams params{.temperature = request.sampling.temperature,
                                  .top_k = request.sampling.top_k,
                                  .top_p = request.sampling.top_p,
                                  .seed = request.sampling.seed};
      expected[id] = expected_ids(prompt, static_cast<std::size_t>(n_new), params);
    }
    const auto events = bench.run();
    REQUIRE(events.size() == expected.size());
    for (const auto& [id, ids] : expected) {
      CHECK(generated(events.at(id)) == ids);
      CHECK(events.at(id).back().finish == FinishReason::kLength);
    }
    CHECK((bench.n_preempted > 0) == s.must_preempt);
    CHECK(bench.engine->pages().n_free() == bench.engine->pages().n_pages());
    for (const std::int32_t n_tokens : bench.log.n_tokens) CHECK(n_tokens <= s.max_tokens);
    for (const std::int32_t n_seqs : bench.log.n_seqs) CHECK(n_seqs <= s.max_seqs);
  }
}

TEST_CASE("a stream of short requests does not starve a long one, and is not starved by it") {
  Bench bench(options_of(Batching::kContinuous, 4, 8, 40));
  const RequestId long_one = bench.engine->submit({.prompt_ids = random_prompt(1, 90), .max_new_tokens = 30}).value();
  std::map<RequestId, int> submitted_at;
  std::map<RequestId, int> finished_at;
  for (int step = 0; step < 400; ++step) {
    if (step < 200) {
      const auto id = bench.engine->submit(
          {.prompt_ids = random_prompt(100 + static_cast<std::uint64_t>(step), 3), .max_new_tokens = 2});
      submitted_at[id.value()] = step;
    }
    const auto events = bench.engine->step();
    REQUIRE_OK(events);
    for (const TokenEvent& event : *events) {
      if (event.finish != FinishReason::kNone) finished_at[event.request] = step;
    }
  }
  REQUIRE(finished_at.size() == submitted_at.size() + 1);
  // 90 prompt tokens in steps of 8 tokens, of which up to three are decodes of other requests; then 30 decodes.
  CHECK(finished_at.at(long_one) <= 90 / (8 - 3) + 30 + 2);
  // Arrival order is kept: each short request starts no later than the end of the requests behind it.
  int latest = 0;
  for (const auto& [id, step] : submitted_at) {
    CHECK(finished_at.at(id) >= latest - 4);
    latest = std::max(latest, finished_at.at(id));
  }
}

TEST_CASE("decoding sequences get a token every step while a long prompt is prefilled in chunks") {
  Bench bench(options_of(Batching::kContinuous, 4, 8));
  const RequestId first = bench.engine->submit({.prompt_ids = {1, 2}, .max_new_tokens = 40}).value();
  REQUIRE_OK(bench.engine->step());
  REQUIRE_OK(bench.engine->submit({.prompt_ids = random_prompt(3, 70), .max_new_tokens = 1}));
  for (int step = 0; step < 10; ++step) {
    const auto events = bench.engine->step().value();
    REQUIRE(!events.empty());
    CHECK(events.front().request == first);
    CHECK(bench.engine->last_step().n_decode_tokens == 1);
    CHECK(bench.engine->last_step().n_prefill_tokens == 7);
  }
}

TEST_CASE("static batching decodes in lockstep and admits nobody until the batch is done") {
  Bench bench(options_of(Batching::kStatic, 2, 8));
  for (std::uint64_t i = 0; i < 3; ++i) {
    REQUIRE_OK(bench.engine->submit({.prompt_ids = random_prompt(i, 6), .max_new_tokens = i == 0 ? 2 : 5}));
  }
  bench.run();
  // The first batch has two prompts of six tokens in steps of up to eight, then one decode of both requests and three of one
  // of them. The third request follows alone.
  CHECK(bench.log.n_tokens == std::vector<std::int32_t>{8, 4, 2, 1, 1, 1, 6, 1, 1, 1, 1});
}

TEST_CASE("dynamic batching waits for a full batch or the delay") {
  EngineOptions options = options_of(Batching::kDynamic, 2, 8);
  options.scheduler.max_queue_delay_ns = 3600'000'000'000;
  Bench bench(options);
  REQUIRE_OK(bench.engine->submit({.prompt_ids = {1, 2}, .max_new_tokens = 1}));
  CHECK(bench.engine->step().value().empty());
  CHECK(bench.engine->wakes_at_ns().has_value());
  REQUIRE_OK(bench.engine->submit({.prompt_ids = {3}, .max_new_tokens = 1}));
  CHECK_FALSE(bench.engine->wakes_at_ns().has_value());
  CHECK(bench.engine->step().value().size() == 2);
}

TEST_CASE("forced decode reports the model's own distribution at every position and takes the given ids") {
  Bench bench;
  const std::vector<std::int32_t> prompt = {5, 6, 7};
  const std::vector<std::int32_t> forced = {11, 12, 13, 14};
  REQUIRE_OK(bench.engine->submit(
      {.prompt_ids = prompt, .forced_ids = forced, .stop_ids = {12}, .want_logits = true, .want_top = true}));
  const auto events = bench.run().begin()->second;
  REQUIRE(events.size() == forced.size());
  std::vector<std::int32_t> tokens = prompt;
  for (std::size_t i = 0; i < forced.size(); ++i) {
    const auto logits = test::fake_logits(tokens);
    CHECK(events[i].id == forced[i]);
    CHECK(events[i].index == static_cast<std::int32_t>(i));
    CHECK(events[i].logits == logits);
    REQUIRE(events[i].top.size() == 20);
    CHECK(events[i].top[0].id == sample_row(logits, {}, 0).id);
    tokens.push_back(forced[i]);
  }
}

TEST_CASE("prompt scores are the log-probabilities of the prompt's own tokens, whatever the chunks") {
  const std::vector<std::int32_t> prompt = random_prompt(9, 21);
  for (const std::int32_t max_tokens : {3, 8, 64}) {
    CAPTURE(max_tokens);
    Bench bench(options_of(Batching::kContinuous, 2, max_tokens));
    REQUIRE_OK(bench.engine->submit({.prompt_ids = prompt, .want_logits = true, .score_prompt = true}));
    const auto events = bench.run().begin()->second;
    REQUIRE(events.size() == prompt.size());  // 20 scores, and the end of the request
    for (std::size_t i = 0; i + 1 < prompt.size(); ++i) {
      const std::span<const std::int32_t> before(prompt.data(), i + 1);
      const SampledToken token = sample_row(test::fake_logits(before), {.forced_id = prompt[i + 1]}, 0);
      CHECK(events[i].of_prompt);
      CHECK(events[i].position == static_cast<std::int32_t>(i + 1));
      CHECK(events[i].id == prompt[i + 1]);
      CHECK(events[i].logprob == token.logprob);
      CHECK(events[i].logits == test::fake_logits(before));
    }
    CHECK(events.back().id == -1);
    CHECK(events.back().finish == FinishReason::kLength);
  }
}

TEST_CASE("forks of a held document share its pages and generate what they would have without") {
  const auto document = random_prompt(50, 23);  // the last page is partial and holds 3 tokens
  Bench bench(options_of(Batching::kContinuous, 4, 16));
  const RequestId parent = bench.engine->submit({.prompt_ids = document, .hold = true}).value();
  std::map<RequestId, std::vector<std::int32_t>> expected;
  for (std::uint64_t i = 0; i < 5; ++i) {
    auto prompt = document;
    for (const std::int32_t id : random_prompt(60 + i, i)) prompt.push_back(id);  // i = 0: the document itself
    const RequestId id = bench.engine->submit({.prompt_ids = prompt, .max_new_tokens = 9, .fork_of = parent}).value();
    expected[id] = expected_ids(prompt, 9, {});
  }
  const auto events = bench.run();
  for (const auto& [id, ids] : expected) {
    CHECK(generated(events.at(id)) == ids);
    CHECK(events.at(id).front().times.n_shared_tokens >= 22);
  }
  CHECK(bench.log.n_page_copies == 5);
  CHECK(bench.engine->pages().n_free() == bench.engine->pages().n_pages() - 6);
  CHECK(bench.engine->release(parent));
  CHECK(bench.engine->pages().n_free() == bench.engine->pages().n_pages());
}

TEST_CASE("a held document is evicted when its pages are needed, and its forks are computed in full") {
  const auto document = random_prompt(70, 40);
  Bench bench(options_of(Batching::kContinuous, 4, 16, 14));
  const RequestId parent = bench.engine->submit({.prompt_ids = document, .hold = true}).value();
  bench.run();
  const auto other = random_prompt(71, 48);
  const RequestId crowding = bench.engine->submit({.prompt_ids = other, .max_new_tokens = 3}).value();
  auto prompt = document;
  prompt.push_back(1);
  const RequestId fork = bench.engine->submit({.prompt_ids = prompt, .max_new_tokens = 4, .fork_of = parent}).value();
  const auto events = bench.run();
  CHECK(bench.n_evicted == 1);
  CHECK(generated(events.at(crowding)) == expected_ids(other, 3, {}));
  CHECK(generated(events.at(fork)) == expected_ids(prompt, 4, {}));
  CHECK(events.at(fork).front().times.n_shared_tokens == 0);
}

TEST_CASE("random requests with forks, holds, cancels and a small cache all finish with the right tokens") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    RandomStream random(seed);
    const auto below = [&](std::uint64_t n) { return static_cast<std::int32_t>(random.next_below(n)); };
    Bench bench(options_of(static_cast<Batching>(random.next_below(3)), 1 + below(6), 1 + below(20), 12 + below(30)));
    std::map<RequestId, std::vector<std::int32_t>> expected;
    std::vector<std::pair<RequestId, std::vector<std::int32_t>>> submitted;
    std::map<RequestId, std::vector<std::int32_t>> found;
    for (int step = 0; step < 3000 && (step < 60 || bench.engine->has_work()); ++step) {
      if (step < 60 && random.next_below(2) == 0) {
        Request request{.prompt_ids = random_prompt(random.next_bits(), 1 + random.next_below(20)),
                        .max_new_tokens = 1 + below(12)};
        if (!submitted.empty() && random.next_below(2) == 0) {
          const auto& [parent, parent_prompt] = submitted[random.next_below(submitted.size())];
          auto prompt = parent_prompt;
          prompt.resize(std::min<std::size_t>(prompt.size(), 1 + random.next_below(20)));
          prompt.insert(prompt.end(), request.prompt_ids.begin(), request.prompt_ids.begin() + 1);
          request.prompt_ids = prompt;
          request.fork_of = parent;
        }
        request.hold = random.next_below(3) == 0;
        const RequestId id = bench.engine->submit(request).value();
        submitted.emplace_back(id, request.prompt_ids);
        expected[id] = expected_ids(request.prompt_ids, static_cast<std::size_t>(request.max_new_tokens), {});
      }
      if (!submitted.empty() && random.next_below(12) == 0) {
        const RequestId id = submitted[random.next_below(submitted.size())].first;
        const auto it = expected.find(id);
        if (it != expected.end() && found[id].size() < it->second.size()) expected.erase(it);
        bench.engine->cancel(id);
      }
      auto events = bench.engine->step();
      REQUIRE_OK(events);
      for (const TokenEvent& event : *events) found[event.request].push_back(event.id);
    }
    REQUIRE_FALSE(bench.engine->has_work());
    for (const auto& [id, ids] : expected) CHECK(found[id] == ids);
  }
}

TEST_CASE("a generation ends at a stop id, at its length, at the context, or at logits that are not finite") {
  const std::vector<std::int32_t> prompt = {1, 2, 3};
  const auto ids = expected_ids(prompt, 12, {});
  SECTION("stop id, which is reported") {
    Bench bench;
    REQUIRE_OK(bench.engine->submit({.prompt_ids = prompt, .max_new_tokens = 12, .stop_ids = {ids[4]}}));
    const auto events = bench.run().begin()->second;
    CHECK(events.back().finish == FinishReason::kStop);
    CHECK(events.back().id == ids[4]);
  }
  SECTION("ignored stop ids: the first is never sampled, and the length is reached") {
    Bench bench;
    REQUIRE_OK(bench.engine->submit(
        {.prompt_ids = prompt, .max_new_tokens = 12, .stop_ids = {ids[4], 0}, .ignore_stop_ids = true}));
    const auto found = generated(bench.run().begin()->second);
    CHECK(found == expected_ids(prompt, 12, {.forbidden_id = ids[4]}));
    CHECK(found[4] != ids[4]);
  }
  SECTION("context: the cache holds ten tokens, so the eleventh is the last") {
    Bench bench({}, 10);
    REQUIRE_OK(bench.engine->submit({.prompt_ids = prompt, .max_new_tokens = 100}));
    const auto events = bench.run().begin()->second;
    CHECK(events.size() == 8);
    CHECK(events.back().finish == FinishReason::kContext);
  }
  SECTION("not finite: this request fails and its neighbour goes on") {
    Bench bench;
    bench.log.nan_after_token = true;
    const RequestId bad = bench.engine->submit({.prompt_ids = {1, kFakeVocab - 1}, .max_new_tokens = 5}).value();
    const RequestId good = bench.engine->submit({.prompt_ids = prompt, .max_new_tokens = 3}).value();
    const auto events = bench.run();
    CHECK(events.at(bad).size() == 1);
    CHECK(events.at(bad).back().finish == FinishReason::kNonFinite);
    CHECK(generated(events.at(good)) == expected_ids(prompt, 3, {}));
  }
}

TEST_CASE("a request that cannot be served is refused with a line that says why") {
  Bench bench(options_of(Batching::kContinuous, 2, 8, 3));  // the cache holds 12 tokens
  CHECK_ERROR(bench.engine->submit({}), ErrorCode::kInvalidInput, "at least one prompt token");
  CHECK_ERROR(bench.engine->submit({.prompt_ids = {kFakeVocab}}), ErrorCode::kInvalidInput, "[0, 97)");
  CHECK_ERROR(bench.engine->submit({.prompt_ids = std::vector<std::int32_t>(13, 1), .max_new_tokens = 1}),
              ErrorCode::kInvalidInput, "at most 12 tokens");
  CHECK_ERROR(bench.engine->submit({.prompt_ids = {1}, .max_new_tokens = -1}), ErrorCode::kInvalidInput,
              "max_new_tokens");
  CHECK_ERROR(bench.engine->submit({.prompt_ids = {1}, .max_new_tokens = 1, .sampling = {.top_p = 0.0F}}),
              ErrorCode::kInvalidInput, "top_p");
  CHECK_FALSE(bench.engine->has_work());
}

TEST_CASE("an error of the backend comes back as it is") {
  Bench bench;
  bench.log.fail_at_step = 1;
  REQUIRE_OK(bench.engine->submit({.prompt_ids = {1, 2}, .max_new_tokens = 5}));
  REQUIRE_OK(bench.engine->step());
  CHECK_ERROR(bench.engine->step(), ErrorCode::kDeviceLost, "told to fail");
}

TEST_CASE("prepared steps are not compiled again, and a step compiled on demand says so") {
  Bench bench(options_of(Batching::kContinuous, 4, 32));
  REQUIRE_OK(bench.engine->prepare({}));
  CHECK(bench.log.n_compiled == 4);  // 1, 4, 16 and 32
  CHECK(bench.log.n_made_ready == 4);
  REQUIRE_OK(bench.engine->submit({.prompt_ids = {1, 2}, .max_new_tokens = 2}));
  REQUIRE_OK(bench.engine->step());
  CHECK_FALSE(bench.engine->last_step().compiled);
  CHECK(bench.engine->last_step().bucket_tokens == 4);
  bench.run();
  REQUIRE_OK(bench.engine->submit({.prompt_ids = {1, 2}, .max_new_tokens = 1, .want_top = true}));
  REQUIRE_OK(bench.engine->step());
  CHECK(bench.engine->last_step().compiled);
  // The compilation undid the preparation of the other steps.
  REQUIRE_OK(bench.engine->submit({.prompt_ids = {1, 2}, .max_new_tokens = 3}));
  REQUIRE_OK(bench.engine->step());
  CHECK(bench.engine->last_step().compiled);
  REQUIRE_OK(bench.engine->prepare({}));
  CHECK(bench.log.n_compiled == 5);
  REQUIRE_OK(bench.engine->step());
  CHECK_FALSE(bench.engine->last_step().compiled);
}

TEST_CASE("a request has the copies of the steps up to its first token, where the backend tells of them") {
  for (const auto each_ns : {std::optional<std::int64_t>{7}, std::optional<std::int64_t>{}}) {
    Bench bench(options_of(Batching::kContinuous, 1, 4));  // prompts in pieces of four tokens
    bench.log.transfer_ns = each_ns;
    REQUIRE_OK(bench.engine->submit({.prompt_ids = {1, 2, 3, 4, 5, 6, 7, 8, 9}, .max_new_tokens = 3}));
    std::vector<TokenEvent> tokens;
    while (bench.engine->has_work()) {
      const auto events = bench.engine->step();
      REQUIRE_OK(events);
      CHECK(bench.engine->last_step().transfer_ns == each_ns);
      tokens.insert(tokens.end(), events->begin(), events->end());
    }
    REQUIRE(tokens.size() == 3);
    for (const TokenEvent& token : tokens) {
      CHECK(token.times.transfer_ns == (each_ns ? std::optional<std::int64_t>{3 * 7} : std::nullopt));
    }
  }
}

TEST_CASE("cancelling gives the pages back and leaves the others alone") {
  Bench bench;
  const RequestId a = bench.engine->submit({.prompt_ids = {1, 2, 3}, .max_new_tokens = 50}).value();
  const RequestId b = bench.engine->submit({.prompt_ids = {4, 5}, .max_new_tokens = 6}).value();
  REQUIRE_OK(bench.engine->step());
  CHECK(bench.engine->cancel(a));
  CHECK_FALSE(bench.engine->cancel(a));
  const auto events = bench.run();
  CHECK(events.count(a) == 0);
  CHECK(events.at(b).back().index == 5);
  CHECK(bench.engine->pages().n_free() == bench.engine->pages().n_pages());
}

TEST_CASE("a step has sequences of one rotation only, by the length they may reach, and all of them advance") {
  const auto batching = GENERATE(Batching::kContinuous, Batching::kStatic);
  const auto kv_pages = GENERATE(std::int64_t{0}, std::int64_t{24});  // 24 are too few: sequences are preempted
  CAPTURE(static_cast<int>(batching), kv_pages);
  Bench bench(options_of(batching, 4, 16, kv_pages));
  bench.config.long_rope_tables = {{.inv_freq = {0.5F, 0.05F}}};
  bench.config.long_rope_after = 30;
  std::map<RequestId, std::vector<std::int32_t>> prompts;
  for (std::uint64_t i = 0; i < 8; ++i) {
    const bool is_long = i % 3 == 0;
    std::vector<std::int32_t> prompt = random_prompt(i, is_long ? 24 : 20);
    prompt.front() = is_long ? 1 : 0;
    // Requests reach 24 + 8 - 1 or 20 + 8 - 1 inputs. Request 7 is short but counts as long: it repeats a generation that was
    // allowed to become longer.
    Request request{.prompt_ids = prompt, .max_new_tokens = 8};
    if (i == 7) request.may_generate = 12;
    if (i == 7) request.prompt_ids.front() = prompt.front() = 1;
    prompts[bench.engine->submit(std::move(request)).value()] = prompt;
  }
  const auto events = bench.run();
  for (const auto& [id, prompt] : prompts) CHECK(generated(events.at(id)) == expected_ids(prompt, 8, {}));
  for (const auto& [frequency, first_token] : bench.log.rotated) CHECK(frequency == (first_token == 1 ? 0.5F : 1.0F));
}

TEST_CASE("a document is not shared with a prompt that is rotated otherwise") {
  Bench bench;
  bench.config.long_rope_tables = {{.inv_freq = {0.5F, 0.05F}}};
  bench.config.long_rope_after = 30;
  const std::vector<std::int32_t> document = random_prompt(3, 24);
  const RequestId parent = bench.engine->submit({.prompt_ids = document, .hold = true}).value();
  bench.run();
  for (const std::size_t n_own : {2U, 9U}) {
    std::vector<std::int32_t> prompt = document;
    for (const std::int32_t id : random_prompt(n_own, n_own)) prompt.push_back(id);
    const RequestId id = bench.engine->submit({.prompt_ids = prompt, .max_new_tokens = 2, .fork_of = parent}).value();
    const auto events = bench.run();
    CHECK(generated(events.at(id)) == expected_ids(prompt, 2, {}));
    CHECK(events.at(id).back().times.n_shared_tokens == (n_own == 2 ? 24 : 0));
  }
}

}  // namespace
}  // namespace secondsource

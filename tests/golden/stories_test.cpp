// Compares the engine, the loading of weights and each backend with an implementation that shares no code with them
// (stories.h).

#include "stories.h"

#include "golden_support.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

TEST_CASE("stories260K gives the ids and logits of an independent float64 implementation on every backend") {
  const auto folder = test::asset("models/stories260K-hf");
  const auto expected = test::asset("models/stories260K/expected_greedy.json");
  if (!folder || !expected) return;
  const Bundle bundle = Bundle::open_model_folder(*folder).value();
  for (const Module& module : test::available_backends()) {
    for (const std::string variant : {"f32", "bf16"}) {
      CAPTURE(module.name, variant);
      const auto backend = test::make_backend(module.name);
      const DType kv_dtype = backend->device().kv_dtype;
      if (!backend->supports_weight(variant_from_name(variant)->matmul, ActQuant::kNone).supported) continue;
      const auto session = test::open_session(module.name, bundle, variant, {});
      const bool is_f32 = variant == "f32" && kv_dtype == DType::kF32;
      for (const test::StoriesCase& one : test::read_stories_cases(*expected)) {
        const auto finding = test::compare_with_stories(session->engine(), one, test::stories_tolerance(is_f32));
        CHECK(finding.value_or("agrees") == "agrees");
      }
      const auto finding = test::compare_fork_with_stories(
          session->engine(), test::read_stories_cases(*expected).front(), test::stories_tolerance(is_f32));
      CHECK(finding.value_or("agrees") == "agrees");
    }
  }
}

TEST_CASE("the scores of a prompt's own tokens add up to the independent implementation's") {
  const auto folder = test::asset("models/stories260K-hf");
  const auto expected = test::asset("models/stories260K/expected_greedy.json");
  if (!folder || !expected) return;
  const Bundle bundle = Bundle::open_model_folder(*folder).value();
  const auto session = test::open_session("reference", bundle, "f32", {});
  for (const test::StoriesCase& c : test::read_stories_cases(*expected)) {
    REQUIRE_OK(session->engine().submit({.prompt_ids = c.prompt_ids, .score_prompt = true}));
    double nll = 0.0;
    for (const TokenEvent& event : test::run_all(session->engine())) nll -= static_cast<double>(event.logprob);
    CHECK(nll == Approx(c.prompt_nll_sum).margin(1e-3));
  }
}

TEST_CASE("one forward pass of chunks, one token at a time, in a batch, and of a fork gives the same logits") {
  const auto folder = test::asset("models/stories260K-hf");
  const auto expected = test::asset("models/stories260K/expected_greedy.json");
  if (!folder || !expected) return;
  const Bundle bundle = Bundle::open_model_folder(*folder).value();
  const test::StoriesCase c = test::read_stories_cases(*expected).front();
  std::vector<std::int32_t> ids = c.prompt_ids;
  ids.insert(ids.end(), c.greedy_ids.begin(), c.greedy_ids.begin() + 120);
  const auto logits_of = [&](std::int32_t max_tokens, bool forked, bool crowded) {
    EngineOptions options;
    options.scheduler.max_tokens_per_step = max_tokens;
    const auto session = test::open_session("reference", bundle, "f32", options);
    Engine& engine = session->engine();
    if (crowded) {
      for (std::int32_t i = 0; i < 5; ++i) {
        REQUIRE_OK(engine.submit({.prompt_ids = {1, 10 + i, 20 + i}, .max_new_tokens = 20}));
      }
    }
    Request request{.prompt_ids = ids, .max_new_tokens = 1, .want_logits = true};
    if (forked) {
      std::vector<std::int32_t> document(ids.begin(), ids.begin() + 101);
      request.fork_of = engine.submit({.prompt_ids = document, .hold = true}).value();
    }
    const RequestId id = engine.submit(request).value();
    for (const TokenEvent& event : test::run_all(engine)) {
      if (event.request == id) return event.logits;
    }
    FAIL("no logits");
    return std::vector<float>();
  };
  const std::vector<float> whole = logits_of(512, false, false);
  // `reference` guarantees that a row's result depends on the row alone, so that these are equal bit for bit.
  CHECK(logits_of(1, false, false) == whole);
  CHECK(logits_of(7, false, false) == whole);
  CHECK(logits_of(512, true, false) == whole);
  CHECK(logits_of(13, true, true) == whole);
}

}  // namespace
}  // namespace secondsource

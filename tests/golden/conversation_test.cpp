// Conversations on the engine within this process. The recorded answers and the questions between them are all taken from the
// reference's greedy continuation of a golden prompt (transformers in float64, bundles/recipes), so that every turn's answer is known.

#include <cstdlib>

#include "golden/golden_pass.h"
#include "golden_support.h"
#include "measure/load_generator.h"
#include "measure/timed_verdict.h"
#include "support/catch.h"
#include "support/result.h"
#include "systems/engine_system.h"

namespace secondsource {
namespace {

constexpr std::int32_t kTurns = 3;
constexpr std::int32_t kAnswer = 2;
constexpr std::int32_t kQuestion = 3;

/// The part of the reference's output that begins with a turn's answer.
ExpectedOutput from_turn(const ExpectedOutput& whole, std::int32_t turn) {
  const auto begin = static_cast<std::ptrdiff_t>(turn) * (kAnswer + kQuestion);
  ExpectedOutput part;
  part.ids = {whole.ids.begin() + begin, whole.ids.end()};
  part.top = {whole.top.begin() + begin, whole.top.end()};
  part.top1_margin = {whole.top1_margin.begin() + begin, whole.top1_margin.end()};
  part.logsumexp = {whole.logsumexp.begin() + begin, whole.logsumexp.end()};
  part.finish = whole.finish;
  for (const std::int32_t index : whole.unsteady) {
    if (index >= begin) part.unsteady.push_back(static_cast<std::int32_t>(index - begin));
  }
  return part;
}

TEST_CASE("each turn of a conversation has the answer that the reference gives to everything before it") {
  const char* const bundles = std::getenv("SECONDSOURCE_BUNDLES");
  REQUIRE(bundles != nullptr);
  SilentProgress progress;
  const InterruptFlag never;
  const auto bundle = Bundle::open(std::filesystem::path(bundles) / "tiny-gqa8-hd64", progress, never);
  REQUIRE_OK(bundle);
  const auto text = BundleText::load(*bundle);
  REQUIRE_OK(text);
  const auto inputs = load_golden_inputs(*bundle, *text, "smoke", "bf16");
  REQUIRE_OK(inputs);
  std::vector<const GoldenCase*> cases;
  for (const GoldenCase& one : inputs->cases) {
    constexpr std::size_t kNeeded = (kTurns - 1) * (kAnswer + kQuestion) + kAnswer;
    if (one.prompt.document.empty() && one.expected.ids.size() >= kNeeded) cases.push_back(&one);
  }
  REQUIRE(cases.size() >= 4);
  EngineOptions options = golden_engine_options(*inputs);
  options.max_context += 16;
  options.kv_tokens += 16 * 32;
  std::vector<TimedRequest> requests;
  for (const GoldenCase* one : cases) {
    for (std::int32_t turn = 0; turn < kTurns; ++turn) {
      TimedRequest& request = requests.emplace_back();
      request.tag = static_cast<std::int64_t>(requests.size()) - 1;
      request.ids = one->prompt.ids;
      const auto said = static_cast<std::ptrdiff_t>(turn) * (kAnswer + kQuestion);
      request.ids.insert(request.ids.end(), one->expected.ids.begin(), one->expected.ids.begin() + said);
      request.n_output_tokens = kAnswer;
    }
  }
  int n_backends = 0;
  for (const Module& module : test::available_backends()) {
    if (module.name != "cpu" && module.name != "reference") continue;
    CAPTURE(module.name);
    ++n_backends;
    const auto session = test::open_session(module.name, *bundle, "bf16", options);
    EngineSystem system(*session, nullptr, 60'000'000'000);
    ProgressCount count{0};
    LoadShape shape{.in_flight = 2, .turns = kTurns};
    shape.think_ns = std::vector<std::int64_t>(requests.size(), 1'000'000);
    const auto load = generate_load(system, requests, shape, never, count);
    REQUIRE_OK(load);
    REQUIRE(load->requests.size() == requests.size());
    std::int32_t n_verified = 0;
    for (const ObservedRequest& request : load->requests) {
      const auto conversation = static_cast<std::size_t>(request.tag / kTurns);
      CAPTURE(request.tag);
      CHECK(request.end->error.empty());
      CHECK(request.end->n_cached_prompt_tokens == 0);  // the engine caches nothing between turns
      REQUIRE(request.token_ids.size() == kAnswer);
      const ExpectedOutput expected =
          from_turn(cases[conversation]->expected, static_cast<std::int32_t>(request.tag % kTurns));
      const TimedVerdict verdict = judge_timed_tokens(request.token_ids, expected, inputs->acceptance.near_tie_tau);
      CHECK_FALSE(verdict.wrong_at);
      n_verified += verdict.verified_tokens;
    }
    // Verification of a turn ends at a near tie, so a few tokens may be unverified.
    CHECK(n_verified >= static_cast<std::int32_t>(requests.size()) * kAnswer * 9 / 10);
  }
  CHECK(n_backends > 0);
}

}  // namespace
}  // namespace secondsource

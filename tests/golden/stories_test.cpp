// stories260K: a really trained model of 260 thousand parameters. Expected ids and logits come from a float64 forward
// pass in plain Python over the original file (assets/models/stories260K/expected_greedy.json), so the engine, the
// weights' way through it and each backend are held against an implementation that shares nothing with them.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/json.h"
#include "golden_support.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

struct Case {
  std::vector<std::int32_t> prompt_ids;
  std::vector<std::int32_t> greedy_ids;
  std::vector<double> top2_gaps;
  std::vector<std::pair<std::int32_t, double>> last_prompt_logits;
  double prompt_nll_sum = 0.0;
};

std::vector<Case> read_cases(const std::filesystem::path& path) {
  const std::string text = read_file(path, 1 << 24).value();
  const nlohmann::json root = parse_json(text, path.string()).value();
  std::vector<Case> cases;
  for (const auto& entry : root.at("cases")) {
    Case c;
    c.prompt_ids = entry.at("prompt_ids").get<std::vector<std::int32_t>>();
    c.greedy_ids = entry.at("greedy_ids").get<std::vector<std::int32_t>>();
    c.top2_gaps = entry.at("top2_gaps").get<std::vector<double>>();
    for (const auto& pair : entry.at("last_prompt_logits_top10")) {
      c.last_prompt_logits.emplace_back(pair.at(0).get<std::int32_t>(), pair.at(1).get<double>());
    }
    c.prompt_nll_sum = entry.at("prompt_nll_sum").get<double>();
    cases.push_back(std::move(c));
  }
  return cases;
}

/// How far logits may be off, and up to which gap between the best two an id proves nothing.
struct Tolerance {
  double logit = 0.0;
  double gap = 0.0;
};

/// f32 weights and cache: the file's own bounds, 2e-3 on logits and 1e-3 on the gap. With BF16 weights, or BF16 inputs
/// and cache, each of the five layers rounds with u = 2^-9; the logits are sums of 64 products up to 17 in all, so the
/// error is of the order 17 * 2^-9 * sqrt(5 * 4) = 0.15, and two logits differ by up to twice that.
Tolerance tolerance_of(bool is_f32) {
  return is_f32 ? Tolerance{.logit = 2e-3, .gap = 1e-3} : Tolerance{.logit = 0.15, .gap = 0.3};
}

void check_case(Engine& engine, const Case& c, const Tolerance& tolerance) {
  REQUIRE_OK(engine.submit({.prompt_ids = c.prompt_ids,
                            .max_new_tokens = static_cast<std::int32_t>(c.greedy_ids.size()),
                            .want_logits = true}));
  const auto events = test::run_all(engine);
  REQUIRE(events.size() == c.greedy_ids.size());
  for (const auto& [id, logit] : c.last_prompt_logits) {
    CHECK(std::abs(static_cast<double>(events[0].logits[static_cast<std::size_t>(id)]) - logit) <= tolerance.logit);
  }
  // Beyond the first smaller gap the two may rightly go different ways.
  const auto end =
      std::find_if(c.top2_gaps.begin(), c.top2_gaps.end(), [&](double gap) { return gap <= tolerance.gap; });
  const auto n_comparable = static_cast<std::size_t>(end - c.top2_gaps.begin());
  CAPTURE(n_comparable);
  std::vector<std::int32_t> found;
  for (std::size_t i = 0; i < n_comparable; ++i) found.push_back(events[i].id);
  CHECK(found == std::vector<std::int32_t>(c.greedy_ids.begin(),
                                           c.greedy_ids.begin() + static_cast<std::ptrdiff_t>(n_comparable)));
}

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
      for (const Case& c : read_cases(*expected)) check_case(session->engine(), c, tolerance_of(is_f32));
    }
  }
}

TEST_CASE("the scores of a prompt's own tokens add up to the independent implementation's") {
  const auto folder = test::asset("models/stories260K-hf");
  const auto expected = test::asset("models/stories260K/expected_greedy.json");
  if (!folder || !expected) return;
  const Bundle bundle = Bundle::open_model_folder(*folder).value();
  const auto session = test::open_session("reference", bundle, "f32", {});
  for (const Case& c : read_cases(*expected)) {
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
  const Case c = read_cases(*expected).front();
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
  // `reference` promises that a row's result depends on the row alone, so these are equal bit for bit.
  CHECK(logits_of(1, false, false) == whole);
  CHECK(logits_of(7, false, false) == whole);
  CHECK(logits_of(512, true, false) == whole);
  CHECK(logits_of(13, true, true) == whole);
}

}  // namespace
}  // namespace secondsource

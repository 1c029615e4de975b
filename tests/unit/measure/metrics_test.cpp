// The worked example of docs/metrics.md, recomputed: the numbers here are those on that page, worked out by hand.

#include "measure/request_timer.h"
#include "measure/steady_window.h"
#include "support/catch.h"

namespace secondsource {
namespace {

constexpr std::int64_t kMs = 1'000'000;

/// Scheduled at 100 ms, sent at 102 ms, tokens at 130, 140, 155 and 160 ms; the second completes the first character.
ObservedRequest example() {
  RequestTimer timer;
  timer.begin(1, 100 * kMs, 102 * kMs, 4);
  timer.on_token({.tag = 1, .id = 5, .at_ns = 130 * kMs, .visible_ns = 0});
  timer.on_token({.tag = 1, .id = 6, .at_ns = 140 * kMs, .visible_ns = 141 * kMs});
  timer.on_token({.tag = 1, .id = 7, .at_ns = 155 * kMs, .visible_ns = 155 * kMs});
  timer.on_token({.tag = 1, .id = 8, .at_ns = 160 * kMs, .visible_ns = 160 * kMs});
  RequestEnd end;
  end.tag = 1;
  end.n_prompt_tokens = 12;
  end.parts.tokenize_ns = 1 * kMs;
  end.parts.queue_ns = 5 * kMs;
  end.parts.prefill_ns = 22 * kMs;
  end.ttft_kernel_ns = 22 * kMs;
  timer.on_end(end);
  return timer.take().front();
}

TEST_CASE("the worked example of docs/metrics.md") {
  const RequestSample sample = to_sample(example(), 90 * kMs);
  CHECK(sample.scheduled_ns == 10 * kMs);
  CHECK(sample.sent_ns == 12 * kMs);
  CHECK(sample.ttft_e2e_ns() == 30 * kMs);
  CHECK(sample.ttft_visible_ns() == 41 * kMs);
  CHECK(sample.ttft_kernel_ns == 22 * kMs);
  CHECK(sample.itl_ns == std::vector<std::int64_t>{10 * kMs, 15 * kMs, 5 * kMs});
  CHECK(sample.tpot_ns().value_or(-1) == Approx(10.0 * kMs));
  CHECK(sample.e2e_ns() == 60 * kMs);
  CHECK(sample.n_output_tokens == 4);
  CHECK(sample.n_prompt_tokens == 12);
  // The identity that every sample must satisfy: e2e = TTFT + TPOT (n - 1).
  CHECK(static_cast<double>(*sample.e2e_ns()) ==
        Approx(static_cast<double>(*sample.ttft_e2e_ns()) + *sample.tpot_ns() * 3));
}

TEST_CASE("one token has no gap and no TPOT; none has no TTFT either") {
  RequestTimer timer;
  timer.begin(1, 0, 0, 1);
  timer.on_token({.tag = 1, .id = 5, .at_ns = 7, .visible_ns = 7});
  RequestSample sample = to_sample(timer.take().front(), 0);
  CHECK(sample.ttft_e2e_ns() == 7);
  CHECK_FALSE(sample.tpot_ns());
  CHECK(sample.itl_ns.empty());
  timer.begin(2, 0, 0, 1);
  sample = to_sample(timer.take().front(), 0);
  CHECK_FALSE(sample.ttft_e2e_ns());
  CHECK_FALSE(sample.e2e_ns());
}

/// Two requests from 0: tokens at 10, 20, 30 and at 10, 20, 40 ms; a third from 30: 40, 50, 60 ms.
LoadResult two_slots() {
  LoadResult load;
  load.start_ns = 0;
  const auto add = [&](std::int64_t sent, std::vector<std::int64_t> at) {
    ObservedRequest request;
    request.scheduled_ns = request.sent_ns = sent * kMs;
    for (const std::int64_t token : at) request.token_ns.push_back(token * kMs);
    load.requests.push_back(request);
  };
  add(0, {10, 20, 30});
  add(0, {10, 20, 40});
  add(30, {40, 50, 60});
  load.full_until_ns = 40 * kMs;
  load.end_ns = 60 * kMs;
  return load;
}

TEST_CASE("the steady window ends when a slot stays empty, or with the last token") {
  const SteadyWindow offline = steady_window(ScenarioKind::kOffline, two_slots());
  CHECK(offline.start_ns == 0);
  CHECK(offline.end_ns == 40 * kMs);
  CHECK(offline.n_output_tokens == 7);
  const SteadyWindow server = steady_window(ScenarioKind::kServer, two_slots());
  CHECK(server.end_ns == 60 * kMs);
  CHECK(server.n_output_tokens == 9);
}

}  // namespace
}  // namespace secondsource

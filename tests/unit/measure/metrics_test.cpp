// Recomputes the worked examples of docs/metrics.md. The numbers here and on that page were computed by hand.

#include <fmt/format.h>

#include <sstream>

#include "core/file.h"
#include "measure/request_checks.h"
#include "measure/request_timer.h"
#include "measure/steady_window.h"
#include "record/record_json.h"
#include "record/slo.h"
#include "stats/quantile.h"
#include "summary/summarize.h"
#include "support/milliseconds.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

using test::kMs;

/// A request scheduled at 100 ms and sent at 102 ms with tokens at 130, 140, 155 and 160 ms; the second token completes
/// the first character.
ObservedRequest example() {
  RequestTimer timer;
  timer.begin(1, 100 * kMs, 102 * kMs, 4);
  timer.on_token({.tag = 1, .id = 5, .at_ns = 130 * kMs, .visible_ns = 0}, 130 * kMs);
  timer.on_token({.tag = 1, .id = 6, .at_ns = 140 * kMs, .visible_ns = 141 * kMs}, 141 * kMs);
  timer.on_token({.tag = 1, .id = 7, .at_ns = 155 * kMs, .visible_ns = 155 * kMs}, 155 * kMs);
  timer.on_token({.tag = 1, .id = 8, .at_ns = 160 * kMs, .visible_ns = 160 * kMs}, 160 * kMs);
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
  timer.on_token({.tag = 1, .id = 5, .at_ns = 7, .visible_ns = 7}, 7);
  RequestSample sample = to_sample(timer.take().front(), 0);
  CHECK(sample.ttft_e2e_ns() == 7);
  CHECK_FALSE(sample.tpot_ns());
  CHECK(sample.itl_ns.empty());
  timer.begin(2, 0, 0, 1);
  sample = to_sample(timer.take().front(), 0);
  CHECK_FALSE(sample.ttft_e2e_ns());
  CHECK_FALSE(sample.e2e_ns());
}

/// Two requests start at 0 with tokens at 10, 20, 30 ms and at 10, 20, 40 ms; a third starts at 30 ms with tokens at
/// 40, 50, 60 ms.
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

TEST_CASE("the steady window is the time in which as many requests are in flight as the load keeps there") {
  const SteadyWindow offline = steady_window(ScenarioKind::kOffline, two_slots());
  CHECK(offline.start_ns == 0);
  CHECK(offline.end_ns == 40 * kMs);
  CHECK(offline.n_output_tokens == 7);
  // In the open loop, the first request ends at 30 ms, when the last one arrives, so that no steady window lies between
  // them and the whole load counts.
  const SteadyWindow short_load = steady_window(ScenarioKind::kServer, two_slots());
  CHECK(short_load.start_ns == 0);
  CHECK(short_load.end_ns == 60 * kMs);
  CHECK(short_load.n_output_tokens == 9);
  LoadResult load = two_slots();
  load.requests.back().scheduled_ns = load.requests.back().sent_ns = 45 * kMs;
  const SteadyWindow server = steady_window(ScenarioKind::kServer, load);
  CHECK(server.start_ns == 30 * kMs);
  CHECK(server.end_ns == 45 * kMs);
  CHECK(server.n_output_tokens == 2);
}

/// A request as the load generator records it, with times in ms; tokens are received when they are generated.
ObservedRequest observed_request(std::int64_t tag, std::int64_t scheduled, std::int64_t sent,
                                 std::vector<std::int64_t> tokens) {
  RequestTimer timer;
  timer.begin(tag, scheduled * kMs, sent * kMs, static_cast<std::int32_t>(tokens.size()));
  for (const std::int64_t at : tokens) timer.on_token({.tag = tag, .id = 1, .at_ns = at * kMs}, at * kMs);
  RequestEnd end;
  end.tag = tag;
  end.n_prompt_tokens = 12;
  if (tokens.empty()) end.error = "planted";
  timer.on_end(end);
  return timer.take().front();
}

/// The summary of the requests A to E as a run of one repetition on two devices.
CellSummary example_cell() {
  LoadResult load;
  load.requests = {example(), observed_request(2, 150, 161, {190, 202, 214}), observed_request(3, 200, 200, {280}),
                   observed_request(5, 240, 240, {}), observed_request(4, 250, 250, {270, 300, 330, 360})};
  const SteadyWindow window = steady_window(ScenarioKind::kServer, load);
  RunRecord record;
  const CellKey key{"b", "s", "v", "server-r25"};
  record.cells = {{key, {.kind = ScenarioKind::kServer, .rate_per_s = 25, .n_requests = 5}, 1}};
  record.slo = *parse_slo("ttft_ms=50,tpot_ms=15");
  BackendRecord backend;
  backend.name = "s";
  backend.device.is_host = false;
  backend.n_units_used = 2;
  record.backends = {backend};
  Journal journal;
  std::vector<RequestSample> samples;
  for (const ObservedRequest& one : load.requests) {
    samples.push_back(to_sample(one, 0));
    samples.back().cell = key.id();
    journal.lines.emplace_back(samples.back());
  }
  Repetition repetition;
  repetition.cell = key.id();
  repetition.window_start_ns = window.start_ns;
  repetition.window_end_ns = window.end_ns;
  repetition.window_output_tokens = window.n_output_tokens;
  repetition.prefill = {.n_steps = 3, .tokens = 300, .ns = 60 * kMs};
  repetition.decode = {.n_steps = 8, .tokens = 8, .ns = 80 * kMs};
  repetition.rate_per_s = scheduled_rate(samples);
  repetition.achieved_rate_per_s = sent_rate(samples);
  journal.lines.emplace_back(repetition);
  return summarize(record, journal).cells[0];
}

TEST_CASE("the figures of docs/metrics.md are those that a summary has") {
  const CellSummary cell = example_cell();
  const auto page = read_file(test::source_path("docs/metrics.md"));
  REQUIRE_OK(page);
  const RequestSample a = to_sample(example(), 0);
  const auto ms = [](double ns) { return fmt::format("{:.0f} ms", ns / kMs); };
  const std::pair<const char*, std::string> lines[] = {
      {"    ttft_e2e     130 - 100           = ", ms(static_cast<double>(*a.ttft_e2e_ns()))},
      {"    ttft_sent    130 - 102           = ", ms(static_cast<double>(*a.ttft_sent_ns()))},
      {"    ttft_visible 141 - 100           = ", ms(static_cast<double>(*a.ttft_visible_ns()))},
      {"    ttft_kernel                        ", ms(static_cast<double>(*a.ttft_kernel_ns))},
      {"    TPOT         (160 - 130) / (4-1) = ", ms(*a.tpot_ns())},
      {"    e2e          160 - 100           = ", ms(static_cast<double>(*a.e2e_ns()))},
      {"    output tokens/s             3 (B's) / 90 ms          = ",
       fmt::format("{:.1f}", *cell.output_tok_per_s.value)},
      {"    output tokens/s per device  33.3 / 2                 = ",
       fmt::format("{:.1f}", *cell.tok_per_s_per_device)},
      {"    prefill tokens/s            300 / 60 ms              = ",
       fmt::format("{:.0f}", *cell.prefill_tok_per_s.value)},
      {"    decode tokens/s             8 / 80 ms                = ",
       fmt::format("{:.0f}", *cell.decode_tok_per_s.value)},
      {"    SLO attainment              2 / 5                    = ",
       fmt::format("{:.0f} % ({:.0f} % to {:.0f} %)", 100 * *cell.slo_attainment.value, 100 * *cell.slo_attainment.low,
                   100 * *cell.slo_attainment.high)},
      {"    goodput                     1 (B) / 90 ms            = ",
       fmt::format("{:.1f} requests/s, {:.1f} tokens/s", *cell.goodput_req_per_s.value, *cell.goodput_tok_per_s)},
      {"    rate                        4 gaps / (250 - 100 ms)  = ",
       fmt::format("{:.1f} requests/s", *cell.rate_per_s)},
      {"    achieved rate               4 gaps / (250 - 102 ms)  = ",
       fmt::format("{:.1f} requests/s", *cell.achieved_rate_per_s)},
      {"    median TTFT                 ", cell.ttft_e2e_p50_ns.why_not},
  };
  for (const auto& [left, right] : lines) {
    CAPTURE(left, right);
    CHECK(page->find(left + right) != std::string::npos);
  }
  CHECK(cell.slo_attainment.n == 5);
  CHECK(cell.n_errors == 1);
}

TEST_CASE("the percentile of docs/metrics.md") {
  std::vector<double> values;
  for (int i = 1; i <= 59; ++i) values.push_back(i);
  // numpy.quantile(values, 0.95)
  CHECK(supported_quantile_of_sorted(values, 0.95).value_or(0) == Approx(56.1));
  CHECK_FALSE(supported_quantile_of_sorted(values, 0.99));
}

TEST_CASE("the presets are those of the page, and what is none is refused") {
  const auto page = read_file(test::source_path("docs/metrics.md"));
  REQUIRE_OK(page);
  std::istringstream names(slo_preset_names());
  int n_presets = 0;
  for (std::string name; std::getline(names, name, ',');) {
    name.erase(0, name.find_first_not_of(' '));
    const auto slo = slo_preset(name);
    REQUIRE(slo);
    CHECK(page->find(fmt::format("| `{}` | {:g} | {:g} |", name, slo->ttft_ms, slo->tpot_ms)) != std::string::npos);
    CHECK(slo->percent == 99);
    ++n_presets;
  }
  CHECK(n_presets == 8);
  CHECK(parse_slo("tpot_ms=30,ttft_ms=500,percent=90")->name == "ttft_ms=500,tpot_ms=30,percent=90");
  for (const char* text : {"", "fast", "ttft_ms=500", "ttft_ms=-1,tpot_ms=3", "ttft_ms=1,tpot_ms=3,percent=100",
                           "ttft_ms=1,tpot_ms=x", "ttft_ms=1,,tpot_ms=1", "ttft_ms=1,tpot_ms=1,e2e_ms=4"}) {
    CAPTURE(text);
    CHECK_ERROR(parse_slo(text), ErrorCode::kInvalidInput, "expected limits such as");
  }
  CHECK_ERROR(parse_slo("ttft_ms=1000,ttft_ms=0.0001,tpot_ms=100"), ErrorCode::kInvalidInput,
              "expected each limit once, found ttft_ms twice");
}

}  // namespace
}  // namespace secondsource

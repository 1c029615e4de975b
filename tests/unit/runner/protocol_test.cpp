#include "runner/worker_protocol.h"
#include "support/result.h"

namespace secondsource {
namespace {

TEST_CASE("requests to a worker arrive as they were sent") {
  SystemJob job;
  job.program = "/bin/secondsource";
  job.bundle = "/b";
  job.bundle_name = "default";
  job.variant = "int8";
  job.backend = "cpu";
  job.options = {{"fault", "crash:3"}, {"threads", "2"}};
  job.suite = "smoke";
  job.seed = 18446744073709551615ULL;
  job.scenarios = {{.kind = ScenarioKind::kOffline, .batch = 16}};
  job.step_deadline_ns = 5;
  const auto load = worker_request_from_line(to_line(LoadCommand{job}));
  REQUIRE_OK(load);
  const SystemJob& back = std::get<LoadCommand>(*load).job;
  CHECK(back.options == job.options);
  CHECK(back.seed == job.seed);
  CHECK(back.bundle_name == "default");
  REQUIRE(back.scenarios.size() == 1);
  CHECK(back.scenarios.front().batch == 16);

  RepetitionPlan plan;
  plan.cell = "b/cpu/int8/server-r2.5";
  plan.scenario = {ScenarioKind::kServer, 16, 2.5, 10, 256, 32};
  plan.repetition = 2;
  plan.warm_up = WarmUpRule{.tolerance = 0.1};
  plan.n_done = 3;
  const auto measure = worker_request_from_line(to_line(MeasureCommand{plan}));
  REQUIRE_OK(measure);
  const RepetitionPlan& measured = std::get<MeasureCommand>(*measure).plan;
  CHECK(measured.scenario.name() == "server-r2.5");
  CHECK(measured.scenario.n_output_tokens == 32);
  CHECK(measured.warm_up->tolerance == 0.1);
  CHECK(measured.n_done == 3);

  const auto probe =
      worker_request_from_line(to_line(MeasureCommand{plan, ProbePlan{.slo = {"mine", 500, 30, 90}, .index = 4}}));
  REQUIRE_OK(probe);
  CHECK(std::get<MeasureCommand>(*probe).probe->slo.percent == 90);
  CHECK(std::get<MeasureCommand>(*probe).probe->index == 4);
  CHECK_FALSE(std::get<MeasureCommand>(*measure).probe);

  const OracleAnswers answers{"reference", {{1, 2}}, {{3, 4, 5}}};
  const auto golden = worker_request_from_line(to_line(GoldenCommand{answers}));
  REQUIRE_OK(golden);
  CHECK(std::get<GoldenCommand>(*golden).answers->answers == answers.answers);
}

TEST_CASE("what a device does at best arrives as it was measured, or why it was not") {
  const auto asked = worker_request_from_line(to_line(RatesCommand{RateEffort::kMoment}));
  REQUIRE_OK(asked);
  CHECK(std::get<RatesCommand>(*asked).effort == RateEffort::kMoment);
  const DeviceRates rates{.n_processors = 132,
                          .loops = "sm_90",
                          .reads = {{1 << 20, 5e12}, {1 << 30, 3e12}},
                          .f32_flops = 6e13,
                          .bf16_flops = 9e14,
                          .unmeasured = "units"};
  const auto told = worker_message_from_line(to_line(RatesMessage{rates, ""}));
  REQUIRE_OK(told);
  const RatesMessage& back = std::get<RatesMessage>(*told);
  REQUIRE(back.rates);
  CHECK(back.rates->n_processors == 132);
  CHECK(back.rates->loops == "sm_90");
  REQUIRE(back.rates->reads.size() == 2);
  CHECK(back.rates->reads[1].bytes_per_s == 3e12);
  CHECK(back.rates->bf16_flops == 9e14);
  CHECK_FALSE(back.rates->int8_ops);
  CHECK(back.rates->unmeasured == "units");
  const auto silent = worker_message_from_line(to_line(RatesMessage{std::nullopt, "no memory"}));
  REQUIRE_OK(silent);
  CHECK_FALSE(std::get<RatesMessage>(*silent).rates);
  CHECK(std::get<RatesMessage>(*silent).why_not == "no memory");
}

TEST_CASE("messages of a worker arrive as they were sent, whatever bytes are in them") {
  RequestSample sample;
  sample.cell = "b/cpu/int8/single-stream";
  sample.itl_ns = {1, 2};
  sample.finish = RequestFinish::kLength;
  const auto lines = worker_message_from_line(to_line(LinesMessage{{sample}}));
  REQUIRE_OK(lines);
  CHECK(std::get<RequestSample>(std::get<LinesMessage>(*lines).lines.front()).itl_ns == sample.itl_ns);

  const auto failed =
      worker_message_from_line(to_line(FailedMessage{{ErrorCode::kOutOfMemory, "bad \xff byte\nline"}}));
  REQUIRE_OK(failed);
  CHECK(std::get<FailedMessage>(*failed).error.code == ErrorCode::kOutOfMemory);

  const TelemetrySnapshot snapshot{7, {{"power_w", 3.5, ""}, {"clock_hz", std::nullopt, "not available: x"}}};
  const auto alive = worker_message_from_line(to_line(AliveMessage{9, snapshot}));
  REQUIRE_OK(alive);
  CHECK(std::get<AliveMessage>(*alive).progress == 9);
  CHECK(std::get<AliveMessage>(*alive).snapshot.readings[1].why_not == "not available: x");
}

TEST_CASE("what a worker would not say is an error, not a crash") {
  for (const char* line : {"", "{", "[]", "{}", "{\"say\": \"hello\"}", "{\"say\": 3}",
                           "{\"say\": \"lines\", \"lines\": [\"{\"]}", "Segmentation fault"}) {
    CAPTURE(line);
    CHECK_FALSE(worker_message_from_line(line));
  }
}

}  // namespace
}  // namespace secondsource

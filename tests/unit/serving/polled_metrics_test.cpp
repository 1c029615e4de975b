// Tests a page of metrics as a source of telemetry. A stand-in server publishes a page in the style of each kind of server, or one
// that is broken, endless, slow or absent.

#include "systems/polled_metrics.h"

#include <map>
#include <optional>
#include <string>
#include <thread>

#include "core/clock.h"
#include "support/milliseconds.h"
#include "support/stand_in.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

std::unique_ptr<PolledMetrics> polled(const StandIn& server, const std::string& path = "/metrics",
                                      std::span<const KnownMetric> known = known_server_metrics(),
                                      std::int64_t timeout_ns = 2'000 * kMs) {
  auto client = HttpClient::create({});
  REQUIRE_OK(client);
  return PolledMetrics::start(
      {.url = server.url() + path, .known = known, .name = "page", .period_ns = 20 * kMs, .timeout_ns = timeout_ns},
      *std::move(client));
}

/// The readings that the sampler takes during a repetition of `ns` nanoseconds.
std::vector<TelemetryReading> repetition(PolledMetrics& metrics, std::int64_t ns) {
  TelemetrySampler sampler({&metrics}, 10 * kMs);
  (void)sampler.take();
  std::this_thread::sleep_for(std::chrono::nanoseconds(ns));
  return sampler.summary_of(sampler.take());
}

std::optional<double> value_of(const std::vector<TelemetryReading>& readings, std::string_view name) {
  for (const TelemetryReading& reading : readings) {
    if (reading.name == name) return reading.value;
  }
  return std::nullopt;
}

std::string why_not(const std::vector<TelemetryReading>& readings) {
  for (const TelemetryReading& reading : readings) {
    if (reading.name == "page") return reading.why_not;
  }
  return "";
}

}  // namespace

TEST_CASE("what a server says of itself is sampled, in the terms of each kind of server") {
  const std::string dialect = GENERATE("vllm", "sglang", "tgi", "llama-server");
  CAPTURE(dialect);
  const StandIn server({"--dialect", dialect});
  const auto metrics = polled(server);
  const auto readings = repetition(*metrics, 100 * kMs);
  CHECK(value_of(readings, "server_requests_running") == 0);
  CHECK(value_of(readings, "server_requests_waiting") == 2);
  CHECK(value_of(readings, "server_requests_waiting_max") == 2);
  CHECK(value_of(readings, "server_output_tokens_count") == 0);
  CHECK(value_of(readings, "page_failed_count") == 0);
  CHECK(value_of(readings, "page_answer_ns").value_or(0) > 0);
  CHECK(value_of(readings, "page_client_ns").value_or(0) > 0);
  CHECK(why_not(readings).empty());
}

TEST_CASE("a repetition's counts are those between its two ends, however short it is") {
  const StandIn server({"--dialect", "vllm", "--speculative", "ngram"});
  auto client = HttpClient::create({});
  REQUIRE_OK(client);
  const auto ask = [&] {
    const auto reply = client->fetch({.url = server.url() + "/v1/completions",
                                      .body = R"({"prompt": [5, 5, 5, 5], "max_tokens": 10, "stream": true})",
                                      .accept = "text/event-stream"});
    REQUIRE_OK(reply);
  };
  ask();  // before the repetition: not among its counts
  const auto metrics = polled(server);
  TelemetrySampler sampler({metrics.get()}, 3'600'000 * kMs);
  for (int n_asked = 1; n_asked < 4; ++n_asked) {
    (void)sampler.take();
    for (int i = 0; i < n_asked; ++i) ask();
    const auto readings = sampler.summary_of(sampler.take());
    CHECK(value_of(readings, "server_output_tokens_count") == 10 * n_asked);
    CHECK(value_of(readings, "server_prompt_tokens_count") == 4 * n_asked);
    CHECK(value_of(readings, "server_preemptions_count") == 3 * n_asked);
    CHECK(value_of(readings, "server_prefix_hit_share") == 0.25);
    CHECK(value_of(readings, "server_draft_accepted_share") == 0.75);
  }
}

TEST_CASE("a page that cannot be read is said once, with the reason") {
  const auto [how, part] = GENERATE(table<std::string, std::string>(
      {{"off", "HTTP 501: This server does not support metrics endpoint. Start it with `--metrics`"},
       {"broken", "expected a number as the value"},
       {"huge", "expected a response of at most 4194304 bytes, found a longer one"},
       {"html", "expected the name of a metric"}}));
  CAPTURE(how);
  const StandIn server({"--dialect", "vllm", "--metrics", how});
  const auto metrics = polled(server);
  const auto readings = repetition(*metrics, 50 * kMs);
  CHECK(why_not(readings).find("not available: " + server.url() + "/metrics: ") == 0);
  CHECK(why_not(readings).find(part) != std::string::npos);
  CHECK(value_of(readings, "page_failed_count").value_or(0) > 0);
  CHECK_FALSE(value_of(readings, "server_requests_running"));
}

TEST_CASE("a page without any metric that is known says so") {
  const StandIn server({"--dialect", "vllm"});
  const auto metrics = polled(server, "/device-metrics");
  CHECK(why_not(repetition(*metrics, 0)).find("none of its metrics is known") != std::string::npos);
}

TEST_CASE("a slow page delays neither a repetition nor the end") {
  const StandIn server({"--dialect", "vllm", "--metrics", "slow"});  // 1.5 s for each answer
  auto metrics = polled(server);
  TelemetrySampler sampler({metrics.get()}, 10 * kMs);
  const std::int64_t began_ns = now_ns();
  (void)sampler.take();
  const auto readings = sampler.summary_of(sampler.take());
  // At both ends, a repetition waits at most 200 ms for a fresh answer; read() never waits.
  CHECK(now_ns() - began_ns < 1'200 * kMs);
  CHECK(value_of(readings, "page_late_count").value_or(0) > 0);
  const std::int64_t read_ns = now_ns();
  (void)metrics->read();
  CHECK(now_ns() - read_ns < 100 * kMs);
}

TEST_CASE("a page that is not answered in time is given up") {
  const StandIn server({"--dialect", "vllm", "--metrics", "slow"});
  auto metrics = polled(server, "/metrics", known_server_metrics(), 100 * kMs);
  const auto readings = repetition(*metrics, 300 * kMs);
  CHECK(why_not(readings).find("no whole response within 0.1 s") != std::string::npos);
}

TEST_CASE("an exporter's devices are readings as those of our own backends") {
  const StandIn server({});
  const auto metrics = polled(server, "/device-metrics", known_device_metrics());
  const auto readings = repetition(*metrics, 50 * kMs);
  CHECK(value_of(readings, "device_power_w") == 550.5);
  CHECK(value_of(readings, "device_temperature_c") == 61);
  CHECK(value_of(readings, "device_throttled_power") == 1);
  CHECK(value_of(readings, "device_utilisation") == Approx(0.7));
}

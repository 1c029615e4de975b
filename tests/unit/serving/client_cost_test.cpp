// Tests the null server, and that measurements with it are complete: the client counts every token that the server stamped, and
// none before it was sent. No test checks how long anything took.

#include "systems/client_cost.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "measure/load_generator.h"
#include "serving/http_client.h"
#include "support/catch.h"
#include "support/result.h"
#include "systems/null_server.h"
#include "systems/served_endpoint.h"

using namespace secondsource;

namespace {

constexpr std::int64_t kMilli = 1'000'000;

/// A null server that runs on its own thread until the end of the test.
class RunningNullServer {
 public:
  explicit RunningNullServer(NullServerSchedule schedule) : server_(listening(schedule)) {
    thread_ = std::thread([this] { served_ = server_.serve(stop_); });
  }
  ~RunningNullServer() {
    stop_.request();
    thread_.join();
    CHECK(served_);
  }
  RunningNullServer(const RunningNullServer&) = delete;
  RunningNullServer& operator=(const RunningNullServer&) = delete;
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()); }

 private:
  static NullServer listening(NullServerSchedule schedule) {
    auto server = NullServer::listen(schedule, 0);
    REQUIRE_OK(server);
    return *std::move(server);
  }

  NullServer server_;
  InterruptFlag stop_;
  Result<void> served_;
  std::thread thread_;
};

HttpReply reply_of(const RunningNullServer& server, const std::string& target, const std::string& body) {
  auto client = HttpClient::create({});
  REQUIRE_OK(client);
  auto reply = client->fetch({.url = server.url() + target, .body = body});
  REQUIRE_OK(reply);
  return *std::move(reply);
}

ServedEndpoint endpoint_of(const RunningNullServer& server) {
  ServedSystem system;
  system.url = server.url() + "/v1";
  system.preset = ServerPreset::kVllm;
  system.model = "null";
  system.timeout_s = 60;
  auto client = HttpClient::create({});
  REQUIRE_OK(client);
  return {std::move(system), *std::move(client), nullptr, 60'000 * kMilli};
}

TimedRequest request_of(std::int32_t tag, std::int32_t n_tokens) {
  TimedRequest request;
  request.tag = tag;
  request.ids = {tag};
  request.n_output_tokens = n_tokens;
  return request;
}

}  // namespace

TEST_CASE("every token that the null server stamps is counted, at any number of streams") {
  // Up to more streams than one poll of the sockets returns, and than one step of the server sends.
  const std::int32_t n_streams = GENERATE(1, 2, 65, 600);
  const RunningNullServer server({.first_token_ns = 300 * kMilli, .token_gap_ns = 2 * kMilli});
  const InterruptFlag never;
  const auto cost = measure_client_cost(
      server.url(), {.n_streams = n_streams, .n_tokens = 20, .arrivals_per_s = 5000, .seed = 3}, never);
  REQUIRE_OK(cost);
  CHECK(cost->n_failed == 0);
  CHECK(cost->n_sent == std::int64_t{20} * n_streams);
  CHECK(cost->n_events == cost->n_sent);
  CHECK(cost->n_at_once >= 1);
  CHECK(cost->n_at_once <= n_streams);
  CHECK(cost->ttft.n_values == n_streams);
  CHECK(cost->gap.n_values == std::int64_t{19} * n_streams);
  CHECK(cost->ttft.median_ns.has_value() == (n_streams >= 5));  // David and Nagaraja: 5 values for a median,
  CHECK(cost->ttft.p99_ns.has_value() == (n_streams >= 299));   // 299 for the 99th percentile
  CHECK(cost->client_cpu_ns > 0);
  CHECK(cost->server_cpu_ns > 0);
}

TEST_CASE("no token is known before it was sent, and none twice") {
  const RunningNullServer server({.first_token_ns = 5 * kMilli, .token_gap_ns = kMilli});
  ServedEndpoint endpoint = endpoint_of(server);
  std::vector<TimedRequest> requests;
  for (std::int32_t tag = 0; tag < 150; ++tag) requests.push_back(request_of(tag, 1 + tag % 7));
  const InterruptFlag never;
  ProgressCount progress{0};
  const auto load = generate_load(endpoint, requests, {.in_flight = 100}, never, progress);
  REQUIRE_OK(load);
  REQUIRE(load->requests.size() == requests.size());
  const auto stamps = parse_null_stamps(reply_of(server, "/stamps", "").body);
  REQUIRE_OK(stamps);
  REQUIRE(stamps->answers.size() == requests.size());
  for (const NullAnswer& answer : stamps->answers) {
    const auto found = std::ranges::find(load->requests, answer.tag, &ObservedRequest::tag);
    REQUIRE(found != load->requests.end());
    CHECK_FALSE(found->has_failed());
    CHECK(found->sent_ns <= answer.received_ns);
    CHECK(answer.sent_ns.size() == static_cast<std::size_t>(1 + answer.tag % 7));
    REQUIRE(found->token_ns.size() == answer.sent_ns.size());
    for (std::size_t index = 0; index < answer.sent_ns.size(); ++index) {
      CHECK(found->token_ns[index] >= answer.sent_ns[index]);
    }
  }
}

TEST_CASE("a null server outlives clients that leave in the middle of an answer") {
  const RunningNullServer server({.first_token_ns = kMilli, .token_gap_ns = 50 * kMilli});
  {
    ServedEndpoint leaving = endpoint_of(server);
    for (std::int32_t tag = 0; tag < 20; ++tag) REQUIRE_OK(leaving.submit(request_of(tag, 1000)));
    SystemEvents events;
    while (events.tokens.empty()) REQUIRE_OK(leaving.poll(now_ns() + 100 * kMilli, events));
    REQUIRE_OK(leaving.abandon());
  }
  ServedEndpoint staying = endpoint_of(server);
  REQUIRE_OK(staying.submit(request_of(77, 3)));
  SystemEvents events;
  while (events.ends.empty()) REQUIRE_OK(staying.poll(now_ns() + 100 * kMilli, events));
  CHECK(events.ends.front().error.empty());
  CHECK(events.tokens.size() == 3);
}

TEST_CASE("a null server refuses what it does not serve") {
  const RunningNullServer server({});
  CHECK(reply_of(server, "/v1/models", "").end.status == 200);
  CHECK(reply_of(server, "/v1/chat/completions", "{}").end.status == 404);
  const auto [body, reason] = GENERATE(table<std::string, std::string>({
      {"{", "syntax error"},
      {R"({"prompt":[1]})", "max_tokens"},
      {R"({"prompt":"text","max_tokens":2})", "a list of token ids"},
      {R"({"prompt":[],"max_tokens":2})", "a list of token ids"},
      {R"({"prompt":[1],"max_tokens":0})", "max_tokens"},
  }));
  const HttpReply refused = reply_of(server, "/v1/completions", body);
  CHECK(refused.end.status == 400);
  CAPTURE(refused.body);
  CHECK(refused.body.find(reason) != std::string::npos);
}

TEST_CASE("stamps that are not whole numbers are refused") {
  const std::string bad = GENERATE(as<std::string>(), "", "cpu 5\n", "cpu_ns x\n", "cpu_ns 5\n1\n", "cpu_ns 5\n1 2 x\n",
                                   "cpu_ns 5\n1 2 99999999999999999999\n");
  CHECK_FALSE(parse_null_stamps(bad));
  const auto stamps = parse_null_stamps("cpu_ns 5\n1 2\n7 8 9 10\n");
  REQUIRE_OK(stamps);
  CHECK(stamps->cpu_ns == 5);
  REQUIRE(stamps->answers.size() == 2);
  CHECK(stamps->answers[1].tag == 7);
  CHECK(stamps->answers[1].received_ns == 8);
  CHECK(stamps->answers[1].sent_ns == std::vector<std::int64_t>{9, 10});
}

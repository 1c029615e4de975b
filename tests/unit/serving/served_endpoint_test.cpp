// Tests the client of a server with a stand-in server that logs when it sends each event: the client's times must agree
// with that log, and each misbehaviour of the server must fail exactly the request that met it.

#include "systems/served_endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "measure/load_generator.h"
#include "measure/request_checks.h"
#include "support/bundles.h"
#include "support/milliseconds.h"
#include "support/scratch_folder.h"
#include "support/stand_in.h"
#include "tokenizer/tokenizer.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ServedSystem system_of(const StandIn& server, ServerPreset preset) {
  ServedSystem system;
  system.url = server.url() + "/v1";
  system.preset = preset;
  system.model = "stand-in";
  system.timeout_s = 20;
  return system;
}

std::vector<TimedRequest> requests_of(std::int32_t n, std::int32_t n_tokens) {
  std::vector<TimedRequest> requests(static_cast<std::size_t>(n));
  for (std::int32_t index = 0; index < n; ++index) {
    TimedRequest& request = requests[static_cast<std::size_t>(index)];
    request.tag = index;
    request.ids.assign(static_cast<std::size_t>(index) + 1, 5);
    request.n_output_tokens = n_tokens;
  }
  return requests;
}

LoadResult load_of(ServedEndpoint& endpoint, const std::vector<TimedRequest>& requests, const LoadShape& shape) {
  const InterruptFlag never;
  ProgressCount progress{0};
  auto load = generate_load(endpoint, requests, shape, never, progress);
  REQUIRE_OK(load);
  return *std::move(load);
}

HttpClient client() {
  auto made = HttpClient::create({});
  REQUIRE_OK(made);
  return *std::move(made);
}

/// The error of a single request that meets this fault.
std::string error_of(const std::string& fault, std::int64_t stall_ns = 10'000 * kMs) {
  const StandIn server({"--dialect", "vllm", "--fault", fault});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, stall_ns);
  const LoadResult load = load_of(endpoint, requests_of(1, 8), {});
  REQUIRE(load.requests.size() == 1);
  REQUIRE(load.requests[0].end);
  return load.requests[0].end->error;
}

}  // namespace

TEST_CASE("the times of tokens are those at which the server sent them") {
  const ScratchFolder scratch;
  const std::string log = (scratch.path() / "log").string();
  const StandIn server({"--dialect", "vllm", "--first-ms", "20", "--gap-ms", "5", "--log", log});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  endpoint.open_connections(4);
  const auto n_opened = endpoint.connections().n_opened.load();
  CHECK(n_opened == 4);
  const std::vector<TimedRequest> requests = requests_of(12, 10);
  const LoadResult load = load_of(endpoint, requests, {.in_flight = 4});
  CHECK(endpoint.connections().n_opened == n_opened);  // all were ready
  // Each request has a prompt of a different length, which identifies its line in the server's log.
  std::map<std::int64_t, std::vector<std::int64_t>> sent;
  std::istringstream lines(read_file(log).value());
  for (std::string line; std::getline(lines, line);) {
    const auto tree = nlohmann::json::parse(line);
    sent[tree.at("n_prompt").get<std::int64_t>()] = tree.at("sent_ns").get<std::vector<std::int64_t>>();
  }
  REQUIRE(sent.size() == requests.size());
  std::vector<std::int64_t> late;
  for (const ObservedRequest& request : load.requests) {
    REQUIRE(request.end);
    CHECK(request.end->error.empty());
    CHECK(request.end->n_output_tokens == 10);
    CHECK_FALSE(request.end->connect_ns);
    REQUIRE(request.token_ns.size() == 10);
    const std::vector<std::int64_t>& theirs = sent.at(request.tag + 1);
    REQUIRE(theirs.size() == 10);
    CHECK(request.token_ns.front() - request.sent_ns >= 20 * kMs);
    for (std::size_t index = 0; index < 10; ++index) {
      const std::int64_t lateness = request.token_ns[index] - theirs[index];
      CHECK(lateness >= 0);  // the server takes the time before it sends
      late.push_back(lateness);
    }
  }
  std::ranges::sort(late);
  // Other work on this machine may delay some events; the median of 120 events is what the client itself adds.
  CAPTURE(late[late.size() / 2], late.back());
  CHECK(late[late.size() / 2] < 20 * kMs);
}

TEST_CASE("an open loop sends at its times, however slow the server is") {
  const StandIn server({"--dialect", "vllm", "--first-ms", "300"});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  endpoint.open_connections(8);
  LoadShape shape;
  for (int index = 0; index < 8; ++index) shape.arrival_offsets_ns.push_back(index * 20 * kMs);
  const LoadResult load = load_of(endpoint, requests_of(8, 2), shape);
  REQUIRE(load.requests.size() == 8);
  for (const ObservedRequest& request : load.requests) {
    CHECK(request.end->error.empty());
    // All requests are sent before the first answer: the load does not wait for the server.
    CHECK(request.sent_ns - load.start_ns < 300 * kMs);
  }
}

TEST_CASE("a cancelled request is closed after its last wanted token, and the others go on") {
  const StandIn server({"--dialect", "vllm", "--gap-ms", "20"});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  std::vector<TimedRequest> requests = requests_of(4, 60);
  requests[1].cancel_after = requests[2].cancel_after = 3;
  requests[0].n_output_tokens = requests[3].n_output_tokens = 5;
  const LoadResult load = load_of(endpoint, requests, {.in_flight = 4});
  REQUIRE(load.requests.size() == 4);
  for (const ObservedRequest& request : load.requests) {
    CAPTURE(request.tag);
    CHECK(request.end->error.empty());
    const bool is_cancelled = request.tag == 1 || request.tag == 2;
    CHECK((request.end->finish == RequestFinish::kCancelled) == is_cancelled);
    if (is_cancelled) {
      CHECK(request.token_ids.size() >= 3);
      CHECK(request.token_ids.size() < 60);
    } else {
      CHECK(request.token_ids.size() == 5);
    }
  }
  CHECK(load.end_ns - load.start_ns < 1200 * kMs);  // sixty tokens would take this long
}

TEST_CASE(
    "a connection that a request opens is in no time to the first token, as far as an idle server takes that time") {
  const StandIn server({"--dialect", "vllm"});
  {
    ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
    const LoadResult load = load_of(endpoint, requests_of(2, 2), {});
    // Nothing is known of the idle server, so that all of the time may be a wait in its queue.
    CHECK(load.requests[0].end->connect_ns == 0);
    CHECK(load.requests[0].end->connect_wait_ns.value_or(0) > 0);
    CHECK_FALSE(load.requests[1].end->connect_ns);
    CHECK_FALSE(load.requests[1].end->connect_wait_ns);
  }
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  endpoint.open_connections(1);
  const LoadResult load = load_of(endpoint, requests_of(2, 20), {.in_flight = 2});
  CHECK_FALSE(load.requests[0].end->connect_ns);
  REQUIRE(load.requests[1].end->connect_ns);
  CHECK(*load.requests[1].end->connect_ns > 0);
  const RequestSample sample = to_sample(load.requests[1], load.start_ns);
  CHECK(*sample.ttft_e2e_ns() == *sample.first_token_ns - sample.scheduled_ns - *sample.connect_ns);
  CHECK(*sample.ttft_sent_ns() == *sample.first_token_ns - sample.sent_ns - *sample.connect_ns);
  CHECK(*sample.e2e_ns() == *sample.last_token_ns - sample.scheduled_ns - *sample.connect_ns);
}

TEST_CASE("several tokens in one event have one time, and all count") {
  const StandIn server({"--dialect", "vllm", "--tokens-per-event", "4", "--gap-ms", "5"});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  const LoadResult load = load_of(endpoint, requests_of(1, 10), {});
  const RequestSample sample = to_sample(load.requests[0], load.start_ns);
  CHECK(sample.n_output_tokens == 10);
  CHECK(sample.engine_tokens == 10);
  CHECK(std::ranges::count(sample.itl_ns, 0) == 7);  // 4 + 4 + 2 tokens: three times
}

TEST_CASE("without ids, tokens are counted by running usage, by events and the last usage, or by the length") {
  const auto [preset, options] = GENERATE(table<ServerPreset, std::vector<std::string>>({
      {ServerPreset::kSglang, {"--dialect", "sglang", "--tokens-per-event", "3"}},
      {ServerPreset::kLlamaServer, {"--dialect", "llama-server", "--tokens-per-event", "3"}},
      {ServerPreset::kMlc, {"--dialect", "mlc", "--tokens-per-event", "3"}},
      {ServerPreset::kMlc, {"--dialect", "mlc"}},
  }));
  CAPTURE(options);
  const StandIn server(options);
  ServedEndpoint endpoint(system_of(server, preset), client(), nullptr, 10'000 * kMs);
  const LoadResult load = load_of(endpoint, requests_of(1, 9), {});
  CAPTURE(load.requests[0].end->error);
  const RequestSample sample = to_sample(load.requests[0], load.start_ns);
  CHECK(sample.n_output_tokens == 9);
  CHECK(std::ranges::all_of(load.requests[0].token_ids, [](std::int32_t id) { return id == -1; }));
  const std::vector<RequestSample> samples = {sample};
  const std::vector<std::int32_t> asked = {9};
  CHECK(check_tokens(samples, asked).outcome == CheckOutcome::kPassed);
  CHECK_FALSE(sample.assumed_tokens);
  CHECK_FALSE(load.requests[0].end->count_text_tokens);
}

namespace {

Tokenizer tokenizer_of_bundle() {
  const auto json = read_file(source_path("bundles/default/tokenizer.json"));
  REQUIRE_OK(json);
  auto tokenizer = Tokenizer::from_json(*json, "tokenizer.json");
  REQUIRE_OK(tokenizer);
  return *std::move(tokenizer);
}

/// The check of an answer of 12 tokens to a prompt whose expected output has as many, from a server that counts nothing.
CheckRecord check_of_uncounted(const std::vector<std::string>& options, bool has_tokenizer) {
  std::vector<std::string> all = {"--dialect", "mlc", "--no-usage", "--bundle", source_path("bundles/default")};
  all.insert(all.end(), options.begin(), options.end());
  const StandIn server(all);
  const Tokenizer tokenizer = tokenizer_of_bundle();
  ServedEndpoint endpoint(system_of(server, ServerPreset::kMlc), client(), has_tokenizer ? &tokenizer : nullptr,
                          10'000 * kMs);
  std::vector<RequestSample> samples;
  const LoadResult load = load_of(endpoint, requests_of(4, 12), {});
  for (const ObservedRequest& request : load.requests) {
    CAPTURE(request.end->error);
    samples.push_back(to_sample(request, load.start_ns));
    if (request.end->count_text_tokens) samples.back().text_tokens = request.end->count_text_tokens();
    CHECK(samples.back().n_output_tokens == 12);
    CHECK_FALSE(samples.back().engine_tokens);
    CHECK_FALSE(samples.back().n_cached_prompt_tokens);
  }
  return check_tokens(samples, std::vector<std::int32_t>(samples.size(), 12));
}

bool says(const CheckRecord& check, std::string_view part) {
  return check.detail.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("where a server counts nothing, tokens without an event of their own must be in its text") {
  const CheckRecord each = check_of_uncounted({}, true);
  CAPTURE(each.detail);
  CHECK(each.outcome == CheckOutcome::kPassed);
  CHECK(each.detail == "48 arrived, as asked; the system gives no count");

  const CheckRecord together = check_of_uncounted({"--tokens-per-event", "3"}, true);
  CAPTURE(together.detail);
  CHECK(together.outcome == CheckOutcome::kPassed);
  CHECK(says(together, "32 had no event of their own and are assumed, because the system gives no count"));
  CHECK(says(together, "the text of answers that were taken for 48 tokens has "));

  const CheckRecord capped = check_of_uncounted({"--cap", "5"}, true);
  CAPTURE(capped.detail);
  CHECK(capped.outcome == CheckOutcome::kInvalid);
  CHECK(says(capped, "28 had no event of their own and are assumed"));
  CHECK(says(capped, "the text of answers that were taken for 48 tokens has 20 by the bundle's tokenizer"));

  const CheckRecord unknown = check_of_uncounted({"--cap", "5"}, false);
  CAPTURE(unknown.detail);
  CHECK(unknown.outcome == CheckOutcome::kSuspect);
  CHECK(says(unknown, "nothing shows whether 28 of them came"));
}

TEST_CASE("of a cancelled answer, the tokens in the text of its events count, though no event has a count") {
  const auto cases = read_file(source_path("bundles/default/expected/bf16.jsonl"));
  REQUIRE_OK(cases);
  // Each digit and each comma of this answer ("351,361,361,...") is one token.
  TimedRequest request;
  request.n_output_tokens = 32;
  request.cancel_after = 8;
  std::istringstream lines(*cases);
  for (std::string line; std::getline(lines, line) && request.ids.empty();) {
    const auto tree = nlohmann::json::parse(line);
    if (tree.value("ids", nlohmann::json::array()).size() == 32) tree.at("prompt_ids").get_to(request.ids);
  }
  REQUIRE_FALSE(request.ids.empty());
  const StandIn server(
      {"--dialect", "mlc", "--bundle", source_path("bundles/default"), "--tokens-per-event", "4", "--gap-ms", "200"});
  const Tokenizer tokenizer = tokenizer_of_bundle();
  ServedEndpoint endpoint(system_of(server, ServerPreset::kMlc), client(), &tokenizer, 10'000 * kMs);
  const LoadResult load = load_of(endpoint, {request}, {});
  REQUIRE(load.requests[0].end);
  CHECK(load.requests[0].end->finish == RequestFinish::kCancelled);
  RequestSample sample = to_sample(load.requests[0], load.start_ns);
  // Two events of four tokens, or more if a busy machine reads several at once.
  CHECK(sample.n_output_tokens >= 8);
  CHECK(sample.n_output_tokens < 32);
  CHECK(sample.n_output_tokens % 4 == 0);
  CHECK(std::ranges::count(sample.itl_ns, 0) == sample.n_output_tokens / 4 * 3);
  REQUIRE(load.requests[0].end->count_text_tokens);
  sample.text_tokens = load.requests[0].end->count_text_tokens();
  CHECK(sample.text_tokens == sample.n_output_tokens);
  const std::vector<std::int32_t> asked = {32};
  CHECK(check_tokens(std::span(&sample, 1), asked).outcome == CheckOutcome::kPassed);
}

TEST_CASE("a count of 0 contradicts tokens that arrived") {
  const StandIn server({"--dialect", "mlc", "--usage-says", "0"});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kMlc), client(), nullptr, 10'000 * kMs);
  const LoadResult load = load_of(endpoint, requests_of(1, 9), {});
  const RequestSample sample = to_sample(load.requests[0], load.start_ns);
  CHECK(sample.n_output_tokens == 9);
  CHECK(sample.engine_tokens == 0);
  const std::vector<std::int32_t> asked = {9};
  const CheckRecord check = check_tokens(std::span(&sample, 1), asked);
  CHECK(check.outcome == CheckOutcome::kInvalid);
  CHECK(check.detail == "request 0: 9 tokens arrived, the system counts 0");
}

TEST_CASE("tokens of the reasoning and the tool channel count, and only the answer is visible") {
  const std::string channel = GENERATE(as<std::string>(), "reasoning_content", "tool_calls");
  CAPTURE(channel);
  const StandIn server({"--dialect", "vllm", "--channel", channel, "--gap-ms", "10"});
  ServedSystem system = system_of(server, ServerPreset::kVllm);
  system.api = ServedApi::kChat;
  ServedEndpoint endpoint(system, client(), nullptr, 10'000 * kMs);
  std::vector<TimedRequest> requests = requests_of(1, 8);
  requests[0].texts = {"hello"};
  requests[0].ids.clear();
  const LoadResult load = load_of(endpoint, requests, {});
  CAPTURE(load.requests[0].end->error);
  REQUIRE(load.requests[0].token_ns.size() == 8);
  REQUIRE(load.requests[0].first_visible_ns);
  CHECK(*load.requests[0].first_visible_ns == load.requests[0].token_ns[3]);
}

TEST_CASE("an answer that ends early is no error, and its row is suspect") {
  const StandIn server({"--dialect", "any", "--bundle", source_path("bundles/default")});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kAny), client(), nullptr, 10'000 * kMs);
  std::vector<TimedRequest> requests = requests_of(1, 8);
  requests[0].texts = {"<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"};
  requests[0].ids.clear();
  const LoadResult load = load_of(endpoint, requests, {});
  RequestSample sample = to_sample(load.requests[0], load.start_ns);
  CHECK(sample.error.empty());
  sample.finish = RequestFinish::kEos;
  sample.n_output_tokens = 5;
  sample.engine_tokens = 5;
  const std::vector<RequestSample> samples = {sample};
  const std::vector<std::int32_t> asked = {8};
  CHECK(check_tokens(samples, asked).outcome == CheckOutcome::kSuspect);
}

TEST_CASE("every misbehaviour of a server is one error of the request that meets it") {
  const auto [fault, part] = GENERATE(table<std::string, std::string>({
      {"malformed-json", "event: "},
      {"no-event", "expected a line \"data: ...\""},
      {"error-event", "the engine died"},
      {"wrong-type", "expected a list under choices"},
      {"cut", "found the end of the stream behind"},
      {"reset", "eset"},
      {"reset-at-once", "eset"},
      {"endless-line", "found a longer one"},
      {"429", "HTTP 429: too busy (try again after 7 s)"},
      {"503", "HTTP 503: too busy (try again after 7 s)"},
      {"redirect", "HTTP 307: the server redirects to http://127.0.0.1:9/elsewhere"},
      {"html", "expected text/event-stream, found text/html"},
      {"error-object", "found application/json: out of memory"},
      {"no-finish", "the server ended the answer without a finish reason"},
      {"no-finish-no-done", "the server ended the stream before the answer was complete"},
      {"other-finish", "with the finish reason \"content_filter\\x0a\": expected length or stop"},
  }));
  CAPTURE(fault);
  const std::string error = error_of(fault);
  CAPTURE(error);
  CHECK(error.find(part) != std::string::npos);
  CHECK(error.find('\n') == std::string::npos);
}

TEST_CASE("a server that falls silent, or sends comments alone, is given up at the deadline") {
  const std::string fault = GENERATE(as<std::string>(), "stall", "comments");
  const std::int64_t started_ns = now_ns();
  CHECK(error_of(fault, 400 * kMs) == "no token for 0.4 s");
  CHECK(now_ns() - started_ns < 20'000 * kMs);
}

TEST_CASE("compressed, chunked, carelessly named and carelessly ended streams are read") {
  const std::string fault = GENERATE(as<std::string>(), "gzip", "no-done", "cut-done", "upper-case");
  CAPTURE(fault);
  CHECK(error_of(fault).empty());
}

TEST_CASE("a request that a server drops on an open connection is an error, and is not sent again") {
  const ScratchFolder scratch;
  const std::string log = (scratch.path() / "log").string();
  const StandIn server({"--dialect", "vllm", "--fault", "no-answer:3", "--log", log});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  const LoadResult load = load_of(endpoint, requests_of(9, 4), {});
  for (const ObservedRequest& request : load.requests) {
    REQUIRE(request.end);
    CHECK(request.end->error == (request.tag % 3 == 2 ? "the server closed the connection without an answer" : ""));
  }
  // The server logs one line for each answer. It would have answered a dropped request that came a second time, and the log would be
  // longer.
  const std::string lines = read_file(log).value();
  CHECK(std::ranges::count(lines, '\n') == 6);
}

TEST_CASE("a server that takes no connection is given up after the time for that, which the error names") {
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  // One waiting connection fills the queue; the kernel answers no other one.
  std::vector<FileDescriptor> waiting;
  for (int index = 0; index < 2; ++index) {
    waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)::connect(waiting.back().get(), reinterpret_cast<sockaddr*>(&address), size);
  }
  HttpClient http = client();
  const auto reply = http.fetch(
      {.url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/v1/models", .timeout_ns = 700 * kMs});
  CHECK_ERROR(reply, ErrorCode::kUnavailable, "/v1/models: no connection within 0.7");
}

TEST_CASE("an answer that names another model than the one that is asked is an error, and one that names none is not") {
  const auto [answers_as, names, error] = GENERATE(table<std::string, std::vector<std::string>, std::string>({
      {"other", {"mine", "its-alias"}, "expected an answer of model \"mine\", found one of \"other\""},
      {"its-alias", {"mine", "its-alias"}, ""},
      {"mine:latest", {"mine"}, ""},
      {"", {"mine"}, ""},
      {"other", {}, ""},  // a row of a single model: any name is taken
  }));
  CAPTURE(answers_as, names);
  const StandIn server({"--dialect", "vllm", "--answers-as", answers_as});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  endpoint.expect_answers_of(names);
  const LoadResult load = load_of(endpoint, requests_of(1, 8), {});
  REQUIRE(load.requests.size() == 1);
  REQUIRE(load.requests[0].end);
  CHECK(load.requests[0].end->error == error);
}

TEST_CASE("one broken stream leaves the others alone") {
  const StandIn server({"--dialect", "vllm", "--fault", "reset:3", "--gap-ms", "2"});
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), client(), nullptr, 10'000 * kMs);
  const LoadResult load = load_of(endpoint, requests_of(12, 6), {.in_flight = 4});
  const auto n_failed = std::ranges::count_if(load.requests, &ObservedRequest::has_failed);
  CHECK(n_failed == 4);
  for (const ObservedRequest& request : load.requests) {
    if (!request.has_failed()) CHECK(request.token_ns.size() == 6);
  }
}

TEST_CASE("a key in a server's answer is cut from the error") {
  ::setenv("SECONDSOURCE_TEST_KEY", "s3cret", 1);
  const StandIn server({"--dialect", "vllm", "--key", "s3cret", "--fault", "500-with-key"});
  auto key = ApiKey::read({.environment = "SECONDSOURCE_TEST_KEY", .file = {}});
  REQUIRE_OK(key);
  auto with_key = HttpClient::create({.key = *key});
  REQUIRE_OK(with_key);
  ServedEndpoint endpoint(system_of(server, ServerPreset::kVllm), *std::move(with_key), nullptr, 10'000 * kMs);
  const LoadResult load = load_of(endpoint, requests_of(1, 8), {});
  CHECK(load.requests[0].end->error == "HTTP 500: the key is Bearer [key]");
}

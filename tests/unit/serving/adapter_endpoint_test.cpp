// Tests the client of an adapter with a stand-in (tests/adapters/stand_in.py) that logs when it knew each token. The client must
// report exactly these times, and each misbehaviour must cause one clear error.

#include "systems/adapter_endpoint.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bundle/bundle.h"
#include "core/clock.h"
#include "core/file.h"
#include "measure/load_generator.h"
#include "support/catch.h"
#include "support/milliseconds.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

constexpr std::int32_t kVocabulary = 2048;
const AdapterWait kNoWait = [] { return Result<void>(); };

/// A folder as the runner makes it from the default bundle: it contains only links to the model's files.
std::filesystem::path model_folder(const ScratchFolder& scratch) {
  std::filesystem::path folder = scratch.path() / "model";
  std::filesystem::create_directory(folder);
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    std::filesystem::create_symlink(source_path(std::string("bundles/default/") + name), folder / name);
  }
  return folder;
}

AdapterSystem stand_in_system(const Options& options, const std::vector<std::string>& arguments = {}) {
  AdapterSystem system;
  system.adapter = "stand-in";
  system.start = {"python3", source_path("tests/adapters/stand_in.py")};
  system.start.insert(system.start.end(), arguments.begin(), arguments.end());
  system.options = options;
  system.start_deadline_s = 30;
  return system;
}

/// The stand-in adapter, started and with its model loaded.
class LoadedStandIn {
 public:
  explicit LoadedStandIn(const Options& options, std::int64_t stall_ns = 20'000 * kMs)
      : endpoint_(started(options), kVocabulary, stall_ns) {}
  AdapterEndpoint* operator->() { return &endpoint_; }
  AdapterEndpoint& operator*() { return endpoint_; }

 private:
  AdapterProcess started(const Options& options) {
    auto process = AdapterProcess::start(stand_in_system(options), {.log = scratch_.path() / "log"}, kNoWait);
    REQUIRE_OK(process);
    REQUIRE_OK(process->load(model_folder(scratch_).string(), kNoWait));
    return *std::move(process);
  }

  ScratchFolder scratch_;
  AdapterEndpoint endpoint_;
};

std::vector<TimedRequest> adapter_requests(std::int32_t n, std::int32_t n_tokens) {
  std::vector<TimedRequest> requests(static_cast<std::size_t>(n));
  for (std::int32_t index = 0; index < n; ++index) {
    TimedRequest& request = requests[static_cast<std::size_t>(index)];
    request.tag = 100 + index;
    request.ids.assign(static_cast<std::size_t>(index) + 1, 5);
    request.n_output_tokens = n_tokens;
  }
  return requests;
}

Result<LoadResult> load_of(AdapterEndpoint& endpoint, const std::vector<TimedRequest>& requests,
                           const LoadShape& shape = {}) {
  const InterruptFlag never;
  ProgressCount progress{0};
  return generate_load(endpoint, requests, shape, never, progress);
}

Error error_at_start(const std::vector<std::string>& arguments, const Options& options = {}, double deadline_s = 30) {
  const ScratchFolder scratch;
  AdapterSystem system = stand_in_system(options, arguments);
  system.start_deadline_s = deadline_s;
  auto process = AdapterProcess::start(system, {.log = scratch.path() / "log"}, kNoWait);
  if (!process) return process.error();
  const Result<void> loaded = process->load(model_folder(scratch).string(), kNoWait);
  REQUIRE_FALSE(loaded.has_value());
  return loaded.error();
}

}  // namespace

TEST_CASE("the time of a token is the one that the adapter stamped") {
  const ScratchFolder scratch;
  const std::string log = (scratch.path() / "times").string();
  LoadedStandIn adapter({{"log", log}, {"step_ms", "2"}, {"in_flight", "3"}});
  CHECK(adapter->hello().runtime == "stand-in");
  CHECK(adapter->name() == "stand-in behind an adapter");
  const auto requests = adapter_requests(9, 7);
  const auto load = load_of(*adapter, requests, {.in_flight = 4});
  REQUIRE_OK(load);
  std::map<std::int64_t, std::vector<std::int64_t>> known;  // by the number of the request, which counts from 0
  std::istringstream lines(read_file(log).value());
  for (std::string line; std::getline(lines, line);) {
    const auto tree = nlohmann::json::parse(line);
    for (const auto& token : tree.at(1))
      known[token.at(0).get<std::int64_t>()].push_back(tree.at(0).get<std::int64_t>());
  }
  REQUIRE(load->requests.size() == requests.size());
  for (const ObservedRequest& request : load->requests) {
    REQUIRE(request.end);
    CHECK(request.end->error.empty());
    CHECK(request.end->n_output_tokens == 7);
    CHECK(request.end->n_prompt_tokens == request.tag - 99);
    CHECK(request.token_ns == known.at(request.tag - 100));
    CHECK(request.token_ns.front() >= request.sent_ns);
  }
  CHECK(adapter->lateness().n_lines > 0);
  CHECK(adapter->lateness().worst_ns < AdapterEndpoint::kLatestNs);
  CHECK(adapter->lateness().worst_ns * adapter->lateness().n_lines >= adapter->lateness().sum_ns);
}

TEST_CASE("a request that an adapter refuses fails alone, and an answer may end early") {
  LoadedStandIn adapter(Options{{"ends", "3"}});
  auto requests = adapter_requests(3, 5);
  requests[1].n_output_tokens = 13;
  const auto load = load_of(*adapter, requests);
  REQUIRE_OK(load);
  REQUIRE(load->requests.size() == 3);
  CHECK(load->requests[1].end->error == "13 tokens bring bad luck");
  for (const std::size_t index : {0U, 2U}) {
    CHECK(load->requests[index].end->error.empty());
    CHECK(load->requests[index].end->n_output_tokens == 3);
    CHECK(load->requests[index].end->finish == RequestFinish::kEos);
  }
}

TEST_CASE("abandoned requests are cancelled, and the next ones start on an idle adapter") {
  LoadedStandIn adapter(Options{{"step_ms", "5"}});
  SystemEvents events;
  for (const TimedRequest& request : adapter_requests(6, 1000)) REQUIRE_OK(adapter->submit(request));
  REQUIRE_OK(adapter->poll(now_ns() + 50 * kMs, events));
  REQUIRE_OK(adapter->abandon());
  const auto load = load_of(*adapter, adapter_requests(2, 3));
  REQUIRE_OK(load);
  for (const ObservedRequest& request : load->requests) CHECK(request.token_ns.size() == 3);
}

TEST_CASE("answers that are not timed, and scores of given ids") {
  LoadedStandIn adapter{Options()};
  const auto answers = adapter->generate({{5, 5}, {6, 6, 6}}, 4, kNoWait);
  REQUIRE_OK(answers);
  REQUIRE(answers->size() == 2);
  for (const auto& answer : *answers) CHECK(answer.generated.ids.size() == 4);
  AdapterScoreRequest request;
  request.ids = {1, 2, 3};
  request.n_prompt = 2;
  const auto scores = adapter->score(request, kNoWait);
  REQUIRE_OK(scores);
  CHECK(scores->why_not == "no such prompt");
}

TEST_CASE("an adapter that breaks the protocol while it generates is one clear error") {
  struct Case {
    std::string fault;
    ErrorCode code;
    const char* part;
  };
  const auto one = GENERATE(values<Case>({
      {"garbage", ErrorCode::kIo, "it wrote \"/usr/lib/python3/warnings.py"},
      {"null", ErrorCode::kIo, "tokens: expected an array, found null"},
      {"endless", ErrorCode::kIo, "a line of more than 8388608 bytes"},
      {"repeated index", ErrorCode::kIo, "with index 1, expected index 2"},
      {"lost token", ErrorCode::kIo, "with index 3, expected index 2"},
      {"strange request", ErrorCode::kIo, "request 777777, which is not open"},
      {"strange id", ErrorCode::kIo, "with the id 2048, expected one of 0 to 2047"},
      {"future", ErrorCode::kIo, "s after its arrival"},
      {"past", ErrorCode::kIo, "after the time that it states"},
      {"early end", ErrorCode::kIo, "by its length after 2 of 6 tokens"},
      {"cancelled", ErrorCode::kIo, "although it was not cancelled"},
      {"too many", ErrorCode::kIo, "beyond the 6 asked for"},
      {"second hello", ErrorCode::kIo, "a \"hello\" among answers"},
      {"error", ErrorCode::kInternal, "the adapter: RuntimeError: the device is gone"},
      {"exit", ErrorCode::kDeviceLost, "the adapter ended with exit status 7: fatal: the runtime died"},
      {"killed", ErrorCode::kDeviceLost, "the adapter ended with signal 9 (Killed)"},
      {"out-of-memory", ErrorCode::kOutOfMemory, "CUDA out of memory"},
      {"closes", ErrorCode::kDeviceLost, "the adapter closed its pipe but did not end"},
      {"hang", ErrorCode::kDeadline, "the adapter wrote nothing for 1 s although a request was open"},
  }));
  CAPTURE(one.fault);
  LoadedStandIn adapter({{"fault", one.fault}, {"after", "2"}}, one.fault == "hang" ? 1'000 * kMs : 20'000 * kMs);
  const auto load = load_of(*adapter, adapter_requests(3, 6));
  REQUIRE_FALSE(load.has_value());
  CAPTURE(load.error().message);
  CHECK(load.error().code == one.code);
  CHECK(load.error().message.find(one.part) != std::string::npos);
  CHECK(load.error().message.find('\n') == std::string::npos);
}

TEST_CASE("times that go back are refused") {
  LoadedStandIn adapter({{"fault", "backwards"}, {"step_ms", "1"}});
  const auto load = load_of(*adapter, adapter_requests(1, 6));
  REQUIRE_FALSE(load.has_value());
  CAPTURE(load.error().message);
  CHECK(load.error().message.find("before that of the previous step") != std::string::npos);
}

TEST_CASE("an adapter that does not start in order is one clear error") {
  struct Case {
    std::string fault;
    ErrorCode code;
    const char* part;
  };
  const auto one = GENERATE(values<Case>({
      {"version", ErrorCode::kIo, "speaks version 2 of the protocol, expected 1"},
      {"garbage", ErrorCode::kIo, "it wrote \"Loading checkpoint shards"},
      {"endless", ErrorCode::kIo, "a line of more than 8388608 bytes"},
      {"nothing given", ErrorCode::kIo, "expected the key \"forced\", found none"},
      {"no runtime", ErrorCode::kUnavailable, "the adapter: this Python has no package of that runtime"},
      {"exit", ErrorCode::kDeviceLost, "the adapter ended with exit status 7: fatal: the runtime died"},
      {"hang", ErrorCode::kDeadline, "the adapter had not said hello after 1 s; it wrote last: loading the runtime"},
  }));
  CAPTURE(one.fault);
  const Error error = error_at_start({"--hello", one.fault}, {}, one.fault == "hang" ? 1 : 30);
  CAPTURE(error.message);
  CHECK(error.code == one.code);
  CHECK(error.message.find(one.part) != std::string::npos);
  const Error option = error_at_start({}, {{"dtyep", "x"}});
  CHECK(option.code == ErrorCode::kInvalidInput);
  CHECK(option.message.find("option dtyep: expected one of") != std::string::npos);
  const Error load = error_at_start({}, {{"fault", "load exit"}});
  CHECK(load.code == ErrorCode::kDeviceLost);
}

TEST_CASE("a program that is not there, and a wait that is broken off") {
  const ScratchFolder scratch;
  AdapterSystem system = stand_in_system({});
  system.start = {"no-such-adapter-anywhere"};
  const auto missing = AdapterProcess::start(system, {.log = scratch.path() / "log"}, kNoWait);
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().message.find("no-such-adapter-anywhere") != std::string::npos);
  const auto broken_off =
      AdapterProcess::start(stand_in_system({}, {"--hello", "hang"}), {.log = scratch.path() / "log"}, [] {
        return Result<void>(Error{ErrorCode::kInterrupted, "the user asked to stop"});
      });
  REQUIRE_FALSE(broken_off.has_value());
  CHECK(broken_off.error().code == ErrorCode::kInterrupted);
}

// Systems of a plan that the program starts itself, as processes and in containers, and what happens to a run when they crash,
// hang or do not end. The servers are stand-ins (tests/serving/stand_in.py), and so is podman (podman_stand_in.py).

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/child_process.h"
#include "core/clock.h"
#include "core/enum_names.h"
#include "core/file.h"
#include "support/bundles.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"
#include "system_run.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

using test::kDefaultBundle;
const std::string kServerStandIn = test::source_path("tests/serving/stand_in.py");
const std::string kPodman = test::source_path("tests/serving/podman_stand_in.py");
constexpr const char* kImage =
    "localhost/stand-in@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A run of one system. `how` is the part of its entry in the plan that says how to start it, such as "    start: [...]\n".
test::SystemRun managed_run(const std::string& how, const std::vector<std::string>& more = {}) {
  return test::SystemRun({"    preset: vllm\n" + how}, more);
}

/// `start:` of the stand-in with more arguments.
std::string start_of(const std::string& more = "") {
  return "    start: [python3, '" + kServerStandIn + "', --dialect, vllm, --bundle, '" + kDefaultBundle +
         "', --model, '{model}', --port, '{port}'" + (more.empty() ? "" : ", " + more) + "]\n";
}

std::string image_of(const std::string& more = "") {
  return "    engine: '" + kPodman + "'\n    image: '" + kImage + "'\n    start: [--dialect, vllm, --bundle, '" +
         kDefaultBundle + "', --model, '{model}', --port, '{port}'" + (more.empty() ? "" : ", " + more) + "]\n";
}

/// The failures of a run as "kind: message".
std::vector<std::string> failures_of(const SummarizedRun& stored) {
  std::vector<std::string> texts;
  for (const FailureRecord& one : stored.summary.failures) {
    texts.push_back(std::string(to_string(one.kind)) + ": " + one.message);
  }
  return texts;
}

}  // namespace

TEST_CASE("a server is started with the bundle's model, measured, and stopped with all that it started") {
  const test::ScratchFolder scratch;
  const fs::path child = scratch.path() / "child";
  const fs::path daemon = scratch.path() / "daemon";
  const test::SystemRun measured =
      managed_run(start_of("--child, '" + child.string() + "', --daemon, '" + daemon.string() + "'") +
                  "    env: {STAND_IN_MODE: plain}\n");
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  const SummarizedRun stored = measured.stored();
  REQUIRE(stored.record.backends.size() == 1);
  const auto& served = stored.record.backends.front().served;
  REQUIRE(served);
  REQUIRE(served->managed);
  CHECK(served->version == "1.2.3");
  CHECK(served->url.starts_with("http://127.0.0.1:"));
  CHECK(served->managed->start.front() == "python3");
  CHECK(served->managed->env == std::vector<std::pair<std::string, std::string>>{{"STAND_IN_MODE", "plain"}});
  CHECK(served->managed->health == "/health");
  CHECK(test::contains(measured.run().out, "passed (forced)"));
  CHECK(stored.summary.cells.size() == 2);
  CHECK(test::has_ended(read_file(child).value()));
  CHECK(test::has_ended(read_file(daemon).value()));
  const test::ProgramRun html = test::run_program({"report", measured.folder().string(), "--format", "html"});
  CHECK(test::contains(html.out, "started as STAND_IN_MODE=plain python3"));
  const test::ProgramRun verified = test::run_program({"verify", measured.folder().string()});
  CAPTURE(verified.out, verified.err);
  CHECK(verified.status == 0);
}

TEST_CASE("memory and CPU of a server that was started, or of its container, are among the sensors of its row") {
  const bool is_container = GENERATE(false, true);
  CAPTURE(is_container);
  const test::SystemRun measured = managed_run(is_container ? image_of() : start_of());
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  const SummarizedRun stored = measured.stored();
  REQUIRE(stored.summary.cells.size() == 2);
  for (const CellSummary& cell : stored.summary.cells) {
    const auto reading = [&](std::string_view name) {
      const auto found = std::ranges::find(cell.telemetry, name, &TelemetryReading::name);
      return found == cell.telemetry.end() ? TelemetryReading{} : *found;
    };
    CAPTURE(cell.key.id());
    CHECK(reading("server_processes").value == 1);
    CHECK(reading("server_rss_bytes").value.value_or(0) > 5e6);  // a Python process that has read a tokenizer
    CHECK(reading("server_rss_bytes_max").value.value_or(0) >= *reading("server_rss_bytes").value);
    CHECK(reading("server_pss_bytes").value.value_or(0) > 1e6);
    CHECK(reading("server_metrics_failed_count").value == 0);
    CHECK(reading("server_output_tokens_count").value.value_or(0) > 0);
    // On a machine with cgroup version 2 a container has this reading; otherwise the reason is given.
    const TelemetryReading memory = reading("container_memory_bytes");
    CHECK((memory.value || memory.why_not.starts_with("not available: ")) == is_container);
  }
  REQUIRE(stored.record.backends.front().served->features);
  CHECK(stored.record.backends.front().served->features->prefix_cache == FeatureSetting{"on", SettingSource::kServer});
}

TEST_CASE("a server that does not come up is one failure with its last words, and the others are measured") {
  struct Case {
    std::string more;
    std::string expected;
  };
  const auto one = GENERATE(values<Case>({
      {"--at-start, crash", "crash: the server ended with exit status 7: fatal: the engine died"},
      {"--at-start, out-of-memory", "out-of-memory: the server ended with exit status 7: the engine is gone"},
      {"--at-start, killed", "crash: the server ended with signal 9 (Killed): loading the engine"},
      {"--at-start, hang", "hang: the server was not ready after"},
      {"--nonsense", "crash: the server ended with exit status 2"},
  }));
  CAPTURE(one.more);
  const test::SystemRun measured =
      managed_run(start_of(one.more) + "    start_deadline: 2\n", {"--backend", "reference"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  CHECK(test::contains(measured.run().out, one.expected));
  const SummarizedRun stored = measured.stored();
  CHECK(stored.summary.cells.size() == 2);
  CHECK_FALSE(measured.log().empty());
}

TEST_CASE("a server that is not installed is a failure") {
  const test::SystemRun measured =
      managed_run("    start: [no-such-server-anywhere, --port, '{port}']\n", {"--backend", "reference"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  CHECK(test::contains(measured.run().out, "no-such-server-anywhere"));
}

TEST_CASE("a server that fails in the middle is reported as a backend that does, and started again for the next cell") {
  struct Case {
    std::string then;
    std::string expected;
  };
  const auto one = GENERATE(values<Case>({
      {"exit", "crash: the server ended with exit status 7: fatal: the engine died"},
      {"killed", "crash: the server ended with signal 9 (Killed)"},
      {"out-of-memory", "out-of-memory: the server ended with exit status 7: the engine is gone"},
      {"hang", "hang: the server sent no token for any request for 2 s"},
  }));
  CAPTURE(one.then);
  const test::SystemRun measured =
      managed_run(start_of("--after, '2', --then, " + one.then), {"--step-deadline", "2s"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  const std::vector<std::string> failures = failures_of(measured.stored());
  CAPTURE(failures);
  REQUIRE(failures.size() == 2);  // a server is started for each cell and fails at its second request
  for (const std::string& failure : failures) CHECK(failure.starts_with(one.expected));
  CHECK(measured.stored().summary.golden.size() == 1);
}

TEST_CASE("a server that ignores SIGTERM is killed after its deadline, with what it started") {
  const test::ScratchFolder scratch;
  const fs::path child = scratch.path() / "child";
  const test::SystemRun measured =
      managed_run(start_of("--ignore-sigterm, --child, '" + child.string() + "'") + "    stop_deadline: 1\n");
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  CHECK(test::contains(measured.run().err, "it did not end within 1 s after it was asked to, and was killed"));
  CHECK(test::has_ended(read_file(child).value()));
}

TEST_CASE("a server in a container is the same row, with the image in the fingerprint") {
  const test::SystemRun measured = managed_run(image_of() + "    env: {A: '1'}\n", {"--cpus", "0"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  const SummarizedRun stored = measured.stored();
  const auto& managed = stored.record.backends.front().served->managed;
  REQUIRE(managed);
  CHECK(managed->image == kImage);
  CHECK(managed->engine_version == "podman version 4.3.1 (a stand-in)");
  CHECK(managed->image_id.starts_with("feedbeef"));
  const std::string calls = read_file(measured.scratch() / "calls").value();
  CHECK(test::contains(
      calls, "--pull=never --network=host --volume " + kDefaultBundle + "/config.json:/model/config.json:ro"));
  CHECK(test::contains(calls, "--env A=1 --cpuset-cpus=0 " + std::string(kImage) + " --dialect vllm"));
  CHECK(test::contains(calls, "--model /model --port "));
  // The container was started twice, once to query the server's properties and once to measure. Both times it was stopped.
  const auto count = [&](std::string_view word) {
    int n = 0;
    for (std::size_t at = calls.find(word); at != std::string::npos; at = calls.find(word, at + 1)) ++n;
    return n;
  };
  CHECK(count("run --name secondsource-") == 2);
  CHECK(count("stop --time 30 secondsource-") == 2);
  CHECK(count("rm --force secondsource-") == 2);
  for (const auto& entry : fs::directory_iterator(measured.scratch())) {
    CHECK_FALSE(entry.path().filename().string().starts_with("container-secondsource-"));
  }
}

TEST_CASE("a container that is killed for want of memory says so, by its engine") {
  const test::SystemRun measured =
      managed_run(image_of("--after, '2', --then, killed") + "    env: {STAND_IN_OOM: 'true'}\n");
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  const std::vector<std::string> failures = failures_of(measured.stored());
  CAPTURE(failures);
  REQUIRE_FALSE(failures.empty());
  CHECK(failures.front().starts_with("out-of-memory: the container ended with exit status 137"));
}

TEST_CASE("an image that is not there, or an engine that is not installed, is a failure") {
  const std::string other(64, 'a');
  const test::SystemRun missing =
      managed_run("    engine: '" + kPodman + "'\n    image: 'elsewhere/vllm@sha256:" + other +
                      "'\n    start: [--port, '{port}']\n",
                  {"--backend", "reference"});
  CAPTURE(missing.run().out, missing.run().err);
  CHECK(missing.run().status == 4);
  CHECK(test::contains(missing.run().out, "has no image elsewhere/vllm@sha256:"));
  const test::SystemRun no_engine = managed_run(
      "    engine: no-such-engine\n    image: '" + std::string(kImage) + "'\n    start: [--port, '{port}']\n",
      {"--backend", "reference"});
  CAPTURE(no_engine.run().out, no_engine.run().err);
  CHECK(no_engine.run().status == 4);
  CHECK(test::contains(no_engine.run().out, "no container engine of this name"));
  const test::SystemRun broken_engine =
      managed_run("    engine: 'false'\n    image: '" + std::string(kImage) + "'\n    start: [--port, '{port}']\n",
                  {"--backend", "reference"});
  CAPTURE(broken_engine.run().out, broken_engine.run().err);
  CHECK(broken_engine.run().status == 4);
  CHECK(test::contains(broken_engine.run().out,
                       "false --version: exit status 1: expected a container engine that works"));
}

TEST_CASE("nothing is measured in place of the server that was to be started") {
  const test::SystemRun measured = managed_run(
      start_of("--at-start, hang") + "    url: 'http://127.0.0.1:1'\n    start_deadline: 1\n", {"--dry-run"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);  // a dry run starts nothing
  CHECK_FALSE(fs::exists(measured.folder()));
  const test::ScratchFolder scratch;
  ChildCommand command;
  command.program = "/usr/bin/env";
  command.arguments = {"python3", kServerStandIn};
  auto other = ChildProcess::start(command);
  REQUIRE_OK(other);
  const auto port = other->receive(now_ns() + 60'000'000'000);
  REQUIRE_OK(port);
  const test::SystemRun taken =
      managed_run(start_of() + "    url: 'http://127.0.0.1:" + port->value() + "'\n", {"--backend", "reference"});
  CAPTURE(taken.run().out, taken.run().err);
  CHECK(taken.run().status == 4);
  CHECK(test::contains(taken.run().out, "another server answers there already"));
}

TEST_CASE("a run that starts servers goes on only with its plan, since no command of a run.json is executed") {
  const test::SystemRun measured = managed_run(start_of());
  CAPTURE(measured.run().out, measured.run().err);
  REQUIRE(measured.run().status == 0);
  const std::string folder = measured.folder().string();
  test::check_refused(test::run_program({"run", "--resume", folder}, measured.options()),
                      "no command of a run.json is executed: expected --config PLAN");
  const test::ProgramRun again =
      test::run_program({"run", "--resume", folder, "--config", measured.plan().string()}, measured.options());
  CAPTURE(again.out, again.err);
  CHECK(again.status == 0);
  std::string other = read_file(measured.plan()).value();
  other.insert(other.find("'{port}'"), "'{port}', --gap-ms, '1', --port, ");
  REQUIRE_OK(write_file(measured.scratch() / "other.yaml", other));
  const test::ProgramRun changed = test::run_program(
      {"run", "--resume", folder, "--config", (measured.scratch() / "other.yaml").string()}, measured.options());
  CAPTURE(changed.out, changed.err);
  CHECK(changed.status == 6);
  CHECK(test::contains(changed.err, "how the server is started changed since the run began"));
}

TEST_CASE("systems that a plan wants started: what cannot be is refused in one line with status 2") {
  struct Case {
    std::string how;
    const char* part;
  };
  const auto one = GENERATE(values<Case>({
      {"    start: vllm serve {model}\n", "expected {port}, the port that the server is to listen on"},
      {"    start: vllm serve {modle} --port {port}\n",
       "expected {model} and {port} alone in braces, found \"{modle}\""},
      {"    start: vllm serve \"$MODEL\" --port {port}\n", "no shell reads this"},
      {"    image: vllm/vllm-openai:latest\n    start: --port {port}\n", "expected NAME@sha256:DIGEST"},
      {"    health: /health\n", "start or image beside health"},
      {"    start: [a, '{port}']\n    engine: docker\n", "beside an image alone"},
      {"    start: [a, '{port}']\n    health: health\n", "expected a path such as /health"},
      {"    start: [a, '{port}']\n    env: {'A=B': c}\n", "expected the name of a variable"},
      {"    start: [a, '{port}']\n    start_deadline: soon\n", "start_deadline"},
      {"    start: [a, '{port}']\n    bundle: other\n", "expected bundle=NAME"},
      {"", "url"},
  }));
  CAPTURE(one.how);
  const test::SystemRun refused = managed_run(one.how, {"--dry-run"});
  test::check_refused(refused.run(), one.part);
}

}  // namespace secondsource

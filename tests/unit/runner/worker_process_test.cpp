// The process under real programs of the system; what the run does with real workers is in tests/fault.

#include "runner/worker_process.h"

#include <signal.h>
#include <unistd.h>

#include "core/clock.h"
#include "runner/worker_client.h"
#include "support/result.h"

namespace secondsource {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

WorkerCommand shell(const std::string& script) {
  WorkerCommand command;
  command.program = "/bin/sh";
  command.arguments = {"-c", script};
  command.stderr_file = "/tmp/ss-worker-process-" + std::to_string(::getpid()) + ".stderr";
  std::filesystem::remove(command.stderr_file);
  return command;
}

std::string next_line(WorkerProcess& process) {
  const auto line = process.receive(now_ns() + 10 * kSecondNs);
  REQUIRE_OK(line);
  REQUIRE(line->has_value());
  return **line;
}

TEST_CASE("lines go both ways, and the end of the child is an exit status") {
  auto process = WorkerProcess::start(shell("read line; echo \"got $line\"; exit 3"));
  REQUIRE_OK(process);
  REQUIRE_OK(process->send("hello"));
  CHECK(next_line(*process) == "got hello");
  CHECK_ERROR(process->receive(now_ns() + 10 * kSecondNs), ErrorCode::kDeviceLost, "ended");
  CHECK(process->wait().status == 3);
}

TEST_CASE("a line to a child that is gone is an error, and no signal to this process") {
  auto process = WorkerProcess::start(shell("exit 0"));
  REQUIRE_OK(process);
  CHECK(process->wait().status == 0);  // its end of the pipe may be open for a moment after that of its output
  struct sigaction action {};
  ::sigaction(SIGPIPE, nullptr, &action);
  REQUIRE(action.sa_handler == SIG_DFL);  // the process would end
  CHECK_ERROR(process->send("hello"), ErrorCode::kDeviceLost, "does not listen");
  sigset_t pending;
  ::sigpending(&pending);
  CHECK(sigismember(&pending, SIGPIPE) == 0);
}

TEST_CASE("a deadline passes without a line") {
  auto process = WorkerProcess::start(shell("sleep 30"));
  REQUIRE_OK(process);
  const auto nothing = process->receive(now_ns() + kSecondNs / 20);
  REQUIRE_OK(nothing);
  CHECK_FALSE(nothing->has_value());
  process->kill();
  const WorkerExit exit = process->wait();
  CHECK(exit.signal == SIGKILL);
  CHECK(exit.killed_by_us);
}

TEST_CASE("limits and environment are set before the program begins") {
  WorkerCommand command = shell("echo $OMP_NUM_THREADS; ulimit -d; grep Cpus_allowed_list /proc/self/status");
  command.environment = {{"OMP_NUM_THREADS", "7"}};
  command.limits.memory_max_bytes = 64 << 20;
  command.limits.cpus = {0};
  auto process = WorkerProcess::start(command);
  REQUIRE_OK(process);
  CHECK(next_line(*process) == "7");
  CHECK(next_line(*process) == "65536");
  CHECK(next_line(*process).ends_with("\t0"));
  process->wait();
}

TEST_CASE("a CPU that is not there is refused before anything starts") {
  WorkerCommand command = shell("true");
  command.limits.cpus = {4000};
  CHECK_ERROR(WorkerProcess::start(command), ErrorCode::kInvalidInput, "CPU 4000");
}

TEST_CASE("how a worker failed is told apart") {
  struct Case {
    const char* script;
    const char* kind;
    const char* part;
  };
  const Case cases[] = {
      {"kill -SEGV $$", "crash", "Segmentation fault"},
      {"kill -ABRT $$", "crash", "Aborted"},
      {"echo 'terminate called after throwing std::bad_alloc' >&2; exit 1", "out-of-memory", "bad_alloc"},
      {"kill -KILL $$", "out-of-memory", "out-of-memory killer"},
      {"echo '{\"say\": \"failed\", \"code\": \"out-of-memory\", \"message\": \"full\"}'; sleep 9", "out-of-memory",
       "full"},
      {"echo '{\"say\": \"failed\", \"code\": \"deadline\", \"message\": \"late\"}'; sleep 9", "hang", "late"},
      {"sleep 30", "hang", "nothing moved"},
      {"while true; do echo '{\"say\": \"alive\", \"progress\": 1, \"snapshot\": {\"at_ns\": 0, \"readings\": []}}'; "
       "sleep 0.05; done",
       "hang", "nothing moved"},
      {"exit 0", "crash", "exit status 0"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.script);
    const InterruptFlag never;
    auto client = WorkerClient::start(shell(one.script), {.step_ns = kSecondNs}, never);
    REQUIRE_OK(client);
    const auto outcome = client->load(WorkerJob(), {});
    REQUIRE_OK(outcome);
    REQUIRE(outcome->has_value());
    CAPTURE((*outcome)->message);
    CHECK((*outcome)->kind == one.kind);
    CHECK((*outcome)->message.find(one.part) != std::string::npos);
    CHECK_FALSE(client->is_alive());
  }
}

TEST_CASE("an interrupt ends the wait for a worker") {
  InterruptFlag interrupt;
  auto client = WorkerClient::start(shell("sleep 30"), {}, interrupt);
  REQUIRE_OK(client);
  interrupt.request();
  CHECK_ERROR(client->load(WorkerJob(), {}), ErrorCode::kInterrupted, "interrupted");
}

}  // namespace
}  // namespace secondsource

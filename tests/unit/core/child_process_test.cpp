// ChildProcess with ordinary system programs.

#include "core/child_process.h"

#include <signal.h>
#include <unistd.h>

#include "core/clock.h"
#include "support/result.h"
#include "support/shell_command.h"

namespace secondsource {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

std::string next_line(ChildProcess& process) {
  const auto line = process.receive(now_ns() + 10 * kSecondNs);
  REQUIRE_OK(line);
  REQUIRE(line->has_value());
  return **line;
}

TEST_CASE("lines go both ways, and the end of the child is an exit status") {
  auto process = ChildProcess::start(test::shell_command("read line; echo \"got $line\"; exit 3"));
  REQUIRE_OK(process);
  REQUIRE_OK(process->send("hello"));
  CHECK(next_line(*process) == "got hello");
  CHECK_ERROR(process->receive(now_ns() + 10 * kSecondNs), ErrorCode::kDeviceLost, "ended");
  CHECK(process->wait(now_ns() + 10 * kSecondNs)->status == 3);
}

TEST_CASE("a line to a child that is gone is an error, and no signal to this process") {
  auto process = ChildProcess::start(test::shell_command("exit 0"));
  REQUIRE_OK(process);
  // The child's end of the input pipe may stay open a moment longer than that of the output.
  CHECK(process->wait(now_ns() + 10 * kSecondNs)->status == 0);
  struct sigaction action {};
  ::sigaction(SIGPIPE, nullptr, &action);
  REQUIRE(action.sa_handler == SIG_DFL);  // SIGPIPE would end this process
  CHECK_ERROR(process->send("hello"), ErrorCode::kDeviceLost, "does not listen");
  sigset_t pending;
  ::sigpending(&pending);
  CHECK(sigismember(&pending, SIGPIPE) == 0);
}

TEST_CASE("a deadline passes without a line") {
  auto process = ChildProcess::start(test::shell_command("sleep 30"));
  REQUIRE_OK(process);
  const auto nothing = process->receive(now_ns() + kSecondNs / 20);
  REQUIRE_OK(nothing);
  CHECK_FALSE(nothing->has_value());
  const ChildExit exit = process->kill();
  CHECK(exit.signal == SIGKILL);
  CHECK(exit.killed_by_us);
}

TEST_CASE("a child that neither reads, nor talks, nor ends delays nobody") {
  auto process = ChildProcess::start(test::shell_command("exec >&-; trap '' TERM; while true; do sleep 1; done"));
  REQUIRE_OK(process);
  const std::int64_t started_ns = now_ns();
  // Far more than a pipe holds.
  REQUIRE_OK(process->send(std::string(4 << 20, 'x')));
  CHECK_ERROR(process->receive(started_ns + 10 * kSecondNs), ErrorCode::kDeviceLost, "ended");
  CHECK_FALSE(process->wait(now_ns() + kSecondNs / 20).has_value());
  CHECK(process->kill().signal == SIGKILL);
  CHECK(now_ns() - started_ns < 8 * kSecondNs);
}

TEST_CASE("a long line arrives whole although the pipe takes it in parts") {
  auto process = ChildProcess::start(test::shell_command("sleep 0.2; head -c 1000001 | wc -c"));
  REQUIRE_OK(process);
  REQUIRE_OK(process->send(std::string(1'000'000, 'x')));
  CHECK(next_line(*process) == "1000001");
}

TEST_CASE("a line that is too long is an error before it fills the memory, and others pass") {
  ChildCommand command = test::shell_command("echo 0123456789; echo 01234567890; exec cat /dev/zero");
  command.longest_line_bytes = 10;
  auto process = ChildProcess::start(command);
  REQUIRE_OK(process);
  CHECK(next_line(*process) == "0123456789");
  CHECK_ERROR(process->receive(now_ns() + 10 * kSecondNs), ErrorCode::kInvalidInput, "a line of more than 10 bytes");
  command = test::shell_command("exec cat /dev/zero");
  command.longest_line_bytes = 100'000;
  auto endless = ChildProcess::start(command);
  REQUIRE_OK(endless);
  CHECK_ERROR(endless->receive(now_ns() + 10 * kSecondNs), ErrorCode::kInvalidInput,
              "a line of more than 100000 bytes");
}

TEST_CASE("limits and environment are set before the program begins") {
  ChildCommand command =
      test::shell_command("echo $OMP_NUM_THREADS; ulimit -d; grep Cpus_allowed_list /proc/self/status");
  command.environment = {{"OMP_NUM_THREADS", "7"}};
  command.limits.memory_max_bytes = 64 << 20;
  command.limits.cpus = {0};
  auto process = ChildProcess::start(command);
  REQUIRE_OK(process);
  CHECK(next_line(*process) == "7");
  CHECK(next_line(*process) == "65536");
  CHECK(next_line(*process).ends_with("\t0"));
}

TEST_CASE("a CPU that is not there is refused before anything starts") {
  ChildCommand command = test::shell_command("true");
  command.limits.cpus = {4000};
  CHECK_ERROR(ChildProcess::start(command), ErrorCode::kInvalidInput, "CPU 4000");
}

}  // namespace
}  // namespace secondsource

// Tests that nothing remains of a server, with a shell in its place, and that other children of this program are left alone.

#include "runner/server_processes.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/clock.h"
#include "core/number.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

ChildProcess shell(const std::string& script) {
  ChildCommand command;
  command.program = "/bin/sh";
  command.arguments = {"-c", script};
  auto child = ChildProcess::start(command);
  REQUIRE_OK(child);
  return std::move(child).value();
}

/// The process id that the child writes on its next line.
pid_t pid_from(ChildProcess& child) {
  const auto line = child.receive(now_ns() + 20'000'000'000);
  REQUIRE_OK(line);
  REQUIRE(line->has_value());
  return parse_number<pid_t>(**line).value();
}

bool is_gone(pid_t pid) {
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace

TEST_CASE("a server ends with its helpers in sessions of their own, with and without a parent") {
  auto processes = std::make_unique<ServerProcesses>();
  ChildProcess server = shell("setsid sleep 60 & echo $!; (setsid sleep 60 & echo $!); sleep 60 & echo $!; wait");
  processes->belong_to(server.group());
  std::vector<pid_t> helpers;
  for (int index = 0; index < 3; ++index) helpers.push_back(pid_from(server));
  ChildProcess worker = shell("sleep 60 & echo $!; wait");
  const pid_t of_worker = pid_from(worker);
  processes->look();
  server.kill();
  CHECK(processes->end().empty());
  for (const pid_t helper : helpers) CHECK(is_gone(helper));
  CHECK_FALSE(worker.wait(0));
  CHECK_FALSE(is_gone(of_worker));
}

TEST_CASE("of a server that ended by itself, a helper in a session of its own is found") {
  ServerProcesses processes;
  ChildProcess server = shell("setsid sh -c 'sleep 60 & echo $!; wait' & read line");
  processes.belong_to(server.group());
  const pid_t helper = pid_from(server);
  REQUIRE_OK(server.send("end"));
  REQUIRE(server.wait(now_ns() + 20'000'000'000));
  CHECK_FALSE(is_gone(helper));
  CHECK(processes.end().empty());
  CHECK(is_gone(helper));
}

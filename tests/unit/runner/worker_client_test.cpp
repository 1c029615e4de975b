// Tests the parent's side of a worker with shell scripts in place of the worker. tests/fault has real workers.

#include "runner/worker_client.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "core/clock.h"
#include "core/file.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/shell_command.h"

namespace secondsource {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

/// Loads a system into a worker that fails, and checks how its failure is reported.
void check_load_fails(WorkerClient& client, FailureKind kind, std::string_view part) {
  const auto outcome = client.load(SystemJob(), {});
  REQUIRE_OK(outcome);
  REQUIRE(outcome->has_value());
  CAPTURE((*outcome)->message);
  CHECK((*outcome)->kind == kind);
  CHECK((*outcome)->message.find(part) != std::string::npos);
}

TEST_CASE("how a worker failed is told apart") {
  struct Case {
    const char* script;
    FailureKind kind;
    const char* part;
  };
  const Case cases[] = {
      {"kill -SEGV $$", FailureKind::kCrash, "Segmentation fault"},
      {"kill -ABRT $$", FailureKind::kCrash, "Aborted"},
      {"echo 'terminate called after throwing std::bad_alloc' >&2; exit 1", FailureKind::kOutOfMemory, "bad_alloc"},
      {"kill -KILL $$", FailureKind::kCrash, "somebody sent the signal"},
      {"echo '{\"say\": \"failed\", \"error\": {\"code\": \"out-of-memory\", \"message\": \"full\"}}'; sleep 9",
       FailureKind::kOutOfMemory, "full"},
      {"echo '{\"say\": \"failed\", \"error\": {\"code\": \"deadline\", \"message\": \"late\"}}'; sleep 9",
       FailureKind::kHang, "late"},
      {"sleep 30", FailureKind::kHang, "made no progress"},
      {"while true; do echo '{\"say\": \"alive\", \"progress\": 1, \"snapshot\": {\"at_ns\": 0, \"readings\": []}}'; "
       "sleep 0.05; done",
       FailureKind::kHang, "made no progress"},
      {"exit 0", FailureKind::kCrash, "exit status 0"},
      {"exec >&- <&-; sleep 30", FailureKind::kHang, "the worker closed its pipe but did not end within"},
      {"exec >&-; sleep 0.3; exit 7", FailureKind::kCrash, "exit status 7"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.script);
    const InterruptFlag never;
    auto client = WorkerClient::start(test::shell_command(one.script), {.step_ns = kSecondNs}, never);
    REQUIRE_OK(client);
    check_load_fails(*client, one.kind, one.part);
    CHECK_FALSE(client->is_alive());
  }
}

TEST_CASE("a SIGKILL is called out of memory only when the kernel's counters or the peak say so") {
  struct Case {
    const char* vmstat;         // after the worker's end; "oom_kill 3" before
    const char* memory_events;  // of the control group, "" if it has none; after and before as for vmstat
    const char* memory_total;
    FailureKind kind;
    const char* part;
  };
  const Case cases[] = {
      {"oom_kill 3", "", "99999999 kB", FailureKind::kCrash, "somebody sent the signal"},
      {"oom_kill 4", "", "99999999 kB", FailureKind::kOutOfMemory, "counted 1 process killed"},
      {"oom_kill 9", "oom_kill 3", "99999999 kB", FailureKind::kCrash, "somebody sent the signal"},
      {"oom_kill 3", "oom_kill 5", "99999999 kB", FailureKind::kOutOfMemory, "counted 2 processes killed"},
      {"oom_kill 3", "", "1 kB", FailureKind::kOutOfMemory, "close to the limit of 1.0 KiB"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.vmstat, one.memory_events);
    const test::ScratchFolder host;
    std::filesystem::create_directories(host.path() / "proc");
    std::filesystem::create_directories(host.path() / "sys/fs/cgroup");
    const auto write = [&](const char* file, const std::string& text) {
      REQUIRE_OK(write_file(host.path() / file, text + "\n"));
    };
    write("proc/meminfo", std::string("MemTotal: ") + one.memory_total);
    write("proc/vmstat", "nr_free_pages 1\noom_kill 3");
    if (*one.memory_events != '\0') write("sys/fs/cgroup/memory.events", "oom 0\noom_kill 3");
    std::string script = fmt::format("cd '{}'; echo '{}' > proc/vmstat; ", host.path().string(), one.vmstat);
    if (*one.memory_events != '\0')
      script += fmt::format("echo '{}' > sys/fs/cgroup/memory.events; ", one.memory_events);
    const InterruptFlag never;
    auto client = WorkerClient::start(test::shell_command(script + "kill -KILL $$"), {.step_ns = 20 * kSecondNs}, never,
                                      HostFiles(host.path()));
    REQUIRE_OK(client);
    check_load_fails(*client, one.kind, one.part);
  }
}

TEST_CASE("an interrupt ends the wait for a worker") {
  InterruptFlag interrupt;
  auto client = WorkerClient::start(test::shell_command("sleep 30"), {}, interrupt);
  REQUIRE_OK(client);
  interrupt.request();
  CHECK_ERROR(client->load(SystemJob(), {}), ErrorCode::kInterrupted, "interrupted");
}

TEST_CASE("an interrupt ends the wait for a worker that closed its pipe and lives on") {
  InterruptFlag interrupt;
  auto client = WorkerClient::start(test::shell_command("exec >&- <&-; sleep 30"), {}, interrupt);
  REQUIRE_OK(client);
  std::jthread user([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    interrupt.request();
  });
  const std::int64_t began_ns = now_ns();
  CHECK_ERROR(client->load(SystemJob(), {}), ErrorCode::kInterrupted, "interrupted");
  CHECK(now_ns() - began_ns < 5 * kSecondNs);
}

}  // namespace
}  // namespace secondsource

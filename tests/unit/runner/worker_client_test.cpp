// Tests the parent's side of a worker with shell scripts in place of the worker. tests/fault has real workers.

#include "runner/worker_client.h"

#include <unistd.h>

#include "support/result.h"
#include "support/shell_command.h"

namespace secondsource {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

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
      {"kill -KILL $$", FailureKind::kOutOfMemory, "out-of-memory killer"},
      {"echo '{\"say\": \"failed\", \"error\": {\"code\": \"out-of-memory\", \"message\": \"full\"}}'; sleep 9",
       FailureKind::kOutOfMemory, "full"},
      {"echo '{\"say\": \"failed\", \"error\": {\"code\": \"deadline\", \"message\": \"late\"}}'; sleep 9",
       FailureKind::kHang, "late"},
      {"sleep 30", FailureKind::kHang, "nothing moved"},
      {"while true; do echo '{\"say\": \"alive\", \"progress\": 1, \"snapshot\": {\"at_ns\": 0, \"readings\": []}}'; "
       "sleep 0.05; done",
       FailureKind::kHang, "nothing moved"},
      {"exit 0", FailureKind::kCrash, "exit status 0"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.script);
    const InterruptFlag never;
    auto client = WorkerClient::start(test::shell_command(one.script), {.step_ns = kSecondNs}, never);
    REQUIRE_OK(client);
    const auto outcome = client->load(SystemJob(), {});
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
  auto client = WorkerClient::start(test::shell_command("sleep 30"), {}, interrupt);
  REQUIRE_OK(client);
  interrupt.request();
  CHECK_ERROR(client->load(SystemJob(), {}), ErrorCode::kInterrupted, "interrupted");
}

}  // namespace
}  // namespace secondsource

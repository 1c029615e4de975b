// Tests that a run which cannot start its threads is told which limit refuses them. A limit on address space cannot be
// combined with sanitizers, which map terabytes.

#include "host/thread_check.h"

#include <sys/resource.h>

#include <fstream>

#include "support/result.h"

using namespace secondsource;

TEST_CASE("as many threads as a run needs can start") {
  REQUIRE_OK(check_threads_can_start(8));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST_CASE("threads without address space for their stacks are refused with that limit, and not with one on processes") {
  std::int64_t pages = 0;
  REQUIRE(std::ifstream("/proc/self/statm") >> pages);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
  const auto room = static_cast<rlim_t>(pages) * 4096 + (rlim_t{20} << 20);  // for two stacks of 8 MiB
  const rlimit limited{room, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_AS, &limited) == 0);
  const Result<void> refused = check_threads_can_start(64);
  REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
  CHECK_ERROR(refused, ErrorCode::kInvalidInput,
              "Cannot allocate memory (no address space for another stack: ulimit -v)");
  REQUIRE_OK(check_threads_can_start(8));
}

#endif

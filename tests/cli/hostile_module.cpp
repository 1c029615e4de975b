// Modules that crash, end or block the process that opens them. A compile definition selects what the module does in its
// constructor, which runs before any of its functions can be called.

#include <csignal>
#include <cstdlib>
#include <ctime>

namespace {

__attribute__((constructor)) void when_opened() {
#if defined(SS_TEST_CRASHES)
  std::signal(SIGSEGV, SIG_DFL);
  std::raise(SIGSEGV);
#elif defined(SS_TEST_EXITS)
  std::exit(0);
#else
  const timespec long_time{3600, 0};
  while (true) ::nanosleep(&long_time, nullptr);
#endif
}

}  // namespace

#include "disturbed_process.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <new>

#include "core/check.h"

namespace secondsource::test {

struct DisturbedProcess::Shared {
  long n_calls = 0;
  int n_acknowledged = 0;
};

DisturbedProcess::DisturbedProcess(ShimPlan plan, const std::string& folder, const Operation& operation) {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  SS_CHECK(memory != MAP_FAILED, "cannot map");
  shared_ = new (memory) Shared();
  std::array<int, 2> paused{};
  std::array<int, 2> resumed{};
  SS_CHECK(::pipe(paused.data()) == 0 && ::pipe(resumed.data()) == 0, "cannot make pipes");
  pid_ = ::fork();
  SS_CHECK(pid_ >= 0, "cannot fork");
  if (pid_ == 0) {
    ::signal(SIGABRT, SIG_DFL);  // Catch2's handler would report a failed test
    ::close(paused[0]);
    ::close(resumed[1]);
    plan.folder = folder.c_str();
    plan.paused = paused[1];
    plan.resumed = resumed[0];
    Ending ending = Ending::kOutOfMemory;
    shim_arm(&plan);
    try {
      ending = operation([this] { ++shared_->n_acknowledged; }) ? Ending::kDone : Ending::kRefused;
    } catch (const std::bad_alloc&) {
    }
    shared_->n_calls = shim_count();
    shim_disarm();
    ::_exit(static_cast<int>(ending));
  }
  ::close(paused[1]);
  ::close(resumed[0]);
  paused_ = paused[0];
  resumed_ = resumed[1];
}

DisturbedProcess::~DisturbedProcess() {
  if (status_ < 0) {
    ::kill(pid_, SIGKILL);
    ending();
  }
  ::close(paused_);
  ::close(resumed_);
  ::munmap(shared_, sizeof(Shared));
}

bool DisturbedProcess::waits() {
  char byte = 0;
  return ::read(paused_, &byte, 1) == 1;
}

void DisturbedProcess::go_on() const {
  const char byte = 'r';
  [[maybe_unused]] const ssize_t n = ::write(resumed_, &byte, 1);
}

Ending DisturbedProcess::ending() {
  if (status_ < 0) {
    int status = 0;
    SS_CHECK(::waitpid(pid_, &status, 0) == pid_, "cannot wait for the process");
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return static_cast<Ending>(status_);
}

long DisturbedProcess::n_calls() const {
  return shared_->n_calls;
}

int DisturbedProcess::n_acknowledged() const {
  return shared_->n_acknowledged;
}

}  // namespace secondsource::test

#include "runner/server_processes.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "core/clock.h"
#include "core/utf8.h"
#include "host/host_files.h"

namespace secondsource {
namespace {

constexpr std::int64_t kEndNs = 5'000'000'000;
constexpr timespec kStep{0, 2'000'000};

}  // namespace

ServerProcesses::ServerProcesses() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

ServerProcesses::~ServerProcesses() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

void ServerProcesses::belong_to(std::int64_t first) {
  first_ = first;
  if (const auto stat = read_process_stat(HostFiles(), first)) first_started_ticks_ = stat->started_ticks;
}

void ServerProcesses::look() {
  const HostFiles files;
  for (const std::int64_t pid : process_tree(files, first_)) {
    const auto stat = read_process_stat(files, pid);
    if (stat && pid != first_) known_[pid] = stat->started_ticks;
  }
}

std::vector<ProcessStat> ServerProcesses::left() const {
  const std::int64_t self = ::getpid();
  const std::int64_t own_session = ::getsid(0);
  std::vector<ProcessStat> all = all_processes(HostFiles());
  std::erase_if(all, [&](const ProcessStat& one) { return one.pid == first_ || one.pid == self; });
  // The children that this program starts itself stay in its session. One in another session lost its parent.
  const auto belongs = [&](const ProcessStat& one) {
    const auto known = known_.find(one.pid);
    if (known != known_.end() && known->second == one.started_ticks) return true;
    return one.parent == self && one.session != own_session && one.started_ticks >= first_started_ticks_;
  };
  const auto first_other = std::stable_partition(all.begin(), all.end(), belongs);
  auto n_found = static_cast<std::size_t>(first_other - all.begin());
  // The descendants of each follow it.
  for (std::size_t index = 0; index < n_found; ++index) {
    const std::int64_t parent = all[index].pid;
    const auto next = std::stable_partition(all.begin() + static_cast<std::ptrdiff_t>(n_found), all.end(),
                                            [parent](const ProcessStat& one) { return one.parent == parent; });
    n_found = static_cast<std::size_t>(next - all.begin());
  }
  all.resize(n_found);
  return all;
}

std::string ServerProcesses::end() {
  const std::int64_t self = ::getpid();
  const std::int64_t until_ns = now_ns() + kEndNs;
  while (true) {
    std::vector<ProcessStat> remain = left();
    for (const ProcessStat& one : remain) {
      known_[one.pid] = one.started_ticks;
      if (!one.is_ended) ::kill(static_cast<pid_t>(one.pid), SIGKILL);
      if (one.parent == self) ::waitpid(static_cast<pid_t>(one.pid), nullptr, WNOHANG);
    }
    std::erase_if(remain, &ProcessStat::is_ended);
    if (remain.empty()) return "";
    if (now_ns() >= until_ns) {
      std::string text;
      for (const ProcessStat& one : remain) {
        text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", one.pid, shown(one.name));
      }
      return text;
    }
    ::nanosleep(&kStep, nullptr);
  }
}

}  // namespace secondsource

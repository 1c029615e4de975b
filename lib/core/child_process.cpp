#include "core/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "core/clock.h"

extern char** environ;

namespace secondsource {
namespace {

// A process that SIGKILL does not end within this time is stuck in the kernel, as a driver can leave it.
constexpr std::int64_t kKillNs = 5'000'000'000;
constexpr std::int64_t kWaitStepNs = 2'000'000;

Error system_error(std::string_view what) {
  return Error{ErrorCode::kIo, fmt::format("child process: {}: {}", what, std::strerror(errno))};
}

struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error("cannot make a pipe");
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

Result<cpu_set_t> to_cpu_set(const std::vector<std::int32_t>& cpus) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return system_error("cannot read the CPU affinity");
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  for (const std::int32_t cpu : cpus) {
    if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) {
      return Error{ErrorCode::kInvalidInput, fmt::format("CPU {}: expected one that this process may run on", cpu)};
    }
    CPU_SET(static_cast<std::size_t>(cpu), &wanted);
  }
  return wanted;
}

/// Follows a link only for a name of one of this process's descriptors, which is always a link; any other link could
/// redirect the text.
Result<FileDescriptor> open_for_stderr(const std::filesystem::path& path) {
  const int no_link = path.native().starts_with("/proc/self/fd/") ? 0 : O_NOFOLLOW;
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | no_link, 0644));
  if (!file.is_open()) return system_error(fmt::format("cannot open {}", path.string()));
  return file;
}

/// Strings for exec, and the null-terminated array of pointers to them.
struct ExecStrings {
  std::vector<std::string> strings;
  std::vector<char*> pointers;
  void finish() {
    for (std::string& text : strings) pointers.push_back(text.data());
    pointers.push_back(nullptr);
  }
};

ExecStrings arguments_of(const ChildCommand& command) {
  ExecStrings result;
  result.strings.push_back(command.program.string());
  result.strings.insert(result.strings.end(), command.arguments.begin(), command.arguments.end());
  result.finish();
  return result;
}

ExecStrings environment_of(const ChildCommand& command) {
  ExecStrings result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(command.environment.begin(), command.environment.end(),
                                      [&](const auto& variable) { return variable.first == name; });
    if (!replaced) result.strings.emplace_back(text);
  }
  for (const auto& [name, value] : command.environment) result.strings.push_back(fmt::format("{}={}", name, value));
  result.finish();
  return result;
}

/// Everything the child needs between fork and exec, where only async-signal-safe calls are allowed.
struct ChildSetup {
  pid_t parent = 0;
  int stdin_end = -1;
  int stdout_end = -1;
  int stderr_end = -1;
  bool stdout_to_stderr = false;
  bool set_cpus = false;
  cpu_set_t cpus{};
  std::int64_t memory_max_bytes = 0;
};

[[noreturn]] void become_child(const ChildSetup& setup, const char* program, char* const* arguments,
                               char* const* environment) {
  // The child gets a process group of its own, so that Ctrl-C at the terminal reaches only the parent, which handles
  // it.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above took effect.
  if (::getppid() != setup.parent) ::_exit(126);
  if (setup.set_cpus) ::sched_setaffinity(0, sizeof setup.cpus, &setup.cpus);
  if (setup.memory_max_bytes > 0) {
    const auto bytes = static_cast<rlim_t>(setup.memory_max_bytes);
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_DATA, &limit);
  }
  // No core files: a planted crash would fill the disk with them.
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::dup2(setup.stdin_end, STDIN_FILENO);
  if (setup.stderr_end >= 0) ::dup2(setup.stderr_end, STDERR_FILENO);
  ::dup2(setup.stdout_to_stderr ? STDERR_FILENO : setup.stdout_end, STDOUT_FILENO);
  ::signal(SIGPIPE, SIG_DFL);
  ::execve(program, arguments, environment);
  ::_exit(127);
}

/// While an object of this class lives, a write by this thread to a pipe without a reader fails with EPIPE instead of
/// raising SIGPIPE, whatever signal disposition the process has set. A SIGPIPE that was already pending stays pending.
/// A socket with MSG_NOSIGNAL would be shorter, but a shell whose standard input is a socket reads ~/.bashrc.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoPipeSignal() {
    const timespec no_time{};
    while (!was_pending_ && ::sigtimedwait(&pipe_, nullptr, &no_time) < 0 && errno == EINTR) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  bool was_pending_ = false;
  sigset_t pipe_{};
  sigset_t before_{};
};

}  // namespace

Result<void> check_cpus(const std::vector<std::int32_t>& cpus) {
  SS_TRY_VOID(to_cpu_set(cpus));
  return {};
}

std::string ChildExit::text() const {
  if (signal) return fmt::format("signal {} ({})", *signal, ::strsignal(*signal));
  if (status) return fmt::format("exit status {}", *status);
  return "no end even after SIGKILL: it is stuck in the kernel";
}

Result<ChildProcess> ChildProcess::start(const ChildCommand& command) {
  ChildSetup setup;
  setup.parent = ::getpid();
  setup.set_cpus = !command.limits.cpus.empty();
  if (setup.set_cpus) {
    SS_TRY(setup.cpus, to_cpu_set(command.limits.cpus));
  }
  setup.memory_max_bytes = command.limits.memory_max_bytes;
  SS_TRY(Pipe input, make_pipe());
  SS_TRY(Pipe output, make_pipe());
  if (::fcntl(input.write_end.get(), F_SETFL, O_NONBLOCK) != 0) return system_error("cannot set up a pipe");
  FileDescriptor error_file;
  if (!command.stderr_file.empty()) {
    SS_TRY(error_file, open_for_stderr(command.stderr_file));
  }
  setup.stdin_end = input.read_end.get();
  setup.stdout_end = output.write_end.get();
  setup.stderr_end = error_file.get();
  setup.stdout_to_stderr = command.stdout_to_stderr;
  const ExecStrings arguments = arguments_of(command);
  const ExecStrings environment = environment_of(command);

  const pid_t pid = ::fork();
  if (pid < 0) return system_error("cannot fork");
  if (pid == 0) {
    become_child(setup, arguments.pointers.front(), arguments.pointers.data(), environment.pointers.data());
  }
  ::setpgid(pid, pid);  // parent and child both set the group, so that it is set whichever of them runs first
  ChildProcess process;
  process.pid_ = pid;
  process.to_child_ = std::move(input.write_end);
  process.from_child_ = std::move(output.read_end);
  process.longest_line_bytes_ = command.longest_line_bytes;
  return process;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      to_child_(std::move(other.to_child_)),
      from_child_(std::move(other.from_child_)),
      unsent_(std::move(other.unsent_)),
      received_(std::move(other.received_)),
      longest_line_bytes_(other.longest_line_bytes_),
      killed_by_us_(other.killed_by_us_),
      exit_(other.exit_) {}

ChildProcess::~ChildProcess() {
  if (pid_ >= 0) kill();
}

Result<void> ChildProcess::send(std::string_view line) {
  unsent_ += line;
  unsent_ += '\n';
  return write_unsent();
}

Result<void> ChildProcess::write_unsent() {
  const NoPipeSignal as_an_error;
  while (!unsent_.empty()) {
    const ssize_t n_written = ::write(to_child_.get(), unsent_.data(), unsent_.size());
    if (n_written < 0 && errno == EINTR) continue;
    if (n_written < 0 && errno == EAGAIN) return {};
    if (n_written < 0) return Error{ErrorCode::kDeviceLost, "the child does not listen any more"};
    unsent_.erase(0, static_cast<std::size_t>(n_written));
  }
  return {};
}

Result<std::optional<std::string>> ChildProcess::receive(std::int64_t until_ns) {
  while (true) {
    const auto newline = received_.find('\n');
    if (std::min(newline, received_.size()) > longest_line_bytes_) {
      return Error{ErrorCode::kInvalidInput, fmt::format("a line of more than {} bytes", longest_line_bytes_)};
    }
    if (newline != std::string::npos) {
      std::string line = received_.substr(0, newline);
      received_.erase(0, newline + 1);
      return std::optional(std::move(line));
    }
    const std::int64_t left_ns = until_ns - now_ns();
    if (left_ns <= 0) return std::optional<std::string>();
    std::array<pollfd, 2> waiting = {{{from_child_.get(), POLLIN, 0}, {to_child_.get(), POLLOUT, 0}}};
    const timespec timeout{static_cast<time_t>(left_ns / 1'000'000'000), static_cast<long>(left_ns % 1'000'000'000)};
    const int ready = ::ppoll(waiting.data(), unsent_.empty() ? 1 : 2, &timeout, nullptr);
    if (ready == 0) continue;
    if (ready < 0) {
      // A signal arrived, perhaps from Ctrl-C. We return so that the caller can check its interrupt flag.
      if (errno == EINTR) return std::optional<std::string>();
      return system_error("cannot wait for it");
    }
    // A child that has closed its input may still send lines, so a failed write only drops the unsent text.
    if (!unsent_.empty() && waiting[1].revents != 0 && !write_unsent()) unsent_.clear();
    if (waiting[0].revents == 0) continue;
    char chunk[65536];
    const ssize_t n_read = ::read(from_child_.get(), chunk, sizeof chunk);
    if (n_read < 0 && errno == EINTR) continue;
    if (n_read <= 0) return Error{ErrorCode::kDeviceLost, "the child ended"};
    received_.append(chunk, static_cast<std::size_t>(n_read));
  }
}

void ChildProcess::terminate() const {
  if (!exit_) ::kill(-pid_, SIGTERM);
}

void ChildProcess::kill_group() const {
  ::kill(-pid_, SIGKILL);
}

ChildExit ChildProcess::kill() {
  if (exit_) return *exit_;
  killed_by_us_ = true;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  const std::int64_t until_ns = now_ns() + kKillNs;
  while (!wait(until_ns) && now_ns() < until_ns) {
  }
  // Look once more: this process may have been stopped (Ctrl-Z) until after that time, while lines arrived.
  if (!wait(0)) exit_ = ChildExit{.status = {}, .signal = {}, .killed_by_us = true, .peak_rss_bytes = 0};
  return *exit_;
}

std::optional<ChildExit> ChildProcess::wait(std::int64_t until_ns) {
  if (exit_) return exit_;
  int status = 0;
  rusage usage{};
  while (::wait4(pid_, &status, WNOHANG, &usage) != pid_) {
    const timespec step{0, kWaitStepNs};
    if (now_ns() >= until_ns || ::nanosleep(&step, nullptr) != 0) return std::nullopt;
  }
  ChildExit ended;
  if (WIFEXITED(status)) ended.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  ended.killed_by_us = killed_by_us_;
  ended.peak_rss_bytes = usage.ru_maxrss * 1024;
  exit_ = ended;
  return exit_;
}

}  // namespace secondsource

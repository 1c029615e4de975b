#include "support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>

namespace secondsource::test {
namespace {

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(std::size_t end) {
    if (ends[end] >= 0) ::close(ends[end]);
    ends[end] = -1;
  }
};

/// The null-terminated array of pointers into `texts` that exec expects.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(added.begin(), added.end(), [&](const auto& pair) { return pair.first == name; });
    if (!replaced) result.push_back(text);
  }
  for (const auto& [name, value] : added) result.push_back(name + "=" + value);
  return result;
}

/// Sends `input` and collects stdout and stderr until the process closes them. Kills the process after the timeout.
void exchange(Pipe& in, Pipe& out, Pipe& err, const ProgramOptions& options, pid_t pid, ProgramRun& run) {
  const auto give_up = std::chrono::steady_clock::now() + options.timeout;
  std::size_t n_sent = 0;
  if (options.input.empty()) in.close_end(1);
  bool killed = false;
  while (out.ends[0] >= 0 || err.ends[0] >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(give_up - std::chrono::steady_clock::now());
    if (left.count() <= 0 && !killed) {
      ::kill(pid, SIGKILL);
      killed = true;
    }
    std::array<pollfd, 3> polled{pollfd{out.ends[0], POLLIN, 0}, pollfd{err.ends[0], POLLIN, 0},
                                 pollfd{in.ends[1], POLLOUT, 0}};
    ::poll(polled.data(), polled.size(), static_cast<int>(std::clamp<std::int64_t>(left.count(), 10, 1000)));
    std::array<char, 65536> buffer{};
    const auto collect = [&](Pipe& from, short events, std::string& into) {
      if (events == 0) return;
      const ssize_t n = ::read(from.ends[0], buffer.data(), buffer.size());
      if (n > 0) into.append(buffer.data(), static_cast<std::size_t>(n));
      if (n == 0) from.close_end(0);
    };
    collect(out, polled[0].revents, run.out);
    collect(err, polled[1].revents, run.err);
    if (polled[2].revents != 0) {
      const ssize_t n = ::write(in.ends[1], options.input.data() + n_sent, options.input.size() - n_sent);
      if (n > 0) n_sent += static_cast<std::size_t>(n);
      if (n < 0 || n_sent == options.input.size()) in.close_end(1);
    }
  }
}

}  // namespace

std::filesystem::path program_path() {
  return SECONDSOURCE_PROGRAM;
}

ProgramRun run_program(const std::vector<std::string>& arguments, const ProgramOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);  // the program may end before it has read its input
  Pipe in;
  Pipe out;
  Pipe err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], STDIN_FILENO);
  if (options.out_path.empty()) {
    posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, options.out_path.c_str(), O_WRONLY, 0);
  }
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);

  std::vector<std::string> argument_texts = {program_path().string()};
  argument_texts.insert(argument_texts.end(), arguments.begin(), arguments.end());
  std::vector<std::string> environment_texts = environment_with(options.environment);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, argument_texts.front().c_str(), &actions, nullptr,
                                   pointers(argument_texts).data(), pointers(environment_texts).data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " + argument_texts.front());
  in.close_end(0);
  out.close_end(1);
  err.close_end(1);

  ProgramRun run;
  exchange(in, out, err, options, pid, run);
  int wait_status = 0;
  ::waitpid(pid, &wait_status, 0);
  run.status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  return run;
}

bool is_one_line(std::string_view text) {
  return !text.empty() && text.back() == '\n' && std::count(text.begin(), text.end(), '\n') == 1;
}

}  // namespace secondsource::test

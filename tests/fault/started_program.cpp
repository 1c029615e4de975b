#include "started_program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/check.h"
#include "support/program.h"

namespace secondsource::test {
namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

StartedProgram::StartedProgram(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                               std::int64_t file_size_limit_bytes)
    : out_(folder / "stdout"), err_(folder / "stderr") {
  const std::string program = program_path().string();
  std::vector<std::string> texts = {program};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  const int out = ::open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const int err = ::open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  SS_CHECK(out >= 0 && err >= 0, "cannot open the program's output files");
  pid_ = ::fork();
  SS_CHECK(pid_ >= 0, "cannot fork");
  if (pid_ == 0) {
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    if (file_size_limit_bytes > 0) {
      const auto bytes = static_cast<rlim_t>(file_size_limit_bytes);
      const rlimit limit{bytes, bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ::execv(program.c_str(), pointers.data());
    ::_exit(127);
  }
  ::close(out);
  ::close(err);
}

StartedProgram::~StartedProgram() {
  if (ended_) return;
  send_signal(SIGKILL);
  status();
}

void StartedProgram::send_signal(int signal) const {
  if (!ended_) ::kill(pid_, signal);
}

bool StartedProgram::wait_for(std::int64_t milliseconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (!ended_) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      ended_ = true;
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else if (std::chrono::steady_clock::now() >= until) {
      break;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  return ended_;
}

int StartedProgram::status() {
  while (!wait_for(1000)) {
  }
  return status_;
}

std::string StartedProgram::out() const {
  return content_of(out_);
}
std::string StartedProgram::err() const {
  return content_of(err_);
}

std::vector<pid_t> StartedProgram::children() const {
  const std::string pid = std::to_string(pid_);
  std::istringstream list(content_of("/proc/" + pid + "/task/" + pid + "/children"));
  std::vector<pid_t> children;
  for (pid_t child = 0; list >> child;) children.push_back(child);
  return children;
}

char state_of(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return '-';
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.size() > name_end + 2 ? text[name_end + 2] : '-';
}

bool is_running(pid_t pid) {
  const char state = state_of(pid);
  return state != '-' && state != 'Z';
}

}  // namespace secondsource::test

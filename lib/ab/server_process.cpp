#include "ab/server_process.h"

#include <fmt/format.h>

#include "ab/program_run.h"
#include "core/clock.h"

namespace secondsource {
namespace {

// `up` applies the deadlines of its plan to a server that does not become healthy or does not end; the deadlines here
// are for an `up` that hangs.
constexpr std::int64_t kLongestStartNs = 7'200'000'000'000;
constexpr std::int64_t kLongestStopNs = 300'000'000'000;
constexpr std::int64_t kServerEndNs = 2'000'000'000;

std::uintmax_t size_or_zero(const std::filesystem::path& file) {
  std::error_code absent;
  const std::uintmax_t size = std::filesystem::file_size(file, absent);
  return absent ? 0 : size;
}

bool has_ended_by(ChildProcess& process, std::int64_t until_ns) {
  while (!process.wait(until_ns)) {
    if (now_ns() >= until_ns) return false;
  }
  return true;
}

}  // namespace

ServerProcess::ServerProcess(const ServerCall& call, ChildProcess process, const InterruptFlag& interrupt)
    : stderr_file_(call.stderr_file),
      process_(std::make_unique<ChildProcess>(std::move(process))),
      paused_with_us_(std::in_place, interrupt, process_->group()) {}

ServerProcess::~ServerProcess() {
  stop();
}

Result<ServerProcess> ServerProcess::start(const ServerCall& call, const InterruptFlag& interrupt) {
  ChildCommand command;
  command.program = call.program;
  command.arguments = {"up",    "--config",       call.plan.string(), "--bundle", call.bundle.string(),
                       "--log", call.log.string()};
  command.stderr_file = call.stderr_file;
  const std::uintmax_t said_from = size_or_zero(call.stderr_file);
  const std::int64_t began_ns = now_ns();
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  ServerProcess server(call, std::move(process), interrupt);
  server.said_from_ = said_from;
  while (server.url_.empty()) {
    SS_TRY_VOID(interrupt.check());
    const auto line = server.process_->receive(now_ns() + kInterruptPeriodNs);
    if (line && *line) {
      server.url_ = **line;
      continue;
    }
    if (line && now_ns() - began_ns < kLongestStartNs) continue;
    // `up` closed its output: it has ended, or is about to end.
    const bool has_ended = has_ended_by(*server.process_, now_ns() + kServerEndNs);
    const std::optional<ChildExit> exit = server.process_->wait(0);
    const bool is_refusal = has_ended && exit && exit->status == program_status::kBadInput;
    return Error{is_refusal ? ErrorCode::kInvalidInput : ErrorCode::kUnavailable,
                 has_ended ? server.said() : "`up` did not say where its server is"};
  }
  server.start_s_ = 1e-9 * static_cast<double>(now_ns() - began_ns);
  return server;
}

std::string ServerProcess::said() const {
  const std::string last = last_line_of(stderr_file_, said_from_);
  return last.empty() ? "the server ended" : last;
}

std::string ServerProcess::failure() {
  if (!process_ || !has_ended_by(*process_, now_ns() + kServerEndNs)) return "";
  return said();
}

void ServerProcess::stop() {
  if (!process_) return;
  paused_with_us_.reset();
  process_->terminate();
  if (!has_ended_by(*process_, now_ns() + kLongestStopNs)) process_->kill();
  process_.reset();
}

}  // namespace secondsource

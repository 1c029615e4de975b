#include "ab/program_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "core/clock.h"
#include "core/folder.h"

namespace secondsource {
namespace {

constexpr const char* kModulesVariable = "SECONDSOURCE_MODULES";  // backend/module.h

}  // namespace

std::string last_line_of(const std::filesystem::path& file, std::uintmax_t begins_at) {
  std::ifstream stream(file);
  stream.seekg(static_cast<std::streamoff>(begins_at));
  std::string last;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) last = std::move(line);
  }
  return last;
}

std::string ProgramEnd::text() const {
  std::string text = timed_out ? fmt::format("no end after {:.0f} s", wall_s) : exit.text();
  if (!said.empty()) text += ": " + said;
  return text;
}

Result<ProgramEnd> run_program_to_end(const ProgramCall& call, const InterruptFlag& interrupt) {
  if (!path_exists(call.program)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a program, found none", call.program.string())};
  }
  std::error_code none_yet;
  const auto size = std::filesystem::file_size(call.stderr_file, none_yet);
  ChildCommand command;
  command.program = call.program;
  command.arguments = call.arguments;
  command.stderr_file = call.stderr_file;
  command.environment = {{"SECONDSOURCE_NOISE_LIMIT", "100"}};  // pairs cancel the noise of other load
  if (!call.modules.empty()) {
    const char* const others = std::getenv(kModulesVariable);
    command.environment.emplace_back(kModulesVariable,
                                     others == nullptr ? call.modules : fmt::format("{}:{}", call.modules, others));
  }
  const std::int64_t started_ns = now_ns();
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  // The program passes a pause on to its workers, and repeats the measurements that the pause interrupted.
  const PausedWithUs paused_with_us(interrupt, process.group());
  const std::int64_t paused_ns = interrupt.paused_ns();
  const auto spent_ns = [&] { return now_ns() - started_ns - (interrupt.paused_ns() - paused_ns); };
  ProgramEnd end;
  std::optional<ChildExit> exit;
  bool is_open = true;
  while (!exit) {
    SS_TRY_VOID(interrupt.check());
    end.timed_out = spent_ns() > call.deadline_ns;
    if (end.timed_out) {
      if (call.grace_ns > 0) process.terminate();
      const std::int64_t killed_ns = now_ns() + call.grace_ns;
      while (!exit && now_ns() < killed_ns) exit = process.wait(killed_ns);
      if (exit) {
        process.kill_group();
      } else {
        exit = process.kill();
      }
    } else if (is_open) {
      const auto line = process.receive(now_ns() + kInterruptPeriodNs);
      is_open = line.has_value();  // false: the program closed its stdout
      if (is_open && *line) end.out += **line + "\n";
    } else {
      exit = process.wait(now_ns() + kInterruptPeriodNs);
    }
  }
  end.exit = *exit;
  end.wall_s = 1e-9 * static_cast<double>(spent_ns());
  end.said = last_line_of(call.stderr_file, none_yet ? 0 : size);
  return end;
}

}  // namespace secondsource

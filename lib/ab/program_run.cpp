#include "ab/program_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "core/clock.h"
#include "core/folder.h"

namespace secondsource {
namespace {

// Period at which the interrupt flag is checked.
constexpr std::int64_t kPollNs = 200'000'000;

/// Returns the last line after `begins_at` that is not empty.
std::string last_line(const std::filesystem::path& file, std::uintmax_t begins_at) {
  std::ifstream stream(file);
  stream.seekg(static_cast<std::streamoff>(begins_at));
  std::string last;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) last = std::move(line);
  }
  return last;
}

}  // namespace

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
  const std::int64_t started_ns = now_ns();
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  ProgramEnd end;
  while (true) {
    SS_TRY_VOID(interrupt.check());
    const std::int64_t now = now_ns();
    if (now - started_ns > call.deadline_ns) {
      end.timed_out = true;
      process.kill();
      break;
    }
    const auto line = process.receive(now + kPollNs);
    if (!line) break;  // the program closed its stdout
    if (*line) end.out += **line + "\n";
  }
  end.exit = process.wait();
  end.wall_s = 1e-9 * static_cast<double>(now_ns() - started_ns);
  end.said = last_line(call.stderr_file, none_yet ? 0 : size);
  return end;
}

}  // namespace secondsource

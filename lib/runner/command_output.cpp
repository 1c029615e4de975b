#include "runner/command_output.h"

#include <fmt/format.h>

#include "core/clock.h"

namespace secondsource {

ChildCommand command_of(const std::vector<std::string>& words) {
  ChildCommand command;
  command.program = "/usr/bin/env";  // searches in PATH
  command.arguments = words;
  return command;
}

Result<CommandOutput> run_command(const std::vector<std::string>& words, std::int64_t deadline_ns,
                                  const std::vector<std::pair<std::string, std::string>>& environment) {
  ChildCommand command = command_of(words);
  command.environment = environment;
  command.stderr_file = "/dev/null";
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  const std::int64_t until_ns = now_ns() + deadline_ns;
  CommandOutput result;
  while (now_ns() < until_ns) {
    const auto line = process.receive(until_ns);
    if (!line) break;  // it has closed its output
    if (*line) result.out += (result.out.empty() ? "" : "\n") + **line;
  }
  while (now_ns() < until_ns) {
    if (const auto exit = process.wait(until_ns)) {
      result.exit = *exit;
      return result;
    }
  }
  return Error{ErrorCode::kDeadline,
               fmt::format("{}: no end after {:g} s", words.front(), 1e-9 * static_cast<double>(deadline_ns))};
}

}  // namespace secondsource

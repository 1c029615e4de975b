#pragma once
// The parts that all subcommands share. A subcommand is one file cmd_<name>.cpp with an options struct, a function
// add_<name>_command() that describes the flags with an example in the footer, and a function that calls the
// library, prints, and returns the exit status. These files contain no arithmetic. To add a subcommand, write the file,
// declare it in commands.h, list it in main.cpp and CMakeLists.txt, and add a test in tests/cli.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "command_description.h"
#include "command_line.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "exit_status.h"

namespace secondsource {

/// The objects and facts that the program passes to a command.
struct CommandContext {
  std::filesystem::path program;  ///< resolved path of this executable, by which modules are found and workers started
  std::vector<std::string> arguments;  ///< the command line, for records
  Progress& progress;                  ///< writes to stderr; where that is no terminal, once a minute
  const InterruptFlag& interrupt;
  const CommandDescription& commands;  ///< the program with all its commands
};

/// The work of the chosen subcommand. add_*_command() stores it when its subcommand was parsed.
using CommandAction = std::function<Result<ExitStatus>(CommandContext&)>;

/// Writes to stdout as it is: JSON, HTML and other formats that have their own escapes. Errors: kIo (a closed pipe, a
/// full disk).
Result<void> print(std::string_view text);
/// Writes lines for a person: whatever a name holds, no control character but newlines and tabs reaches the terminal.
Result<void> print_text(std::string_view text);

}  // namespace secondsource

#pragma once
// What every subcommand shares. A subcommand is one file cmd_<name>.cpp: an options struct, add_<name>_command() that
// describes the flags to CLI11 with an example in the footer, and a function that calls the library, prints, and
// returns the exit status. No arithmetic there. To add one: write the file, declare it in commands.h, list it in
// main.cpp and CMakeLists.txt, and give it a test in tests/cli.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "exit_status.h"

namespace secondsource {

/// What a command gets from the program around it.
struct CommandContext {
  std::filesystem::path
      program;  ///< this executable, resolved: modules are found beside it, workers are started from it
  std::vector<std::string> arguments;  ///< the command line, for records
  Progress& progress;                  ///< stderr, silent when it is not a terminal
  const InterruptFlag& interrupt;
};

/// What the chosen subcommand does; add_*_command() stores one when its subcommand was parsed.
using CommandAction = std::function<Result<ExitStatus>(CommandContext&)>;

/// Writes to stdout; a failure (a closed pipe, a full disk) is kIo.
Result<void> print(std::string_view text);

}  // namespace secondsource

#pragma once
// A shell script as a child process.

#include <unistd.h>

#include <filesystem>
#include <string>

#include "core/child_process.h"

namespace secondsource::test {

/// A command that runs `script` in a shell. Its standard error goes to a file that belongs to this process and is emptied first.
inline ChildCommand shell_command(const std::string& script) {
  ChildCommand command;
  command.program = "/bin/sh";
  command.arguments = {"-c", script};
  command.stderr_file =
      std::filesystem::temp_directory_path() / ("ss-shell-command-" + std::to_string(::getpid()) + ".stderr");
  std::filesystem::remove(command.stderr_file);
  return command;
}

}  // namespace secondsource::test

#pragma once
// The built program, run as a person runs it: arguments in; exit status, stdout and stderr out.
//
//   const ProgramRun run = run_program({"inspect", path.string()});
//   CHECK(run.status == 2);
//   CHECK(is_one_line(run.err));

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace secondsource::test {

struct ProgramRun {
  int status = -1;  ///< exit status; 128 + signal when a signal ended it, as a shell has it
  std::string out;
  std::string err;
};

struct ProgramOptions {
  std::string input{};                                             ///< what stdin gives
  std::vector<std::pair<std::string, std::string>> environment{};  ///< added to this process's own
  std::chrono::seconds timeout{120};                               ///< then SIGKILL; the status is 137
  std::string out_path{};                                          ///< stdout goes to this file instead ("/dev/full")
};

/// Path of the program that this build made.
[[nodiscard]] std::filesystem::path program_path();

[[nodiscard]] ProgramRun run_program(const std::vector<std::string>& arguments, const ProgramOptions& options = {});

/// Exactly one line, ended by a newline: what a refusal prints.
[[nodiscard]] bool is_one_line(std::string_view text);

}  // namespace secondsource::test

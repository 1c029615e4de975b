#pragma once
// Runs the built program as a user would: arguments in; exit status, stdout and stderr out.
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
  int status = -1;  ///< exit status; 128 + signal if a signal ended it, as in a shell
  std::string out;
  std::string err;
};

struct ProgramOptions {
  std::string input{};                                             ///< the content of stdin
  std::vector<std::pair<std::string, std::string>> environment{};  ///< added to the environment of this process
  std::chrono::seconds timeout{120};  ///< after this time the program is killed and the status is 137
  std::string out_path{};             ///< stdout goes to this file instead ("/dev/full")
};

/// Path of the program from this build.
[[nodiscard]] std::filesystem::path program_path();

[[nodiscard]] ProgramRun run_program(const std::vector<std::string>& arguments, const ProgramOptions& options = {});

/// True if `text` is exactly one line that ends with a newline, as a refusal prints.
[[nodiscard]] bool is_one_line(std::string_view text);

}  // namespace secondsource::test

#pragma once
// Runs a secondsource program, this one or another build, to its end.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/interrupt.h"
#include "core/result.h"

namespace secondsource {

/// Exit statuses of the programs (docs/exit-statuses.md).
namespace program_status {
inline constexpr int kDone = 0;
inline constexpr int kBadInput = 2;
inline constexpr int kBackendFailed = 4;
inline constexpr int kInvalidMeasurement = 6;
inline constexpr int kIoFailure = 70;
}  // namespace program_status

struct ProgramCall {
  std::filesystem::path program;
  std::vector<std::string> arguments;
  std::filesystem::path stderr_file;  ///< output is appended to this file
  std::int64_t deadline_ns = 600'000'000'000;
  std::int64_t grace_ns = 0;  ///< after the deadline: how long it may take to end by itself before it is killed
  std::string modules{};      ///< a folder of backend modules that the program searches first; empty: none
};

struct ProgramEnd {
  ChildExit exit;
  bool timed_out = false;
  std::string out;
  std::string said;  ///< last line that the program wrote to stderr
  double wall_s = 0;

  /// For example "exit status 3: cpu/bf16: wrong tokens".
  [[nodiscard]] std::string text() const;
};

/// Starts the program and waits for its end. Kills it when its time is up or this process is interrupted. Errors:
/// kInterrupted; kIo when it cannot be started; kInvalidInput when there is no such program.
Result<ProgramEnd> run_program_to_end(const ProgramCall& call, const InterruptFlag& interrupt);

/// The last line that is not empty in the part of the file after its first `begins_at` bytes; empty if there is none.
[[nodiscard]] std::string last_line_of(const std::filesystem::path& file, std::uintmax_t begins_at);

}  // namespace secondsource

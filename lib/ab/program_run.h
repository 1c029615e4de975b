#pragma once
// A secondsource program, this one or another build, run to its end.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "core/result.h"
#include "runner/worker_process.h"

namespace secondsource {

struct ProgramCall {
  std::filesystem::path program;
  std::vector<std::string> arguments;
  std::filesystem::path stderr_file;  ///< appended to
  std::int64_t deadline_ns = 600'000'000'000;
};

struct ProgramEnd {
  WorkerExit exit;
  bool timed_out = false;
  std::string out;
  std::string said;  ///< the last line of what it wrote to stderr
  double wall_s = 0;

  /// "exit status 3: cpu/bf16: wrong tokens"
  [[nodiscard]] std::string text() const;
};

/// Waits for the program and kills it when its time is up or this one is interrupted. Errors: kInterrupted; kIo when it
/// cannot be started; kInvalidInput when there is no such program.
Result<ProgramEnd> run_program_to_end(const ProgramCall& call, const InterruptFlag& interrupt);

}  // namespace secondsource

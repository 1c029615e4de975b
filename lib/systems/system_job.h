#pragma once
// What a worker process is told to load and to measure.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fields.h"
#include "record/scenario.h"

namespace secondsource {

/// Key prefix of backend options that become environment variables of the worker: "env:CUDA_VISIBLE_DEVICES".
inline constexpr std::string_view kEnvironmentOption = "env:";

/// The system that one worker loads, and the limits of the cells that it will measure.
struct SystemJob {
  std::string system = "engine";  ///< "engine", or "null" in tests of the runner
  std::filesystem::path program;  ///< this executable; backend modules are searched for beside it
  std::filesystem::path bundle;
  std::string bundle_name;
  std::string variant;
  std::string backend;
  /// "threads", "cpus", "strict" and "device" are common to all backends; other keys are passed to the backend
  /// unchanged ("fault", "isa", ...).
  /// Each key stands once; their order has no meaning.
  std::vector<std::pair<std::string, std::string>> options;
  std::string suite;
  std::uint64_t seed = 0;
  std::vector<Scenario> scenarios;  ///< of its cells; the system makes room for each of them
  std::int64_t step_deadline_ns = 0;
};
SS_FIELDS(SystemJob, system, program, bundle, bundle_name, variant, backend, options, suite, seed, scenarios,
          step_deadline_ns)

/// Greedy answers of an oracle to short prompts. A bundle without expected outputs is compared with them.
struct OracleAnswers {
  std::string oracle;  ///< the backend that generated the answers
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::vector<std::int32_t>> answers;
};
SS_FIELDS(OracleAnswers, oracle, prompts, answers)

/// Asks for one pass over the first requests of a scenario, with a clock around every operation.
struct TimeOperationsCommand {
  std::string cell;
  Scenario scenario;
  std::uint64_t seed = 0;
  std::filesystem::path file;  ///< Chrome trace to append to
  std::int64_t process = 0;    ///< process id that stands for the cell in the trace file
  std::int64_t origin_ns = 0;
};
SS_FIELDS(TimeOperationsCommand, cell, scenario, seed, file, process, origin_ns)
}  // namespace secondsource

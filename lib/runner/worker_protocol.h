#pragma once
// What the run and a worker say to each other: one JSON object a line, commands down, messages up. Both ends are this
// program in this version, so there is no version in it.
//
//   load JOB        -> loaded | failed
//   golden          -> golden RECORD | failed
//   answers         -> answers ANSWERS | failed       (the oracle's greedy ids of a few short prompts)
//   measure PLAN    -> (lines LINES -> kept)* , done | failed
//   trace SCENARIO  -> lines LINES -> kept , done | failed
//   quit
// and at any time after `load`: alive PROGRESS READINGS, from the sampler's thread.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"
#include "measure/repetition.h"
#include "measure/telemetry.h"
#include "report/records.h"

namespace secondsource {

/// What one worker works on.
struct WorkerJob {
  std::string system = "engine";  ///< "engine", or "null" in tests of the runner
  std::filesystem::path program;  ///< modules are found beside it
  std::filesystem::path bundle;
  std::string bundle_name;
  std::string variant;
  std::string backend;
  /// "threads", "cpus", "strict" are common; everything else goes to the backend as it is ("fault", "isa", ...).
  std::vector<std::pair<std::string, std::string>> options;
  std::string suite;
  std::uint64_t seed = 0;
  std::int32_t max_in_flight = 1;    ///< the largest batch of its cells
  std::int32_t n_prompt_tokens = 0;  ///< of random prompts, for a bundle without golden ones
  std::int32_t n_output_tokens = 0;  ///< the largest of its cells
  std::int32_t n_shared_prefix = 0;  ///< the largest of its cells
  std::int64_t step_deadline_ns = 0;
};

/// Greedy answers to short prompts, by which a bundle without expected outputs is checked against an oracle.
struct OracleAnswers {
  std::string oracle;  ///< the backend that gave them
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::vector<std::int32_t>> answers;
};

struct GoldenCommand {
  std::optional<OracleAnswers> answers;  ///< for a bundle without expected outputs
};
struct AnswersCommand {};
struct KeptCommand {};
struct QuitCommand {};
struct MeasureCommand {
  RepetitionPlan plan;
  std::optional<ProbePlan> probe{};  ///< only try the rate of the plan's scenario
};
/// One pass over the first requests of a scenario with a clock around every operation.
struct TraceCommand {
  std::string cell;
  Scenario scenario;
  std::uint64_t seed = 0;
  std::filesystem::path file;  ///< Chrome trace to append to
  std::int64_t process = 0;    ///< of the cell, in that file
  std::int64_t origin_ns = 0;
};
struct LoadCommand {
  WorkerJob job;
};
using WorkerRequest =
    std::variant<LoadCommand, GoldenCommand, AnswersCommand, MeasureCommand, TraceCommand, KeptCommand, QuitCommand>;

struct LoadedMessage {
  std::string system;  ///< SystemUnderTest::name()
  std::int64_t load_ns = 0;
};
struct GoldenMessage {
  GoldenRecord record;
};
struct AnswersMessage {
  OracleAnswers answers;
};
struct LinesMessage {
  std::vector<JournalLine> lines;
};
struct DoneMessage {};
struct FailedMessage {
  Error error;
};
struct AliveMessage {
  std::int64_t progress = 0;
  TelemetrySnapshot snapshot;
};
using WorkerMessage =
    std::variant<LoadedMessage, GoldenMessage, AnswersMessage, LinesMessage, DoneMessage, FailedMessage, AliveMessage>;

[[nodiscard]] std::string to_line(const WorkerRequest& request);
[[nodiscard]] std::string to_line(const WorkerMessage& message);
/// Errors: kInternal for anything that the other end would not have written.
Result<WorkerRequest> worker_request_from_line(std::string_view line);
Result<WorkerMessage> worker_message_from_line(std::string_view line);

}  // namespace secondsource

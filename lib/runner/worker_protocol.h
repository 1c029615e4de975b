#pragma once
// The protocol between the run and a worker: one JSON object per line, commands to the worker, messages from it. Both
// ends are the same build of this program, so that the protocol needs no version.
//
//   load JOB        -> loaded | failed
//   golden          -> golden RECORD | failed
//   answers         -> answers ANSWERS | failed       (the oracle's greedy ids of a few short prompts)
//   measure PLAN    -> (lines LINES -> kept)* , done | failed
//   time operations -> lines LINES -> kept , done | failed
//   rates EFFORT    -> rates LOOK                      (also instead of `kept`, before it)
//   quit
// At any time after `load`, the sampler's thread sends: alive PROGRESS READINGS

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backend/device_rates.h"
#include "core/enum_names.h"
#include "core/fields.h"
#include "core/result.h"
#include "core/variant_tags.h"
#include "host/telemetry.h"
#include "measure/repetition.h"
#include "record/records.h"
#include "systems/system_job.h"

namespace secondsource {

struct LoadCommand {
  SystemJob job;
};
SS_FIELDS(LoadCommand, job)

struct GoldenCommand {
  std::optional<OracleAnswers> answers;  ///< present for a bundle without expected outputs
};
SS_FIELDS(GoldenCommand, answers)

struct AnswersCommand {};
SS_FIELDS(AnswersCommand)

struct MeasureCommand {
  RepetitionPlan plan;
  std::optional<ProbePlan> probe{};  ///< present: only try the rate of the plan's scenario
};
SS_FIELDS(MeasureCommand, plan, probe)

/// Asks what the device of the loaded system does at best.
struct RatesCommand {
  RateEffort effort = RateEffort::kAll;
};
SS_ENUM_NAMES(RateEffort, "all", "moment")
SS_FIELDS(RatesCommand, effort)

struct KeptCommand {};
SS_FIELDS(KeptCommand)

struct QuitCommand {};
SS_FIELDS(QuitCommand)

using WorkerRequest = std::variant<LoadCommand, GoldenCommand, AnswersCommand, MeasureCommand, TimeOperationsCommand,
                                   RatesCommand, KeptCommand, QuitCommand>;
SS_VARIANT_TAGS(WorkerRequest, "do", "load", "golden", "answers", "measure", "time operations", "rates", "kept", "quit")

struct LoadedMessage {
  std::string system;  ///< SystemUnderTest::name()
  std::int64_t load_ns = 0;
};
SS_FIELDS(LoadedMessage, system, load_ns)

struct GoldenMessage {
  GoldenRecord record;
};
SS_FIELDS(GoldenMessage, record)

struct AnswersMessage {
  OracleAnswers answers;
};
SS_FIELDS(AnswersMessage, answers)

struct LinesMessage {
  std::vector<JournalLine> lines;
};
SS_FIELDS(LinesMessage, lines)

/// The answer to RatesCommand. A device that does not measure itself, or has too little memory left for it, does not
/// end the worker.
struct RatesMessage {
  std::optional<DeviceRates> rates;
  std::string why_not;  ///< where there are none
};
SS_FIELDS(DeviceReadRate, buffer_bytes, bytes_per_s)
SS_FIELDS(DeviceRates, n_processors, loops, reads, f32_flops, bf16_flops, int8_ops, unmeasured)
SS_FIELDS(RatesMessage, rates, why_not)

struct DoneMessage {};
SS_FIELDS(DoneMessage)

struct FailedMessage {
  Error error;
};
SS_FIELDS(Error, code, message)
SS_FIELDS(FailedMessage, error)

struct AliveMessage {
  std::int64_t progress = 0;
  TelemetrySnapshot snapshot;
};
SS_FIELDS(TelemetrySnapshot, at_ns, readings)
SS_FIELDS(AliveMessage, progress, snapshot)

using WorkerMessage = std::variant<LoadedMessage, GoldenMessage, AnswersMessage, LinesMessage, RatesMessage,
                                   DoneMessage, FailedMessage, AliveMessage>;
SS_VARIANT_TAGS(WorkerMessage, "say", "loaded", "golden", "answers", "lines", "rates", "done", "failed", "alive")

[[nodiscard]] std::string to_line(const WorkerRequest& request);
[[nodiscard]] std::string to_line(const WorkerMessage& message);
/// Errors: kInternal for a line that the other end cannot have written.
Result<WorkerRequest> worker_request_from_line(std::string_view line);
Result<WorkerMessage> worker_message_from_line(std::string_view line);

}  // namespace secondsource

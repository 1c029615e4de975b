#include "runner/worker_protocol.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "report/record_json.h"

namespace secondsource {
namespace {

using nlohmann::json;

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

json to_tree(const Scenario& scenario) {
  return {{"kind", static_cast<int>(scenario.kind)},
          {"batch", scenario.batch},
          {"rate_per_s", scenario.rate_per_s},
          {"n_requests", scenario.n_requests},
          {"n_prompt_tokens", scenario.n_prompt_tokens},
          {"n_output_tokens", scenario.n_output_tokens},
          {"arrivals", static_cast<int>(scenario.arrivals)},
          {"burstiness", scenario.burstiness},
          {"trace", scenario.trace},
          {"trace_sha256", scenario.trace_sha256},
          {"trace_speed", scenario.trace_speed},
          {"seeks_slo_rate", scenario.seeks_slo_rate},
          {"n_shared_prefix", scenario.n_shared_prefix},
          {"batching", scenario.batching}};
}

Scenario scenario_of(const json& tree) {
  Scenario scenario;
  scenario.kind = static_cast<ScenarioKind>(tree.at("kind").get<int>());
  scenario.batch = tree.at("batch");
  scenario.rate_per_s = tree.at("rate_per_s");
  scenario.n_requests = tree.at("n_requests");
  scenario.n_prompt_tokens = tree.at("n_prompt_tokens");
  scenario.n_output_tokens = tree.at("n_output_tokens");
  scenario.arrivals = static_cast<ArrivalKind>(tree.at("arrivals").get<int>());
  scenario.burstiness = tree.at("burstiness");
  scenario.trace = tree.at("trace");
  scenario.trace_sha256 = tree.at("trace_sha256");
  scenario.trace_speed = tree.at("trace_speed");
  scenario.seeks_slo_rate = tree.at("seeks_slo_rate");
  scenario.n_shared_prefix = tree.at("n_shared_prefix");
  scenario.batching = tree.at("batching");
  return scenario;
}

json to_tree(const RepetitionPlan& plan) {
  json tree = {{"cell", plan.cell},
               {"scenario", to_tree(plan.scenario)},
               {"repetition", plan.repetition},
               {"seed", plan.seed},
               {"time_budget_ns", plan.time_budget_ns},
               {"n_done", plan.n_done},
               {"clock_ns", plan.clock_ns},
               {"n_done_tokens", plan.n_done_tokens},
               {"noise_limit", plan.host_limits.noise_invalid}};
  if (plan.warm_up) {
    tree["warm_up"] = {{"tolerance", plan.warm_up->tolerance},
                       {"n_agreeing", plan.warm_up->n_agreeing},
                       {"max_windows", plan.warm_up->max_windows},
                       {"max_time_ns", plan.warm_up->max_time_ns}};
  }
  return tree;
}

RepetitionPlan plan_of(const json& tree) {
  RepetitionPlan plan;
  plan.cell = tree.at("cell");
  plan.scenario = scenario_of(tree.at("scenario"));
  plan.repetition = tree.at("repetition");
  plan.seed = tree.at("seed");
  plan.time_budget_ns = tree.at("time_budget_ns");
  plan.n_done = tree.at("n_done");
  plan.clock_ns = tree.at("clock_ns");
  plan.n_done_tokens = tree.at("n_done_tokens");
  plan.host_limits = HostCheckLimits::for_noise(tree.at("noise_limit"));
  if (tree.contains("warm_up")) {
    const json& rule = tree.at("warm_up");
    plan.warm_up = WarmUpRule{.tolerance = rule.at("tolerance"),
                              .n_agreeing = rule.at("n_agreeing"),
                              .max_windows = rule.at("max_windows"),
                              .max_time_ns = rule.at("max_time_ns")};
  }
  return plan;
}

json to_tree(const ProbePlan& probe) {
  return {{"index", probe.index},
          {"name", probe.slo.name},
          {"ttft_ms", probe.slo.ttft_ms},
          {"tpot_ms", probe.slo.tpot_ms},
          {"percent", probe.slo.percent}};
}

ProbePlan probe_of(const json& tree) {
  return {.slo = {tree.at("name"), tree.at("ttft_ms"), tree.at("tpot_ms"), tree.at("percent")},
          .index = tree.at("index")};
}

json to_tree(const WorkerJob& job) {
  return {{"system", job.system},
          {"program", job.program.string()},
          {"bundle", job.bundle.string()},
          {"bundle_name", job.bundle_name},
          {"variant", job.variant},
          {"backend", job.backend},
          {"options", job.options},
          {"suite", job.suite},
          {"seed", job.seed},
          {"max_in_flight", job.max_in_flight},
          {"n_prompt_tokens", job.n_prompt_tokens},
          {"n_output_tokens", job.n_output_tokens},
          {"n_shared_prefix", job.n_shared_prefix},
          {"step_deadline_ns", job.step_deadline_ns}};
}

WorkerJob job_of(const json& tree) {
  WorkerJob job;
  job.system = tree.at("system");
  job.program = tree.at("program").get<std::string>();
  job.bundle = tree.at("bundle").get<std::string>();
  job.bundle_name = tree.at("bundle_name");
  job.variant = tree.at("variant");
  job.backend = tree.at("backend");
  job.options = tree.at("options").get<std::vector<std::pair<std::string, std::string>>>();
  job.suite = tree.at("suite");
  job.seed = tree.at("seed");
  job.max_in_flight = tree.at("max_in_flight");
  job.n_prompt_tokens = tree.at("n_prompt_tokens");
  job.n_output_tokens = tree.at("n_output_tokens");
  job.n_shared_prefix = tree.at("n_shared_prefix");
  job.step_deadline_ns = tree.at("step_deadline_ns");
  return job;
}

json to_tree(const OracleAnswers& answers) {
  return {{"oracle", answers.oracle}, {"prompts", answers.prompts}, {"answers", answers.answers}};
}

OracleAnswers answers_of(const json& tree) {
  return {tree.at("oracle"), tree.at("prompts").get<std::vector<std::vector<std::int32_t>>>(),
          tree.at("answers").get<std::vector<std::vector<std::int32_t>>>()};
}

json to_tree(const TelemetrySnapshot& snapshot) {
  json readings = json::array();
  for (const TelemetryReading& reading : snapshot.readings) {
    json tree = {{"name", reading.name}};
    if (reading.value) {
      tree["value"] = *reading.value;
    } else {
      tree["why_not"] = reading.why_not;
    }
    readings.push_back(std::move(tree));
  }
  return {{"at_ns", snapshot.at_ns}, {"readings", std::move(readings)}};
}

TelemetrySnapshot snapshot_of(const json& tree) {
  TelemetrySnapshot snapshot;
  snapshot.at_ns = tree.at("at_ns");
  for (const json& reading : tree.at("readings")) {
    TelemetryReading read;
    read.name = reading.at("name");
    // A value that JSON cannot hold arrives as null.
    if (reading.contains("value") && reading.at("value").is_number()) read.value = reading.at("value").get<double>();
    read.why_not = reading.value("why_not", "");
    snapshot.readings.push_back(std::move(read));
  }
  return snapshot;
}

json lines_tree(std::span<const JournalLine> lines) {
  json tree = json::array();
  for (const JournalLine& line : lines) tree.push_back(to_json_line(line));
  return tree;
}

/// Messages may carry text of a broken backend: bytes that are not UTF-8 must not stop them.
std::string to_text(const json& tree) {
  return tree.dump(-1, ' ', false, json::error_handler_t::replace);
}

ErrorCode error_code_of(std::string_view name) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    if (to_string(static_cast<ErrorCode>(code)) == name) return static_cast<ErrorCode>(code);
  }
  return ErrorCode::kInternal;
}

WorkerRequest request_of(const json& tree) {
  const std::string what = tree.at("do");
  if (what == "load") return LoadCommand{job_of(tree.at("job"))};
  if (what == "golden") {
    GoldenCommand command;
    if (tree.contains("answers")) command.answers = answers_of(tree.at("answers"));
    return command;
  }
  if (what == "answers") return AnswersCommand{};
  if (what == "measure") {
    MeasureCommand command{plan_of(tree.at("plan"))};
    if (tree.contains("probe")) command.probe = probe_of(tree.at("probe"));
    return command;
  }
  if (what == "trace") {
    return TraceCommand{.cell = tree.at("cell"),
                        .scenario = scenario_of(tree.at("scenario")),
                        .seed = tree.at("seed"),
                        .file = tree.at("file").get<std::string>(),
                        .process = tree.at("process"),
                        .origin_ns = tree.at("origin_ns")};
  }
  if (what == "kept") return KeptCommand{};
  return QuitCommand{};
}

Result<WorkerMessage> message_of(const json& tree) {
  const std::string what = tree.at("say");
  if (what == "loaded") return WorkerMessage(LoadedMessage{tree.at("system"), tree.at("load_ns")});
  if (what == "answers") return WorkerMessage(AnswersMessage{answers_of(tree.at("answers"))});
  if (what == "done") return WorkerMessage(DoneMessage{});
  if (what == "failed")
    return WorkerMessage(FailedMessage{{error_code_of(tree.at("code").get<std::string>()), tree.at("message")}});
  if (what == "alive") return WorkerMessage(AliveMessage{tree.at("progress"), snapshot_of(tree.at("snapshot"))});
  LinesMessage message;
  for (const json& text : tree.at("lines")) {
    SS_TRY(JournalLine line, journal_line_from_json(text.get<std::string>(), "worker"));
    message.lines.push_back(std::move(line));
  }
  if (what == "lines") return WorkerMessage(std::move(message));
  if (what == "golden" && message.lines.size() == 1) {
    if (auto* record = std::get_if<GoldenRecord>(&message.lines.front())) {
      return WorkerMessage(GoldenMessage{std::move(*record)});
    }
  }
  return Error{ErrorCode::kInternal, fmt::format("worker: a message \"{}\" that is none", what)};
}

Error not_understood(std::string_view line, const std::exception& failure) {
  return Error{ErrorCode::kInternal,
               fmt::format("worker: cannot understand \"{}\": {}", line.substr(0, 80), failure.what())};
}

}  // namespace

std::string to_line(const WorkerRequest& request) {
  return to_text(std::visit(Overloaded{[](const LoadCommand& command) -> json {
                                         return {{"do", "load"}, {"job", to_tree(command.job)}};
                                       },
                                       [](const GoldenCommand& command) -> json {
                                         json tree = {{"do", "golden"}};
                                         if (command.answers) tree["answers"] = to_tree(*command.answers);
                                         return tree;
                                       },
                                       [](const AnswersCommand&) -> json {
                                         return {{"do", "answers"}};
                                       },
                                       [](const MeasureCommand& command) -> json {
                                         json tree = {{"do", "measure"}, {"plan", to_tree(command.plan)}};
                                         if (command.probe) tree["probe"] = to_tree(*command.probe);
                                         return tree;
                                       },
                                       [](const TraceCommand& command) -> json {
                                         return {{"do", "trace"},
                                                 {"cell", command.cell},
                                                 {"scenario", to_tree(command.scenario)},
                                                 {"seed", command.seed},
                                                 {"file", command.file.string()},
                                                 {"process", command.process},
                                                 {"origin_ns", command.origin_ns}};
                                       },
                                       [](const KeptCommand&) -> json {
                                         return {{"do", "kept"}};
                                       },
                                       [](const QuitCommand&) -> json {
                                         return {{"do", "quit"}};
                                       }},
                            request));
}

std::string to_line(const WorkerMessage& message) {
  return to_text(std::visit(
      Overloaded{
          [](const LoadedMessage& loaded) -> json {
            return {{"say", "loaded"}, {"system", loaded.system}, {"load_ns", loaded.load_ns}};
          },
          [](const GoldenMessage& golden) -> json {
            const JournalLine line = golden.record;
            return {{"say", "golden"}, {"lines", lines_tree(std::span(&line, 1))}};
          },
          [](const AnswersMessage& answers) -> json {
            return {{"say", "answers"}, {"answers", to_tree(answers.answers)}};
          },
          [](const LinesMessage& lines) -> json {
            return {{"say", "lines"}, {"lines", lines_tree(lines.lines)}};
          },
          [](const DoneMessage&) -> json {
            return {{"say", "done"}};
          },
          [](const FailedMessage& failed) -> json {
            return {{"say", "failed"}, {"code", to_string(failed.error.code)}, {"message", failed.error.message}};
          },
          [](const AliveMessage& alive) -> json {
            return {{"say", "alive"}, {"progress", alive.progress}, {"snapshot", to_tree(alive.snapshot)}};
          }},
      message));
}

Result<WorkerRequest> worker_request_from_line(std::string_view line) {
  try {
    return request_of(json::parse(line));
  } catch (const json::exception& failure) {
    return not_understood(line, failure);
  }
}

Result<WorkerMessage> worker_message_from_line(std::string_view line) {
  try {
    return message_of(json::parse(line));
  } catch (const json::exception& failure) {
    return not_understood(line, failure);
  }
}

}  // namespace secondsource

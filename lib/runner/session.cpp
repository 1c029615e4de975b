#include "runner/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "core/clock.h"
#include "core/enum_format.h"
#include "core/folder.h"
#include "core/units.h"
#include "profile/trace_event_file.h"
#include "runner/capacity_run.h"
#include "runner/cell_estimate.h"
#include "runner/finished_work.h"
#include "runner/run_checks.h"
#include "runner/stint.h"
#include "runner/survey_systems.h"
#include "runner/worker_client.h"
#include "runner/worker_command.h"
#include "serving/server_probe.h"
#include "summary/summarize.h"

namespace secondsource {
namespace {

// After this many failures of a backend in one stint, the remaining cells of the stint are not run.
constexpr int kFailuresPerStint = 2;
// A server that crashes closes its connections a little before its process can be waited for.
constexpr std::int64_t kServerEndNs = 1'000'000'000;

/// The files and folders that the run measures.
std::vector<std::filesystem::path> inputs_of(const RunRecord& record, const SessionOptions& options) {
  std::vector<std::filesystem::path> inputs = options.modules;
  for (const BundleRecord& bundle : record.bundles) {
    if (bundle.models.empty()) inputs.emplace_back(bundle.path);
  }
  for (const PlannedCell& cell : record.cells) {
    if (!cell.scenario.trace.empty()) inputs.emplace_back(cell.scenario.trace);
  }
  return inputs;
}

/// The relative effort of a cell, in arbitrary units; used to estimate the remaining time. That of server:slo-max is known
/// in seconds instead (capacity_seconds).
double weight_of(const PlannedCell& cell) {
  if (cell.scenario.seeks_slo_rate) return 0;
  const double together = cell.scenario.kind == ScenarioKind::kSingleStream ? 1.0 : cell.scenario.batch;
  return cell.scenario.n_requests * (8.0 + cell.scenario.n_output_tokens) / (0.5 + 0.5 * std::max(1.0, together));
}

class Session {
 public:
  Session(RunDirectory& run, const SessionOptions& options, RunSettings settings, Progress& progress,
          const InterruptFlag& interrupt)
      : run_(run),
        options_(options),
        settings_(std::move(settings)),
        progress_(progress),
        interrupt_(interrupt),
        n_retried_lines_(options.retry_failed ? run.lines().size() : 0),
        finished_(run.lines(), n_retried_lines_),
        checks_(run, settings_, inputs_of(run.record(), options), interrupt) {}

  Result<void> run() {
    SS_TRY(const std::vector<Stint> stints, stints_of(run_.record()));
    for (const Stint& stint : stints) {
      for (const Turn& turn : turns_of(stint, finished_)) {
        weight_open_ += weight_of(*turn.cell);
        if (turn.cell->scenario.seeks_slo_rate) capacity_s_open_ += capacity_seconds(turn.cell->repetitions);
      }
    }
    started_ns_ = now_ns();
    paused_before_ns_ = interrupt_.paused_ns();
    if (!settings_.trace_file.empty()) SS_TRY_VOID(begin_chrome_trace(settings_.trace_file));
    for (const Stint& stint : stints) SS_TRY_VOID(run_stint(stint));
    if (!settings_.trace_file.empty()) SS_TRY_VOID(end_chrome_trace(settings_.trace_file));
    return {};
  }

 private:
  Result<void> run_stint(const Stint& stint) {
    std::vector<Turn> turns = turns_of(stint, finished_);
    const bool needs_golden = settings_.golden && !finished_.has_golden(stint.id);
    if (finished_.has_failed(stint.id) || (turns.empty() && !needs_golden)) return {};
    golden_needed_ = needs_golden;
    int n_failures = 0;
    std::optional<WorkerClient> worker;
    while (!turns.empty() || golden_needed_) {
      if (!worker || !worker->is_alive()) {
        SS_TRY(std::optional<WorkerFailure> failure, start_worker(stint, worker));
        if (failure && failure->was_paused) continue;
        if (failure) {
          stop_server(stint);
          return keep_failure(stint, stint.id, *failure);
        }
      }
      if (turns.empty()) break;
      const PlannedCell& cell = *turns.front().cell;
      const auto is_of_cell = [&cell](const Turn& turn) { return turn.cell == &cell; };
      const bool is_last = std::ranges::count_if(turns, is_of_cell) == 1;
      SS_TRY(WorkerOutcome outcome, take_turn(*worker, turns.front(), is_last));
      outcome = with_cause(std::move(outcome));
      if (outcome && outcome->was_paused) {
        // A new worker does not measure again what is stored by now.
        finished_ = FinishedWork(run_.lines(), n_retried_lines_);
        turns = turns_of(stint, finished_);
        continue;
      }
      turns.erase(turns.begin());
      if (!outcome) continue;
      std::erase_if(turns, is_of_cell);
      SS_TRY_VOID(keep_failure(stint, cell.key.id(), *outcome));
      if (outcome->kind == FailureKind::kNoRate) continue;
      stop_server(stint);
      if (++n_failures == kFailuresPerStint) return skip_rest(stint, turns, *outcome);
    }
    if (worker) worker->quit();
    stop_server(stint);
    return {};
  }

  /// Starts a worker, loads the system and, once per stint, runs the golden pass. A failure here ends the whole stint.
  Result<std::optional<WorkerFailure>> start_worker(const Stint& stint, std::optional<WorkerClient>& worker) {
    say(fmt::format("{}: loading", stint.id));
    std::optional<OracleAnswers> answers;
    if (golden_needed_ && !stint.bundle->verified && stint.bundle->models.empty()) {
      SS_TRY(answers, oracle_answers(stint));
    }
    worker.reset();
    warm_cells_.clear();
    SS_TRY(WorkerOutcome failure, start_server(stint));
    if (failure) return failure;
    SS_TRY(WorkerClient started, start_process(stint.id, *stint.backend));
    worker.emplace(std::move(started));
    const WorkerListener listener = listener_for(stint.id, *worker);
    SS_TRY(failure, worker->load(job_for(stint, *stint.backend), listener));
    if (failure) return with_cause(std::move(failure));
    SS_TRY_VOID(checks_.look_at_device(*stint.backend, ask_rates(*worker)));
    if (!golden_needed_) return with_cause(std::move(failure));
    say(fmt::format("{}: golden prompts", stint.id));
    GoldenRecord record;
    SS_TRY(failure, worker->golden(answers, listener, record));
    if (failure) return with_cause(std::move(failure));
    if (record.verdict == GoldenVerdict::kFailed) {
      progress_.note(fmt::format("{}: golden pass failed{}", stint.id,
                                 record.reasons.empty() ? "" : ": " + record.reasons.front()));
    }
    const JournalLine line = std::move(record);
    SS_TRY_VOID(run_.append(std::span(&line, 1)));
    golden_needed_ = false;
    return failure;
  }

  /// Starts the stint's server, if it is one that this program starts and that does not run yet.
  Result<WorkerOutcome> start_server(const Stint& stint) {
    const auto plan = options_.servers.find(stint.backend->name);
    if (plan == options_.servers.end() || server_) return WorkerOutcome();
    say(fmt::format("{}: starting its server", stint.id));
    const std::filesystem::path log = server_log(run_.folder(), stint.backend->name);
    SS_TRY_VOID(create_folder(folder_of(log)));
    const ChildLimits limits{settings_.cpus, settings_.memory_max_bytes};
    SS_TRY(ServerStart started, ManagedServer::start(plan->second, log, limits, interrupt_));
    if (started.failure) return std::move(started.failure);
    server_ = std::move(started.server);
    SS_TRY(const ProbedSystem now, probe_server(plan->second.request));
    if (now.unavailable.empty() && now.record == *stint.backend->served) return WorkerOutcome();
    return WorkerOutcome(
        WorkerFailure{.kind = FailureKind::kError,
                      .message = now.unavailable.empty()
                                     ? "the server reports another version, model or settings than when the run began"
                                     : now.unavailable});
  }

  void stop_server(const Stint& stint) {
    if (!server_) return;
    if (const std::string said = server_->stop(); !said.empty()) {
      progress_.note(fmt::format("{}: the server: {}", stint.id, said));
    }
    server_.reset();
  }

  /// If the worker failed because its server has ended, the server's end is reported as the failure.
  [[nodiscard]] WorkerOutcome with_cause(WorkerOutcome outcome) const {
    if (!outcome || outcome->was_paused || !server_) return outcome;
    WorkerOutcome cause = server_->failure(kServerEndNs);
    return cause ? cause : outcome;
  }

  /// Returns the oracle's answers for a bundle and variant; nullopt when there is no oracle, or when the stint's
  /// backend is the oracle itself.
  Result<std::optional<OracleAnswers>> oracle_answers(const Stint& stint) {
    if (settings_.oracle.empty() || stint.backend->name == settings_.oracle) return std::optional<OracleAnswers>();
    const std::string key = stint.bundle->name + "/" + stint.variant;
    if (const auto found = oracle_answers_.find(key); found != oracle_answers_.end()) return found->second;
    BackendRecord oracle;
    oracle.name = settings_.oracle;
    const std::string id = stint.bundle->name + "/" + oracle.name + "/" + stint.variant + "/oracle";
    OracleAnswers answers;
    WorkerOutcome failure;
    do {
      SS_TRY(WorkerClient worker, start_process(id, oracle));
      SS_TRY(failure, worker.load(job_for(stint, oracle), {}));
      if (!failure) {
        SS_TRY(failure, worker.answers({}, answers));
      }
      worker.quit();
    } while (failure && failure->was_paused);
    std::optional<OracleAnswers>& kept = oracle_answers_[key];
    if (failure) {
      progress_.note(fmt::format("{}: no answers from {}: {}: {}", key, oracle.name, failure->kind, failure->message));
    } else {
      kept = std::move(answers);
    }
    return kept;
  }

  /// Measures one repetition, or a cell that seeks a rate. After the last turn of a cell its operations are timed.
  Result<WorkerOutcome> take_turn(WorkerClient& worker, const Turn& turn, bool is_last) {
    const PlannedCell& cell = *turn.cell;
    if (cell.scenario.seeks_slo_rate) return run_capacity_cell(worker, cell);
    SS_TRY_VOID(interrupt_.check());
    // Every cell gets at least one repetition; --resume runs the others later.
    if (turn.repetition == 0 || !is_out_of_time()) {
      SS_TRY(WorkerOutcome outcome, measure_repetition_of(worker, turn));
      if (outcome) return outcome;
    }
    return is_last ? time_operations(worker, cell, cell.scenario) : WorkerOutcome();
  }

  Result<WorkerOutcome> measure_repetition_of(WorkerClient& worker, const Turn& turn) {
    const PlannedCell& cell = *turn.cell;
    const std::string id = cell.key.id();
    say(fmt::format("{} {}/{}", id, turn.repetition + 1, cell.repetitions));
    const PartialRepetition partial = finished_.partial(id, turn.repetition);
    RepetitionPlan plan = repetition_plan(cell);
    if (warm_cells_.contains(id)) plan.warm_up.reset();
    plan.repetition = turn.repetition;
    plan.n_done = partial.n_done;
    plan.clock_ns = partial.clock_ns;
    plan.n_done_tokens = partial.n_tokens;
    SS_TRY(WorkerOutcome outcome, worker.measure({plan}, listener_for(stint_id(cell.key), worker)));
    if (outcome) return outcome;
    warm_cells_.insert(id);
    weight_done_ += weight_of(cell);
    return WorkerOutcome();
  }

  /// The plan of a cell's first repetition.
  [[nodiscard]] RepetitionPlan repetition_plan(const PlannedCell& cell) const {
    RepetitionPlan plan;
    plan.cell = cell.key.id();
    plan.scenario = cell.scenario;
    plan.seed = run_.record().seed;
    plan.warm_up = WarmUpRule{.max_time_ns = budget_ns(cell)};
    plan.time_budget_ns = budget_ns(cell);
    plan.host_limits = HostCheckLimits::for_noise(settings_.noise_limit);
    return plan;
  }

  /// Measures a cell of server:slo-max.
  Result<WorkerOutcome> run_capacity_cell(WorkerClient& worker, const PlannedCell& cell) {
    const std::int64_t began_ns = spent_ns();
    CapacityRun::Hooks hooks;
    hooks.measure = [&](const MeasureCommand& command, std::vector<JournalLine>& lines) -> Result<WorkerOutcome> {
      SS_TRY_VOID(interrupt_.check());
      WorkerListener listener = listener_for(stint_id(cell.key), worker);
      listener.on_lines = [&](std::span<const JournalLine> measured) -> Result<void> {
        SS_TRY(std::vector<JournalLine> checked, with_checks(measured, worker));
        lines.insert(lines.end(), std::make_move_iterator(checked.begin()), std::make_move_iterator(checked.end()));
        return {};
      };
      return worker.measure(command, listener);
    };
    hooks.store = [this](std::span<const JournalLine> lines) { return run_.append(lines); };
    hooks.is_out_of_time = [this] { return is_out_of_time(); };
    hooks.say = [this](const std::string& task) { say(task); };
    hooks.note = [this](const std::string& line) { progress_.note(line); };
    CapacityRun capacity(cell, run_.record().slo.value_or(Slo()), repetition_plan(cell), std::move(hooks));
    SS_TRY(WorkerOutcome outcome, capacity.run(finished_));
    capacity_s_open_ -= capacity_seconds(cell.repetitions);
    capacity_ns_spent_ += spent_ns() - began_ns;
    if (outcome) return outcome;
    return time_operations(worker, cell, capacity.held_scenario());
  }

  /// Times the operations of the cell if the run has a trace file.
  Result<WorkerOutcome> time_operations(WorkerClient& worker, const PlannedCell& cell, const Scenario& scenario) {
    if (settings_.trace_file.empty() || cell.scenario.kind == ScenarioKind::kSwap) return WorkerOutcome();
    const auto backend = std::ranges::find(run_.record().backends, cell.key.backend, &BackendRecord::name);
    // The operations of a server or of a runtime behind an adapter cannot be seen.
    if (backend != run_.record().backends.end() && backend->is_foreign()) return WorkerOutcome();
    say(fmt::format("{} tracing its operations", cell.key.id()));
    TimeOperationsCommand command;
    command.cell = cell.key.id();
    command.scenario = scenario;
    command.seed = run_.record().seed;
    command.file = settings_.trace_file;
    command.process = &cell - run_.record().cells.data() + 1;
    command.origin_ns = started_ns_;
    return worker.time_operations(command, listener_for(stint_id(cell.key), worker));
  }

  /// The time budget of one repetition.
  [[nodiscard]] std::int64_t budget_ns(const PlannedCell& cell) const {
    double cell_s = settings_.cell_budget_s;
    if (settings_.max_time_s > 0) {
      const double fair_s = settings_.max_time_s / static_cast<double>(run_.record().cells.size());
      cell_s = cell_s > 0 ? std::min(cell_s, fair_s) : fair_s;
    }
    return static_cast<std::int64_t>(1e9 * cell_s / std::max(1, cell.repetitions));
  }

  /// The time since the start, without that for which the run was paused.
  [[nodiscard]] std::int64_t spent_ns() const {
    return now_ns() - started_ns_ - (interrupt_.paused_ns() - paused_before_ns_);
  }

  [[nodiscard]] bool is_out_of_time() {
    const double spent_s = 1e-9 * static_cast<double>(spent_ns());
    if (settings_.max_time_s <= 0 || spent_s < settings_.max_time_s) return false;
    if (!said_out_of_time_) progress_.note("--max-time is used up: each remaining cell gets only its first repetition");
    said_out_of_time_ = true;
    return true;
  }

  Result<void> keep_failure(const Stint& stint, const std::string& cell, const WorkerFailure& failure) {
    progress_.note(fmt::format("{}: {}: {}", cell, failure.kind, failure.message));
    const JournalLine line = FailureRecord{stint.backend->name, cell, failure.kind, failure.message};
    return run_.append(std::span(&line, 1));
  }

  Result<void> skip_rest(const Stint& stint, const std::vector<Turn>& turns, const WorkerFailure& failure) {
    std::set<std::string> cells;
    for (const Turn& turn : turns) cells.insert(turn.cell->key.id());
    for (const std::string& cell : cells) {
      SS_TRY_VOID(
          keep_failure(stint, cell, {failure.kind, fmt::format("given up after {} failures", kFailuresPerStint)}));
    }
    return {};
  }

  [[nodiscard]] Result<WorkerClient> start_process(const std::string& id, const BackendRecord& backend) const {
    ChildCommand command = worker_command(options_.program, settings_, run_.stderr_file(id));
    for (const auto& [key, value] : backend.options) {
      if (key.starts_with(kEnvironmentOption)) {
        command.environment.emplace_back(key.substr(kEnvironmentOption.size()), value);
      }
    }
    return WorkerClient::start(command, deadlines(), interrupt_);
  }

  [[nodiscard]] SystemJob job_for(const Stint& stint, const BackendRecord& backend) const {
    SystemJob job;
    job.system = options_.system;
    if (backend.served) {
      job.system = SystemKind::kServed;
      const auto key = options_.keys.find(backend.name);
      job.served = ServedJob{*backend.served, key == options_.keys.end() ? KeySource() : key->second};
      if (server_) {
        job.served->process = server_->process();
        job.served->is_container = server_->is_container();
      }
    }
    if (backend.adapter) {
      job.system = SystemKind::kAdapter;
      job.adapter = options_.adapters.at(backend.name);
    }
    job.program = options_.program;
    job.bundle = stint.bundle->path;
    job.bundle_name = stint.bundle->name;
    job.variant = stint.variant;
    job.backend = backend.name;
    job.options = backend.options;
    job.suite = run_.record().suite;
    job.seed = run_.record().seed;
    job.client = run_.record().client.value_or(LoadClient());
    job.step_deadline_ns = deadlines().step_ns;
    for (const PlannedCell* cell : stint.cells) job.scenarios.push_back(cell->scenario);
    for (const std::string& model : stint.bundle->models) {
      job.models.push_back({model, std::ranges::find(run_.record().bundles, model, &BundleRecord::name)->path});
    }
    return job;
  }

  [[nodiscard]] WorkerDeadlines deadlines() const {
    return {static_cast<std::int64_t>(1e9 * settings_.step_deadline_s),
            static_cast<std::int64_t>(1e9 * settings_.cell_deadline_s)};
  }

  /// Makes the function that asks a worker's device for its rates; each reason why a device does not report them is
  /// noted once.
  AskRates ask_rates(WorkerClient& worker) {
    return [this, &worker](RateEffort effort) -> Result<std::optional<DeviceRates>> {
      std::string why_not;
      SS_TRY(std::optional<DeviceRates> rates, worker.rates(effort, why_not));
      if (!rates && silent_.insert(why_not).second) {
        progress_.note("the limits of a device were not measured: " + why_not);
      }
      return rates;
    };
  }

  WorkerListener listener_for(const std::string& stint, WorkerClient& worker) {
    return {.on_lines = [this, &worker](std::span<const JournalLine> lines) { return keep(lines, worker); },
            .on_telemetry =
                [this, stint](const TelemetrySnapshot& snapshot) {
                  // The error is ignored, since lost telemetry does not end a run. A full disk will fail the next
                  // sample, which does.
                  (void)run_.append_telemetry(stint, snapshot);
                  say(task_);
                },
            .lost =
                [this](std::span<const JournalLine> lines) {
                  const bool has_error = std::ranges::any_of(lines, [](const JournalLine& line) {
                    const auto* sample = std::get_if<RequestSample>(&line);
                    return sample != nullptr && !sample->error.empty();
                  });
                  return server_ && has_error ? server_->failure(kServerEndNs) : WorkerOutcome();
                }};
  }

  /// Appends the lines to the journal.
  Result<void> keep(std::span<const JournalLine> lines, WorkerClient& worker) {
    SS_TRY(const std::vector<JournalLine> checked, with_checks(lines, worker));
    return run_.append(checked);
  }

  /// Adds to each repetition the checks that the worker cannot make.
  Result<std::vector<JournalLine>> with_checks(std::span<const JournalLine> lines, WorkerClient& worker) {
    std::vector<JournalLine> checked(lines.begin(), lines.end());
    for (JournalLine& line : checked) {
      auto* repetition = std::get_if<Repetition>(&line);
      if (repetition == nullptr) continue;
      const auto is_of_it = [&](const JournalLine& other) {
        const auto* sample = std::get_if<RequestSample>(&other);
        return sample != nullptr && sample->cell == repetition->cell && sample->repetition == repetition->repetition;
      };
      const auto n_requests = std::ranges::count_if(run_.lines(), is_of_it) + std::ranges::count_if(lines, is_of_it);
      SS_TRY_VOID(checks_.add_to(*repetition, n_requests, ask_rates(worker)));
    }
    return checked;
  }

  /// Shows the task and an estimate of the remaining time.
  void say(std::string task) {
    task_ = std::move(task);
    std::string line = task_;
    const bool is_projected = weight_done_ > 0 || !(weight_open_ > 0);
    const auto spent = static_cast<double>(spent_ns());
    double left_ns = 1e9 * std::max(0.0, capacity_s_open_);
    if (weight_done_ > 0) {
      left_ns += (spent - static_cast<double>(capacity_ns_spent_)) * (weight_open_ - weight_done_) / weight_done_;
    }
    if (is_projected && left_ns > 0) {
      line += fmt::format("  {:.0f} %, about {} left", 100.0 * spent / (spent + left_ns),
                          format_duration_ns(static_cast<std::int64_t>(left_ns)));
    }
    progress_.begin(line, 0);
  }

  RunDirectory& run_;
  const SessionOptions& options_;
  RunSettings settings_;
  Progress& progress_;
  const InterruptFlag& interrupt_;
  std::size_t n_retried_lines_;
  FinishedWork finished_;
  RunChecks checks_;
  std::map<std::string, std::optional<OracleAnswers>> oracle_answers_;
  std::unique_ptr<ManagedServer> server_;  ///< of the stint that runs
  std::set<std::string> silent_;           ///< why devices did not tell their rates
  std::set<std::string> warm_cells_;       ///< those that the worker has warmed up for
  std::string task_;
  bool golden_needed_ = false;
  bool said_out_of_time_ = false;
  double weight_open_ = 0;  ///< of everything that was not measured when the session began
  double weight_done_ = 0;
  double capacity_s_open_ = 0;  ///< seconds that the cells of server:slo-max take which are not done
  std::int64_t capacity_ns_spent_ = 0;
  std::int64_t started_ns_ = 0;
  std::int64_t paused_before_ns_ = 0;
};

}  // namespace

Result<void> execute_run(RunDirectory& run, const SessionOptions& options, Progress& progress,
                         const InterruptFlag& interrupt) {
  return Session(run, options, run.record().settings, progress, interrupt).run();
}

}  // namespace secondsource

#include "ab/ab_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>

#include "ab/pair_series.h"
#include "ab/program_run.h"
#include "ab/side_server.h"
#include "ab/system_differences.h"
#include "core/clock.h"
#include "core/enum_format.h"
#include "core/random.h"
#include "core/units.h"
#include "gate/comparable.h"
#include "gate/metric.h"
#include "gate/planning.h"
#include "runner/scenario_text.h"
#include "stats/quantile.h"
#include "summary/summarized_run.h"

namespace secondsource {
namespace {

constexpr int kCrashesPerArm = 2;
// So many, and so short, that bursts of load seldom disturb all repetitions of a process.
constexpr const char* kRepetitions = "5";
constexpr double kShareTakenAgain = 0.2;
constexpr double kAlwaysTakenAgain = 3;  // allowed even for the fewest pairs, since a moment without CPUs makes a
                                         // process INVALID
// A process should take 6 s; one that takes this long hangs.
constexpr std::int64_t kProcessDeadlineNs = 300'000'000'000;
// A system may be slower by far; its requests and its silence have deadlines of their own.
constexpr std::int64_t kSystemProcessDeadlineNs = 3'600'000'000'000;

const std::string kInvalid = "INVALID: ";

/// True if processes of the stint failed so often that it is not measured any further.
bool is_given_up(const PairedGate& gate, std::span<const ProcessLine> lines, const AbStint& stint) {
  std::map<Arm, int> n_crashes;
  std::int64_t n_failed = 0;
  for (const ProcessLine& line : lines) {
    if (line.stint != stint.id() || line.failure.empty()) continue;
    ++n_failed;
    if (!line.failure.starts_with(kInvalid) && ++n_crashes[line.arm] >= kCrashesPerArm) return true;
  }
  const double n_allowed = kShareTakenAgain * static_cast<double>(gate.plan().max_pairs());
  return static_cast<double>(n_failed) > std::max(kAlwaysTakenAgain, n_allowed);
}

/// True if the stint is not given up, there is time, and one of its cells still needs a verdict; without `stop_early`,
/// if it has fewer pairs than planned.
bool needs_pair(const AbRecord& record, const PairedGate& gate, std::span<const ProcessLine> lines,
                const AbStint& stint, bool stop_early) {
  const std::int64_t n_taken = n_whole_pairs(lines, stint.id());
  if (n_taken >= gate.plan().max_pairs() || is_given_up(gate, lines, stint) || is_time_up(record, lines)) return false;
  if (!stop_early || n_taken == 0) return true;
  return std::ranges::any_of(series_of(lines, stint.id()),
                             [&](const PairSeries& series) { return !gate.run(series.differences()).has_value(); });
}

/// One pair to be measured.
struct PairTask {
  const AbStint* stint = nullptr;
  std::int64_t pair = 0;
  std::int64_t attempt = 0;
  bool candidate_first = false;
};

class Session {
 public:
  Session(AbDirectory& directory, const AbSessionOptions& options, Progress& progress, const InterruptFlag& interrupt)
      : directory_(directory),
        record_(directory.record()),
        options_(options),
        progress_(progress),
        interrupt_(interrupt),
        gate_(gate_of(record_)),
        candidate_first_(candidate_goes_first(gate_.plan(), record_.seed)),
        base_server_(directory, Arm::kBase),
        candidate_server_(directory, Arm::kCandidate) {}

  Result<void> run() {
    SS_TRY_VOID(remember_first_runs());
    const auto n_stints = static_cast<std::int64_t>(record_.stints.size());
    progress_.begin("interleaved pairs", n_stints * gate_.plan().max_pairs());
    for (std::int64_t pair = 0; pair < gate_.plan().max_pairs(); ++pair) {
      for (const AbStint& stint : record_.stints) {
        if (!wants(stint, pair)) continue;
        SS_TRY_VOID(take_pair(stint, pair));
        progress_.update(pair * n_stints + (&stint - record_.stints.data()) + 1);
      }
      if (pair + 1 == kPilotPairs) {
        for (const std::string& line : forecast(record_, directory_.lines())) progress_.note(line);
      }
    }
    progress_.update(n_stints * gate_.plan().max_pairs());
    return {};
  }

 private:
  /// True if the pair is the next one of its stint, and the stint needs it.
  [[nodiscard]] bool wants(const AbStint& stint, std::int64_t pair) const {
    return n_whole_pairs(directory_.lines(), stint.id()) == pair &&
           needs_pair(record_, gate_, directory_.lines(), stint, options_.stop_early);
  }

  Result<void> take_pair(const AbStint& stint, std::int64_t pair) {
    PairTask task{.stint = &stint, .pair = pair, .attempt = 0, .candidate_first = candidate_first_[std::size_t(pair)]};
    for (const ProcessLine& line : directory_.lines()) {
      if (line.stint == stint.id() && line.pair == pair) task.attempt = std::max(task.attempt, line.attempt + 1);
    }
    while (true) {
      const ArmRecord& first = task.candidate_first ? record_.candidate : record_.base;
      const ArmRecord& second = task.candidate_first ? record_.base : record_.candidate;
      SS_TRY(const bool servers_are_up, start_side_by_side(task));
      SS_TRY(const bool first_is_whole, servers_are_up ? run_process(task, first, true) : Result<bool>(false));
      // If the first process of a pair failed, the second is not run.
      if (first_is_whole) {
        SS_TRY(const bool second_is_whole, run_process(task, second, false));
        if (second_is_whole) {
          ++n_pairs_of_start_;
          return {};
        }
      }
      stop_servers();
      if (is_given_up(gate_, directory_.lines(), stint)) return {};
      ++task.attempt;
    }
  }

  SideServer& server_of(Arm arm) { return arm == Arm::kBase ? base_server_ : candidate_server_; }

  void stop_servers() {
    base_server_.stop();
    candidate_server_.stop();
    n_pairs_of_start_ = 0;
  }

  /// Starts the servers that stay up for several pairs, in an order drawn by chance. Returns false, with a line in the
  /// journal, when one does not come up.
  Result<bool> start_side_by_side(const PairTask& task) {
    if (record_.sittings != Sittings::kSideBySide) return true;
    if (n_pairs_of_start_ >= record_.pairs_per_start) stop_servers();
    const bool base_is_first = random_bits(record_.seed, static_cast<std::uint64_t>(task.pair)) % 2 == 0;
    for (const bool is_base : {base_is_first, !base_is_first}) {
      const ArmRecord& arm = is_base ? record_.base : record_.candidate;
      SideServer& server = server_of(arm.name);
      if (!server.is_started_by_us() || server.is_up()) continue;
      SS_TRY(const std::string why, server.start(progress_, interrupt_));
      if (why.empty()) continue;
      ProcessLine line = line_of(task, arm);
      line.failure = why;
      progress_.note(fmt::format("{} {}: {}", line.stint, arm.name, line.failure));
      SS_TRY_VOID(directory_.append(std::move(line)));
      return false;
    }
    return true;
  }

  static ProcessLine line_of(const PairTask& task, const ArmRecord& arm) {
    ProcessLine line{.pair = task.pair, .attempt = task.attempt, .stint = task.stint->id(), .arm = arm.name};
    line.run = run_of_process(*task.stint, arm.name, task.pair, task.attempt);
    line.started_utc = utc_timestamp();
    return line;
  }

  /// Runs one process and writes its line to the journal. Returns false when it failed in a way that another attempt
  /// may repair.
  Result<bool> run_process(const PairTask& task, const ArmRecord& arm, bool went_first) {
    ProcessLine line = line_of(task, arm);
    line.went_first = went_first;
    SideServer& server = server_of(arm.name);
    const bool is_alone = server.is_started_by_us() && record_.sittings == Sittings::kAlternating;
    if (is_alone) {
      SS_TRY(line.failure, server.start(progress_, interrupt_));
    }
    line.server_start = server.start_number();
    if (line.failure.empty()) SS_TRY_VOID(measure(task, arm, server, line));
    if (is_alone) server.stop();
    if (!line.failure.empty()) progress_.note(fmt::format("{} {}: {}", line.stint, arm.name, line.failure));
    const bool is_whole = line.failure.empty();
    SS_TRY_VOID(directory_.append(std::move(line)));
    return is_whole;
  }

  /// Lets the process of a pair run to its end. Its values, or why there are none, go into `line`.
  Result<void> measure(const PairTask& task, const ArmRecord& arm, SideServer& server, ProcessLine& line) {
    const std::filesystem::path folder = directory_.folder() / line.run;
    // Removes the files of an interrupted attempt.
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    SS_TRY(const ProgramEnd end,
           run_program_to_end({.program = arm.program,
                               .arguments = arguments_for(task, arm, server, folder),
                               .stderr_file = stderr_file(directory_.folder(), arm),
                               .deadline_ns = arm.is_system() ? kSystemProcessDeadlineNs : kProcessDeadlineNs,
                               .modules = arm.modules},
                              interrupt_));
    line.start_s = server.take_start_s();
    line.wall_s = line.start_s + end.wall_s;
    if (end.exit.status == program_status::kBadInput) return of_arm(ErrorCode::kInvalidInput, arm, end);
    if (end.exit.status == program_status::kIoFailure) return of_arm(ErrorCode::kIo, arm, end);
    if (end.exit.status == program_status::kDone) {
      SS_TRY_VOID(take_values(folder, arm, line));
    } else {
      line.failure = end.exit.status == program_status::kInvalidMeasurement ? why_invalid(folder) : end.text();
    }
    // If the process failed because its server has ended, the server's end is the failure.
    if (!line.failure.empty()) {
      if (std::string why = server.failure(); !why.empty()) line.failure = std::move(why);
    }
    return {};
  }

  /// The seed of a pair's prompts; repetitions add their number. Each pair gets different conversations: otherwise a
  /// server that stays up for several pairs would find those of the previous pair in its prefix cache.
  [[nodiscard]] std::uint64_t seed_of(std::int64_t pair) const {
    const bool has_conversations = std::ranges::any_of(record_.scenarios, [](const std::string& text) {
      const auto scenarios = parse_scenario(text);
      return scenarios && std::ranges::any_of(*scenarios, &Scenario::has_conversations);
    });
    return record_.seed + (has_conversations ? 1000 * static_cast<std::uint64_t>(pair) : 0);
  }

  [[nodiscard]] std::vector<std::string> arguments_for(const PairTask& task, const ArmRecord& arm,
                                                       const SideServer& server,
                                                       const std::filesystem::path& folder) const {
    std::vector<std::string> arguments = {"run",
                                          record_.timed_bundle,
                                          "--variant",
                                          task.stint->variant,
                                          "--repetitions",
                                          kRepetitions,
                                          "--seed",
                                          std::to_string(seed_of(task.pair)),
                                          "--cell-budget",
                                          record_.cell_budget,
                                          "--no-golden",
                                          "--out",
                                          folder.string(),
                                          arm.is_system() ? "--config" : "--backend",
                                          arm.is_system() ? server.plan().string() : task.stint->backend};
    for (const std::string& scenario : record_.scenarios) {
      arguments.emplace_back("--scenario");
      arguments.push_back(scenario);
    }
    arguments.insert(arguments.end(), arm.arguments.begin(), arm.arguments.end());
    return arguments;
  }

  static Error of_arm(ErrorCode code, const ArmRecord& arm, const ProgramEnd& end) {
    return {code, fmt::format("{}: {}: {}", arm.name, arm.program, end.text())};
  }

  /// Returns the reason that the run's own cells give for being invalid.
  static std::string why_invalid(const std::filesystem::path& folder) {
    const auto run = read_summarized_run(folder);
    if (!run) return kInvalid + run.error().message;
    for (const CellSummary& cell : run->summary.cells) {
      if (cell.status != CellStatus::kComplete) return why_not_measured(cell);
    }
    return kInvalid + "it ended with that status, and no cell says why";
  }

  static std::string why_not_measured(const CellSummary& cell) {
    const std::string why = why_incomplete(cell);
    return kInvalid + cell.key.id() + ": " + (why.starts_with(kInvalidNote) ? why.substr(kInvalidNote.size()) : why);
  }

  /// Reads the values of the process, after checking that its run is comparable with the earlier ones.
  Result<void> take_values(const std::filesystem::path& folder, const ArmRecord& arm, ProcessLine& line) {
    auto run = read_summarized_run(folder);
    if (!run) {
      return Error{ErrorCode::kNotComparable,
                   fmt::format("{}: its results cannot be read by this version: {}", arm.name, run.error().message)};
    }
    for (const CellSummary& cell : run->summary.cells) {
      if (cell.status != CellStatus::kComplete) {
        line.failure = why_not_measured(cell);
        return {};
      }
      if (cell.others_cpu_share) {
        line.others_cpu_share = std::max(line.others_cpu_share.value_or(0), *cell.others_cpu_share);
      }
      for (const GateMetric& metric : gate_metrics_of(cell.scenario)) {
        if (const auto why = metric.why_without_value(cell, "")) {
          line.failure = fmt::format("{}{}: {}", kInvalid, cell.key.id(), *why);
          return {};
        }
        // The fastest repetition: whatever else ran can only have made one slower (Chen and Revels, Robust benchmarking
        // in noisy environments, 2016).
        const std::vector<double> values = metric.values(cell);
        if (values.empty()) {
          line.failure = fmt::format("{}{}: no {}", kInvalid, cell.key.id(), metric.name);
          return {};
        }
        line.values.push_back(
            {.cell = cell.key, .metric = std::string(metric.name), .seconds = std::ranges::min(values)});
      }
    }
    return check_comparable(line.stint, arm, *std::move(run));
  }

  /// Fills first_runs_ from the journal when a comparison is resumed.
  Result<void> remember_first_runs() {
    for (const ProcessLine& line : directory_.lines()) {
      const std::pair key(line.stint, line.arm);
      if (!line.failure.empty() || first_runs_.contains(key)) continue;
      SS_TRY(SummarizedRun run, read_summarized_run(directory_.folder() / line.run));
      first_runs_.emplace(key, std::move(run));
    }
    return {};
  }

  /// Compares a run with the first one of the same arm, from which nothing may differ, and with the first one of the
  /// other arm.
  Result<void> check_comparable(const std::string& stint, const ArmRecord& arm, SummarizedRun run) {
    const auto refuse = [&](const std::string& why) {
      return Error{ErrorCode::kNotComparable, fmt::format("{}: {}", stint, why)};
    };
    const bool is_base = arm.name == Arm::kBase;
    const auto other = first_runs_.find({stint, is_base ? Arm::kCandidate : Arm::kBase});
    if (other != first_runs_.end()) {
      const SummarizedRun& base = is_base ? run : other->second;
      const SummarizedRun& candidate = is_base ? other->second : run;
      if (const auto why = why_runs_differ(base.record, candidate.record)) return refuse(*why);
      if (base.summary.cells.size() != candidate.summary.cells.size())
        return refuse("base and candidate have different cells");
      for (std::size_t i = 0; i < base.summary.cells.size(); ++i) {
        const CellSummary& a = base.summary.cells[i];
        const CellSummary& b = candidate.summary.cells[i];
        if (!(a.key == b.key)) return refuse("base and candidate have different cells");
        const auto why = why_cells_differ(base.record, candidate.record, a, b,
                                          record_.is_of_systems() ? UnderTest::kSystem : UnderTest::kBuildAndOptions);
        if (why) return refuse(*why);
      }
    }
    const auto first = first_runs_.find({stint, arm.name});
    if (first == first_runs_.end()) {
      first_runs_.emplace(std::pair(stint, arm.name), std::move(run));
      return {};
    }
    const RunRecord& before = first->second.record;
    for (std::size_t i = 0; i < before.backends.size() && i < run.record.backends.size(); ++i) {
      if (before.backends[i].module_sha256 != run.record.backends[i].module_sha256) {
        return refuse(
            fmt::format("{}: the module of {} changed during the comparison", arm.name, before.backends[i].name));
      }
      if (!is_same_system(before.backends[i], run.record.backends[i])) {
        return refuse(fmt::format("{}: {} reports another version, model or settings than before", arm.name,
                                  before.backends[i].name));
      }
    }
    if (before.bundles.front().content_sha256 != run.record.bundles.front().content_sha256) {
      return refuse("the timed bundle changed during the comparison");
    }
    return {};
  }

  AbDirectory& directory_;
  const AbRecord& record_;
  const AbSessionOptions& options_;
  Progress& progress_;
  const InterruptFlag& interrupt_;
  PairedGate gate_;
  std::vector<bool> candidate_first_;
  SideServer base_server_, candidate_server_;
  std::int64_t n_pairs_of_start_ = 0;  ///< that the servers of both sides have served since they were started
  std::map<std::pair<std::string, Arm>, SummarizedRun> first_runs_;  ///< key: stint and arm
};

/// Wall time of one pair of a stint in seconds: twice the median over its processes.
double pair_seconds(std::span<const ProcessLine> lines, const std::string& stint) {
  std::vector<double> walls;
  for (const ProcessLine& line : lines) {
    if (line.stint == stint && line.failure.empty()) walls.push_back(line.wall_s);
  }
  return 2 * median(walls).value_or(0);
}

std::string minutes(double seconds) {
  return seconds < 90 ? fmt::format("{:.0f} s", seconds) : fmt::format("{:.0f} min", seconds / 60);
}

}  // namespace

PairedGate gate_of(const AbRecord& record) {
  GateRule rule = interleaved_rule();
  rule.threshold = record.threshold_percent / 100;
  // The permitted chance of a false alarm is divided among the cells that can fail the gate.
  const auto n_deciding = static_cast<std::size_t>(
      std::ranges::count_if(record.stints, [&](const AbStint& stint) { return record.decides(stint.variant); }));
  const std::size_t n_cells = n_deciding * record.scenarios.size() * kMetricsPerCell;
  return {rule, PairPlan{record.looks}, std::max<std::int64_t>(1, static_cast<std::int64_t>(n_cells))};
}

bool is_time_up(const AbRecord& record, std::span<const ProcessLine> lines) {
  if (!(record.max_time_s > 0)) return false;
  double spent_s = record.prepared_s;
  for (const ProcessLine& line : lines) spent_s += line.wall_s;
  double next_s = 0;
  for (const AbStint& stint : record.stints) next_s = std::max(next_s, pair_seconds(lines, stint.id()));
  return spent_s + next_s > record.max_time_s;
}

PairedGate gate_of(const AbRecord& record, std::span<const ProcessLine> lines, const AbStint& stint) {
  const std::int64_t n_pairs = n_whole_pairs(lines, stint.id());
  if (n_pairs == 0 || !is_time_up(record, lines)) return gate_of(record);
  AbRecord ended = record;
  std::erase_if(ended.looks, [&](std::int64_t look) { return look >= n_pairs; });
  ended.looks.push_back(n_pairs);
  return gate_of(n_pairs < record.looks.back() ? ended : record);
}

bool is_measured(const AbRecord& record, std::span<const ProcessLine> lines) {
  const PairedGate gate = gate_of(record);
  return std::ranges::none_of(
      record.stints, [&](const AbStint& stint) { return needs_pair(record, gate, lines, stint, /*stop_early=*/true); });
}

std::vector<std::string> forecast(const AbRecord& record, const std::vector<ProcessLine>& lines) {
  const PairedGate gate = gate_of(record);
  double all_stints_s = 0;
  for (const AbStint& stint : record.stints) all_stints_s += pair_seconds(lines, stint.id());
  std::int64_t max_pairs = gate.plan().max_pairs();
  if (record.max_time_s > 0 && all_stints_s > 0) {
    const auto in_time = static_cast<std::int64_t>((record.max_time_s - record.prepared_s) / all_stints_s);
    max_pairs = std::clamp<std::int64_t>(in_time, 1, max_pairs);
  }
  std::vector<std::string> text;
  for (const AbStint& stint : record.stints) {
    for (const PairSeries& series : series_of(lines, stint.id())) {
      const auto sigma = robust_sigma(series.differences());
      if (!sigma || static_cast<std::int64_t>(series.base_s.size()) < kPilotPairs) continue;
      const std::int64_t to_pass = std::min(pairs_to_pass(*sigma, gate), max_pairs);
      text.push_back(fmt::format(
          "{} {}: one process varies by {:.1f} %; {} pairs can show a slowdown of {:.0f} % and take {} (all "
          "cells together); if nothing has slowed down, the comparison ends after about {}",
          series.cell.id(), series.metric, 100 * *sigma / std::numbers::sqrt2, max_pairs,
          to_percent(detectable_change(*sigma, max_pairs, gate)),
          minutes(all_stints_s * static_cast<double>(max_pairs)),
          minutes(all_stints_s * static_cast<double>(
                                     *std::lower_bound(gate.plan().looks.begin(), gate.plan().looks.end(), to_pass)))));
    }
  }
  return text;
}

Result<void> run_pairs(AbDirectory& directory, const AbSessionOptions& options, Progress& progress,
                       const InterruptFlag& interrupt) {
  return Session(directory, options, progress, interrupt).run();
}

}  // namespace secondsource

#include "selftest_checks.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "background_load.h"
#include "core/child_process.h"
#include "core/clock.h"
#include "core/folder.h"
#include "core/interrupt.h"
#include "measure/check_alarms.h"
#include "record/record_json.h"
#include "report/text_table.h"
#include "stats/proportion.h"

namespace secondsource {
namespace {

/// Of the measurements that are right, at most this share may be INVALID.
constexpr double kMostInvalid = 0.01;

struct ChecksOptions {
  std::vector<std::string> runs;
  bool real = false;
  std::string bundle, backend = "cpu", variant = "bf16", out, load = "none";
  /// The second one is long enough for "warm_up", which judges from a second and 100 steps on.
  std::string scenarios = "single-stream@64/96,single-stream+requests=12@64/1000,offline:4@64/96,server:20@64/16";
  int n_repetitions = 70;
};

LoadKind load_kind(const std::string& name) {
  return name == "busy" ? LoadKind::kBusy : name == "bursts" ? LoadKind::kBursts : LoadKind::kNone;
}

/// Runs `secondsource run` beside the load until it ends; a folder that has a run already is continued.
Result<void> measure(const ChecksOptions& options, const CommandContext& context) {
  if (options.bundle.empty() || options.out.empty()) {
    return Error{ErrorCode::kInvalidInput, "selftest checks --real: expected --bundle and --out"};
  }
  ChildCommand command;
  command.program = context.program;
  if (path_exists(std::filesystem::path(options.out) / "run.json")) {
    command.arguments = {"run", "--resume", options.out};
  } else {
    command.arguments = {
        "run", options.bundle, "--backend", options.backend, "--variant", options.variant, "--scenario",
        options.scenarios, "--repetitions", fmt::to_string(options.n_repetitions),
        // Without its own budget, single-stream would end most repetitions after one request: too early for "warm_up".
        "--cell-budget", "60min", "--out", options.out};
  }
  const BackgroundLoad load(load_kind(options.load));
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  const PausedWithUs paused_with_us(context.interrupt, process.group());
  std::optional<ChildExit> exit;
  bool is_open = true;
  while (!exit) {
    SS_TRY_VOID(context.interrupt.check());
    if (is_open) {
      is_open = process.receive(now_ns() + kInterruptPeriodNs).has_value();
    } else {
      exit = process.wait(now_ns() + kInterruptPeriodNs);
    }
  }
  // A run with INVALID cells ends with status 6; they are what is counted here.
  if (exit->status == 0 || exit->status == static_cast<int>(ExitStatus::kNotComparable)) return {};
  return Error{ErrorCode::kUnavailable,
               fmt::format("selftest checks: {}: the run ended with {}", options.out, exit->text())};
}

std::string share_text(std::int64_t n, std::int64_t of) {
  if (of == 0) return "-";
  return fmt::format("{} of {} (< {:.2g} %)", n, of, 100 * proportion_bounds(n, of).high);
}

TextTable alarm_table(const CheckAlarms& alarms) {
  TextTable table;
  table.columns = {"check", "suspect", "INVALID", "planted faults found"};
  table.right_aligned = {false, true, true, true};
  for (const auto& [name, count] : alarms.checks) {
    table.rows.push_back({name, share_text(count.n_suspect, count.n_judged),
                          share_text(count.n_invalid, count.n_judged),
                          count.n_planted == 0 ? "-" : fmt::format("{} of {}", count.n_found, count.n_planted)});
  }
  return table;
}

Result<ExitStatus> run_checks(ChecksOptions options, const CommandContext& context) {
  if (options.real) {
    SS_TRY_VOID(measure(options, context));
    options.runs.push_back(options.out);
  }
  if (options.runs.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 "selftest checks: expected run directories, or --real with --bundle and --out"};
  }
  CheckAlarms alarms;
  for (const std::string& folder : options.runs) {
    SS_TRY(const StoredRun run, read_run(folder));
    count_alarms(run.record, run.journal.lines, alarms);
  }
  if (alarms.n_repetitions == 0) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected repetitions with right tokens, found none", options.runs.front())};
  }
  const double invalid = static_cast<double>(alarms.n_invalid) / static_cast<double>(alarms.n_repetitions);
  SS_TRY_VOID(print_text(fmt::format(
      "Alarms of the checks on {} repetitions with right tokens, of those that a check could judge (95 % upper bound).\n\n"
      "{}\nINVALID by at least one check: {}; the aim is at most {:g} %.\n",
      alarms.n_repetitions, render_terminal(alarm_table(alarms)), share_text(alarms.n_invalid, alarms.n_repetitions),
      100 * kMostInvalid)));
  return invalid > kMostInvalid ? ExitStatus::kRegressed : ExitStatus::kOk;
}

}  // namespace

void add_selftest_checks(CommandNode& selftest, CommandAction& action) {
  auto options = std::make_shared<ChecksOptions>();
  CommandNode* checks = selftest.add_subcommand(
      "checks", "The checks of a measurement: false alarms, and whether planted faults are found");
  checks->add_option("run", options->runs, "Run directories whose repetitions are judged");
  Flag* real =
      checks->add_flag("--real", options->real, "Measure on this machine first; a folder that has a run is continued");
  checks->add_option("--bundle", options->bundle, "--real: the bundle")->needs(real);
  checks->add_option("--backend", options->backend, "--real: the backend")->needs(real)->capture_default_str();
  checks->add_option("--variant", options->variant, "--real: the variant")->needs(real)->capture_default_str();
  checks->add_option("--scenario", options->scenarios, "--real: the scenarios")->needs(real)->capture_default_str();
  checks->add_option("--repetitions", options->n_repetitions, "--real: of each scenario")
      ->needs(real)
      ->check(Range(1, 10'000))
      ->capture_default_str();
  checks
      ->add_option("--load", options->load,
                   "--real: beside it, none, bursts (one thread half of the time) or busy (all CPUs)")
      ->needs(real)
      ->check(OneOf({"none", "bursts", "busy"}))
      ->capture_default_str();
  checks->add_option("--out", options->out, "--real: the run's folder")->needs(real);
  checks->footer(
      "Ends with 1 when more than 1 % of the right repetitions are INVALID (docs/checks.md).\n"
      "Example: secondsource selftest checks --real --bundle bundles/default --load bursts --out pool");
  checks->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_checks(*options, context); }; });
}

}  // namespace secondsource

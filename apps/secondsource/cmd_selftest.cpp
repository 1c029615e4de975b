// secondsource selftest gate: estimates how often the gate is right, by simulation and on pairs measured on this
// machine. selftest_checks.h and selftest_client.h have the other subcommands.

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <thread>

#include "ab/ab_plan.h"
#include "ab/ab_session.h"
#include "ab/pair_series.h"
#include "commands.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/folder.h"
#include "modules.h"
#include "report/gate_selftest.h"
#include "selftest_checks.h"
#include "selftest_client.h"

namespace secondsource {
namespace {

struct SelftestOptions {
  SelftestPlan plan;
  bool real = false;
  bool server_starts = false;
  bool anchor = false;
  std::string from;
  bool as_measured = false;
  std::string bundle, timed_bundle, backend = "cpu", variant = "bf16", scenario = "single-stream@128/16", budget = "1s";
  std::string candidate_args;
  std::int64_t n_pairs = 28;
  std::string out;
};

/// Measures pairs of this program with itself, up to the planned maximum. Resumes if the folder has pairs already.
Result<ExitStatus> measure_pairs(const SelftestOptions& options, CommandContext& context) {
  if (options.bundle.empty() || options.out.empty()) {
    return Error{ErrorCode::kInvalidInput, "selftest gate --real: expected --bundle and --out"};
  }
  const std::filesystem::path folder = options.out;
  std::optional<AbDirectory> directory;
  if (path_exists(folder / "ab.json")) {
    SS_TRY(const AbRecord record, AbDirectory::read_record(folder));
    SS_TRY_VOID(check_ab_resumable(record, folder, context.progress, context.interrupt));
    SS_TRY(directory, AbDirectory::resume(folder));
  } else {
    AbRequest request;
    request.base = {.name = Arm::kBase, .program = context.program.string()};
    request.candidate = {.name = Arm::kCandidate, .program = context.program.string()};
    SS_TRY(request.candidate.arguments, split_words("--cand-args", options.candidate_args));
    request.bundle = options.bundle;
    request.timed_bundle = options.timed_bundle;
    request.backends = {options.backend};
    request.variants = {options.variant};
    request.scenarios = {options.scenario};
    request.oracle = kOracle;
    request.plan = plan_up_to(options.n_pairs);
    request.cell_budget = options.budget;
    request.seed = options.plan.seed;
    request.command = context.arguments;
    const auto plan = [&] { return plan_ab(request, folder, context.progress, context.interrupt); };
    SS_TRY(directory, AbDirectory::create(folder, plan));
  }
  SS_TRY_VOID(run_pairs(*directory, {.stop_early = false}, context.progress, context.interrupt));
  SS_TRY_VOID(print_text(
      fmt::format("{}: {}\n", counted(pool_of(directory->lines()).size(), "pair"), (folder / "pairs.jsonl").string())));
  return ExitStatus::kOk;
}

Result<std::string> judge_pool(const SelftestOptions& options) {
  SS_TRY(const std::string text, read_file(options.from));
  SS_TRY(const LinesFile<ProcessLine> pairs, pairs_from_text(text, options.from));
  const PairPool pool = pool_of(pairs.lines);
  if (pool.empty()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected whole pairs, found none", options.from)};
  }
  return pool_report(pool, !options.as_measured, options.plan);
}

/// Computes what was asked for, and whether the gate meets its aims where that is judged.
Result<SelftestResult> judge_gate(const SelftestOptions& options, Progress& progress) {
  SelftestResult result{.text = {}, .meets_aims = true};
  if (!options.from.empty()) {
    SS_TRY(result.text, judge_pool(options));
  } else if (options.server_starts) {
    result.text = simulate_server_starts(options.plan, progress);
  } else if (options.anchor) {
    result.text = simulate_anchor_checks(options.plan, progress);
  } else {
    result = simulate(options.plan, progress);
  }
  return result;
}

Result<ExitStatus> run_selftest(SelftestOptions options, CommandContext& context) {
  if (options.real) return measure_pairs(options, context);
  options.plan.work.interrupt = &context.interrupt;
  SS_TRY(const SelftestResult result, judge_gate(options, context.progress));
  SS_TRY_VOID(context.interrupt.check());  // the result of an interrupted simulation means nothing
  SS_TRY_VOID(print_text(result.text));
  return result.meets_aims ? ExitStatus::kOk : ExitStatus::kRegressed;
}

void add_gate_flags(CommandNode& command, SelftestOptions& options) {
  Flag* trials =
      command.add_option("--trials", options.plan.n_trials, "Gates of one cell for each noise, size and change")
          ->check(Range(std::int64_t{10}, std::int64_t{10'000'000}))
          ->capture_default_str();
  Flag* families =
      command.add_option("--families", options.plan.n_families, "Comparisons of a build with itself, 16 cells each")
          ->check(Range(std::int64_t{10}, std::int64_t{10'000'000}))
          ->capture_default_str();
  Flag* cells = command.add_option("--cells", options.plan.n_cells, "Cells of a comparison")
                    ->check(Range(std::int64_t{1}, std::int64_t{1000}))
                    ->capture_default_str();
  command
      .add_option("--seed", options.plan.seed,
                  "Seed of the simulation, which decides all its results; --real: of the pairs")
      ->capture_default_str();
  Flag* threads = command
                      .add_option("--threads", options.plan.work.n_threads,
                                  "Threads of the simulation; they change nothing in its results")
                      ->check(Range(1, 1024))
                      ->capture_default_str();
  Flag* server_starts =
      command.add_flag("--server-starts", options.server_starts,
                       "Simulate two servers that stay up for several pairs, with a variance from start to start");
  Flag* anchor =
      command.add_flag("--anchor", options.anchor, "Simulate `history check`: the newest nights against pinned ones")
          ->excludes(server_starts);
  Flag* real = command.add_flag("--real", options.real, "Measure pairs of this program with itself on this machine")
                   ->excludes(server_starts)
                   ->excludes(anchor)
                   ->excludes(trials)
                   ->excludes(families)
                   ->excludes(cells)
                   ->excludes(threads);
  command.add_option("--bundle", options.bundle, "--real: the bundle that judges the tokens")->needs(real);
  command.add_option("--timed-bundle", options.timed_bundle, "--real: the bundle to take times on, as for ab")
      ->needs(real);
  command.add_option("--backend", options.backend, "--real: the backend")->needs(real)->capture_default_str();
  command.add_option("--variant", options.variant, "--real: the variant")->needs(real)->capture_default_str();
  command.add_option("--scenario", options.scenario, "--real: the scenario")->needs(real)->capture_default_str();
  command.add_option("--budget", options.budget, "--real: time of the scenario in a process")
      ->needs(real)
      ->capture_default_str();
  command.add_option("--cand-args", options.candidate_args, "--real: flags of `run` for one side: a planted slowdown")
      ->needs(real)
      ->may_be_empty();
  command.add_option("--pairs", options.n_pairs, "--real: how many")
      ->needs(real)
      ->check(Range(std::int64_t{1}, std::int64_t{1000}))
      ->capture_default_str();
  command.add_option("--out", options.out, "--real: folder of the pairs; continued when it has some")->needs(real);
  Flag* from =
      command.add_option("--from", options.from, "Judge the gate on measured pairs: a pairs.jsonl of --real or of ab")
          ->excludes(real)
          ->excludes(server_starts)
          ->excludes(anchor)
          ->excludes(families)
          ->excludes(cells);
  command.add_flag("--as-measured", options.as_measured, "--from: the two sides differ; do not swap them")->needs(from);
}

}  // namespace

CommandNode* add_selftest_command(CommandNode& app, CommandAction& action) {
  CommandNode* selftest = app.add_subcommand("selftest", "Tests of this program's own claims on this machine");
  selftest->require_subcommand();
  auto options = std::make_shared<SelftestOptions>();
  options->plan.work.n_threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CommandNode* gate =
      selftest->add_subcommand("gate", "The gate's operating characteristic: false failures, detection");
  add_gate_flags(*gate, *options);
  gate->footer(
      "Without --real and --from a simulation; it ends with 1 when the gate misses its aims\n"
      "(docs/operating-characteristic.md).\n"
      "On this machine: secondsource selftest gate --real --bundle bundles/default --pairs 300 --out pool\n"
      "Judged by: secondsource selftest gate --from pool/pairs.jsonl\n"
      "Example: secondsource selftest gate --trials 20000 --families 2000");
  gate->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_selftest(*options, context); }; });
  add_selftest_checks(*selftest, action);
  add_selftest_client(*selftest, action);
  selftest->footer("Example: secondsource selftest gate --seed 2");
  return selftest;
}

}  // namespace secondsource

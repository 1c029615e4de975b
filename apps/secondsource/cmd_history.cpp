// secondsource history add|list|export|plot|check|prune|pin: manages runs over time.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "commands.h"
#include "core/calendar.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/utf8.h"
#include "gate/apply_waivers.h"
#include "gate_output.h"
#include "gate_status.h"
#include "history/anchor.h"
#include "output.h"
#include "report/csv.h"
#include "report/history_page.h"
#include "report/openmetrics.h"
#include "report/text_table.h"

namespace secondsource {
namespace {

struct HistoryOptions {
  std::string db;
  std::vector<std::string> runs;
  std::string branch = kDefaultBranch;
  bool any_branch = true;  ///< true if --branch was not given; list and prune then take all branches
  std::optional<std::string> commit;
  std::optional<std::string> label;
  std::int64_t limit = 50;
  bool json = false;
  std::vector<std::string> cells;
  std::string metric = "output_tok_per_s";
  std::string out;
  std::string format = "table";
  std::string export_format = "csv";
  std::string waivers;
  double threshold_percent = 10;
  std::int64_t n_recent = 10;
  std::int64_t keep = 0;
  std::int64_t older_than_days = 0;
  bool dry_run = false;
  bool remove = false;
  bool allow_inconclusive = false;
  bool allow_unverified = false;
  bool gate_opportunistic = false;
};

using Options = std::shared_ptr<HistoryOptions>;

Result<std::filesystem::path> path_of_history(const HistoryOptions& options) {
  if (!options.db.empty()) return std::filesystem::path(options.db);
  return default_history_path();
}

Result<History> open_history(const HistoryOptions& options, DatabaseAccess access) {
  SS_TRY(const std::filesystem::path path, path_of_history(options));
  return History::open(path, access);
}

Result<Output> open_output(const HistoryOptions& options) {
  SS_TRY(const std::filesystem::path history, path_of_history(options));
  return Output::open(options.out, {history});
}

std::optional<std::string> branch_filter(const HistoryOptions& options) {
  return options.any_branch ? std::nullopt : std::optional<std::string>(options.branch);
}

Result<ExitStatus> run_add(const HistoryOptions& options, CommandContext&) {
  // All runs are read first, so that a folder that is no run neither creates a history nor leaves half of them in one.
  std::vector<SummarizedRun> runs;
  for (const std::string& folder : options.runs) {
    SS_TRY(SummarizedRun run, read_summarized_run(folder));
    runs.push_back(std::move(run));
  }
  SS_TRY(History history, open_history(options, DatabaseAccess::kCreate));
  std::size_t n_new = 0;
  std::string moved;
  for (const SummarizedRun& run : runs) {
    SS_TRY(const AddedRun added, history.add(run, {branch_filter(options), options.commit, options.label}));
    n_new += added.is_new ? 1 : 0;
    if (added.pinned && added.branch != added.branch_before) {
      moved += fmt::format("{} is pinned, and moved from branch {} to {}, whose anchor it is part of now\n",
                           run.record.run_id, added.branch_before, added.branch);
    }
  }
  SS_TRY_VOID(
      print_text(fmt::format("{} added, {} brought up to date\n{}", n_new, options.runs.size() - n_new, moved)));
  return ExitStatus::kOk;
}

std::string verdict_of(const HistoryRun& run) {
  if (run.n_wrong > 0) return fmt::format("WRONG in {}", run.n_wrong);
  if (run.n_unverified > 0) return fmt::format("unverified in {}", run.n_unverified);
  return run.n_counted > 0 ? "passed" : "-";
}

/// The verdict on the tokens of all cells, with the number of cells whose variant is outside its limits.
std::string tokens_of(const HistoryRun& run) {
  return verdict_of(run) +
         (run.n_outside_limits > 0 ? fmt::format(", outside limits in {}", run.n_outside_limits) : "");
}

/// Says if no run of --branch is stored, and of which branches there are some: the name may be misspelt, or its first
/// run is still to come.
Result<void> note_branch_without_runs(const HistoryOptions& options, History& history, Progress& progress) {
  if (options.any_branch) return {};
  SS_TRY(const std::vector<HistoryRun> of_branch, history.runs(options.branch, 1));
  if (!of_branch.empty()) return {};
  SS_TRY(const std::vector<HistoryRun> runs, history.runs(std::nullopt, 0));
  std::set<std::string> branches;
  for (const HistoryRun& run : runs) branches.insert(shown(run.branch));
  progress.note(branches.empty() ? "no run is stored in this history"
                                 : fmt::format("no run of branch {} is stored; there are runs of {}",
                                               shown(options.branch), fmt::join(branches, ", ")));
  return {};
}

Result<ExitStatus> run_list(const HistoryOptions& options, CommandContext& context) {
  SS_TRY(History history, open_history(options, DatabaseAccess::kRead));
  SS_TRY_VOID(note_branch_without_runs(options, history, context.progress));
  SS_TRY(const std::vector<HistoryRun> runs, history.runs(branch_filter(options), options.limit));
  if (options.json) {
    SS_TRY_VOID(print(to_json(runs)));
    return ExitStatus::kOk;
  }
  TextTable table;
  table.columns = {"run", "started", "branch", "commit", "machine", "cells", "cells that count", "tokens", "label"};
  table.right_aligned = {false, false, false, false, false, true, true, false, false};
  for (const HistoryRun& run : runs) {
    table.rows.push_back({run.run_id, run.started_utc, run.branch, run.commit.substr(0, 12), run.machine,
                          fmt::to_string(run.n_cells), fmt::to_string(run.n_counted), tokens_of(run),
                          run.label + (run.pinned ? (run.label.empty() ? "pinned" : ", pinned") : "")});
  }
  SS_TRY_VOID(print_text(render_terminal(table)));
  return ExitStatus::kOk;
}

Result<ExitStatus> run_export(const HistoryOptions& options, CommandContext& context) {
  SS_TRY(Output output, open_output(options));
  SS_TRY(History history, open_history(options, DatabaseAccess::kRead));
  SS_TRY_VOID(note_branch_without_runs(options, history, context.progress));
  SS_TRY(const std::vector<HistoryCell> cells, history.cells(branch_filter(options)));
  std::string text;
  if (options.export_format == "openmetrics") {
    std::set<std::string> left_out;
    text = write_openmetrics(cells, left_out);
    for (const std::string& run_id : left_out) {
      context.progress.note(fmt::format(
          "run {} is left out: the time at which it began is none (history prune --run {})", run_id, run_id));
    }
  } else {
    text = options.export_format == "csv" ? write_csv(cells) : to_json_lines(cells);
  }
  SS_TRY_VOID(output.write(text));
  return ExitStatus::kOk;
}

Result<ExitStatus> run_plot(const HistoryOptions& options, CommandContext&) {
  SS_TRY(Output output, open_output(options));
  const HistoryMetric* metric = find_history_metric(options.metric);
  SS_TRY(History history, open_history(options, DatabaseAccess::kRead));
  std::vector<std::string> cells = options.cells;
  if (cells.empty()) {
    SS_TRY(cells, history.newest_cells(options.branch));
    if (cells.empty()) {
      return Error{ErrorCode::kInvalidInput, fmt::format("branch {} has no runs in this history", options.branch)};
    }
  }
  std::string text;
  if (options.out.ends_with(".svg")) {
    if (cells.size() != 1) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: an SVG holds one cell, found {}: name one with --cell, or write .html", options.out,
                               cells.size())};
    }
    SS_TRY(const CellHistory cell, history.cell(options.branch, cells.front(), *metric));
    text = standalone_svg(trend_chart_of(cell, *metric));
  } else {
    SS_TRY(text, history_page(history, options.branch, cells, *metric));
  }
  SS_TRY_VOID(output.write(text));
  return ExitStatus::kOk;
}

Result<ExitStatus> run_check(const HistoryOptions& options, CommandContext&) {
  std::vector<Waiver> waivers;
  if (!options.waivers.empty()) {
    SS_TRY(waivers, read_waivers(options.waivers));
  }
  SS_TRY(History history, open_history(options, DatabaseAccess::kRead));
  AnchorOptions anchor{.branch = options.branch, .n_recent = options.n_recent};
  anchor.rule.threshold = options.threshold_percent / 100;
  anchor.judge_opportunistic = options.gate_opportunistic;
  anchor.allow_unverified = options.allow_unverified;
  SS_TRY(GateReport report, compare_with_pinned(history, anchor));
  apply_waivers(waivers, utc_timestamp().substr(0, 10), report);
  SS_TRY_VOID(print(render_gate(report, options.format)));
  return most_serious(statuses_of(report, options.allow_inconclusive));
}

Result<ExitStatus> run_prune(const HistoryOptions& options, CommandContext&) {
  if (options.keep == 0 && options.older_than_days == 0 && options.runs.empty()) {
    return Error{ErrorCode::kInvalidInput, "history prune: expected --keep, --older-than or --run, found none"};
  }
  PruneRule rule{.branch = branch_filter(options), .run_ids = options.runs};
  if (options.keep > 0) rule.keep_newest = options.keep;
  if (options.older_than_days > 0) {
    rule.not_before = add_days(utc_timestamp().substr(0, 10), -options.older_than_days) + "T00:00:00Z";
  }
  SS_TRY(History history, open_history(options, DatabaseAccess::kWrite));
  SS_TRY(const std::vector<std::string> removed, history.prune(rule, options.dry_run));
  std::string text;
  for (const std::string& run_id : removed) text += run_id + "\n";
  text += fmt::format("{} {}\n", counted(removed.size(), "run"), options.dry_run ? "would be removed" : "removed");
  SS_TRY_VOID(print_text(text));
  return ExitStatus::kOk;
}

Result<ExitStatus> run_pin(const HistoryOptions& options, CommandContext&) {
  SS_TRY(History history, open_history(options, DatabaseAccess::kWrite));
  SS_TRY(const std::vector<HistoryRun> runs, history.pin(options.runs, !options.remove));
  std::string text;
  for (const HistoryRun& run : runs) {
    text += fmt::format("{} of {}, branch {}: {}\n", run.run_id, run.started_utc, run.branch,
                        run.pinned ? "pinned" : "not pinned any more");
  }
  SS_TRY_VOID(print_text(text));
  return ExitStatus::kOk;
}

/// Adds a subcommand of `history` with the options that all of them share.
CommandNode* add_subcommand(CommandNode* history, const Options& options, CommandAction& action, const char* name,
                            const char* description,
                            Result<ExitStatus> (*work)(const HistoryOptions&, CommandContext&)) {
  CommandNode* command = history->add_subcommand(name, description);
  command->add_option("--db", options->db, "File of the history (default: history.db in the user's data folder)");
  command->callback([options, work, &action] {
    action = [options, work](CommandContext& context) { return work(*options, context); };
  });
  return command;
}

void add_branch(CommandNode* command, const Options& options, const char* description) {
  command->add_option(
      "--branch",
      [options](const std::string& branch) {
        options->branch = branch;
        options->any_branch = false;
      },
      description);
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const HistoryMetric& metric : history_metrics()) names.emplace_back(metric.name);
  return names;
}

}  // namespace

CommandNode* add_history_command(CommandNode& app, CommandAction& action) {
  CommandNode* history = app.add_subcommand("history", "Runs over time: changes of level, a pinned anchor");
  history->require_subcommand();
  history->footer(
      "The file is $XDG_DATA_HOME/secondsource/history.db unless --db names another.\n"
      "Example: secondsource history add runs/nightly --branch main");
  const auto options = std::make_shared<HistoryOptions>();

  CommandNode* add =
      add_subcommand(history, options, action, "add", "Add runs, or bring those that are there up to date", run_add);
  add->add_option("runs", options->runs, "Run directories")->required();
  add_branch(add, options, "Branch that the runs measured (default: main, or the branch of a known run)");
  add->add_option(
      "--commit", [options](const std::string& commit) { options->commit = commit; },
      "Commit that was measured (default: the one the program that ran was built from, or that of a known run)");
  add->add_option(
         "--label", [options](const std::string& label) { options->label = label; },
         "Label for these runs, as \"v1.4\" (default: none, or that of a known run)")
      ->may_be_empty();
  add->footer("Example: secondsource history add runs/nightly --branch main --commit \"$GITHUB_SHA\"");

  CommandNode* list = add_subcommand(history, options, action, "list", "Runs, newest first", run_list);
  add_branch(list, options, "Only of this branch");
  list->add_option("--limit", options->limit, "Number of runs to list at most; 0 for all")
      ->check(NotNegative())
      ->capture_default_str();
  list->add_flag("--json", options->json, "As JSON (reports/schemas/history.schema.json)");
  list->footer("Example: secondsource history list --branch main --limit 10");

  CommandNode* export_command =
      add_subcommand(history, options, action, "export", "Every cell of every run, for other programs", run_export);
  add_branch(export_command, options, "Only of this branch");
  export_command
      ->add_option("--format", options->export_format,
                   "csv for spreadsheets, jsonl for notebooks, openmetrics for Prometheus")
      ->check(OneOf({"csv", "jsonl", "openmetrics"}))
      ->capture_default_str();
  export_command->add_option("--out", options->out, "File to write instead of stdout");
  export_command->footer("Example: secondsource history export --format csv --out history.csv");

  CommandNode* plot =
      add_subcommand(history, options, action, "plot", "A page, or an SVG, with changes of level", run_plot);
  add_branch(plot, options, "Which branch (default: main)");
  plot->add_option("--cell", options->cells, "BUNDLE/BACKEND/VARIANT/SCENARIO (default: all of the newest run)");
  plot->add_option("--metric", options->metric, fmt::format("{}", fmt::join(metric_names(), ", ")))
      ->check(OneOf(metric_names()))
      ->capture_default_str();
  plot->add_option("--out", options->out, "File to write instead of stdout; .svg for one cell, else a page");
  plot->footer("Example: secondsource history plot --metric ttft_p50 --out trend.html");

  CommandNode* check =
      add_subcommand(history, options, action, "check", "The newest runs against the pinned anchor", run_check);
  add_branch(check, options, "Which branch (default: main)");
  check->add_option("--recent", options->n_recent, "Newest runs to take")
      ->check(Range(5, 100000))
      ->capture_default_str();
  check->add_option("--threshold", options->threshold_percent, "Percent by which a metric may have grown")
      ->check(Range(0.1, 1000.0))
      ->capture_default_str();
  check->add_option("--waivers", options->waivers, "YAML file with accepted regressions");
  check->add_option("--format", options->format, "table, markdown, json or junit")
      ->check(OneOf({"table", "markdown", "json", "junit"}))
      ->capture_default_str();
  check->add_flag("--allow-unverified", options->allow_unverified, "Also judge bundles without expected outputs");
  check->add_flag("--gate-opportunistic", options->gate_opportunistic, kGateOpportunisticHelp);
  check->add_flag("--allow-inconclusive", options->allow_inconclusive, "Inconclusive ends with status 0");
  check->footer(
      "Finds ten losses of 3 % that would each pass alone. Ends as `gate` does: 0; 1: regressed; 3: wrong tokens in one "
      "of the newest runs; 4: a cell failed in the newest run; 5: inconclusive; 6: INVALID, absent or not comparable.\n"
      "Example: secondsource history check --branch main");

  CommandNode* prune =
      add_subcommand(history, options, action, "prune", "Remove old runs; pinned ones stay", run_prune);
  add_branch(prune, options, "Only of this branch");
  prune->add_option("--keep", options->keep, "Number of newest runs of each branch to keep")->check(Positive());
  prune->add_option("--older-than", options->older_than_days, "Days")->check(Range(1, 36500));
  prune->add_option("--run", options->runs, "Id of a single run to remove; a beginning is enough");
  prune->add_flag("--dry-run", options->dry_run, "Print what would be removed, and remove nothing");
  prune->footer("Example: secondsource history prune --keep 400 --older-than 365");

  CommandNode* pin = add_subcommand(history, options, action, "pin", "Make runs the anchor of their branch", run_pin);
  pin->add_option("runs", options->runs, "Ids of runs, as `list` shows them; a beginning is enough")->required();
  pin->add_flag("--remove", options->remove, "Remove the pin: these runs are no longer part of the anchor");
  pin->footer("Example: secondsource history pin 3f9c01d2 5a77e9b0");
  return history;
}

}  // namespace secondsource

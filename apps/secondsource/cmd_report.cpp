// secondsource report RUN...: renders one or more stored runs as a table, Markdown, HTML, CSV, JSON, JUnit or OpenMetrics.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "commands.h"
#include "core/file.h"
#include "core/utf8.h"
#include "gate_output.h"
#include "output.h"
#include "report/annotations.h"
#include "report/clock_tables.h"
#include "report/csv.h"
#include "report/detail_tables.h"
#include "report/disturbances.h"
#include "report/history_page.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/markdown.h"
#include "report/notes.h"
#include "report/openmetrics.h"
#include "report/portability_table.h"
#include "report/swap_tables.h"
#include "report/tables.h"
#include "summary/portability.h"

namespace secondsource {
namespace {

struct ReportOptions {
  std::vector<std::string> given;  ///< the names of the flags on the command line
  std::vector<std::string> runs;
  std::string gate;
  std::string history;
  std::string branch = "main";
  std::vector<std::string> conformance;
  std::string format = "table";
  std::string out;
  bool portability = false;
};

std::string render_table(const PortabilityMatrix& matrix) {
  return render_terminal(portability_table(matrix)) + "\n" + terminal_lines(matrix.notes);
}

std::string render_table(const std::vector<SummarizedRun>& runs, const PortabilityMatrix& matrix) {
  std::string text;
  if (const std::string sentence = cannot_tell_sentence(runs); !sentence.empty())
    text = terminal_lines({&sentence, 1}) + "\n";
  for (const SummarizedRun& run : runs) text += terminal_lines(run_header(run));
  text += "\n" + render_terminal(results_table(runs));
  for (const TextTable& table : {bound_table(runs), load_table(runs), client_table(runs), turn_table(runs),
                                 swap_table(runs), swap_models_table(runs), ttft_parts_table(runs),
                                 machine_table(runs, SensorChoice::kMain), golden_table(runs)}) {
    if (!table.rows.empty()) text += "\n" + render_terminal(table);
  }
  if (!matrix.rows.empty()) text += "\n" + render_table(matrix);
  const auto notes = result_notes(runs);
  const auto bounds = bound_lines(runs);
  if (!notes.empty() || !bounds.empty()) text += "\n";
  return text + terminal_lines(swap_lines(runs)) + terminal_lines(bounds) + terminal_lines(notes) + "\n" +
         terminal_lines(what_was_seen(runs));
}

std::string render_json(const std::vector<SummarizedRun>& runs) {
  std::string text = "[\n";
  for (const SummarizedRun& run : runs) {
    text += fmt::format("{}{{\"run\": {}, \"summary\": {}, \"figures_from\": \"{}\"}}", text.size() > 2 ? ",\n" : "",
                        to_json(run.record), to_json(run.summary), source_of_figures(run));
  }
  return text + "\n]\n";
}

/// What a page shows of a history.
struct Trends {
  std::vector<Chart> charts;        ///< throughput and TTFT over time of every cell that is in the history
  std::vector<std::string> absent;  ///< a line for each cell that is not
};

Result<Trends> trends_of(const std::vector<SummarizedRun>& runs, const ReportOptions& options) {
  Trends trends;
  if (options.history.empty()) return trends;
  SS_TRY(History history, History::open(options.history, DatabaseAccess::kRead));
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      SS_TRY(const bool is_there, history.has_cell(options.branch, cell.key.id()));
      if (!is_there) {
        trends.absent.push_back(fmt::format("{}: not in branch {} of the history", cell.key.id(), options.branch));
        continue;
      }
      for (const char* name : {"output_tok_per_s", "ttft_p50"}) {
        const HistoryMetric& metric = *find_history_metric(name);
        SS_TRY(const CellHistory known, history.cell(options.branch, cell.key.id(), metric));
        trends.charts.push_back(trend_chart_of(known, metric));
      }
    }
  }
  return trends;
}

std::string render(const std::vector<SummarizedRun>& runs, const HtmlExtras& extras, const std::string& format) {
  const GateReport* gate = extras.gate;
  if (format == "markdown") return write_markdown(runs, gate, extras.portability);
  if (format == "annotations") return write_annotations(*gate);
  if (format == "html") return write_html(runs, extras);
  if (format == "csv") return write_csv(runs);
  if (format == "openmetrics") return write_openmetrics(runs);
  if (format == "junit") return write_junit(runs, gate);
  if (format == "json") return render_json(runs);
  std::string text;
  if (gate != nullptr) text = render_gate(*gate, "table") + (runs.empty() ? "" : "\n");
  return runs.empty() ? text : text + render_table(runs, *extras.portability);
}

/// Renders the portability matrix alone.
Result<std::string> render_portability(const PortabilityMatrix& matrix, const std::string& format) {
  if (matrix.rows.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 "report: expected a run with traced operations (run --trace FILE) for --portability, found none"};
  }
  if (format == "markdown") return write_markdown(matrix);
  if (format == "html") return write_html(matrix);
  if (format == "json") return to_json(matrix);
  if (format == "table") return render_table(matrix);
  return Error{ErrorCode::kInvalidInput,
               fmt::format("report: expected --portability as table, markdown, html or json, found {}", format)};
}

/// Refuses --history and --branch where nothing of them is shown.
Result<void> check_is_used(const ReportOptions& options) {
  const auto is_given = [&](const char* flag) { return std::ranges::find(options.given, flag) != options.given.end(); };
  if (is_given("--branch") && !is_given("--history")) {
    return Error{ErrorCode::kInvalidInput, "--branch: expected --history beside it, found none"};
  }
  if (!is_given("--history")) return {};
  if (options.format != "html") {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--history: expected --format html, which alone has charts, found {}", options.format)};
  }
  if (options.portability) {
    return Error{ErrorCode::kInvalidInput,
                 "--history: expected no --portability beside it, since the matrix is shown alone"};
  }
  if (options.runs.empty()) {
    return Error{ErrorCode::kInvalidInput, "--history: expected run directories, whose cells it shows, found none"};
  }
  return {};
}

/// Refuses a run that is named twice, whatever the names: each of its rows would count as two.
Result<void> check_runs_differ(const std::vector<std::string>& runs) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      std::error_code ignored;  // the reader says what is missing
      if (!std::filesystem::equivalent(runs[i], runs[j], ignored)) continue;
      return Error{ErrorCode::kInvalidInput,
                   runs[i] == runs[j]
                       ? fmt::format("report: expected each run once, found {} twice", in_quotes(runs[i]))
                       : fmt::format("report: expected each run once, found {} and {}, which are one",
                                     in_quotes(runs[j]), in_quotes(runs[i]))};
    }
  }
  return {};
}

Result<ExitStatus> run_report(const ReportOptions& options) {
  InputPaths inputs(options.runs.begin(), options.runs.end());
  inputs.insert(inputs.end(), options.conformance.begin(), options.conformance.end());
  inputs.insert(inputs.end(), {options.gate, options.history});
  SS_TRY(Output output, Output::open(options.out, inputs));
  SS_TRY_VOID(check_is_used(options));
  SS_TRY_VOID(check_runs_differ(options.runs));
  const bool is_of_cells = options.format == "csv" || options.format == "json" || options.format == "openmetrics";
  if (!options.gate.empty() && is_of_cells) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("report: expected --gate as table, markdown, html, junit or annotations, found {}; it is JSON "
                    "already, and csv, json and openmetrics have the figures of runs alone",
                    options.format)};
  }
  if (!options.gate.empty() && options.portability) {
    return Error{ErrorCode::kInvalidInput,
                 "report: expected --gate or --portability, which shows the matrix alone, found "
                 "both"};
  }
  if (options.runs.empty() && options.gate.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("report: expected run directories{}, found none", is_of_cells ? "" : " or --gate")};
  }
  if (options.gate.empty() && options.format == "annotations") {
    return Error{ErrorCode::kInvalidInput, "report: expected --gate for annotations, found none"};
  }
  std::vector<SummarizedRun> runs;
  for (const std::string& folder : options.runs) {
    SS_TRY(SummarizedRun run, read_summarized_run(folder));
    runs.push_back(std::move(run));
  }
  std::optional<GateReport> gate;
  if (!options.gate.empty()) {
    SS_TRY(const std::string json, read_file(options.gate));
    SS_TRY(gate, gate_report_from_json(json, options.gate));
  }
  SS_TRY(const Trends trends, trends_of(runs, options));
  std::vector<ConformanceRecord> conformance;
  for (const std::string& path : options.conformance) {
    SS_TRY(const std::string json, read_file(path));
    SS_TRY(ConformanceRecord record, conformance_record_from_json(json, path));
    conformance.push_back(std::move(record));
  }
  const PortabilityMatrix matrix = portability_matrix(runs, conformance);
  std::string text;
  if (options.portability) {
    SS_TRY(text, render_portability(matrix, options.format));
  } else {
    text = render(runs,
                  {.gate = gate ? &*gate : nullptr,
                   .history = trends.charts,
                   .history_absent = trends.absent,
                   .portability = &matrix},
                  options.format);
  }
  SS_TRY_VOID(output.write(text));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_report_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<ReportOptions>();
  CommandNode* command =
      app.add_subcommand("report", "Stored runs as a table, Markdown, HTML, CSV, JSON, JUnit or OpenMetrics");
  command->add_option("runs", options->runs, "Run directories");
  command->add_option("--gate", options->gate,
                      "A gate's verdict (gate.json, --format json of gate, ab and history check)");
  command->add_option("--history", options->history,
                      "A history whose trends of these cells go into the page (--format html)");
  command->add_option("--branch", options->branch, "Its branch")->capture_default_str();
  command
      ->add_option("--format", options->format,
                   "table, markdown, html, csv, json, junit or openmetrics; of a gate also annotations, for GitHub")
      ->check(OneOf({"table", "markdown", "html", "csv", "json", "junit", "openmetrics", "annotations"}))
      ->capture_default_str();
  command->add_flag("--portability", options->portability,
                    "Only how well each operation runs on each backend, of runs that were traced (run --trace)");
  command->add_option(
      "--conformance", options->conformance,
      "What `conformance --json FILE`, a program that is built from the sources, found about a backend; "
      "once for each");
  command->add_option("--out", options->out, "File to write instead of stdout");
  command->footer(
      "A page needs no network and no script, and prints on A4.\n"
      "Example: secondsource report runs/today --format html --out today.html\n"
      "Example: secondsource report --gate runs/ab/gate.json --format junit --out junit.xml\n"
      "Example: secondsource report runs/today --format openmetrics --out today.prom");
  command->callback([options, command, &action] {
    options->given = command->given();
    action = [options](CommandContext&) { return run_report(*options); };
  });
  return command;
}

}  // namespace secondsource

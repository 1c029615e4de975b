// secondsource report RUN...: one or many stored runs as a table, Markdown, HTML, CSV, JSON or JUnit.

#include <fmt/format.h>

#include "commands.h"
#include "core/file.h"
#include "report/csv.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/markdown.h"
#include "report/tables.h"

namespace secondsource {
namespace {

struct ReportOptions {
  std::vector<std::string> runs;
  std::string format = "table";
  std::string out;
};

std::string render_table(const std::vector<SummarizedRun>& runs) {
  std::string text;
  for (const SummarizedRun& run : runs) {
    for (const std::string& line : run_header(run)) text += line + "\n";
  }
  text += "\n" + render_terminal(results_table(runs));
  const TextTable golden = golden_table(runs);
  if (!golden.rows.empty()) text += "\n" + render_terminal(golden);
  const auto notes = result_notes(runs);
  if (!notes.empty()) text += "\n";
  for (const std::string& note : notes) text += note + "\n";
  return text;
}

std::string render(const std::vector<SummarizedRun>& runs, const std::string& format) {
  if (format == "markdown") return write_markdown(runs, nullptr);
  if (format == "html") return write_html(runs, {});
  if (format == "csv") return write_csv(runs);
  if (format == "junit") return write_junit(runs, nullptr);
  if (format == "json") {
    std::string text = "[\n";
    for (const SummarizedRun& run : runs) {
      text += fmt::format("{}{{\"run\": {}, \"summary\": {}}}", text.size() > 2 ? ",\n" : "", to_json(run.record),
                          to_json(run.summary));
    }
    return text + "\n]\n";
  }
  return render_table(runs);
}

Result<ExitStatus> run_report(const ReportOptions& options) {
  std::vector<SummarizedRun> runs;
  for (const std::string& folder : options.runs) {
    SS_TRY(SummarizedRun run, read_summarized_run(folder));
    runs.push_back(std::move(run));
  }
  const std::string text = render(runs, options.format);
  if (options.out.empty()) {
    SS_TRY_VOID(print(text));
  } else {
    SS_TRY_VOID(write_file(options.out, text));
  }
  return ExitStatus::kOk;
}

}  // namespace

void add_report_command(CLI::App& app, CommandAction& action) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report", "Stored runs as a table, Markdown, HTML, CSV, JSON or JUnit");
  command->add_option("runs", options->runs, "Run directories")->required();
  command->add_option("--format", options->format, "table, markdown, html, csv, json or junit")
      ->check(CLI::IsMember({"table", "markdown", "html", "csv", "json", "junit"}))
      ->capture_default_str();
  command->add_option("--out", options->out, "File to write instead of stdout");
  command->footer("Example: secondsource report runs/today --format html --out today.html");
  command->callback([options, &action] { action = [options](CommandContext&) { return run_report(*options); }; });
}

}  // namespace secondsource

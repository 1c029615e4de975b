// Tests every output format with every hostile text in every field of its records. unit/brief and unit/history test a brief and a
// history with the same texts.

#include "core/utf8.h"
#include "gate/gate_record.h"
#include "record/record_json.h"
#include "report/annotations.h"
#include "report/csv.h"
#include "report/detail_tables.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/loss_table.h"
#include "report/markdown.h"
#include "report/notes.h"
#include "report/openmetrics.h"
#include "report/portability_table.h"
#include "report/sarif.h"
#include "report/tables.h"
#include "summary/portability_record.h"
#include "support/hostile_output.h"
#include "support/result.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

SummarizedRun hostile_run(const std::string& text) {
  RunRecord record = hand_made_record(5);
  RunSummary summary = summarize(record, hand_made_journal(5, 16));
  summary.cells[0].notes.emplace_back("a note");
  summary.cells[0].telemetry = {{"device_power_w", 40.0, ""}, {"device_clock_hz", std::nullopt, "a reason"}};
  summary.golden[0].reasons.emplace_back("a reason");
  record.bundles[0].variants = {{"bf16", Tier::kBlessed, ""}};
  record.bundles[0].verified = false;
  fill_texts(record, text);
  fill_texts(summary, text);
  return {std::move(record), std::move(summary)};
}

GateReport gate_of(const std::string& text) {
  GateReport gate;
  for (const Decision decision : {Decision::kRegressed, Decision::kPass, Decision::kInconclusive}) {
    gate.verdicts.push_back({.cell = cell_key("cpu"), .metric = "cost", .decision = decision, .why = "why"});
  }
  gate.verdicts.front().base_s = 1;
  gate.wrong_tokens = gate.failed = gate.not_comparable = gate.waiver_errors = gate.without_effect = {"a cell"};
  gate.losses.push_back({.cell = cell_key("cpu"), .metric = "cost", .source = "kernel.cpp", .share = 0.5});
  fill_texts(gate, text);
  return gate;
}

PortabilityMatrix matrix_of(const std::string& text) {
  PortabilityMatrix matrix;
  matrix.platforms = {{.backend = "cpu", .device = "a device", .module_sha256 = {}, .is_oracle = false},
                      {.backend = "cpu", .device = "another", .module_sha256 = {}, .is_oracle = true}};
  PortabilityRow row{.operation = "matmul", .type = "int8", .shape_class = "decode", .parts = {}};
  row.parts.resize(2);
  row.outside_limits = "in a bundle";
  matrix.rows = {row};
  matrix.notes = {"a note"};
  fill_texts(matrix, text);
  return matrix;
}

}  // namespace

TEST_CASE("no text of a record reaches a reader's terminal, browser or editor as a command") {
  const std::string text = GENERATE(from_range(hostile_texts()));
  CAPTURE(shown(text, 60));
  const SummarizedRun run = hostile_run(text);
  const GateReport gate = gate_of(text);
  const std::span<const SummarizedRun> runs(&run, 1);

  const PortabilityMatrix matrix = matrix_of(text);

  const std::string terminal =
      terminal_lines(run_header(run)) + render_terminal(results_table(runs)) + render_terminal(golden_table(runs)) +
      terminal_lines(result_notes(runs)) + render_terminal(gate_table(gate)) + render_terminal(loss_table(gate)) +
      terminal_lines(gate_notes(gate)) + render_terminal(portability_table(matrix)) + terminal_lines(matrix.notes);
  check_terminal(terminal);
  check_page(write_html(runs, {.gate = &gate, .portability = &matrix}));
  const std::string markdown = write_markdown(runs, &gate, &matrix);
  check_markdown(markdown);
  const std::string metrics = write_openmetrics(runs);
  check_openmetrics(metrics);

  const std::string junit = write_junit(runs, &gate);
  CHECK(acting_sequence(junit) == std::nullopt);
  CHECK(junit.find("<script") == std::string::npos);

  check_json_output(write_sarif(gate), "");
  check_json_output(to_json(gate), text);
  check_json_output(to_json(run.record), text);
  check_json_output(to_json(run.summary), text);
  check_json_output(to_json(matrix), text);

  // A name of 100 KB is shortened, so the size of a report does not grow with every place that shows the name.
  CHECK(terminal.size() + markdown.size() + junit.size() + metrics.size() < 200'000);
}

// The grammar is that of "Workflow commands for GitHub Actions": ::level name=value,name=value::message, one to a line.
TEST_CASE("no text of a gate ends an annotation, adds a property to it or begins another") {
  const std::string text = GENERATE(from_range(hostile_texts()));
  CAPTURE(shown(text, 60));
  const std::string annotations = write_annotations(gate_of(text));
  CHECK(acting_sequence(annotations) == std::nullopt);
  // One line for a waived verdict, one for an inconclusive one, and one for an entry of each of five lists.
  const std::vector<std::string_view> lines = lines_of(annotations);
  CHECK(lines.size() == 7);
  for (std::string_view line : lines) {
    CAPTURE(line);
    const std::size_t begin = line.find(' ');
    REQUIRE(begin != std::string_view::npos);
    const std::string_view level = line.substr(0, begin);
    CHECK((level == "::error" || level == "::warning" || level == "::notice"));
    std::string_view properties = line.substr(begin + 1, line.find("::", begin) - begin - 1);
    while (!properties.empty()) {
      const std::string_view property = properties.substr(0, properties.find(','));
      properties.remove_prefix(std::min(property.size() + 1, properties.size()));
      CHECK((property.starts_with("title=") || property.starts_with("file=") || property.starts_with("line=")));
      CHECK(property.find(':') == std::string_view::npos);
    }
  }
  CHECK(annotations.size() < 20'000);
}

TEST_CASE("a spreadsheet takes no text of a CSV report for a formula, and the figures stay numbers") {
  const std::string text = GENERATE(from_range(hostile_texts()));
  CAPTURE(shown(text, 60));
  SummarizedRun run = hostile_run(text);
  run.summary.cells[0].output_tok_per_s.low = -2.5;
  const std::string csv = write_csv({&run, 1});
  check_csv(csv, 3, "-2.5");
  CHECK(count_of(csv, ",-2.5,") == 1);
}

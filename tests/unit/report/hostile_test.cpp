// Every output format with every hostile text in every field of its records.
#include <nlohmann/json.hpp>

#include "core/csv.h"
#include "core/json.h"
#include "core/utf8.h"
#include "gate/gate_record.h"
#include "record/record_json.h"
#include "report/csv.h"
#include "report/detail_tables.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/loss_table.h"
#include "report/markdown.h"
#include "report/sarif.h"
#include "report/tables.h"
#include "support/hostile_texts.h"
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

/// Checks JSON: nothing acts, and its reader sees the text itself, apart from bytes that are not UTF-8.
void check_json_output(const std::string& json, const std::string& text) {
  CHECK(acting_sequence(json) == std::nullopt);
  const auto tree = parse_json(json, "output");
  REQUIRE_OK(tree);
  if (!find_invalid_utf8(text) && !text.empty()) {
    bool found = false;
    const nlohmann::json flat = tree->flatten();
    for (const auto& [path, value] : flat.items()) {
      found = found || (value.is_string() && value.get_ref<const std::string&>() == text);
    }
    CHECK(found);
  }
}

}  // namespace

TEST_CASE("no text of a record reaches a reader's terminal, browser or editor as a command") {
  const std::string text = GENERATE(from_range(hostile_texts()));
  CAPTURE(shown(text, 60));
  const SummarizedRun run = hostile_run(text);
  const GateReport gate = gate_of(text);
  const std::span<const SummarizedRun> runs(&run, 1);

  const std::string terminal = terminal_lines(run_header(run)) + render_terminal(results_table(runs)) +
                               render_terminal(golden_table(runs)) + terminal_lines(result_notes(runs)) +
                               render_terminal(gate_table(gate)) + render_terminal(loss_table(gate)) +
                               terminal_lines(gate_notes(gate));
  CHECK(acting_sequence(terminal) == std::nullopt);
  CHECK(terminal.find("\nsecondsource: all") == std::string::npos);

  const std::string page = write_html(runs, {.gate = &gate});
  CHECK(acting_sequence(page) == std::nullopt);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("<img") == std::string::npos);

  const std::string markdown = write_markdown(runs, &gate);
  CHECK(acting_sequence(markdown) == std::nullopt);
  for (const char* part : {"<script", "<img", "[link]", "**bold", "://", "www.e", "@e", "@t", "\nsecondsource: all"}) {
    CAPTURE(part);
    CHECK(markdown.find(part) == std::string::npos);
  }

  const std::string junit = write_junit(runs, &gate);
  CHECK(acting_sequence(junit) == std::nullopt);
  CHECK(junit.find("<script") == std::string::npos);

  check_json_output(write_sarif(gate), "");
  check_json_output(to_json(gate), text);
  check_json_output(to_json(run.record), text);
  check_json_output(to_json(run.summary), text);

  // A name of 100 KB is cut, so that a report of it is not larger by its square.
  CHECK(terminal.size() + markdown.size() + junit.size() < 200'000);
}

TEST_CASE("a spreadsheet takes no text of a CSV report for a formula, and the figures stay numbers") {
  const std::string text = GENERATE(from_range(hostile_texts()));
  CAPTURE(shown(text, 60));
  SummarizedRun run = hostile_run(text);
  run.summary.cells[0].output_tok_per_s.low = -2.5;
  std::string csv = write_csv({&run, 1});
  const auto rows = parse_csv(csv, "report.csv");
  REQUIRE_OK(rows);
  REQUIRE(rows->size() == 3);
  std::size_t n_negative = 0;
  for (const std::vector<std::string>& fields : {rows->at(1).fields, rows->at(2).fields}) {
    CHECK(fields.size() == rows->front().fields.size());
    for (const std::string& field : fields) {
      n_negative += field == "-2.5" ? 1 : 0;
      if (field.empty() || field == "-2.5") continue;
      CHECK(std::string_view("=+-@\t\r").find(field.front()) == std::string_view::npos);
    }
  }
  CHECK(n_negative == 1);
  std::erase(csv, '\r');
  CHECK(acting_sequence(csv) == std::nullopt);
}

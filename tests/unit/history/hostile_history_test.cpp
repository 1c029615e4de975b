// Tests the outputs of a history in which every text of every run is hostile.
#include "report/csv.h"
#include "report/history_page.h"
#include "report/openmetrics.h"
#include "run_on.h"
#include "support/hostile_output.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("no text of a run leaves a history as a command, in an export, a list, a page or a drawing") {
  const std::string text = GENERATE(from_range(hostile_texts()));
  CAPTURE(shown(text, 60));
  const ScratchFolder scratch;
  auto history = History::open(scratch.path() / "history.db", DatabaseAccess::kCreate);
  REQUIRE_OK(history);
  const HistoryMetric& metric = history_metrics()[0];
  SummarizedRun run = run_on(1);
  const std::string started_utc = run.record.started_utc;
  run.summary.cells[0].outside_limits = "a limit";
  fill_texts(run.record, text);
  fill_texts(run.summary, text);
  run.record.started_utc = started_utc;    // the OpenMetrics export leaves out an invalid time
  run.record.backends[0].options.clear();  // options may name a planted fault, which hides the figures
  REQUIRE_OK(history->add(run, {.branch = text, .commit = text, .label = text}));

  const auto cells = history->cells(std::nullopt);
  REQUIRE_OK(cells);
  REQUIRE(cells->size() == 1);
  check_csv(write_csv(*cells), 2);
  std::set<std::string> left_out;
  const std::string metrics = write_openmetrics(*cells, left_out);
  CHECK(left_out.empty());
  check_openmetrics(metrics);
  const std::string lines = to_json_lines(*cells);
  CHECK(lines_of(lines).size() == 1);
  check_json_output(lines, text);
  const auto runs = history->runs(std::nullopt, 0);
  REQUIRE_OK(runs);
  check_json_output(to_json(*runs), text);

  const std::string id = run.summary.cells[0].key.id();
  const auto page = history_page(*history, text, {id}, metric);
  REQUIRE_OK(page);
  check_page(*page);
  const auto cell = history->cell(text, id, metric);
  REQUIRE_OK(cell);
  REQUIRE(cell->points.size() == 1);
  check_page(standalone_svg(trend_chart_of(*cell, metric)));
  CHECK(page->size() + metrics.size() < 100'000);
}

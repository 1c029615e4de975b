// Tests `secondsource report` on a real run in every format. tests/unit/report tests the details of each writer.

#include <algorithm>
#include <sstream>

#include "core/file.h"
#include "expectations.h"
#include "support/bundles.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

std::string report(const std::string& run, const std::string& format) {
  const ProgramRun made = run_program({"report", run, "--format", format});
  CAPTURE(format, made.err);
  CHECK(made.status == 0);
  CHECK(made.err.empty());
  return made.out;
}

std::int64_t count(std::string_view text, std::string_view part) {
  std::int64_t n = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("report shows one run with a verdict and a failure in every format") {
  const ScratchFolder scratch;
  const std::string run = (scratch.path() / "run").string();
  const ProgramRun measured = run_program({"run", kTinyBundle, "--backend", "cpu,reference", "--variant", "bf16",
                                           "--scenario", "single-stream@/4", "--repetitions", "2", "--price", "1.20",
                                           "--fault", "cpu=crash:3", "--out", run});
  CAPTURE(measured.err);
  REQUIRE(measured.status == 4);

  const std::string table = report(run, "table");
  CHECK(contains(table, "tiny-gqa8-hd64  reference  bf16     single-stream  passed"));
  CHECK(contains(table, "crash: the worker ended with signal 11"));
  CHECK(contains(table, "cpu: a fault was planted on purpose: crash:3"));

  const std::string markdown = report(run, "markdown");
  CHECK(contains(markdown, "| tiny-gqa8-hd64 | reference | bf16 | single-stream | passed"));  // or "passed, suspect"
  CHECK(contains(markdown, "crash: the worker ended"));

  const std::string html = report(run, "html");
  CHECK(html.starts_with("<!doctype html>"));
  CHECK(contains(html, "</html>"));
  CHECK(contains(html, "single-stream"));
  // The page is self-contained and loads nothing.
  for (const char* outside : {"src=\"http", "href=\"http", "@import", "<script src"}) {
    CAPTURE(outside);
    CHECK_FALSE(contains(html, outside));
  }

  std::istringstream csv(report(run, "csv"));
  std::string header;
  std::getline(csv, header);
  int n_rows = 0;
  for (std::string row; std::getline(csv, row); ++n_rows) {
    CAPTURE(row);
    CHECK(row.find("tiny-gqa8-hd64,") != std::string::npos);
  }
  CHECK(contains(header, "output_tok_per_s"));
  CHECK(n_rows == 2);

  const auto json = nlohmann::json::parse(report(run, "json"));
  REQUIRE(json.size() == 1);
  CHECK(json[0]["run"]["price"]["usd_per_hour"] == 1.2);
  CHECK(json[0]["summary"]["cells"].size() == 2);
  CHECK(json[0]["summary"]["failures"][0]["kind"] == "crash");

  const std::string junit = report(run, "junit");
  CHECK(junit.starts_with("<?xml"));
  CHECK(count(junit, "<testcase ") == 2);
  CHECK(contains(junit, "tests=\"2\""));
  CHECK(contains(junit, "single-stream"));
}

TEST_CASE("report puts several runs into one table") {
  const ScratchFolder scratch;
  std::vector<std::string> arguments = {"report"};
  for (const char* variant : {"bf16", "int8"}) {
    arguments.push_back((scratch.path() / variant).string());
    REQUIRE(run_program({"run", kTinyBundle, "--backend", "reference", "--variant", variant, "--scenario",
                         "single-stream@/2", "--repetitions", "1", "--out", arguments.back()})
                .status == 0);
  }
  const ProgramRun both = run_program(arguments);
  CHECK(both.status == 0);
  CHECK(contains(both.out, "reference  bf16     single-stream  passed"));
  CHECK(contains(both.out, "reference  int8     single-stream  passed"));
}

TEST_CASE("report refuses a run that is named twice, and a history that is not shown") {
  const ScratchFolder scratch;
  const std::string run = source_path("reports/samples/runs/cpu");
  const std::string link = (scratch.path() / "link").string();
  std::filesystem::create_directory_symlink(run, link);
  check_refused(run_program({"report", run, run}), "expected each run once, found");
  check_refused(run_program({"report", run, link}), "which are one");
  const std::string history = (scratch.path() / "history.db").string();
  REQUIRE(run_program({"history", "add", run, "--db", history}).status == 0);
  for (const char* format : {"table", "markdown", "csv", "json", "junit", "openmetrics"}) {
    check_refused(run_program({"report", run, "--history", history, "--format", format}), "expected --format html");
  }
  check_refused(run_program({"report", run, "--branch", "main"}), "--branch: expected --history beside it");
  check_refused(run_program({"report", run, "--history", history, "--format", "html", "--portability"}),
                "expected no --portability");
  CHECK(run_program({"report", run, "--history", history, "--branch", "main", "--format", "html"}).status == 0);
}

TEST_CASE("report: a run without samples is shown from its summary, and marked") {
  const ScratchFolder scratch;
  const auto archived = scratch.path() / "archived";
  std::filesystem::create_directories(archived);
  for (const char* name : {"run.json", "summary.json"}) {
    std::filesystem::copy_file(source_path(std::string("reports/samples/runs/cpu/") + name), archived / name);
  }
  for (const char* format : {"table", "markdown", "html", "csv", "junit"}) {
    CAPTURE(format);
    const std::string text = report(archived.string(), format);
    CHECK(contains(text, "summary.json"));
    CHECK_FALSE(contains(text, "not run, missing"));
  }
  // The summary of another run is refused. The checksum is removed, because it would be refused first.
  std::string summary = *read_file(archived / "summary.json");
  const auto checksum = summary.rfind(",\n  \"checksum\"");
  if (checksum != std::string::npos) summary.replace(checksum, std::string::npos, "\n}\n");
  const auto id = summary.find("\"run_id\": \"") + 11;
  summary.replace(id, 4, "zzzz");
  REQUIRE_OK(write_file(archived / "summary.json", summary));
  const ProgramRun refused = run_program({"report", archived.string()});
  CHECK(refused.status == 2);
  CHECK(contains(refused.err, "run_id: expected"));
}

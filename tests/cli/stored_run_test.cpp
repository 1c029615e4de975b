// Tests `gate`, `report` and `waiver check` on hand-made stored runs (tests/unit/summary/sample_run.h).

#include <variant>

#include "core/file.h"
#include "expectations.h"
#include "record/record_json.h"
#include "summary/summarize.h"
#include "support/date.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/text_parts.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

using JournalChange = void (*)(Journal&);

void as_it_is(Journal&) {}

/// The lines of a run whose cell has this variant.
void of_int8(Journal& journal) {
  CellKey key = cell_key("cpu");
  key.variant = "int8";
  for (JournalLine& line : journal.lines) {
    if (auto* golden = std::get_if<GoldenRecord>(&line)) golden->variant = key.variant;
    if (auto* sample = std::get_if<RequestSample>(&line)) sample->cell = key.id();
    if (auto* repetition = std::get_if<Repetition>(&line)) repetition->cell = key.id();
  }
}

void with_wrong_tokens(Journal& journal) {
  for (JournalLine& line : journal.lines) {
    if (auto* golden = std::get_if<GoldenRecord>(&line)) golden->verdict = GoldenVerdict::kFailed;
  }
}

void with_a_crash(Journal& journal) {
  std::erase_if(journal.lines, [](const JournalLine& line) { return !std::holds_alternative<GoldenRecord>(line); });
  journal.lines.emplace_back(
      FailureRecord{.backend = "cpu", .cell = "", .kind = FailureKind::kCrash, .message = "signal 11"});
}

/// Writes a run directory with one backend that is `slowdown` times slower than the base, and healthy unless `change`
/// says otherwise.
std::string stored_run(const ScratchFolder& scratch, const std::string& name, double slowdown,
                       const std::vector<VariantRecord>& variants = {}, JournalChange change = as_it_is) {
  const std::filesystem::path folder = scratch.path() / name;
  std::filesystem::create_directories(folder);
  RunRecord record = hand_made_record(5);
  record.run_id = name;
  record.bundles.front().variants = variants;
  record.backends.pop_back();
  record.cells.pop_back();
  Journal journal = hand_made_journal(5, 8, slowdown);
  journal.lines.pop_back();
  change(journal);
  std::string lines;
  for (const JournalLine& line : journal.lines) lines += to_json_line(line) + "\n";
  REQUIRE_OK(write_file(folder / "run.json", to_json(record)));
  REQUIRE_OK(write_file(folder / "samples.jsonl", lines));
  return folder.string();
}

std::string waiver_file(const ScratchFolder& scratch, const std::string& expires) {
  const auto path = scratch.path() / ("waivers-" + expires + ".yaml");
  REQUIRE_OK(
      write_file(path,
                 "waivers:\n  - id: W-1\n    scope: {backend: cpu}\n    ceiling_percent: 60\n    owner: o@example.com\n"
                 "    reason: r\n    link: l\n    expires: " +
                     expires + "\n"));
  return path.string();
}

}  // namespace

TEST_CASE(
    "gate ends 0 on the same, 1 on 50 % slower with the cell and metric named, 5 on what two sittings cannot tell") {
  const ScratchFolder scratch;
  const std::string base = stored_run(scratch, "base", 1.0);
  const auto [slowdown, status, word] =
      GENERATE(table<double, int, const char*>({{1.0, 0, "pass"}, {1.5, 1, "REGRESSED"}, {1.12, 5, "inconclusive"}}));
  CAPTURE(slowdown);
  const ProgramRun run = run_program({"gate", base, stored_run(scratch, "candidate", slowdown)});
  CAPTURE(run.out, run.err);
  CHECK(run.status == status);
  CHECK(contains(run.out, word));
  CHECK(contains(run.out, "tiny/cpu/bf16/single-stream"));
  CHECK(contains(run.out, "cost"));
  CHECK(contains(run.out, "ttft"));
}

TEST_CASE("a waiver turns the failure into a pass that says so, an expired one does not") {
  const ScratchFolder scratch;
  const std::string base = stored_run(scratch, "base", 1.0);
  const std::string slow = stored_run(scratch, "slow", 1.5);
  const ProgramRun waived = run_program({"gate", base, slow, "--waivers", waiver_file(scratch, days_from_today(300))});
  CHECK(waived.status == 0);
  CHECK(contains(waived.out, "waived by W-1"));
  const ProgramRun expired = run_program({"gate", base, slow, "--waivers", waiver_file(scratch, "2020-01-01")});
  CHECK(expired.status == 1);
  CHECK(contains(expired.out, "expired on 2020-01-01"));
  CHECK(run_program({"waiver", "check", waiver_file(scratch, days_from_today(300))}).status == 0);
  CHECK(run_program({"waiver", "check", waiver_file(scratch, "2020-01-01")}).status == 2);
}

TEST_CASE("an invalid waiver is bad input, and hides no result") {
  const ScratchFolder scratch;
  const std::string base = stored_run(scratch, "base", 1.0);
  const std::string expired = waiver_file(scratch, "2020-01-01");
  const auto status_of = [&](const std::string& candidate, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"gate", base, candidate, "--waivers", expired};
    words.insert(words.end(), more.begin(), more.end());
    const ProgramRun run = run_program(words);
    CAPTURE(run.out, run.err);
    CHECK(contains(run.out, "waiver W-1: expired on 2020-01-01"));
    return run.status;
  };
  CHECK(status_of(stored_run(scratch, "same", 1.0)) == 2);
  CHECK(status_of(stored_run(scratch, "unclear", 1.12)) == 2);
  CHECK(status_of(stored_run(scratch, "unclear", 1.12), {"--allow-inconclusive"}) == 2);
  CHECK(status_of(stored_run(scratch, "slow", 1.5)) == 1);
  CHECK(status_of(stored_run(scratch, "wrong", 1.0, {}, with_wrong_tokens)) == 3);
  CHECK(status_of(stored_run(scratch, "crashed", 1.0, {}, with_a_crash)) == 4);
  const std::string other = stored_run(scratch, "other", 1.0);
  auto record = run_record_from_json(*read_file(std::filesystem::path(other) / "run.json"), "run.json");
  REQUIRE_OK(record);
  record->host.front().value = "Other CPU";
  REQUIRE_OK(write_file(std::filesystem::path(other) / "run.json", to_json(*record)));
  CHECK(status_of(other) == 6);
}

TEST_CASE("gate: a base that did not measure a cell hides nothing of the candidate") {
  const ScratchFolder scratch;
  const std::string base = stored_run(scratch, "base", 1.0, {}, with_a_crash);
  const std::string wrong = stored_run(scratch, "wrong", 1.0, {}, with_wrong_tokens);
  const std::string right = stored_run(scratch, "right", 1.0);
  CHECK(run_program({"gate", base, wrong}).status == 3);
  CHECK(run_program({"gate", base, base}).status == 4);
  CHECK(run_program({"gate", right, base}).status == 4);
  const std::string reason = "the base did not measure it: crash: signal 11";
  for (const char* format : {"table", "json", "junit", "markdown"}) {
    const ProgramRun run = run_program({"gate", base, right, "--format", format});
    CAPTURE(format, run.out, run.err);
    CHECK(run.status == 6);
    CHECK(contains(run.out, reason));
  }
  CHECK(contains(run_program({"gate", base, right, "--format", "junit"}).out, "<error type=\"not-comparable\""));
}

TEST_CASE("report: a verdict is not left out silently in a format of runs alone") {
  const ScratchFolder scratch;
  const std::string base = stored_run(scratch, "base", 1.0);
  const std::filesystem::path verdict = scratch.path() / "gate.json";
  REQUIRE_OK(write_file(verdict, run_program({"gate", base, base, "--format", "json"}).out));
  for (const char* format : {"csv", "json", "openmetrics"}) {
    for (const bool has_run : {false, true}) {
      std::vector<std::string> words = {"report", "--gate", verdict.string(), "--format", format};
      if (has_run) words.insert(words.begin() + 1, base);
      const ProgramRun run = run_program(words);
      CAPTURE(format, run.err);
      CHECK(run.status == 2);
      CHECK(contains(run.err,
                     std::string("expected --gate as table, markdown, html, junit or annotations, found ") + format));
    }
  }
  const ProgramRun both = run_program({"report", base, "--gate", verdict.string(), "--portability"});
  CHECK(both.status == 2);
  CHECK(contains(both.err, "expected --gate or --portability"));
}

TEST_CASE("inconclusive can be allowed, and a run without the cell is not comparable") {
  const ScratchFolder scratch;
  const std::string base = stored_run(scratch, "base", 1.0);
  CHECK(run_program({"gate", base, stored_run(scratch, "a", 1.12), "--allow-inconclusive"}).status == 0);
  const std::filesystem::path other = stored_run(scratch, "b", 1.0, {}, of_int8);
  auto record = run_record_from_json(*read_file(other / "run.json"), "run.json");
  REQUIRE_OK(record);
  record->cells[0].key.variant = "int8";
  REQUIRE_OK(write_file(other / "run.json", to_json(*record)));
  const ProgramRun run = run_program({"gate", base, other.string()});
  CHECK(run.status == 6);
  CHECK(contains(run.out, "the candidate has no such cell"));
  CHECK(contains(run.out, "not judged: tiny/cpu/int8/single-stream: the base has no such cell"));
}

TEST_CASE("report writes every format, to stdout or a file") {
  const ScratchFolder scratch;
  const std::string run_folder = stored_run(scratch, "one", 1.0);
  const auto [format, part] = GENERATE(table<const char*, const char*>({{"table", "output tok/s"},
                                                                        {"markdown", "| bundle | backend |"},
                                                                        {"html", "<!doctype html>"},
                                                                        {"csv", "usd_per_1k_output"},
                                                                        {"json", "\"summary\""},
                                                                        {"junit", "<testsuites"}}));
  const ProgramRun to_stdout = run_program({"report", run_folder, "--format", format});
  CAPTURE(format, to_stdout.err);
  CHECK(to_stdout.status == 0);
  CHECK(contains(to_stdout.out, part));
  CHECK(to_stdout.err.empty());
  const std::string file = (scratch.path() / "report").string();
  CHECK(run_program({"report", run_folder, "--format", format, "--out", file}).status == 0);
  CHECK(*read_file(file) == to_stdout.out);
}

TEST_CASE("a run whose samples are gone, or whose file of them is empty, is shown by its summary and marked") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = stored_run(scratch, "run", 1.0);
  const std::string journal = *read_file(folder / "samples.jsonl");
  const auto report = [&] { return run_program({"report", folder.string(), "--format", "csv"}).out; };
  const std::string figures = report();
  CHECK(contains(figures, "samples.jsonl"));
  const auto record = run_record_from_json(*read_file(folder / "run.json"), "run.json");
  REQUIRE_OK(record);
  const auto lines = journal_from_text(journal, "samples.jsonl");
  REQUIRE_OK(lines);
  REQUIRE_OK(write_record(folder / "summary.json", summarize(*record, *lines)));
  CHECK(report() == figures);  // the figures are derived from the samples as long as these exist
  const auto check_marked = [&] {
    std::string marked = report();
    for (std::size_t at = 0; (at = marked.find("summary.json")) != std::string::npos;) {
      marked.replace(at, std::string_view("summary.json").size(), "samples.jsonl");
    }
    CHECK(marked == figures);
    const ProgramRun table = run_program({"report", folder.string()});
    CHECK(contains(table.out,
                   "its figures are those of summary.json and were not derived again, because "
                   "samples.jsonl is missing"));
  };
  REQUIRE_OK(write_file(folder / "samples.jsonl", ""));
  check_marked();
  std::filesystem::remove(folder / "samples.jsonl");
  check_marked();
}

TEST_CASE("what is no run directory, a record of another version or a journal with a bad line is refused in one line") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = stored_run(scratch, "run", 1.0);
  const auto refused = [&](const char* part) {
    const ProgramRun run = run_program({"report", folder.string()});
    CAPTURE(run.err);
    CHECK(run.status == 2);
    CHECK(is_one_line(run.err));
    CHECK(contains(run.err, part));
  };
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"report"}, {"verify"}, {"run", "--resume"}}) {
    std::vector<std::string> arguments = words;
    arguments.push_back((folder / "run.json").string());
    check_refused(
        run_program(arguments),
        "run.json: expected a run directory, found a file: name the folder of a run (" + folder.string() + ")");
  }
  const std::string journal = *read_file(folder / "samples.jsonl");
  REQUIRE_OK(write_file(folder / "samples.jsonl", "{}\n" + journal));
  refused("samples.jsonl:1: type");
  REQUIRE_OK(write_file(folder / "run.json", "{\"schema_version\": 2}"));
  refused("schema_version: expected 1, found 2");
  std::filesystem::remove(folder / "run.json");
  refused("run.json");
}

TEST_CASE("a full disk under stdout is an I/O failure, not silence") {
  const ScratchFolder scratch;
  const ProgramRun run = run_program({"report", stored_run(scratch, "run", 1.0)},
                                     {.input = {}, .environment = {}, .out_path = "/dev/full"});
  CHECK(run.status == 70);
  CHECK(is_one_line(run.err));
}

TEST_CASE("gate: a variant outside its limits fails nothing unless it is asked to, and every report says what it is") {
  const ScratchFolder scratch;
  const std::vector<VariantRecord> outside = {{"bf16", Tier::kOpportunistic, "mean KL 0.07, at most 0.05 allowed"}};
  const std::string base = stored_run(scratch, "base", 1.0, outside);
  const std::string slow = stored_run(scratch, "slow", 1.5, outside);
  const ProgramRun run = run_program({"gate", base, slow});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  CHECK(contains(run.out, "regressed, opportunistic"));
  CHECK(contains(run.out, "nothing here can fail"));
  CHECK(run_program({"gate", base, slow, "--gate-opportunistic"}).status == 1);
  for (const char* format : {"table", "markdown", "html", "csv", "json", "junit"}) {
    CAPTURE(format);
    CHECK(contains(run_program({"report", slow, "--format", format}).out, "mean KL 0.07, at most 0.05 allowed"));
  }
  const auto metric_of = [](const std::string& text) {
    const std::size_t at = std::min(text.find("\nsecondsource_cell_outside_limits{"), text.size());
    return text.substr(at, text.find('\n', at + 1) - at);
  };
  const std::string labels = R"(variant="bf16",scenario="single-stream",tier="opportunistic"} 1)";
  CHECK(metric_of(run_program({"report", slow, "--format", "openmetrics"}).out).ends_with(labels));

  const std::string db = (scratch.path() / "history.db").string();
  REQUIRE(run_program({"history", "add", slow, "--db", db}).status == 0);
  CHECK(contains(run_program({"history", "list", "--db", db}).out, "passed, outside limits in 1"));
  CHECK(contains(run_program({"history", "list", "--json", "--db", db}).out, "\"n_outside_limits\": 1"));
  CHECK(contains(run_program({"history", "plot", "--db", db}).out, "outside the limits of its quality (mean KL 0.07"));
  for (const char* format : {"csv", "jsonl"}) {
    CAPTURE(format);
    CHECK(contains(run_program({"history", "export", "--format", format, "--db", db}).out,
                   "mean KL 0.07, at most 0.05 allowed"));
  }
  CHECK(
      contains(metric_of(run_program({"history", "export", "--format", "openmetrics", "--db", db}).out), labels + " "));
}

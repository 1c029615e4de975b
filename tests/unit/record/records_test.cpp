#include <set>

#include "core/file.h"
#include "support/older_json.h"
#include "support/result.h"
#include "support/source_path.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("a run record, a summary and every kind of journal line survive the way to JSON and back") {
  const RunRecord record = hand_made_record(5);
  const auto read = run_record_from_json(to_json(record), "run.json");
  REQUIRE_OK(read);
  CHECK(to_json(*read) == to_json(record));
  CHECK_FALSE(read->host.at(1).value);
  CHECK(read->host.at(1).why_not == "not available: no cpufreq");

  const Journal journal = hand_made_journal(2, 3);
  std::string text;
  for (const JournalLine& line : journal.lines) text += to_json_line(line) + "\n";
  const auto journal_read = journal_from_text(text, "samples.jsonl");
  REQUIRE_OK(journal_read);
  REQUIRE(journal_read->lines.size() == journal.lines.size());
  for (std::size_t i = 0; i < journal.lines.size(); ++i) {
    CHECK(to_json_line(journal_read->lines[i]) == to_json_line(journal.lines[i]));
  }
  CHECK_FALSE(journal_read->torn_tail);

  const RunSummary summary = summarize(record, journal);
  const auto summary_read = run_summary_from_json(to_json(summary), "summary.json");
  REQUIRE_OK(summary_read);
  CHECK(to_json(*summary_read) == to_json(summary));
}

TEST_CASE("records of the first release are read without the fields that came later") {
  RunRecord record = hand_made_record(2);
  record.bundles[0].variants = {{"bf16", Tier::kOpportunistic, "mean KL 0.07, at most 0.05 allowed"}};
  const auto old_record = run_record_from_json(without_members(to_json(record), {"variants"}), "run.json");
  REQUIRE_OK(old_record);
  CHECK(old_record->bundles[0].variants.empty());

  Journal journal = hand_made_journal(2, 3);
  auto& golden = std::get<GoldenRecord>(journal.lines.front());
  golden.n_answers = golden.n_answers_right = golden.n_reference_answers_right = golden.n_streamed = 4;
  const auto old_line =
      journal_line_from_json(without_members(to_json_line(journal.lines.front()), kAddedToGolden), "samples.jsonl:1");
  REQUIRE_OK(old_line);
  CHECK_FALSE(std::get<GoldenRecord>(*old_line).n_answers);
  CHECK_FALSE(std::get<GoldenRecord>(*old_line).n_streamed);

  const std::string summary = without_members(to_json(summarize(record, journal)), added_to_summary());
  const auto old_summary = run_summary_from_json(summary, "summary.json");
  REQUIRE_OK(old_summary);
  CHECK(old_summary->cells[0].tier == Tier::kBlessed);
  CHECK(old_summary->cells[0].outside_limits.empty());
  CHECK_FALSE(old_summary->cells[0].busy_vcpus);
  CHECK(old_summary->cells[0].ttft_e2e_p50_ns.value);
  // Any other field is still required.
  CHECK_ERROR(run_summary_from_json(without_members(summary, {"n_samples"}), "summary.json"), ErrorCode::kInvalidInput,
              "expected the key \"n_samples\", found none");
}

TEST_CASE("a journal cut at any byte loses at most its last line") {
  const Journal journal = hand_made_journal(1, 2);
  std::string text;
  std::vector<std::size_t> ends;
  for (const JournalLine& line : journal.lines) {
    text += to_json_line(line) + "\n";
    ends.push_back(text.size());
  }
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const auto read = journal_from_text(std::string_view(text).substr(0, cut), "samples.jsonl");
    REQUIRE_OK(read);
    const auto whole =
        static_cast<std::size_t>(std::count_if(ends.begin(), ends.end(), [&](auto end) { return end <= cut; }));
    REQUIRE(read->lines.size() == whole);
    REQUIRE(read->valid_bytes() == (whole == 0 ? 0 : ends[whole - 1]));
    REQUIRE(read->torn_tail == (read->valid_bytes() != cut));
  }
}

TEST_CASE("malformed records are refused with one line that names the field") {
  std::string json = to_json(hand_made_record(1));
  const auto replaced = [&](std::string_view from, std::string_view to) {
    std::string changed = json;
    changed.replace(changed.find(from), from.size(), to);
    return changed;
  };
  CHECK_ERROR(run_record_from_json(replaced("\"seed\": 7", "\"seed\": -7"), "run.json"), ErrorCode::kInvalidInput,
              "seed");
  CHECK_ERROR(run_record_from_json(replaced("\"seed\": 7", "\"seed\": \"x\""), "run.json"), ErrorCode::kInvalidInput,
              "seed: expected an integer, found string");
  CHECK_ERROR(run_record_from_json(replaced("\"schema_version\": 1", "\"schema_version\": 9"), "run.json"),
              ErrorCode::kInvalidInput, "schema_version: expected 1, found 9");
  CHECK_ERROR(run_record_from_json(replaced("\"kind\": \"single-stream\"", "\"kind\": \"sideways\""), "run.json"),
              ErrorCode::kInvalidInput, "cells");
  CHECK_ERROR(run_record_from_json("[]", "run.json"), ErrorCode::kInvalidInput, "expected an object");
  CHECK_ERROR(run_record_from_json("{", "run.json"), ErrorCode::kInvalidInput, "run.json");
  CHECK_ERROR(journal_from_text("{\"type\":\"other\"}\n", "samples.jsonl"), ErrorCode::kInvalidInput,
              "samples.jsonl:1");
}

TEST_CASE("the published schemas are those of the records as they are written today") {
  for (const char* kind : {"run", "sample", "summary", "conformance"}) {
    const std::filesystem::path path = test::source_path("reports/schemas/") + kind + ".schema.json";
    const auto published = read_file(path);
    REQUIRE_OK(published);
    CAPTURE(path);
    CHECK(*published == record_schema(kind));
  }
  CHECK(record_schema("other").empty());
}

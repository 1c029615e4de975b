#include "ab/ab_record.h"

#include "ab/ab_verdict.h"
#include "pair_lines.h"
#include "support/older_json.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("a record and its lines come back from JSON as they were") {
  AbRecord record = tiny_record({14, 28});
  record.candidate.arguments = {"--fault", "cpu=slow:15"};
  record.command = {"secondsource", "ab"};
  const auto read = ab_record_from_json(to_json(record), "ab.json");
  REQUIRE_OK(read);
  CHECK(to_json(*read) == to_json(record));
  const ProcessLine line = process_line(3, Arm::kBase, 0.01, 0.2);
  const auto again = process_line_from_json(to_json_line(line), "pairs.jsonl:1");
  REQUIRE_OK(again);
  CHECK(to_json_line(*again) == to_json_line(line));
}

TEST_CASE("a record of the first release is read, and all its variants decide") {
  AbRecord record = tiny_record({14, 28});
  record.opportunistic = {"bf16"};
  record.max_time_s = 600;
  const std::string old =
      without_members(to_json(record), {"opportunistic", "max_time_s", "prepared_s", "sittings", "pairs_per_start",
                                        "compared", "waivers", "allow_inconclusive"});
  const auto read = ab_record_from_json(old, "ab.json");
  REQUIRE_OK(read);
  CHECK(read->decides("bf16"));
  CHECK(read->max_time_s == 0);
}

TEST_CASE("a torn last line is left out, any other bad line is named") {
  const std::string whole = to_json_line(process_line(0, Arm::kBase, 1, 1)) + "\n";
  const auto torn = pairs_from_text(whole + whole.substr(0, 20), "pairs.jsonl");
  REQUIRE_OK(torn);
  CHECK(torn->lines.size() == 1);
  CHECK(torn->valid_bytes() == whole.size());
  CHECK_ERROR(pairs_from_text(whole + "{}\n" + whole, "pairs.jsonl"), ErrorCode::kInvalidInput,
              "pairs.jsonl:2: expected the key \"pair\", found none");
}

TEST_CASE("a comparison is worth a verdict a cell and metric, with its pairs") {
  const AbRecord record = tiny_record({14, 28});
  const GateReport report = report_of(record, pair_lines(14, 0.25), {}, "2026-11-20");
  REQUIRE(report.verdicts.size() == 2);
  CHECK(report.method == GateMethod::kInterleavedPairs);
  CHECK(report.verdicts[0].metric == "cost");
  CHECK(report.verdicts[0].decision == Decision::kRegressed);
  CHECK(*report.verdicts[0].change_percent == Approx(25).margin(1));
  CHECK(*report.verdicts[0].n_pairs == 14);
  CHECK(report.verdicts[1].decision == Decision::kPass);
  CHECK(report.not_comparable.empty());
}

TEST_CASE("pairs that have not reached a look are no verdict, and no pass") {
  const GateReport report = report_of(tiny_record({14, 28}), pair_lines(9, 0.0), {}, "2026-11-20");
  REQUIRE(report.verdicts.size() == 2);
  CHECK(report.count(Decision::kInconclusive) == 2);
  CHECK(report.verdicts[0].why == "only 9 of the 14 pairs that the next look needs");
  const GateReport between = report_of(tiny_record({14, 28}), pair_lines(20, 0.095), {}, "2026-11-20");
  CHECK(between.count(Decision::kRegressed) == 0);
}

TEST_CASE("wrong tokens, a backend that fails, an unverified bundle and nothing in common are never a pass") {
  AbRecord record = tiny_record({14});
  const auto report = [&] { return report_of(record, {}, {}, "2026-11-20"); };
  record.stints.clear();
  record.golden[1].verdict = GoldenVerdict::kFailed;
  CHECK(report().wrong_tokens.size() == 1);
  CHECK(report().not_comparable.empty());
  record.golden[1].verdict = GoldenVerdict::kUnavailable;
  CHECK(report().failed.size() == 1);
  record.golden[1].verdict = GoldenVerdict::kPassed;
  record.golden[0].verdict = GoldenVerdict::kFailed;
  CHECK(report().not_comparable.front().find("the base's tokens are wrong") != std::string::npos);
  record.golden[0].verdict = record.golden[1].verdict = GoldenVerdict::kUnverified;
  CHECK(report().not_comparable.front().find("unverified") != std::string::npos);
  record.golden.clear();
  CHECK(report().not_comparable.front() == "base and candidate have no backend and variant in common");
  record.golden = {{Arm::kBase, "cpu", "bf16", GoldenVerdict::kPassed, ""}};
  CHECK(report().failed.front() == "cpu/bf16: the candidate has no such backend");
}

TEST_CASE("a backend that neither side could use is a failure, and a variant that nobody asked for is not") {
  AbRecord record = tiny_record({14});
  const auto add = [&](Arm arm, const char* backend, GoldenVerdict verdict, const char* reason, bool left_out) {
    record.golden.push_back({.arm = arm,
                             .backend = backend,
                             .variant = "bf16",
                             .verdict = verdict,
                             .reason = reason,
                             .left_out = left_out});
  };
  for (const Arm arm : {Arm::kBase, Arm::kCandidate}) {
    add(arm, "bogus", GoldenVerdict::kUnavailable, "there is no backend of this name", false);
    add(arm, "cuda", GoldenVerdict::kNotRun, "crash: the driver is gone", false);
    add(arm, "onednn", GoldenVerdict::kNotRun, "unsupported: bf16", true);
  }
  // A side that could be judged is not enough: of the base, a backend that is not there was asked for, too.
  add(Arm::kBase, "hip", GoldenVerdict::kUnavailable, "no driver", false);
  add(Arm::kCandidate, "hip", GoldenVerdict::kPassed, "", false);
  add(Arm::kBase, "vulkan", GoldenVerdict::kNotRun, "crash: signal 11", false);
  add(Arm::kCandidate, "vulkan", GoldenVerdict::kPassed, "", false);
  const GateReport report = report_of(record, pair_lines(14, 0), {}, "2026-11-20");
  CHECK(report.count(Decision::kPass) == 2);
  CHECK(report.failed == std::vector<std::string>{"bogus/bf16: there is no backend of this name",
                                                  "cuda/bf16: crash: the driver is gone", "hip/bf16: base: no driver"});
  CHECK(report.not_comparable == std::vector<std::string>{"vulkan/bf16: base: crash: signal 11"});
  CHECK(report.wrong_tokens.empty());
}

TEST_CASE("what is timed is what both sides have and what is right on both") {
  std::vector<AbGolden> golden;
  for (const Arm arm : {Arm::kBase, Arm::kCandidate}) {
    for (const char* backend : {"cpu", "onednn", "gpu"})
      golden.push_back({arm, backend, "bf16", GoldenVerdict::kPassed, ""});
  }
  golden[1].verdict = GoldenVerdict::kUnverified;  // base, onednn
  golden[5].verdict = GoldenVerdict::kFailed;      // candidate, gpu
  CHECK(stints_of(golden, false).size() == 1);
  CHECK(stints_of(golden, false).front().id() == "cpu/bf16");
  CHECK(stints_of(golden, true).size() == 2);
}

TEST_CASE("a stint that was given up is a failure of the side that crashed") {
  std::vector<ProcessLine> lines = pair_lines(3, 0);
  ProcessLine crash = process_line(3, Arm::kCandidate, 1, 1);
  crash.values.clear();
  crash.failure = "exit status 4: cpu/bf16: crash";
  lines.push_back(crash);
  const GateReport candidates = report_of(tiny_record({14}), lines, {}, "2026-11-20");
  CHECK(candidates.failed == std::vector<std::string>{"cpu/bf16: candidate: exit status 4: cpu/bf16: crash"});
  lines.back().arm = Arm::kBase;
  CHECK(report_of(tiny_record({14}), lines, {}, "2026-11-20").not_comparable.size() == 1);
}

TEST_CASE("findings about an opportunistic variant are listed apart, and its regressions do not count") {
  AbRecord record = tiny_record({14});
  record.opportunistic = {"bf16"};
  const GateReport slow = report_of(record, pair_lines(14, 0.25), {}, "2026-11-20");
  CHECK(slow.verdicts[0].decision == Decision::kRegressed);
  CHECK(slow.count(Decision::kRegressed) == 0);
  record.golden[1].verdict = GoldenVerdict::kFailed;
  record.stints.clear();
  const GateReport wrong = report_of(record, {}, {}, "2026-11-20");
  CHECK(wrong.wrong_tokens.empty());
  REQUIRE(wrong.without_effect.size() == 1);
  CHECK(wrong.without_effect[0].starts_with("cpu/bf16: wrong tokens"));
}

TEST_CASE("a comparison that its time ended says so") {
  AbRecord record = tiny_record({14, 28});
  record.max_time_s = 40;
  const GateReport report = report_of(record, pair_lines(8, 0), {}, "2026-11-20");
  CHECK(report.verdicts[0].why.find("the comparison used up its 40 s (--max-time)") != std::string::npos);
}

TEST_CASE("a comparison whose time was used up before its first pair is inconclusive and says so") {
  AbRecord record = tiny_record({14, 28});
  record.max_time_s = 1;
  record.prepared_s = 3;
  const GateReport report = report_of(record, {}, {}, "2026-11-20");
  CHECK(report.not_comparable.empty());
  CHECK(
      report.cannot_decide ==
      "cannot decide here: the 1 s of --max-time were used up before the first pair of cpu/bf16; what goes before the "
      "pairs, with the golden prompts, took 3 s");
  record.opportunistic = {"bf16"};
  const GateReport free = report_of(record, {}, {}, "2026-11-20");
  CHECK(free.cannot_decide.empty());
  CHECK(free.not_comparable.empty());
  CHECK(free.without_effect ==
        std::vector<std::string>{"cpu/bf16: the 1 s of --max-time were used up before its first pair"});
}

TEST_CASE("an interval that so few pairs do not have has no ends") {
  const GateReport report = report_of(tiny_record({4}), pair_lines(4, 0), {}, "2026-11-20");
  REQUIRE(report.verdicts.size() == 2);
  CHECK(report.verdicts[0].change_percent);
  CHECK_FALSE(report.verdicts[0].low_percent);
  CHECK_FALSE(report.verdicts[0].high_percent);
  CHECK(report.verdicts[0].why.find("too few pairs for an interval") != std::string::npos);
  const GateReport enough = report_of(tiny_record({14}), pair_lines(14, 0), {}, "2026-11-20");
  CHECK(enough.verdicts[0].low_percent);
}

TEST_CASE(
    "golden prompts that the time ended are inconclusive, with what was judged; wrong tokens count all the same") {
  AbRecord record = tiny_record({14, 28});
  record.max_time_s = 2;
  record.stints.clear();
  record.golden_cut_short = Arm::kCandidate;
  record.golden.pop_back();
  record.golden.push_back(
      {.arm = Arm::kBase, .backend = "onednn", .variant = "bf16", .verdict = GoldenVerdict::kPassed});
  const GateReport report = report_of(record, {}, {}, "2026-11-20");
  CHECK(report.failed.empty());
  CHECK(report.not_comparable.empty());
  CHECK(report.cannot_decide ==
        "cannot decide here: the 2 s of --max-time were used up before the golden prompts of the candidate ended; "
        "judged until then: base cpu/bf16 passed, base onednn/bf16 passed");
  record.golden.push_back({.arm = Arm::kCandidate,
                           .backend = "cpu",
                           .variant = "bf16",
                           .verdict = GoldenVerdict::kFailed,
                           .reason = "bad"});
  CHECK(report_of(record, {}, {}, "2026-11-20").wrong_tokens == std::vector<std::string>{"cpu/bf16: bad"});
  record.golden = {{.arm = Arm::kBase,
                    .backend = "bogus",
                    .variant = "bf16",
                    .verdict = GoldenVerdict::kUnavailable,
                    .reason = "there is no backend of this name"}};
  record.golden_cut_short = Arm::kBase;
  const GateReport none = report_of(record, {}, {}, "2026-11-20");
  CHECK(none.failed == std::vector<std::string>{"bogus/bf16: base: there is no backend of this name"});
  CHECK(none.cannot_decide.ends_with("judged until then: none"));
}

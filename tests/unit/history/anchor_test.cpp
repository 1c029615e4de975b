#include "history/anchor.h"

#include "core/random.h"
#include "gate/trend.h"
#include "report/history_page.h"
#include "run_on.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/text_parts.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::string kNightlyCell = "tiny/cpu/bf16/single-stream";

/// A history with one night per level, with sittings up to 2 % apart.
History nights(const ScratchFolder& scratch, const std::vector<double>& levels) {
  auto history = History::open(scratch.path() / "history.db", DatabaseAccess::kCreate);
  REQUIRE_OK(history);
  RandomStream random(7);
  for (std::size_t night = 0; night < levels.size(); ++night) {
    const double sitting = 1 + 0.02 * (random.next_unit() - 0.5);
    REQUIRE_OK(history->add(run_on(static_cast<int>(night), levels[night] * sitting), {.branch = "main"}));
  }
  return std::move(history).value();
}

/// Returns the percentage at the only worsening in the drawing.
double drawn_loss(const std::string& body) {
  const std::size_t line = body.find("class=\"mark d1\"");
  REQUIRE(line != std::string::npos);
  constexpr std::string_view kTitle = "<title>";
  return std::stod(body.substr(body.find(kTitle, line) + kTitle.size()));
}

}  // namespace

TEST_CASE("a change of level stands in the drawing, its description and its table, with the right sign") {
  const ScratchFolder scratch;
  std::vector<double> levels(20, 1.0);
  levels.resize(40, 1.25);
  History history = nights(scratch, levels);
  const auto rate = history.cell("main", kNightlyCell, *find_history_metric("output_tok_per_s"));
  REQUIRE_OK(rate);
  const Chart chart = trend_chart_of(*rate, *find_history_metric("output_tok_per_s"));
  // 25 % more time per token is a fifth fewer tokens per second. Twenty sittings within 1 % leave an error of 0.5 %.
  CHECK(drawn_loss(chart.body) == Approx(-20).margin(0.5));
  CHECK(contains(chart.body, "worse"));
  CHECK(contains(chart.description, "from 2023-12-0"));
  const auto noted = [&](std::string_view part) {
    return std::count_if(chart.table.rows.begin(), chart.table.rows.end(),
                         [&](const auto& row) { return contains(row[2], part); });
  };
  CHECK(noted("new level, -") == 1);
  const auto ttft = history.cell("main", kNightlyCell, *find_history_metric("ttft_p50"));
  REQUIRE_OK(ttft);
  CHECK(drawn_loss(trend_chart_of(*ttft, *find_history_metric("ttft_p50")).body) == Approx(25).margin(0.5));
}

TEST_CASE("a quiet series has no change, and a thousand runs are drawn in few points") {
  const ScratchFolder scratch;
  History history = nights(scratch, std::vector<double>(1000, 1.0));
  const auto cell = history.cell("main", kNightlyCell, history_metrics()[0]);
  REQUIRE_OK(cell);
  const Chart chart = trend_chart_of(*cell, history_metrics()[0]);
  CHECK(contains(chart.description, "1000 runs"));
  CHECK(contains(chart.description, "No change of level"));
  CHECK(chart.body.size() < 20'000);
  CHECK(chart.table.rows.size() == 201);
  CHECK(contains(chart.table.rows.back()[0], "800 older runs"));
}

TEST_CASE("ten losses of 3 % pass one by one and not against the anchor") {
  const ScratchFolder scratch;
  std::vector<double> levels;
  for (int step = 0; step <= 10; ++step) levels.insert(levels.end(), 6, std::pow(1.03, step));
  History history = nights(scratch, levels);
  CHECK(contains(compare_with_pinned(history, {.branch = "main"})->not_comparable.at(0), "needs 5 pinned"));
  for (int night = 0; night < 6; ++night) REQUIRE_OK(history.pin({run_on(night).record.run_id}, true));
  const auto report = compare_with_pinned(history, {.branch = "main", .n_recent = 6});
  REQUIRE_OK(report);
  REQUIRE(report->verdicts.size() == 2);
  for (const GateVerdict& verdict : report->verdicts) {
    CHECK(verdict.decision == Decision::kRegressed);
    CHECK(*verdict.change_percent == Approx(34.4).margin(2));
    CHECK(verdict.cell.id() == kNightlyCell);
  }
  CHECK(report->verdicts[0].metric == "cost");
  CHECK(*report->verdicts[0].base_s == Approx(1.0 / 202).epsilon(0.02));  // seconds per token
  CHECK(*report->verdicts[1].base_s == Approx(0.0135).epsilon(0.02));
}

TEST_CASE("nights like the anchor's pass; a branch without runs is not comparable") {
  const ScratchFolder scratch;
  History history = nights(scratch, std::vector<double>(16, 1.0));
  for (int night = 0; night < 6; ++night) REQUIRE_OK(history.pin({run_on(night).record.run_id}, true));
  const auto report = compare_with_pinned(history, {.branch = "main"});
  REQUIRE_OK(report);
  CHECK(report->count(Decision::kPass) == 2);
  CHECK(compare_with_pinned(history, {.branch = "none"})->not_comparable ==
        std::vector<std::string>{"branch none has no runs"});
}

namespace {

/// Eleven nights of one speed, the first five pinned, and then nights that `change` edits.
template <typename Change>
Result<GateReport> check_after(const ScratchFolder& scratch, int n_changed, Change change, AnchorOptions options = {}) {
  History history = nights(scratch, std::vector<double>(11, 1.0));
  for (int night = 0; night < 5; ++night) REQUIRE_OK(history.pin({run_on(night).record.run_id}, true));
  for (int night = 11; night < 11 + n_changed; ++night) {
    SummarizedRun run = run_on(night);
    change(run);
    REQUIRE_OK(history.add(run, {.branch = "main"}));
  }
  options.branch = "main";
  return compare_with_pinned(history, options);
}

void make_wrong(SummarizedRun& run) {
  run.summary.cells[0].golden = GoldenVerdict::kFailed;
}

}  // namespace

TEST_CASE("wrong tokens in any of the newest runs are listed as such, and left out of the figures") {
  const ScratchFolder scratch;
  const auto report = check_after(scratch, 1, make_wrong);
  REQUIRE_OK(report);
  REQUIRE(report->wrong_tokens.size() == 1);
  CHECK(report->wrong_tokens[0] ==
        kNightlyCell + ": in 1 of the 7 newest runs, the last time in 0000000b00000000 of 2023-11-25T22:13:20Z");
  REQUIRE(report->verdicts.size() == 2);
  CHECK(contains(report->verdicts[0].why,
                 "6 of the 7 newest runs (left out: 1 with wrong tokens) against the 5 pinned ones"));
  CHECK(report->failed.empty());
  CHECK(report->not_comparable.empty());

  // A night that is right again does not hide the wrong one before it.
  const ScratchFolder later;
  int n_added = 0;
  const auto after = check_after(later, 2, [&](SummarizedRun& run) {
    if (n_added++ == 0) make_wrong(run);
  });
  REQUIRE_OK(after);
  CHECK(after->wrong_tokens.size() == 1);
}

TEST_CASE("wrong tokens older than the anchor or than the newest runs say nothing about these") {
  const ScratchFolder scratch;
  History history = nights(scratch, {});
  for (int night = 0; night < 20; ++night) {
    SummarizedRun run = run_on(night);
    if (night == 0 || night == 6) make_wrong(run);
    REQUIRE_OK(history.add(run, {.branch = "main"}));
    if (night >= 1 && night <= 5) REQUIRE_OK(history.pin({run.record.run_id}, true));
  }
  const auto report = compare_with_pinned(history, {.branch = "main"});
  REQUIRE_OK(report);
  CHECK(report->wrong_tokens.empty());
  CHECK(report->count(Decision::kPass) == 2);
  CHECK(compare_with_pinned(history, {.branch = "main", .n_recent = 14})->wrong_tokens.size() == 1);
  CHECK(compare_with_pinned(history, {.branch = "main", .n_recent = 1000})->wrong_tokens.size() == 1);
}

TEST_CASE("a newest run that could not measure a cell, or not validly, is never a pass") {
  const auto with_status = [](CellStatus status) {
    const ScratchFolder scratch;
    return check_after(scratch, 3, [&](SummarizedRun& run) { run.summary.cells[0].status = status; });
  };
  const std::string newest_run =
      "the newest run, 0000000d00000000 of 2023-11-27T22:13:20Z; that holds for 3 of the 9 newest runs";
  for (const auto& [status, what] :
       {std::pair(CellStatus::kFailed, "failed in "), std::pair(CellStatus::kMissing, "never ran in "),
        std::pair(CellStatus::kPartial, "has fewer repetitions than planned in ")}) {
    const auto report = with_status(status);
    REQUIRE_OK(report);
    CHECK(report->failed == std::vector<std::string>{kNightlyCell + ": " + what + newest_run});
    CHECK(report->not_comparable.empty());
  }
  const auto invalid = with_status(CellStatus::kInvalid);
  REQUIRE_OK(invalid);
  CHECK(invalid->not_comparable == std::vector<std::string>{kNightlyCell + ": INVALID in " + newest_run});
  REQUIRE(invalid->verdicts.size() == 2);
  CHECK(contains(invalid->verdicts[0].why, "6 of the 9 newest runs (left out: 3 INVALID)"));
  CHECK(contains(invalid->compared.at(1), "left out of the 9 newest runs: 3 INVALID"));

  const ScratchFolder scratch;
  const auto absent = check_after(scratch, 3, [](SummarizedRun& run) { run.summary.cells.clear(); });
  REQUIRE_OK(absent);
  CHECK(absent->not_comparable == std::vector<std::string>{kNightlyCell + ": absent from " + newest_run});
}

namespace {

const std::string kOtherCell = "tiny/cpu/fp8/single-stream";

/// Adds a second cell to a run, which it measured.
CellSummary& add_other_cell(SummarizedRun& run) {
  CellSummary& cell = run.summary.cells.emplace_back(run.summary.cells[0]);
  cell.key.variant = "fp8";
  return cell;
}

void add_declined_cell(SummarizedRun& run, FailureKind kind) {
  CellSummary& cell = add_other_cell(run);
  cell.status = CellStatus::kFailed;
  cell.golden = GoldenVerdict::kNotRun;
  run.summary.failures.push_back({.backend = "cpu", .cell = "tiny/cpu/fp8", .kind = kind, .message = "not this one"});
}

/// Eleven nights of one speed, each of which `change` edits, the first five pinned.
template <typename Change>
Result<GateReport> check_nights(Change change) {
  const ScratchFolder scratch;
  History history = nights(scratch, {});
  for (int night = 0; night < 11; ++night) {
    SummarizedRun run = run_on(night);
    change(night, run);
    REQUIRE_OK(history.add(run, {.branch = "main"}));
    if (night < 5) REQUIRE_OK(history.pin({run.record.run_id}, true));
  }
  return compare_with_pinned(history, {.branch = "main"});
}

}  // namespace

TEST_CASE("a cell that its backend declines, or whose SLO no rate keeps, is named and fails nothing") {
  const std::string in_newest = "declined in the newest run, 0000000a00000000 of 2023-11-24T22:13:20Z; that holds for ";
  for (const FailureKind kind : {FailureKind::kUnsupported, FailureKind::kNoRate}) {
    const auto always = check_nights([&](int, SummarizedRun& run) { add_declined_cell(run, kind); });
    REQUIRE_OK(always);
    CHECK(always->not_judged == std::vector<std::string>{kOtherCell + ": " + in_newest +
                                                         "6 of the 6 newest runs, and no pinned run measured it"});
    CHECK(always->failed.empty());
    CHECK(always->not_comparable.empty());
    CHECK(always->count(Decision::kPass) == 2);
    // What a pinned run measured is lost.
    const auto lately = check_nights([&](int night, SummarizedRun& run) {
      if (night < 9) {
        add_other_cell(run);
      } else {
        add_declined_cell(run, kind);
      }
    });
    REQUIRE_OK(lately);
    CHECK(lately->failed == std::vector<std::string>{kOtherCell + ": " + in_newest + "2 of the 6 newest runs"});
    CHECK(lately->not_judged.empty());
  }
}

TEST_CASE("a cell that no pinned run has is named and fails nothing, unless something is wrong with it") {
  const auto with_new_cell = [](auto change) {
    return check_nights([&](int night, SummarizedRun& run) {
      if (night >= 9) change(add_other_cell(run));
    });
  };
  const auto sound = with_new_cell([](CellSummary&) {});
  REQUIRE_OK(sound);
  CHECK(sound->not_judged == std::vector<std::string>{kOtherCell + ": no pinned run measured it"});
  CHECK(sound->not_comparable.empty());
  CHECK(sound->count(Decision::kPass) == 2);
  const auto wrong = with_new_cell([](CellSummary& cell) { cell.golden = GoldenVerdict::kFailed; });
  REQUIRE_OK(wrong);
  CHECK(wrong->wrong_tokens.size() == 1);
  const auto invalid = with_new_cell([](CellSummary& cell) { cell.status = CellStatus::kInvalid; });
  REQUIRE_OK(invalid);
  CHECK(invalid->not_comparable.size() == 1);
  const auto failed = with_new_cell([](CellSummary& cell) { cell.status = CellStatus::kFailed; });
  REQUIRE_OK(failed);
  CHECK(failed->failed.size() == 1);
  for (const auto* one : {&*wrong, &*invalid, &*failed}) CHECK(one->not_judged.empty());

  const auto nothing_common = check_nights([](int night, SummarizedRun& run) {
    if (night < 5) run.summary.cells.clear();
  });
  REQUIRE_OK(nothing_common);
  CHECK(nothing_common->not_comparable ==
        std::vector<std::string>{"the newest runs have no cell that a pinned run measured"});
}

TEST_CASE("each cell is judged by the metrics of the gate: tpot of a prescribed rate, later turns of a conversation") {
  const auto check_of = [](const char* scenario, auto change) {
    return check_nights([&](int night, SummarizedRun& run) {
      CellSummary& cell = run.summary.cells[0];
      cell.key.scenario = scenario;
      change(night < 5 ? 1.0 : 2.0, cell);
    });
  };
  const auto decisions = [](const Result<GateReport>& report) {
    REQUIRE_OK(report);
    std::vector<std::pair<std::string, Decision>> found;
    for (const GateVerdict& verdict : report->verdicts) found.emplace_back(verdict.metric, verdict.decision);
    return found;
  };
  using Found = std::vector<std::pair<std::string, Decision>>;
  const auto slower_output =
      check_of("server-r4", [](double slowdown, CellSummary& cell) { cell.tpot_p50_ns.value = 2e6 * slowdown; });
  CHECK(decisions(slower_output) == Found{{"ttft", Decision::kPass}, {"tpot", Decision::kRegressed}});
  CHECK(*slower_output->verdicts[1].base_s == Approx(0.002));
  const auto lost_cache = check_of("offline-b4+turns=3", [](double slowdown, CellSummary& cell) {
    cell.conversation.emplace().later_turns_ttft_p50_ns.value = 5e6 * slowdown;
  });
  CHECK(decisions(lost_cache) == Found{{"cost", Decision::kPass}, {"ttft_later", Decision::kRegressed}});
  CHECK(*lost_cache->verdicts[1].base_s == Approx(0.005));
}

TEST_CASE("an unverified newest run is compared only if this is allowed") {
  const auto unverified = [](SummarizedRun& run) { run.summary.cells[0].golden = GoldenVerdict::kUnverified; };
  const ScratchFolder scratch;
  const auto report = check_after(scratch, 1, unverified);
  REQUIRE_OK(report);
  REQUIRE(report->not_comparable.size() == 1);
  CHECK(contains(report->not_comparable[0], "unverified in the newest run"));
  const ScratchFolder other;
  const auto allowed = check_after(other, 1, unverified, {.allow_unverified = true});
  REQUIRE_OK(allowed);
  CHECK(allowed->not_comparable.empty());
  CHECK(allowed->count(Decision::kPass) == 2);
}

TEST_CASE("wrong tokens of an opportunistic variant fail nothing") {
  const ScratchFolder scratch;
  const auto report = check_after(scratch, 1, [](SummarizedRun& run) {
    make_wrong(run);
    run.summary.cells[0].tier = Tier::kOpportunistic;
  });
  REQUIRE_OK(report);
  CHECK(report->wrong_tokens.empty());
  REQUIRE(report->without_effect.size() == 1);
  CHECK(contains(report->without_effect[0], "wrong tokens in 1 of the 7 newest runs"));
}

TEST_CASE("a branch whose runs are all pinned has nothing to compare") {
  const ScratchFolder scratch;
  History history = nights(scratch, std::vector<double>(6, 1.0));
  for (int night = 1; night < 6; ++night) REQUIRE_OK(history.pin({run_on(night).record.run_id}, true));
  CHECK(compare_with_pinned(history, {.branch = "main"})->not_comparable ==
        std::vector<std::string>{"branch main has no runs newer than the 5 that are pinned, and needs 5"});
}

TEST_CASE("a page holds every cell and says what it left out") {
  const ScratchFolder scratch;
  History history = nights(scratch, std::vector<double>(8, 1.0));
  SummarizedRun other = run_on(-1);
  other.record.host[0].value = "<b>Another CPU</b>";
  REQUIRE_OK(history.add(other, {.branch = "main"}));
  const auto page = history_page(history, "main", {kNightlyCell}, history_metrics()[0]);
  REQUIRE_OK(page);
  CHECK(contains(*page, kNightlyCell));
  CHECK(contains(*page, "1 run of another setup is not drawn"));
  CHECK_FALSE(contains(*page, "<b>"));
}

TEST_CASE("a page and a drawing say which variant is outside its limits") {
  const ScratchFolder scratch;
  History history = nights(scratch, std::vector<double>(8, 1.0));
  const auto page_now = [&] { return *history_page(history, "main", {kNightlyCell}, history_metrics()[0]); };
  CHECK_FALSE(contains(page_now(), "outside"));
  SummarizedRun newest = run_on(8);
  newest.summary.cells[0].outside_limits = "mean KL 0.07, at most 0.05 allowed";
  REQUIRE_OK(history.add(newest, {.branch = "main"}));
  CHECK(
      contains(page_now(), kNightlyCell + ": outside the limits of its quality (mean KL 0.07, at most 0.05 allowed)"));
  const auto cell = history.cell("main", kNightlyCell, history_metrics()[0]);
  REQUIRE_OK(cell);
  CHECK(contains(standalone_svg(trend_chart_of(*cell, history_metrics()[0])), kNightlyCell + ", outside its limits"));
}

TEST_CASE("an opportunistic variant is held against the anchor and fails nothing, unless it is asked to") {
  const ScratchFolder scratch;
  auto history = History::open(scratch.path() / "history.db", DatabaseAccess::kCreate);
  REQUIRE_OK(history);
  for (int night = 0; night < 12; ++night) {
    SummarizedRun run = run_on(night, night < 6 ? 1.0 : 1.5);
    run.summary.cells[0].tier = Tier::kOpportunistic;
    REQUIRE_OK(history->add(run, {.branch = "main"}));
    if (night < 6) REQUIRE_OK(history->pin({run.record.run_id}, true));
  }
  const auto report = compare_with_pinned(*history, {.branch = "main"});
  REQUIRE_OK(report);
  REQUIRE(report->verdicts.size() == 2);
  CHECK(report->verdicts[0].decision == Decision::kRegressed);
  CHECK(report->count(Decision::kRegressed) == 0);
  const auto judged = compare_with_pinned(*history, {.branch = "main", .judge_opportunistic = true});
  REQUIRE_OK(judged);
  CHECK(judged->count(Decision::kRegressed) == 2);
}

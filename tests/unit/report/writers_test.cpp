#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "report/annotations.h"
#include "report/cell_text.h"
#include "report/csv.h"
#include "report/detail_tables.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/markdown.h"
#include "report/notes.h"
#include "report/overview.h"
#include "report/sarif.h"
#include "report/tables.h"
#include "support/result.h"
#include "support/text_parts.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

SummarizedRun hand_made_run() {
  RunRecord record = hand_made_record(5);
  RunSummary summary = summarize(record, hand_made_journal(5, 16));
  return {std::move(record), std::move(summary)};
}

}  // namespace

TEST_CASE("the terminal table has one row a cell, with its verdict and its figures") {
  const SummarizedRun run = hand_made_run();
  const std::string text = render_terminal(results_table({&run, 1}));
  CHECK(text ==
        "bundle  backend  variant  scenario       golden           TTFT p50 ms  TTFT p95 ms  output tok/s  peak memory "
        " $/1M     $/1K\n"
        "------  -------  -------  -------------  ---------------  -----------  -----------  ------------  ----------- "
        " ----  -------\n"
        "tiny    cpu      bf16     single-stream  passed              17.5 ±0%     25.0 ±0%       202 ±5%      1.3 KiB "
        " 1.24  0.00124\n"
        "tiny    onednn   bf16     single-stream  not run, failed            -            -             -            - "
        "    -        -\n");
}

TEST_CASE("wrong tokens get no credit: the row says so and has no speed") {
  SummarizedRun run = hand_made_run();
  run.summary.cells[0].golden = GoldenVerdict::kFailed;
  const std::string text = render_markdown(results_table({&run, 1}));
  CHECK(contains(text, "| tiny | cpu | bf16 | single-stream | WRONG TOKENS | - | - | - | - | - | - |"));
  const std::string page = write_html({&run, 1}, {});
  CHECK(contains(page, "WRONG TOKENS"));
  CHECK_FALSE(contains(page, "<rect"));
}

TEST_CASE("a chart that is not drawn because no row has credit says so, and gives no other reason") {
  SummarizedRun run = hand_made_run();
  run.summary.cells.resize(1);
  const std::string why = "Not drawn: no row has figures that count: their tokens are wrong or they are INVALID.";
  CHECK_FALSE(contains(write_html({&run, 1}, {}), why));
  const bool is_wrong = GENERATE(true, false);
  if (is_wrong) run.summary.cells[0].golden = GoldenVerdict::kFailed;
  if (!is_wrong) run.summary.cells[0].status = CellStatus::kInvalid;
  const std::string page = write_html({&run, 1}, {});
  CHECK(contains(page, why));
  for (const char* reason : {"no price was given", "no memory was reported", "there are no samples",
                             "no measured limits", "no cell has both figures"}) {
    CHECK_FALSE(contains(page, reason));
  }
}

TEST_CASE("markup in names is escaped in HTML, XML, Markdown and CSV") {
  SummarizedRun run = hand_made_run();
  run.summary.cells[0].key.bundle = "a|b<script>,\"";
  CHECK(contains(write_markdown({&run, 1}, nullptr), "a\\|b&lt;script>"));
  CHECK_FALSE(contains(write_html({&run, 1}, {}), "<script>"));
  CHECK(contains(write_junit({&run, 1}, nullptr), "a|b&lt;script&gt;,&quot;"));
  CHECK(contains(write_csv({&run, 1}), "\"a|b<script>,\"\"\""));
}

TEST_CASE("escape_markup leaves nothing that HTML or XML would take for its own") {
  const auto [text, escaped] =
      GENERATE(table<std::string, std::string>({{"<a href='x'>&amp;", "&lt;a href=&#39;x&#39;&gt;&amp;amp;"},
                                                {std::string("a\x01\0b", 4), "a\\x01\\x00b"},
                                                {"line\n\ttab", "line\n\ttab"},
                                                {"\xff", "\xef\xbf\xbd"},
                                                {"\xe2\x80\xae", "\\u{202e}"},
                                                {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"}}));
  CHECK(escape_markup(text) == escaped);
}

TEST_CASE("escape_markdown leaves a text that shows as itself and calls nobody") {
  const auto [text, escaped] = GENERATE(
      table<const char*, const char*>({{"a|b", "a\\|b"},
                                       {"snake_case_name", "snake_case_name"},
                                       {"_it_ *bold* `code`", "\\_it_ \\*bold\\* \\`code\\`"},
                                       {"![x](http://h)", "!\\[x\\](http:<!-- -->//h)"},
                                       {"<img src=x>", "&lt;img src=x>"},
                                       {"two\nlines", "two lines"},
                                       {"@team and kim@example.com", "@<!-- -->team and kim@<!-- -->example.com"},
                                       {"see #12", "see \\#12"},
                                       {"&lt;", "&amp;lt;"}}));
  CHECK(escape_markdown(text) == escaped);
}

TEST_CASE("JUnit counts what failed, what was skipped and why") {
  const SummarizedRun run = hand_made_run();
  GateReport gate;
  gate.verdicts.push_back(
      {.cell = cell_key("cpu"), .metric = "cost", .decision = Decision::kRegressed, .why = "+50 %"});
  gate.verdicts.push_back(
      {.cell = cell_key("cpu"), .metric = "ttft", .decision = Decision::kRegressed, .waived_by = "W-1"});
  gate.verdicts.push_back({.cell = cell_key("cpu"), .metric = "ttft", .decision = Decision::kPass});
  gate.verdicts.push_back(
      {.cell = cell_key("cpu"), .metric = "ttft", .decision = Decision::kInconclusive, .why = "too noisy"});
  gate.not_comparable.emplace_back("the bundle's content differs");
  const std::string xml = write_junit({&run, 1}, &gate);
  CHECK(contains(xml, R"(<testsuite name="run 0123456789abcdef" tests="2" failures="0" errors="1" skipped="0">)"));
  CHECK(contains(
      xml,
      R"x(<error type="failed" message="failed: crash: signal 11 (Segmentation fault)">failed: crash: signal 11 (Segmentation fault)</error>)x"));
  CHECK(contains(xml, R"(tests="5" failures="1" errors="1" skipped="2">)"));
  CHECK(contains(xml, R"(<failure type="regressed" message="+50 %">+50 %</failure>)"));
  CHECK(contains(
      xml, R"(<skipped type="inconclusive" message="inconclusive: too noisy">inconclusive: too noisy</skipped>)"));
  CHECK(contains(xml, "waived by W-1"));
  CHECK(gate_headline(gate) == "1 regressed, 1 inconclusive, 1 pass, 1 waived");
}

TEST_CASE("what was not judged is named in every format, and fails nothing") {
  GateReport gate;
  gate.not_judged = {"tiny/gpu/bf16/single-stream: the base has no such cell"};
  const std::string xml = write_junit({}, &gate);
  CHECK(contains(xml, R"(tests="1" failures="0" errors="0" skipped="1">)"));
  CHECK(
      contains(xml, R"(<skipped type="not-judged" message="tiny/gpu/bf16/single-stream: the base has no such cell">)"));
  CHECK(write_annotations(gate) ==
        "::notice title=not judged::tiny/gpu/bf16/single-stream: the base has no such cell\n");
  CHECK(gate_notes(gate) ==
        std::vector<std::string>{"not judged: tiny/gpu/bf16/single-stream: the base has no such cell"});
  for (const std::string& text : {write_markdown({}, &gate), write_html({}, {.gate = &gate}), to_json(gate)}) {
    CHECK(contains(text, "the base has no such cell"));
  }
}

TEST_CASE("a change that is not the ratio of the medians beside it is explained") {
  GateReport gate;
  gate.verdicts.push_back({.cell = cell_key("cpu"),
                           .metric = "cost",
                           .decision = Decision::kPass,
                           .base_s = 1.0,
                           .candidate_s = 1.05,
                           .change_percent = 4.5});
  CHECK(gate_notes(gate).empty());
  gate.verdicts[0].change_percent = -2;
  REQUIRE(gate_notes(gate).size() == 1);
  CHECK(gate_notes(gate)[0].starts_with("base and candidate are medians; the change is the Hodges-Lehmann estimate"));
}

TEST_CASE("JUnit skips a cell that its backend declined, unless the backend was named") {
  SummarizedRun run = hand_made_run();
  CellSummary& cell = run.summary.cells.back();
  REQUIRE(cell.status == CellStatus::kFailed);
  for (FailureRecord& failure : run.summary.failures) failure.kind = FailureKind::kUnsupported;
  run.record.settings.named_backends.clear();
  CHECK(contains(write_junit({&run, 1}, nullptr), R"(tests="2" failures="0" errors="0" skipped="1">)"));
  run.record.settings.named_backends = {cell.key.backend};
  CHECK(contains(write_junit({&run, 1}, nullptr), R"(tests="2" failures="0" errors="1" skipped="0">)"));
}

TEST_CASE("Markdown begins with the gate's table, then the results, each under a heading that is its verdict") {
  const SummarizedRun run = hand_made_run();
  GateReport gate;
  gate.verdicts.push_back(
      {.cell = cell_key("cpu"), .metric = "cost", .decision = Decision::kRegressed, .why = "+50 %"});
  const std::string text = write_markdown({&run, 1}, &gate);
  CHECK(text.starts_with("## Gate: 1 regressed, 0 inconclusive, 0 pass, 0 waived\n\n| cell | metric |"));
  CHECK(contains(text,
                 "## Results: Tokens proven right in 1 of 2 combinations of backend and variant; 1 of 2 cells "
                 "complete, 1 failed; 1 of 2 rows clean; 1 not measured\n\n| bundle |"));
  CHECK_FALSE(contains(text, "Left out"));
  CHECK(write_markdown({}, &gate).find("Results") == std::string::npos);
}

TEST_CASE("a stored verdict keeps what was compared and where the time went, in every format") {
  GateReport gate;
  gate.compared = {"base: run 0123456789abcdef of 2026-11-22", "host: cpu_model EPYC"};
  gate.losses.push_back({.cell = cell_key("cpu"), .metric = "cost", .operation = "matmul", .shape = "1 x 1024"});
  const auto stored = gate_report_from_json(to_json(gate), "gate.json");
  REQUIRE_OK(stored);
  for (const std::string& text : {write_markdown({}, &*stored), write_html({}, {.gate = &*stored})}) {
    CHECK(contains(text, "base: run 0123456789abcdef of 2026-11-22"));
    CHECK(contains(text, "host: cpu"));
    CHECK(contains(text, "matmul (1 x 1024)"));
  }
}

TEST_CASE("a comparison that was not begun is inconclusive in every format, with the reason") {
  GateReport gate;
  gate.cannot_decide = "cannot decide here: for 20 s other processes took 97 % of all CPUs";
  CHECK(gate_headline(gate) == "cannot decide here: nothing was timed");
  CHECK(contains(write_junit({}, &gate), "<testsuite name=\"gate\" "));
  CHECK(contains(write_junit({}, &gate), "type=\"inconclusive\" message=\"cannot decide here: for 20 s"));
  CHECK(write_annotations(gate).starts_with("::warning title=inconclusive::cannot decide here"));
  for (const std::string& text : {write_markdown({}, &gate), write_html({}, {.gate = &gate})}) {
    CHECK(contains(text, "for 20 s other processes took 97 % of all CPUs"));
    CHECK(contains(text, "cannot decide here: nothing was timed"));
  }
}

TEST_CASE("Markdown stays below 64 KB whatever the input, keeps the worst rows and says what it left out") {
  SummarizedRun run = hand_made_run();
  const CellSummary good = run.summary.cells[0];
  const auto [n_cells, name_length, n_notes] =
      GENERATE(table<std::size_t, std::size_t, std::size_t>({{5'000, 10, 0}, {400, 100'000, 3}, {2, 10, 50'000}}));
  CAPTURE(n_cells, name_length, n_notes);
  run.summary.cells.assign(n_cells, good);
  for (std::size_t i = 0; i < n_cells; ++i)
    run.summary.cells[i].key.bundle = std::string(name_length, 'n') + std::to_string(i);
  run.summary.cells.back().golden = GoldenVerdict::kFailed;
  for (std::size_t i = 0; i < n_notes; ++i)
    run.summary.cells[0].notes.push_back(std::string(300, 'x') + std::to_string(i));
  GateReport gate;
  for (const CellSummary& cell : run.summary.cells) {
    gate.verdicts.push_back({.cell = cell.key, .metric = "cost", .decision = Decision::kPass});
  }
  gate.verdicts.back().decision = Decision::kRegressed;
  const std::string text = write_markdown({&run, 1}, &gate);
  CHECK(text.size() < kMarkdownBytes);
  CHECK(contains(text, "REGRESSED"));
  CHECK(contains(text, "WRONG TOKENS |"));
  CHECK(contains(text, "Left out, to stay below 64000 bytes: "));
  CHECK(contains(text, "Where this was measured"));
}

TEST_CASE("the Markdown of many runs stays below its limit") {
  const auto n_runs = GENERATE(43, 60, 100, 150, 400, 2'000);
  const bool has_samples = GENERATE(true, false);
  CAPTURE(n_runs, has_samples);
  SummarizedRun run = hand_made_run();
  run.has_samples = has_samples;
  for (const char* name : {"logical_cpus", "memory_bytes", "kernel"}) {
    run.record.host.push_back({name, std::string(150, 'x'), ""});
  }
  std::vector<SummarizedRun> runs(static_cast<std::size_t>(n_runs), run);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].record.run_id = runs[i].summary.run_id = fmt::format("{:016x}", i << 32);
  }
  GateReport gate;
  gate.compared.assign(static_cast<std::size_t>(n_runs), std::string(300, 'c'));
  for (const GateReport* with : {static_cast<const GateReport*>(nullptr), static_cast<const GateReport*>(&gate)}) {
    const std::string text = write_markdown(runs, with);
    CHECK(text.size() < kMarkdownBytes);
    CHECK(contains(text, "## Results: "));
    CHECK(contains(text, "Where this was measured"));
    if (n_runs == 43) continue;  // which fit
    CHECK(contains(text, "Left out, to stay below 64000 bytes: "));
    CHECK(text.ends_with("The HTML and JSON reports have all.\n"));
  }
}

TEST_CASE("the CSV has a header and every row as many fields") {
  const SummarizedRun run = hand_made_run();
  const std::string csv = write_csv({&run, 1});
  std::vector<std::ptrdiff_t> commas;
  std::size_t from = 0;
  while (from < csv.size()) {
    const std::size_t end = csv.find("\r\n", from);
    commas.push_back(std::count(csv.begin() + static_cast<std::ptrdiff_t>(from),
                                csv.begin() + static_cast<std::ptrdiff_t>(end), ','));
    from = end + 2;
  }
  REQUIRE(commas.size() == 3);
  CHECK(commas[1] == commas[0]);
  CHECK(commas[2] == commas[0]);
  SummarizedRun refused = hand_made_run();
  refused.summary.cells[0].status = CellStatus::kInvalid;
  CHECK(contains(csv, "complete,5,80,0,100,5,17500000,"));
  CHECK(contains(write_csv({&refused, 1}), "invalid,5,80,0,,,,"));
}

TEST_CASE("figures stand with the distance to their bounds, and a cell without credit in no table of figures") {
  SummarizedRun run = hand_made_run();
  CellSummary& cell = run.summary.cells[0];
  cell.bound = Bottleneck::kBandwidth;
  cell.decode_of_limit = {.share = 0.83, .limit = LimitKind::kRead};
  cell.first_token_of_limit = {.share = 0.616, .limit = LimitKind::kCompute};
  cell.device_utilisation = 0.97;
  cell.first_to_settled = 1.5;
  cell.load_ns = 12'000'000;
  cell.rate_per_s = 4;
  cell.late_send_share = 0.25;
  cell.latest_send_ns = 3'200'000;
  cell.slo_attainment = {.value = 0.9, .low = 0.8, .high = 0.95, .n = 80, .why_not = ""};
  const std::string latencies = render_markdown(latency_table({&run, 1}));
  // 80 requests with 10 to 25 ms, the same in each of five repetitions.
  CHECK(contains(latencies, "| tiny/cpu/bf16/single-stream | 100 | 5 | 17.5 ±0% | 25.0 ±0% | - |"));
  const std::string token_times = render_markdown(token_time_table({&run, 1}));
  CHECK(contains(token_times, "| 2.00 ±0% | 2.00 ±0% | 2.00 ±0% | 2.00 ±0% | - | 2.00 ±0% | 2.00 ±0% |"));
  cell.tpot_mean_ns.high = 3e6;
  CHECK(contains(render_markdown(token_time_table({&run, 1})), "| 2.00 ±50% |"));
  cell.tpot_mean_ns.high = 9e6;
  CHECK(contains(render_markdown(token_time_table({&run, 1})), "| 2.00 ±>100% |"));
  const std::string bounds = render_markdown(bound_table({&run, 1}));
  CHECK(contains(bounds, "| 97 % | - | 62 % compute | 83 % read | bandwidth | 12.00 ms | - | 1.50 |"));
  CHECK(bound_lines({&run, 1}).front().starts_with("bandwidth-bound: fewer bytes a weight"));
  CHECK(contains(render_markdown(load_table({&run, 1})), "| 4 | - | 25 % | 3.20 ms | - | 90.0 % (80.0 to 95.0) |"));
  CHECK(turn_table({&run, 1}).rows.empty());
  cell.scenario.turns = 3;
  cell.conversation.emplace();
  cell.conversation->turns = {
      {.turn = 1, .n_requests = 7, .mean_prompt_tokens = 64, .mean_cached_tokens = 0, .ttft_p50_ns = {}},
      {.turn = 2, .n_requests = 6, .mean_prompt_tokens = 160, .mean_cached_tokens = 48, .ttft_p50_ns = {}}};
  cell.conversation->turns[1].ttft_p50_ns.value = 5e6;
  cell.conversation->later_turns_ttft_p50_ns.value = 5e6;
  cell.conversation->later_turns_cached_share = 0.3;
  const std::string turns = render_markdown(turn_table({&run, 1}));
  CHECK(contains(turns, "| tiny/cpu/bf16/single-stream | 1 | 7 | 64 | 0 | 0 % | - |"));
  CHECK(contains(turns, "| tiny/cpu/bf16/single-stream | 2 | 6 | 160 | 48 | 30 % | 5.00 |"));
  CHECK(contains(turns, "| tiny/cpu/bf16/single-stream | 2 to 3 | 6 |  |  | 30 % | 5.00 |"));
  cell.scenario.turns = 2;
  CHECK(turn_table({&run, 1}).rows.size() == 2);
  cell.status = CellStatus::kInvalid;
  CHECK(turn_table({&run, 1}).rows.empty());
  CHECK(latency_table({&run, 1}).rows.empty());
  CHECK(token_time_table({&run, 1}).rows.empty());
  CHECK(bound_table({&run, 1}).rows.empty());
  CHECK(bound_lines({&run, 1}).empty());
  CHECK(load_table({&run, 1}).rows.empty());
}

TEST_CASE("a slow speed and a short time have three digits, and a small distance is not shown as none") {
  const auto rate = [](double value, double distance) {
    return rate_text(
        {.value = value, .low = value * (1 - distance), .high = value * (1 + distance), .n = 5, .why_not = ""});
  };
  CHECK(rate(0.049, 0.1) == "0.0490 ±10%");
  CHECK(rate(0.003, 0.0021) == "0.00300 ±<1%");
  CHECK(rate(9.876, 0) == "9.88 ±0%");
  CHECK(rate(44.84, 0.006) == "44.8 ±1%");
  CHECK(rate(22430.4, 2) == "22430 ±>100%");
  CHECK(rate_text({.value = 0.0, .low = {}, .high = {}, .n = 5, .why_not = ""}) == "0");
  const auto ms = [](double value_ns) {
    return milliseconds_text({.value = value_ns, .low = {}, .high = {}, .n = 5, .why_not = ""});
  };
  CHECK(ms(4200) == "0.00420");
  CHECK(ms(1.08e6) == "1.08");
  CHECK(ms(17.5e6) == "17.5");
  CHECK(ms(1234.56e6) == "1234.6");
}

TEST_CASE("a small share is not shown as none") {
  CHECK(percent_text(0.0035) == "<1 %");
  CHECK(percent_text(0.0) == "0 %");
  CHECK(percent_text(0.009) == "1 %");
  CHECK(percent_text(0.83) == "83 %");
  CHECK(percent_text(std::nullopt) == "-");
}

TEST_CASE("a share of kept requests has as many digits as it takes to differ from what was promised") {
  SummarizedRun run = hand_made_run();
  run.record.slo = Slo{"", 500, 50, 99};
  CellSummary& cell = run.summary.cells[0];
  cell.slo_attainment = {.value = 0.9899, .low = 0.98, .high = 0.99004, .n = 9999, .why_not = ""};
  CHECK(contains(render_markdown(load_table({&run, 1})), "| 98.99 % (98.0 to 99.004) |"));
}

TEST_CASE("notes say what a reader must know") {
  SummarizedRun run = hand_made_run();
  run.record.bundles[0].verified = false;
  run.record.backends[0].options = {{"fault", "slow:50"}};
  run.record.price.reset();
  const auto notes = result_notes({&run, 1});
  const auto has = [&](std::string_view part) {
    return std::any_of(notes.begin(), notes.end(), [&](const std::string& note) { return contains(note, part); });
  };
  CHECK(has("tiny: unverified"));
  CHECK(has("planted on purpose: slow:50"));
  CHECK_FALSE(has("huge pages"));
  CHECK(has("onednn: crash: signal 11"));
  CHECK(has("no price was given"));
  run.summary.cells[0].memory = MemoryUse{.weights_bytes = 620 << 20, .huge_weights_bytes = 612 << 20};
  const auto notes_of_pages = result_notes({&run, 1});
  CHECK(std::count(notes_of_pages.begin(), notes_of_pages.end(),
                   "tiny/cpu/bf16: 612 of 620 MiB of weights in huge pages") == 1);
  run.summary.cells[0].memory->huge_weights_bytes = 620 << 20;
  run.summary.cells.push_back(run.summary.cells[0]);
  run.summary.cells.back().key.variant = "int8";
  const auto shared = result_notes({&run, 1});
  CHECK(std::count(shared.begin(), shared.end(), "tiny/cpu/bf16, tiny/cpu/int8: all weights in huge pages") == 1);
}

TEST_CASE("a price stands beside what each backend was charged of it, in every format") {
  SummarizedRun run = hand_made_run();
  run.record.price = Price{.usd_per_hour = 48, .source = "row", .date = "2026-11-20"};
  const auto charged = [&](const PriceShare& share) {
    for (BackendRecord& backend : run.record.backends) backend.price_share = share;
    const std::vector<std::string> lines = run_header(run);
    for (const std::string& text : {write_markdown({&run, 1}, nullptr), write_html({&run, 1}, {})}) {
      CHECK(contains(text, "price: 48 USD/h, row (2026-11-20)"));
      CHECK(contains(text, lines.back()));
    }
    return lines.back();
  };
  CHECK(charged({.n_used = 1, .n_of = 8, .unit = PriceUnit::kDevice}) ==
        "charged for cpu, onednn: 6 of 48 USD/h (1 of 8 devices)");
  CHECK(charged({.n_used = 2, .n_of = 128, .unit = PriceUnit::kCpu}) ==
        "charged for cpu, onednn: 0.75 of 48 USD/h (2 of 128 vCPUs)");
  CHECK(charged({.n_used = 4, .n_of = 1, .unit = PriceUnit::kDevice}) ==
        "charged for cpu, onednn: 192 USD/h (4 devices at 48 USD/h)");
  CHECK(charged({.n_used = 8, .n_of = 8, .unit = PriceUnit::kDevice}) ==
        "charged for cpu, onednn: 48 USD/h (all 8 devices)");
  CHECK(charged({.n_used = 1, .n_of = 1, .unit = PriceUnit::kDevice}) ==
        "charged for cpu, onednn: 48 USD/h (1 device at 48 USD/h)");
  CHECK(charged({.n_used = 16, .n_of = 8, .unit = PriceUnit::kDevice}) ==
        "charged for cpu, onednn: 96 USD/h (16 devices, of which 8 are 48 USD/h)");
  CHECK(charged({}) == "charged for cpu, onednn: 48 USD/h (the whole instance)");
  run.record.backends[1].price_share = PriceShare{.n_used = 1, .n_of = 8, .unit = PriceUnit::kDevice};
  const std::vector<std::string> lines = run_header(run);
  CHECK(lines[lines.size() - 2] == "charged for cpu: 48 USD/h (the whole instance)");
  CHECK(lines.back() == "charged for onednn: 6 of 48 USD/h (1 of 8 devices)");
}

TEST_CASE("a variant outside its limits is said to be so in every format") {
  SummarizedRun run = hand_made_run();
  run.summary.cells[0].tier = Tier::kOpportunistic;
  run.summary.cells[0].outside_limits = "mean KL 0.07, at most 0.05 allowed";
  CHECK(contains(render_terminal(results_table({&run, 1})), "passed, outside its limits"));
  const auto notes = result_notes({&run, 1});
  CHECK(std::any_of(notes.begin(), notes.end(), [](const std::string& note) {
    return contains(note, "tiny, bf16: outside the limits of its quality (mean KL 0.07") &&
           contains(note, "no option of a brief");
  }));
  for (const std::string& text : {write_markdown({&run, 1}, nullptr), write_html({&run, 1}, {})}) {
    CHECK(contains(text, "passed, outside its limits"));
    CHECK(contains(text, "outside the limits of its quality"));
  }
  CHECK(contains(write_junit({&run, 1}, nullptr), "type=\"outside-limits\""));
  CHECK(contains(write_csv({&run, 1}), "opportunistic,\"mean KL 0.07, at most 0.05 allowed\""));
  CHECK(contains(to_json(run.summary), "mean KL 0.07, at most 0.05 allowed"));
  run.summary.cells[0].golden = GoldenVerdict::kFailed;
  CHECK(contains(write_junit({&run, 1}, nullptr), "wrong tokens; the variant is outside the limits"));
  run.summary.cells[0].golden = GoldenVerdict::kPassed;
  run.summary.cells[0].outside_limits.clear();
  CHECK(contains(render_terminal(results_table({&run, 1})), "passed  "));
  run.summary.cells[0].status = CellStatus::kInvalid;
  CHECK(contains(write_junit({&run, 1}, nullptr), "type=\"opportunistic\""));
  run.summary.cells[0].golden = GoldenVerdict::kFailed;
  CHECK(contains(write_junit({&run, 1}, nullptr), "opportunistic, so without effect: the golden check failed"));
  CHECK(contains(write_junit({&run, 1}, nullptr), "failures=\"0\""));
}

TEST_CASE("a run of which the summary alone is stored has its figures, and every format marks it") {
  SummarizedRun run = hand_made_run();
  run.has_samples = false;
  const std::string note =
      "its figures are those of summary.json and were not derived again, because samples.jsonl is missing";
  CHECK(contains(result_notes({&run, 1}).front(), note));
  CHECK(contains(write_markdown({&run, 1}, nullptr), note));
  CHECK(contains(write_html({&run, 1}, {}), note));
  CHECK(contains(write_junit({&run, 1}, nullptr), note));
  CHECK(contains(write_csv({&run, 1}), "summary.json"));
  run.has_samples = true;
  CHECK_FALSE(contains(write_markdown({&run, 1}, nullptr), note));
}

TEST_CASE("two machines' runs are told apart by run and device") {
  std::vector<SummarizedRun> runs = {hand_made_run(), hand_made_run()};
  runs[1].record.run_id = runs[1].summary.run_id = "fedcba9876543210";
  CHECK_FALSE(devices_differ(runs));
  runs[1].record.backends[0].device.name = "Another device";
  CHECK(devices_differ(runs));
  const TextTable overview = overview_table(runs);
  CHECK(overview.columns[0] == "run");
  CHECK(overview.columns[1] == "device");
  CHECK(overview.rows[0][1] == "Test device");
  CHECK(overview.rows[2][0] == "fedcba98");
  CHECK(overview.rows[2][1] == "Another device");
  CHECK(results_table(runs).columns.back() == "device");
  CHECK(results_table(runs).rows[2].back() == "Another device");
  CHECK(golden_table(runs).columns.front() == "run");
  CHECK(contains(write_html(runs, {}), "<td class=\"text\">Another device</td>"));
  // The first machine has no such backend; the other two differ.
  runs.push_back(runs[1]);
  runs[2].record.backends[0].device.name = "A third device";
  runs[0].record.backends.clear();
  CHECK(devices_differ(runs));
}

TEST_CASE("how weights were quantized at their source is a column where any bundle's were") {
  std::vector<SummarizedRun> runs = {hand_made_run(), hand_made_run()};
  CHECK_FALSE(any_quantized_at_source(runs));
  CHECK_FALSE(contains(render_terminal(results_table(runs)), "quantized at source"));
  CHECK_FALSE(contains(write_csv(runs), "source_quantization"));
  runs[1].summary.cells[0].source_quantization = "Q4_K, Q6_K";
  const TextTable table = results_table(runs);
  CHECK(table.columns.back() == "quantized at source");
  CHECK(table.rows.front().back() == "-");
  CHECK(table.rows[runs[0].summary.cells.size()].back() == "Q4_K, Q6_K");
  for (const std::string& text : {write_markdown(runs, nullptr), write_html(runs, {}), to_json(runs[1].summary)}) {
    CHECK(contains(text, "Q4_K, Q6_K"));
  }
  const std::string csv = write_csv(runs);
  CHECK(contains(csv.substr(0, csv.find("\r\n")), "clients,disturbance,reason,source_quantization"));
  CHECK(contains(csv, ",\"Q4_K, Q6_K\""));
}

TEST_CASE("the parts of the first token, vCPUs, power and sensors stand in every report") {
  SummarizedRun run = hand_made_run();
  CellSummary& cell = run.summary.cells[0];
  CHECK(ttft_parts_table({&run, 1}).rows.empty());
  cell.ttft_queue_p50_ns.value = 1.5e6;
  cell.ttft_prefill_p50_ns.value = 9e6;
  cell.busy_vcpus = 1.75;
  cell.telemetry = {{"host_power_w", 41.25, ""},
                    {"device_power_w", std::nullopt, "not available: no sensor"},
                    {"device_ecc_corrected_max", 3.0, ""},
                    {"cpu0_utilisation", 0.5, ""}};
  CHECK(contains(render_markdown(ttft_parts_table({&run, 1})), "| 1.50 ms | - | - | 9.00 ms | - |"));
  const std::string machine = render_markdown(machine_table({&run, 1}, SensorChoice::kAll));
  CHECK(contains(machine, "| cell | vCPUs busy | host power | device ecc corrected |"));
  CHECK(contains(machine, "| 1.75 | 41.2 W | 3 |"));
  CHECK_FALSE(contains(render_terminal(machine_table({&run, 1}, SensorChoice::kMain)), "ecc"));
  CHECK(machine_lines({&run, 1}) == std::vector<std::string>{"device power: not available: no sensor"});
  for (const std::string& text : {write_markdown({&run, 1}, nullptr), write_html({&run, 1}, {})}) {
    CHECK(contains(text, "41.2 W"));
    CHECK(contains(text, "tokenize"));
    CHECK(contains(text, "vCPUs busy"));
    CHECK(contains(text, "not available: no sensor"));
  }
  const std::string csv = write_csv({&run, 1});
  CHECK(contains(csv, ",host_power_w,device_power_w,device_ecc_corrected_max\r\n"));
  CHECK(contains(csv, ",41.25,,3\r\n"));
  CHECK(contains(csv, "ttft_queue_p50_ns"));
  CHECK_FALSE(contains(csv, "cpu0"));
  for (int i = 0; i < 1000; ++i) cell.telemetry.push_back({"device_" + std::to_string(i), 1.0, ""});
  CHECK(sensors_of({&run, 1}).size() == 64);
}

TEST_CASE("a sensor's value is shown in the unit of its name") {
  const auto shown = [](const char* name, std::optional<double> value) { return reading_text({name, value, ""}); };
  CHECK(shown("device_power_w", 41.25) == "41.2 W");
  CHECK(shown("host_frequency_hz_max", 2.1e9) == "2.10 GHz");
  CHECK(shown("device_memory_used_bytes", 3.0 * (1 << 30)) == "3.0 GiB");
  CHECK(shown("device_memory_used_bytes", 1e300) == "1e+300");
  CHECK(shown("device_temperature_c", 61.4) == "61 °C");
  CHECK(shown("device_energy_j_max", 12345.0) == "1.234e+04 J");
  CHECK(shown("device_throttled_power", 0.25) == "25 %");
  CHECK(shown("device_utilisation", 0.5) == "50 %");
  CHECK(shown("device_ecc_corrected_max", 3.0) == "3");
  CHECK(shown("device_power_w", std::nullopt) == "-");
}

TEST_CASE("verdicts on opportunistic variants are shown as such and are no failures") {
  GateReport gate;
  gate.verdicts = {{.cell = {"m", "cpu", "int4", "s"},
                    .metric = "cost",
                    .decision = Decision::kRegressed,
                    .change_percent = 30,
                    .low_percent = 25,
                    .high_percent = 35,
                    .why = "+30 %",
                    .decides = false}};
  gate.without_effect = {"m/cpu/int4/t: wrong tokens"};
  CHECK(contains(render_terminal(gate_table(gate)), "regressed, opportunistic"));
  CHECK(gate_headline(gate) == "0 regressed, 0 inconclusive, 0 pass, 0 waived, 1 opportunistic");
  const auto notes = gate_notes(gate);
  CHECK(notes.front() == "opportunistic, so without effect: m/cpu/int4/t: wrong tokens");
  CHECK(contains(notes.back(), "nothing here can fail"));
  const std::string junit = write_junit({}, &gate);
  CHECK(contains(junit, "failures=\"0\" errors=\"0\" skipped=\"2\""));
  CHECK(contains(write_sarif(gate), "\"level\": \"note\""));
}

TEST_CASE("SARIF without results says whether all was decided") {
  const auto invocation = [](const GateReport& gate) {
    const auto run = nlohmann::json::parse(write_sarif(gate))["runs"][0];
    CHECK(run["results"].empty());
    return run["invocations"][0];
  };
  GateReport gate;
  gate.verdicts = {{.cell = {"m", "cpu", "bf16", "s"}, .metric = "cost", .decision = Decision::kPass, .why = "+1 %"}};
  gate.not_judged = {"m/cpu/int8/s: new"};
  CHECK(invocation(gate)["executionSuccessful"] == true);
  CHECK(invocation(gate)["toolExecutionNotifications"][0]["message"]["text"] == "not judged: m/cpu/int8/s: new");

  gate.not_comparable = {"m/cpu/bf16/t: another host"};
  gate.verdicts.front().decision = Decision::kInconclusive;
  const auto undecided = invocation(gate);
  CHECK(undecided["executionSuccessful"] == false);
  const auto& notifications = undecided["toolExecutionNotifications"];
  REQUIRE(notifications.size() == 3);
  CHECK(notifications[0]["message"]["text"] == "m/cpu/bf16/s cost: inconclusive: +1 %");
  CHECK(notifications[1]["message"]["text"] == "not comparable: m/cpu/bf16/t: another host");

  // What decides nothing leaves nothing undecided.
  gate.not_comparable.clear();
  gate.verdicts.front().decides = false;
  CHECK(invocation(gate)["executionSuccessful"] == true);
  gate.cannot_decide = "the machine was too busy";
  CHECK(invocation(gate)["toolExecutionNotifications"][0]["level"] == "warning");
  CHECK(invocation(gate)["executionSuccessful"] == false);
  gate.cannot_decide.clear();
  gate.waiver_errors = {"w1: expired"};
  CHECK(invocation(gate)["toolExecutionNotifications"][0]["level"] == "error");
  CHECK(invocation(gate)["executionSuccessful"] == false);
}

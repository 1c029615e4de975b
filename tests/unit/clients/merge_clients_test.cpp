// Merges journals of simulated clients: events happen in true time, and each client records them with its own clock. The expected
// figures of the merged run are counted here, in true time, by a loop over all tokens; lib/verify recomputes those of its summary.

#include "clients/merge_clients.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/seal.h"
#include "record/record_json.h"
#include "summary/summarize.h"
#include "support/catch.h"
#include "support/result.h"
#include "verify/verify_run.h"

using namespace secondsource;

namespace {

constexpr std::int64_t kMergeMs = 1'000'000;
constexpr std::int64_t kMergeSecond = 1'000'000'000;

/// What one of several simultaneous clients does in true time.
struct MadeClient {
  std::int32_t index = 1;
  std::int32_t count = 2;
  std::int64_t clock_zero_ns = 0;  ///< true time at which the clock of its repetition shows 0
  std::int64_t start_ns = 0;       ///< true time of its first request
  std::int64_t gap_ns = 20 * kMergeMs;
  std::int64_t turn_error_ns = 2 * kMergeMs;  ///< uncertainty, to either side, of each turn that it saw
  std::int32_t n_repetitions = 1;
  std::int64_t pause_ns = 3 * kMergeSecond;  ///< between two repetitions
};

constexpr std::int32_t kRequests = 40;
constexpr std::int32_t kInFlight = 4;
constexpr std::int32_t kOutputTokens = 25;

std::string cell_id(std::int32_t batch) {
  return "tiny/vllm/bf16/offline-b" + std::to_string(batch);
}

RunRecord made_record(const MadeClient& client) {
  RunRecord record;
  record.run_id = "000000000000000" + std::to_string(client.index);
  record.started_utc = "2026-11-23T08:00:0" + std::to_string(client.index) + "Z";
  record.command = {"secondsource", "run"};
  record.seed = 7;
  record.program_version = "0.1.0";
  record.commit = "abc";
  record.suite = "smoke";
  record.host = {{"cpu_model", "CPU " + std::to_string(client.index), ""}};
  record.bundles = {{"tiny", "somewhere/" + std::to_string(client.index), std::string(64, 'a'), true}};
  BackendRecord backend;
  backend.name = backend.device.backend = "vllm";
  backend.served.emplace().url = "http://server:8000/v1";
  backend.served->preset = ServerPreset::kVllm;
  record.backends = {backend};
  Scenario load;
  load.kind = ScenarioKind::kOffline;
  load.batch = kInFlight;
  load.n_requests = kRequests;
  load.n_prompt_tokens = 16;
  load.n_output_tokens = kOutputTokens;
  record.cells = {{{"tiny", "vllm", "bf16", load.name()}, load, client.n_repetitions}};
  record.client = LoadClient{client.index, client.count};
  return record;
}

/// True times of the tokens of one request. Four requests at a time run side by side, and the next four follow.
std::vector<std::int64_t> true_tokens(const MadeClient& client, std::int64_t begin_ns, std::int32_t request) {
  std::vector<std::int64_t> times;
  const std::int64_t sent_ns = begin_ns + request / kInFlight * (kOutputTokens + 1) * client.gap_ns;
  for (std::int32_t token = 1; token <= kOutputTokens; ++token) times.push_back(sent_ns + token * client.gap_ns);
  return times;
}

std::int64_t begin_of(const MadeClient& client, std::int32_t repetition) {
  const std::int64_t length_ns = kRequests / kInFlight * (kOutputTokens + 1) * client.gap_ns;
  return client.start_ns + repetition * (length_ns + client.pause_ns);
}

/// The measurement window in true time: from the first request to the last token.
std::pair<std::int64_t, std::int64_t> true_window(const MadeClient& client, std::int32_t repetition) {
  const std::int64_t begin_ns = begin_of(client, repetition);
  return {begin_ns, true_tokens(client, begin_ns, kRequests - 1).back()};
}

StoredRun made_run(const MadeClient& client) {
  StoredRun run;
  run.folder = "runs/client-" + std::to_string(client.index);
  run.record = made_record(client);
  GoldenRecord golden;
  golden.bundle = "tiny";
  golden.backend = "vllm";
  golden.variant = "bf16";
  golden.suite = "smoke";
  golden.verdict = GoldenVerdict::kPassed;
  run.journal.lines.emplace_back(golden);
  for (std::int32_t number = 0; number < client.n_repetitions; ++number) {
    const std::int64_t begin_ns = begin_of(client, number);
    const std::int64_t zero_ns = client.clock_zero_ns;
    const auto [window_start_ns, window_end_ns] = true_window(client, number);
    Repetition end;
    end.cell = cell_id(kInFlight);
    end.repetition = number;
    end.window_start_ns = window_start_ns - zero_ns;
    end.window_end_ns = window_end_ns - zero_ns;
    end.wall_s = 1e-9 * static_cast<double>(window_end_ns - window_start_ns);
    end.process_cpu_s = 0.5;
    end.checks = {{"tokens", CheckOutcome::kPassed, "fine"}};
    if (client.index == 2) end.checks.push_back({"neighbours", CheckOutcome::kSuspect, "busy"});
    for (std::int32_t request = 0; request < kRequests; ++request) {
      const std::vector<std::int64_t> tokens = true_tokens(client, begin_ns, request);
      RequestSample sample;
      sample.cell = end.cell;
      sample.repetition = number;
      sample.request = request;
      sample.prompt = "random-7-16";
      sample.n_prompt_tokens = 16;
      sample.n_output_tokens = kOutputTokens;
      sample.scheduled_ns = sample.sent_ns = tokens.front() - client.gap_ns - zero_ns;
      sample.first_token_ns = tokens.front() - zero_ns;
      sample.last_token_ns = tokens.back() - zero_ns;
      sample.itl_ns.assign(kOutputTokens - 1, client.gap_ns);
      for (const std::int64_t at_ns : tokens) {
        end.window_output_tokens += at_ns > window_start_ns && at_ns <= window_end_ns ? 1 : 0;
      }
      run.journal.lines.emplace_back(sample);
    }
    // The server's Date header changes 0.35 s after each whole second of true time.
    ServerClock clock{.n_responses = 100};
    for (std::int64_t second = window_start_ns / kMergeSecond + 1; second * kMergeSecond < window_end_ns; ++second) {
      const std::int64_t at_ns = second * kMergeSecond + 350 * kMergeMs - zero_ns;
      clock.turns.push_back({1'700'000'000 + second, at_ns - client.turn_error_ns, at_ns + client.turn_error_ns});
    }
    end.server_clock = clock;
    run.journal.lines.emplace_back(end);
  }
  return run;
}

std::vector<Repetition> ends_of(const MergedRun& merged) {
  std::vector<Repetition> ends;
  for (const JournalLine& line : merged.lines) {
    if (const auto* end = std::get_if<Repetition>(&line)) ends.push_back(*end);
  }
  return ends;
}

RunSummary summary_of_merged(const MergedRun& merged) {
  Journal journal;
  journal.lines = merged.lines;
  return summarize(merged.record, journal);
}

const MadeClient kOne{.index = 1, .clock_zero_ns = 1000 * kMergeSecond, .start_ns = 1000 * kMergeSecond};
const MadeClient kTwo{.index = 2,
                      .clock_zero_ns = 5 * kMergeSecond,
                      .start_ns = 1000 * kMergeSecond + 300 * kMergeMs,
                      .gap_ns = 21 * kMergeMs};

}  // namespace

TEST_CASE("the figures of a merged run are those of all clients in true time") {
  // The runs may be given in any order; the clients' numbers determine theirs.
  const auto merged = merge_clients({made_run(kTwo), made_run(kOne)});
  REQUIRE_OK(merged);
  CHECK(merged->notes.empty());
  const RunRecord& record = merged->record;
  CHECK_FALSE(record.client);
  REQUIRE(record.clients.size() == 2);
  CHECK(record.clients[0].client == 1);
  CHECK(record.clients[1].run_id == "0000000000000002");
  CHECK(record.clients[1].host[0].value == "CPU 2");
  CHECK(record.started_utc == "2026-11-23T08:00:01Z");
  REQUIRE(record.cells.size() == 1);
  CHECK(record.cells[0].key.id() == cell_id(2 * kInFlight));
  CHECK(record.cells[0].scenario.batch == 2 * kInFlight);
  CHECK(record.cells[0].scenario.n_requests == 2 * kRequests);

  const std::vector<Repetition> ends = ends_of(*merged);
  REQUIRE(ends.size() == 1);
  const Repetition& end = ends[0];
  REQUIRE(end.clients.size() == 2);
  CHECK(end.clients[0].offset_ns == 0);
  CHECK(end.clients[0].bound_ns == 0);
  // Both clients saw each change of the server's second to ±2 ms around the same moment: the middle is exact.
  CHECK(end.clients[1].offset_ns == kTwo.clock_zero_ns - kOne.clock_zero_ns);
  CHECK(end.clients[1].n_turns == 5);
  const std::int64_t bound_ns = end.clients[1].bound_ns;
  CHECK(bound_ns >= 4 * kMergeMs);
  CHECK(bound_ns <= 5 * kMergeMs);  // and the drift of clocks over 5 s
  // From client 2's beginning, the later one, plus the bound, to client 1's end, the earlier one.
  const std::int64_t window_start_ns = kTwo.start_ns + bound_ns - kOne.clock_zero_ns;
  const std::int64_t window_end_ns = true_window(kOne, 0).second - kOne.clock_zero_ns;
  CHECK(end.window_start_ns == window_start_ns);
  CHECK(end.window_end_ns == window_end_ns);
  std::int64_t n_tokens = 0;
  for (const MadeClient& client : {kOne, kTwo}) {
    for (std::int32_t request = 0; request < kRequests; ++request) {
      for (const std::int64_t at_ns : true_tokens(client, begin_of(client, 0), request)) {
        const std::int64_t on_first_ns = at_ns - kOne.clock_zero_ns;
        n_tokens += on_first_ns > window_start_ns && on_first_ns <= window_end_ns ? 1 : 0;
      }
    }
  }
  CHECK(end.window_output_tokens == n_tokens);
  CHECK(end.process_cpu_s == 1.0);
  CHECK_FALSE(end.server_clock);

  // Each request of both clients occurs once, and the latencies include both.
  std::set<std::int32_t> requests;
  for (const JournalLine& line : merged->lines) {
    if (const auto* sample = std::get_if<RequestSample>(&line)) requests.insert(sample->request);
  }
  CHECK(requests.size() == 2 * kRequests);
  CHECK(*requests.begin() == 0);
  CHECK(*requests.rbegin() == 2 * kRequests - 1);
  const RunSummary summary = summary_of_merged(*merged);
  REQUIRE(summary.cells.size() == 1);
  const CellSummary& cell = summary.cells[0];
  CHECK(cell.status == CellStatus::kComplete);
  CHECK(cell.golden == GoldenVerdict::kPassed);
  CHECK(cell.n_samples == 2 * kRequests);
  CHECK(*cell.output_tok_per_s.value ==
        Approx(1e9 * static_cast<double>(n_tokens) / static_cast<double>(window_end_ns - window_start_ns)));
  CHECK(*cell.ttft_e2e_p50_ns.value == Approx(20.5e6));  // half of them 20 ms (client 1), half 21 ms (client 2)
}

TEST_CASE("every figure of a merged run follows from its samples by the second derivation") {
  MadeClient one = kOne;
  MadeClient two = kTwo;
  one.n_repetitions = two.n_repetitions = 3;
  two.gap_ns = one.gap_ns;
  const auto merged = merge_clients({made_run(one), made_run(two)});
  REQUIRE_OK(merged);
  CHECK(ends_of(*merged).size() == 3);
  std::string samples;
  for (const JournalLine& line : merged->lines) samples += sealed(to_json_line(line)) + "\n";
  const std::string summary = to_json(summary_of_merged(*merged));
  const std::vector<verify::NamedSummary> summaries = {{"summary.json", summary}};
  const auto verified = verify::verify_run(sealed(to_json(merged->record)), samples, summaries);
  REQUIRE_OK(verified);
  CAPTURE(verified->faults);
  CHECK(verified->faults.empty());
  CHECK(verified->n_samples == 3 * 2 * kRequests);
  CHECK(verified->n_figures > 100);
}

TEST_CASE("no time of a merged run is negative, whoever began first") {
  MadeClient early = kTwo;
  early.start_ns = kOne.start_ns - 400 * kMergeMs;
  const auto merged = merge_clients({made_run(kOne), made_run(early)});
  REQUIRE_OK(merged);
  std::int64_t first_ns = INT64_MAX;
  for (const JournalLine& line : merged->lines) {
    if (const auto* sample = std::get_if<RequestSample>(&line)) first_ns = std::min(first_ns, sample->scheduled_ns);
  }
  CHECK(first_ns == 0);
  const Repetition end = ends_of(*merged).at(0);
  CHECK(end.clients[0].offset_ns == 400 * kMergeMs);
  CHECK(end.clients[1].offset_ns - end.clients[0].offset_ns == early.clock_zero_ns - kOne.clock_zero_ns);
}

TEST_CASE("the checks of all clients are kept, with one more on what they have in common") {
  const auto with_start = [](std::int64_t later_ns) {
    MadeClient two = kTwo;
    two.start_ns = kOne.start_ns + later_ns;
    two.gap_ns = kOne.gap_ns;
    return merge_clients({made_run(kOne), made_run(two)});
  };
  // The windows are 5.2 s long.
  const auto [later_ns, outcome] = GENERATE(table<std::int64_t, CheckOutcome>(
      {{300 * kMergeMs, CheckOutcome::kPassed}, {1500 * kMergeMs, CheckOutcome::kSuspect}}));
  const auto merged = with_start(later_ns);
  REQUIRE_OK(merged);
  const std::vector<CheckRecord> checks = ends_of(*merged).at(0).checks;
  REQUIRE(checks.size() == 3);
  CHECK(checks[0].detail == "client 1: fine");
  CHECK(checks[1].name == "neighbours");
  CHECK(checks[1].outcome == CheckOutcome::kSuspect);
  CHECK(checks[2].name == "clients");
  CHECK(checks[2].outcome == outcome);
}

TEST_CASE("clients that each share most of their time with the first, but not with each other, are INVALID together") {
  // The windows are 5.2 s long: client 2 begins 1.4 s before client 1, and client 3 as long after it. Each has 3.8 s in common with
  // client 1 (73 %), and all three have 2.4 s (46 %).
  std::vector<StoredRun> runs;
  for (const std::int32_t index : {1, 2, 3}) {
    MadeClient client = kOne;
    client.index = index;
    client.count = 3;
    client.start_ns += (index == 2 ? -1400 : index == 3 ? 1400 : 0) * kMergeMs;
    runs.push_back(made_run(client));
  }
  const auto merged = merge_clients(std::move(runs));
  REQUIRE_OK(merged);
  const CheckRecord common = ends_of(*merged).at(0).checks.back();
  CHECK(common.name == "clients");
  CHECK(common.outcome == CheckOutcome::kInvalid);
  CAPTURE(common.detail);
  CHECK(common.detail.starts_with("all 3 clients were measuring in 46 % of the longest of their windows"));
}

TEST_CASE(
    "a repetition is merged with the one that it shares most of its time with, not with one that it only touches") {
  // Windows of 5.2 s at intervals of 5.5 s. Client 2 begins 4.5 s late, so that its repetition k shares 0.7 s with repetition k of client
  // 1, and 4.2 s (81 %) with repetition k + 1: three pairs, while the first of client 1 and the last of client 2 remain alone. The clocks
  // are known to 10 ms, which is more than 1 % of 0.7 s and less than 1 % of 4.2 s.
  MadeClient one = kOne;
  one.n_repetitions = 4;
  one.pause_ns = 300 * kMergeMs;
  MadeClient two = one;
  two.index = 2;
  two.clock_zero_ns = kTwo.clock_zero_ns;
  two.start_ns = one.start_ns + 4500 * kMergeMs;
  one.turn_error_ns = two.turn_error_ns = 5 * kMergeMs;
  const auto merged = merge_clients({made_run(one), made_run(two)});
  REQUIRE_OK(merged);
  const std::vector<Repetition> ends = ends_of(*merged);
  REQUIRE(ends.size() == 3);
  for (std::int32_t index = 0; index < 3; ++index) {
    const Repetition& end = ends[static_cast<std::size_t>(index)];
    CHECK(end.clients[0].repetition == index + 1);
    CHECK(end.clients[1].repetition == index);
  }
  REQUIRE(merged->notes.size() == 1);
  CHECK(merged->notes[0].find(
            "repetition 0 of client 1: it was measured together with repetition 0 of client 2 in 13 % of "
            "the longer of their windows, where at least 50 % are expected") != std::string::npos);
  CHECK(summary_of_merged(*merged).cells[0].status == CellStatus::kPartial);
}

TEST_CASE("a cell that one client lacks is a failure of that cell alone") {
  const std::string lacking = "tiny/vllm/bf16/offline-b8";
  std::vector<StoredRun> runs = {made_run(kOne), made_run(kTwo)};
  for (StoredRun& run : runs) {
    PlannedCell more = run.record.cells[0];
    more.scenario.batch = 8;
    more.key.scenario = more.scenario.name();
    run.record.cells.push_back(more);
  }
  const std::vector<JournalLine> first = runs[0].journal.lines;
  for (JournalLine line : first) {
    if (auto* sample = std::get_if<RequestSample>(&line)) sample->cell = lacking;
    if (auto* end = std::get_if<Repetition>(&line)) end->cell = lacking;
    if (!std::holds_alternative<GoldenRecord>(line)) runs[0].journal.lines.push_back(line);
  }
  SECTION("the other cell is merged") {
    const auto merged = merge_clients(std::move(runs));
    REQUIRE_OK(merged);
    CHECK(ends_of(*merged).size() == 1);
    REQUIRE(merged->notes.size() == 1);
    CHECK(merged->notes[0].find(lacking) != std::string::npos);
    const RunSummary summary = summary_of_merged(*merged);
    REQUIRE(summary.failures.size() == 1);
    CHECK(summary.failures[0].cell == "tiny/vllm/bf16/offline-b16");
    CHECK(summary.failures[0].message.find("client 2 has none: expected repetitions that all") != std::string::npos);
  }
  SECTION("where there is no other cell, nothing is merged") {
    std::erase_if(runs[1].journal.lines,
                  [](const JournalLine& line) { return !std::holds_alternative<GoldenRecord>(line); });
    CHECK_ERROR(merge_clients(std::move(runs)), ErrorCode::kInvalidInput, "client 2 has none: expected repetitions");
  }
}

TEST_CASE("repetitions are matched by their time, and one that not all measured is left out") {
  MadeClient one = kOne;
  MadeClient two = kTwo;
  one.n_repetitions = two.n_repetitions = 2;
  two.gap_ns = one.gap_ns;
  // Client 2 begins together with client 1's second repetition, so its first repetition is matched with that one.
  two.start_ns = begin_of(one, 1) + 200 * kMergeMs;
  const auto merged = merge_clients({made_run(one), made_run(two)});
  REQUIRE_OK(merged);
  const std::vector<Repetition> ends = ends_of(*merged);
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].repetition == 1);
  CHECK(ends[0].clients[1].repetition == 0);
  REQUIRE(merged->notes.size() == 1);
  CHECK(merged->notes[0].find("repetition 0 of client 1") != std::string::npos);
  CHECK(summary_of_merged(*merged).cells[0].status == CellStatus::kPartial);

  two.start_ns = begin_of(one, 4);
  CHECK_ERROR(merge_clients({made_run(one), made_run(two)}), ErrorCode::kInvalidInput,
              "expected repetitions that all clients measured at the same time");
}

TEST_CASE("conversations keep their turns, each client with conversations of its own") {
  std::vector<StoredRun> runs = {made_run(kOne), made_run(kTwo)};
  for (StoredRun& run : runs) {
    PlannedCell& cell = run.record.cells[0];
    cell.scenario.turns = 4;
    cell.key.scenario = cell.scenario.name();
    for (JournalLine& line : run.journal.lines) {
      if (auto* sample = std::get_if<RequestSample>(&line)) {
        sample->cell = cell.key.id();
        sample->turn = 1 + sample->request % 4;
      }
      if (auto* end = std::get_if<Repetition>(&line)) end->cell = cell.key.id();
    }
  }
  const auto merged = merge_clients(std::move(runs));
  REQUIRE_OK(merged);
  std::set<std::int32_t> requests;
  for (const JournalLine& line : merged->lines) {
    const auto* sample = std::get_if<RequestSample>(&line);
    if (sample == nullptr) continue;
    CHECK(sample->turn == 1 + sample->request % 4);
    requests.insert(sample->request);
  }
  CHECK(requests.size() == 2 * kRequests);
}

TEST_CASE("what is no load of several clients is refused in one line") {
  const auto refuses = [](const auto& change, const std::string& message) {
    std::vector<StoredRun> runs = {made_run(kOne), made_run(kTwo)};
    change(runs);
    CAPTURE(message);
    CHECK_ERROR(merge_clients(std::move(runs)), ErrorCode::kInvalidInput, message);
  };
  using Runs = std::vector<StoredRun>;
  refuses([](Runs& runs) { runs.clear(); }, "expected the runs of all clients, found none");
  refuses([](Runs& runs) { runs.pop_back(); }, "expected the runs of all 2 clients, found none of client 2");
  refuses([](Runs& runs) { runs[1].record.client->index = 1; },
          "runs/client-1 and runs/client-2: both are client 1 of 2: expected each once");
  refuses([](Runs& runs) { runs[1].record.client->count = 3; },
          "the number of clients: expected 2 as the first has it, found 3");
  refuses([](Runs& runs) { runs[1].record.client.reset(); },
          "runs/client-2: expected the run of a client that knows its number");
  refuses([](Runs& runs) { runs[1].record.client = LoadClient{5, 2}; }, "found 5/2");
  refuses([](Runs& runs) { runs[0].record.clients.resize(2); }, "found one that was merged of 2");
  refuses([](Runs& runs) { runs[1].record.program_version = "0.2.0"; },
          "not clients of one load: the program's version: expected 0.1.0 as the first has it, found 0.2.0");
  refuses([](Runs& runs) { runs[1].record.seed = 8; }, "the seed: expected 7 as the first has it, found 8");
  refuses([](Runs& runs) { runs[1].record.bundles[0].content_sha256 = std::string(64, 'b'); }, "bundle tiny: expected");
  refuses([](Runs& runs) { runs[1].record.backends[0].served->url = "http://other:8000/v1"; }, "system vllm: expected");
  refuses([](Runs& runs) { runs[1].record.backends[0].served->version = "9"; }, "system vllm: expected");
  refuses([](Runs& runs) { runs[1].record.cells.clear(); }, "cell tiny/vllm/bf16/offline-b4: expected");
  refuses([](Runs& runs) { runs[1].record.cells[0].repetitions = 2; }, "cell tiny/vllm/bf16/offline-b4: expected");
  refuses([](Runs& runs) { runs[0].record.backends[0].served.reset(); },
          "expected servers behind URLs alone, found vllm");
  refuses([](Runs& runs) { runs[0].record.cells[0].scenario.kind = ScenarioKind::kSingleStream; },
          "found one request at a time");
  refuses(
      [](Runs& runs) {
        runs[0].record.cells[0].scenario.kind = ScenarioKind::kServer;
        runs[0].record.cells[0].scenario.seeks_slo_rate = true;
      },
      "found a search for a rate");
  refuses([](Runs& runs) { runs[0].record.cells[0].scenario.n_requests = INT32_MAX; }, "a load out of range");
  const auto sample_of = [](StoredRun& run) -> RequestSample& { return std::get<RequestSample>(run.journal.lines[1]); };
  refuses([&](Runs& runs) { sample_of(runs[1]).scheduled_ns = INT64_MIN; },
          "samples.jsonl:2: expected times that a clock shows");
  refuses([&](Runs& runs) { sample_of(runs[1]).itl_ns[0] = -1; }, "samples.jsonl:2: expected times that a clock shows");
  refuses([&](Runs& runs) { sample_of(runs[1]).request = INT32_MAX; },
          "samples.jsonl:2: expected times that a clock shows");
  const auto end_of = [](StoredRun& run) -> Repetition& { return std::get<Repetition>(run.journal.lines.back()); };
  refuses([&](Runs& runs) { end_of(runs[1]).server_clock.reset(); },
          "client 2 was told no time by the server, by which clocks are related");
  refuses([&](Runs& runs) { end_of(runs[1]).server_clock->turns[2].until_ns = INT64_MAX; },
          "expected times that a clock shows");
  refuses(
      [&](Runs& runs) {
        DateTurn& turn = end_of(runs[1]).server_clock->turns[2];
        turn.after_ns -= 100 * kMergeMs;
        turn.until_ns -= 100 * kMergeMs;
      },
      "client 1, repetition 0, and client 2, repetition 0: the turns of the server's Date that both saw contradict each other");
}

TEST_CASE("clocks that are not known closely enough are refused, with what would help") {
  MadeClient vague = kTwo;
  vague.turn_error_ns = 80 * kMergeMs;
  CHECK_ERROR(merge_clients({made_run(kOne), made_run(vague)}), ErrorCode::kInvalidInput,
              "its clock is known to ±82.5 ms against that of client 1: expected at most 1 % of their common window");
}

TEST_CASE("a failure of one client stands in the merged run") {
  std::vector<StoredRun> runs = {made_run(kOne), made_run(kTwo)};
  runs[1].journal.lines.emplace_back(FailureRecord{"vllm", cell_id(kInFlight), FailureKind::kCrash, "gone"});
  const auto merged = merge_clients(std::move(runs));
  REQUIRE_OK(merged);
  const RunSummary summary = summary_of_merged(*merged);
  REQUIRE(summary.failures.size() == 1);
  CHECK(summary.failures[0].message == "client 2: gone");
  CHECK(summary.failures[0].cell == cell_id(2 * kInFlight));
}

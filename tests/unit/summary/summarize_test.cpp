#include "support/result.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("a cell's figures are those worked out by hand") {
  const RunSummary summary = summarize(hand_made_record(5), hand_made_journal(5, 8));
  REQUIRE(summary.cells.size() == 2);
  const CellSummary& cell = summary.cells[0];
  CHECK(cell.status == CellStatus::kComplete);
  CHECK(cell.golden == GoldenVerdict::kPassed);
  CHECK(cell.n_samples == 40);
  // The TTFT of request i is 10 + i ms for i = 0..7, each five times, so that the median is between 13 and 14 ms.
  CHECK(*cell.ttft_e2e_p50_ns.value == Approx(13.5e6));
  CHECK(cell.ttft_p50_ns_by_repetition == std::vector<double>(5, 13.5e6));
  // 40 samples are too few for a 95th percentile with bounds (59).
  CHECK_FALSE(cell.ttft_e2e_p95_ns.value);
  CHECK(cell.ttft_e2e_p95_ns.why_not == "needs 59 samples, has 40");
  CHECK(*cell.tpot_p50_ns.value == Approx(2e6));
  CHECK(*cell.itl_p50_ns.value == Approx(2e6));
  CHECK(cell.itl_p50_ns.n == 160);
  // The repetitions have 200 to 204 tokens in one second; the median is 202.
  CHECK(*cell.output_tok_per_s.value == Approx(202));
  CHECK(*cell.tok_per_s_per_user == Approx(500));
  // Two of eight units of a 3.60 USD instance cost 0.90 USD/h for 202 * 3.6 thousand tokens per hour.
  CHECK(*cell.usd_per_1k_output == Approx(0.9 / (202 * 3.6)));
  // With 100 prompt and 5 output tokens, there are 21 tokens in total per output token.
  CHECK(*cell.usd_per_1k_total == Approx(*cell.usd_per_1k_output / 21));
  // One of eight requests had 3 of 5 tokens verified.
  CHECK(*cell.verified_share == Approx(38.0 / 40));
  CHECK(cell.memory->peak_bytes == 1300);
  CHECK(cell.peak_rss_bytes == 5000);
}

TEST_CASE("what a system does not show is absent, and not 0") {
  const auto summarized = [](bool shows) {
    Journal journal = hand_made_journal(2, 4);
    for (JournalLine& line : journal.lines) {
      if (auto* sample = std::get_if<RequestSample>(&line)) {
        // The system counts the cached tokens of a single request only.
        if (shows && sample->repetition == 0 && sample->request == 1) sample->n_cached_prompt_tokens = 25;
      }
      auto* end = std::get_if<Repetition>(&line);
      if (end == nullptr) continue;
      end->wall_s = 2;
      end->warmup_ns_per_token = {3e6, 2e6};
      if (!shows) continue;
      end->decode.ns = 500'000'000;
      end->compile_ns = 0;
    }
    return summarize(hand_made_record(2), journal).cells[0];
  };
  const CellSummary server = summarized(false);
  CHECK_FALSE(server.device_utilisation);
  CHECK_FALSE(server.prefix_hit_rate);
  CHECK_FALSE(server.compile_ns);
  const CellSummary engine = summarized(true);
  CHECK(*engine.device_utilisation == Approx(0.25));
  CHECK(*engine.prefix_hit_rate == Approx(0.25));
  CHECK(engine.compile_ns == 0);
}

TEST_CASE("a backend is charged its own share, and its device-hours count all of its devices") {
  RunRecord record = hand_made_record(5);
  record.backends[0].device.is_host = false;
  record.backends[0].n_units_used = 4;
  record.backends[0].price_share = PriceShare{.n_used = 4, .n_of = 1, .unit = PriceUnit::kDevice};
  const CellSummary cell = summarize(record, hand_made_journal(5, 8)).cells[0];
  CHECK(*cell.usd_per_1k_output == Approx(14.4 / (202 * 3.6)));
  CHECK(*cell.tok_per_s_per_device == Approx(202.0 / 4));
  CHECK(*cell.device_hours_per_million == Approx(4 * 1e6 / (202 * 3600)));
}

TEST_CASE("a backend that crashed has its row, with the reason and no figures") {
  const RunSummary summary = summarize(hand_made_record(5), hand_made_journal(5, 8));
  const CellSummary& cell = summary.cells[1];
  CHECK(cell.key.backend == "onednn");
  CHECK(cell.status == CellStatus::kFailed);
  CHECK(cell.notes == std::vector<std::string>{"crash: signal 11 (Segmentation fault)"});
  CHECK_FALSE(cell.output_tok_per_s.value);
  CHECK_FALSE(cell.usd_per_1k_output);
}

TEST_CASE("a failure counts until a later line of the same cells says otherwise") {
  const std::string cell = cell_key("onednn").id();
  const std::string stint = "tiny/onednn/bf16";
  const auto failures_after = [&](const std::vector<JournalLine>& lines) {
    Journal journal = hand_made_journal(3, 4);
    journal.lines.back() = FailureRecord{"onednn", cell, FailureKind::kHang, "first"};
    journal.lines.insert(journal.lines.end(), lines.begin(), lines.end());
    const RunSummary summary = summarize(hand_made_record(3), journal);
    std::string messages;
    for (const FailureRecord& failure : summary.failures) messages += failure.message + ";";
    return messages;
  };
  Repetition repetition;
  repetition.cell = cell;
  Repetition of_another;
  of_another.cell = cell_key("cpu").id();
  GoldenRecord golden;
  golden.bundle = "tiny";
  golden.backend = "onednn";
  golden.variant = "bf16";
  const FailureRecord again{"onednn", cell, FailureKind::kCrash, "second"};
  const FailureRecord of_all{"onednn", stint, FailureKind::kUnavailable, "all"};
  CHECK(failures_after({}) == "first;");
  CHECK(failures_after({of_another}) == "first;");
  CHECK(failures_after({golden}) == "first;");
  CHECK(failures_after({again}) == "second;");
  CHECK(failures_after({repetition}).empty());
  CHECK(failures_after({repetition, again}) == "second;");
  CHECK(failures_after({of_all}) == "first;all;");
  CHECK(failures_after({of_all, golden}) == "first;");
  CHECK(failures_after({of_all, repetition}).empty());
}

TEST_CASE("warm-up requests and repetitions that were cut off do not count") {
  Journal journal = hand_made_journal(2, 4);
  RequestSample warmup = std::get<RequestSample>(journal.lines[1]);
  warmup.warmup = true;
  warmup.first_token_ns = warmup.sent_ns + 900'000'000;
  journal.lines.emplace_back(warmup);
  RequestSample orphan = std::get<RequestSample>(journal.lines[1]);
  orphan.repetition = 2;
  journal.lines.emplace_back(orphan);
  const CellSummary cell = summarize(hand_made_record(3), journal).cells[0];
  CHECK(cell.status == CellStatus::kPartial);
  CHECK(cell.n_repetitions == 2);
  CHECK(cell.n_samples == 8);
}

TEST_CASE("prefill, first token and decode have the share of the limit that bounds them") {
  Journal journal = hand_made_journal(1, 8);
  for (JournalLine& line : journal.lines) {
    auto* repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr) continue;
    // Eight prompts of 100 tokens take 5 ms each: 80 of 100 Gflop/s, and 4 of 10 GB/s.
    repetition->prefill = {.n_steps = 8, .tokens = 800, .ns = 40'000'000, .flops = 3.2e9, .weight_bytes = 160e6};
    // Decode of a large batch: 6 of 10 GB/s, and 90 of 100 Gflop/s.
    repetition->decode = {.n_steps = 10, .tokens = 160, .ns = 100'000'000, .flops = 9e9, .weight_bytes = 600e6};
  }
  RunRecord record = hand_made_record(1);
  record.limits.emplace();
  record.limits->reads = {{1 << 20, 10e9}};
  record.limits->f32_flops = 100e9;
  const CellSummary cell = summarize(record, journal).cells[0];
  REQUIRE(cell.prefill_of_limit);
  CHECK(cell.prefill_of_limit->limit == LimitKind::kCompute);
  CHECK(cell.prefill_of_limit->share == Approx(0.8));
  // At the limit, a prompt takes 4 ms; the median time to first token is 13.5 ms.
  REQUIRE(cell.first_token_of_limit);
  CHECK(cell.first_token_of_limit->limit == LimitKind::kCompute);
  CHECK(cell.first_token_of_limit->share == Approx(4 / 13.5));
  REQUIRE(cell.decode_of_limit);
  CHECK(cell.decode_of_limit->limit == LimitKind::kCompute);
  CHECK(cell.decode_of_limit->share == Approx(0.9));
  CHECK(*cell.read_fraction == Approx(0.6));
  record.backends[0].device.is_host = false;
  CHECK_FALSE(summarize(record, journal).cells[0].decode_of_limit);
}

TEST_CASE("a failed check of a repetition makes the cell invalid, and a suspect one marks it") {
  Journal journal = hand_made_journal(2, 4);
  for (JournalLine& line : journal.lines) {
    auto* repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr) continue;
    repetition->checks = {{"steal", CheckOutcome::kSuspect, "3 %"}, {"roofline", CheckOutcome::kPassed, "40 %"}};
    if (repetition->repetition == 1) repetition->checks[1] = {"roofline", CheckOutcome::kInvalid, "400 %"};
  }
  const CellSummary cell = summarize(hand_made_record(2), journal).cells[0];
  CHECK(cell.status == CellStatus::kInvalid);
  CHECK(cell.notes == std::vector<std::string>{"suspect: steal: 3 % (2 of 2 repetitions)",
                                               "INVALID: roofline: 400 % (1 of 2 repetitions)"});
  REQUIRE(cell.checks.size() == 2);
  CHECK(cell.checks[1].outcome == CheckOutcome::kInvalid);
}

TEST_CASE("what the machine could do beside a cell is the median of the looks after its repetitions") {
  Journal journal = hand_made_journal(3, 4);
  for (JournalLine& line : journal.lines) {
    auto* repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr) continue;
    repetition->telemetry = {{"machine_f32_flops", 90e9 + 10e9 * repetition->repetition, ""},
                             {"machine_read_bytes_per_s", std::nullopt, "not available: here"}};
  }
  const CellSummary cell = summarize(hand_made_record(3), journal).cells[0];
  CHECK(cell.machine_f32_flops == 100e9);
  CHECK_FALSE(cell.machine_read_bytes_per_s);
}

TEST_CASE("a cell has the parts of its first token, its vCPUs, its sensors, and its variant's tier") {
  RunRecord record = hand_made_record(2);
  record.bundles[0].variants = {{"bf16", Tier::kOpportunistic, "mean KL 0.07, at most 0.05 allowed"}};
  record.bundles[0].source_quantization = "Q4_1, F32";
  Journal journal = hand_made_journal(2, 16);
  std::int32_t n_repetitions = 0;
  for (JournalLine& line : journal.lines) {
    if (auto* sample = std::get_if<RequestSample>(&line)) {
      sample->parts.queue_ns = 1000 * (1 + sample->request);
      sample->parts.prefill_ns = 9'000'000;
    }
    if (auto* repetition = std::get_if<Repetition>(&line)) {
      repetition->process_cpu_s = 3;
      repetition->wall_s = 2;
      repetition->telemetry = {{"host_power_w", 40.0 + 2 * n_repetitions, ""},
                               {"device_power_w", std::nullopt, "not available: no sensor"}};
      ++n_repetitions;
    }
  }
  const CellSummary cell = summarize(record, journal).cells[0];
  // 32 requests, each value from 1 to 16 us twice: the median is the mean of the 16th and 17th value.
  CHECK(*cell.ttft_queue_p50_ns.value == Approx(8500));
  CHECK(*cell.ttft_prefill_p50_ns.value == Approx(9e6));
  CHECK_FALSE(cell.ttft_sample_p50_ns.value);
  CHECK(*cell.busy_vcpus == Approx(1.5));
  REQUIRE(cell.telemetry.size() == 2);
  CHECK(*cell.telemetry[0].value == Approx(41));
  CHECK_FALSE(cell.telemetry[1].value);
  CHECK(cell.telemetry[1].why_not == "not available: no sensor");
  CHECK(cell.tier == Tier::kOpportunistic);
  CHECK(cell.outside_limits == "mean KL 0.07, at most 0.05 allowed");
  CHECK(cell.source_quantization == "Q4_1, F32");
}

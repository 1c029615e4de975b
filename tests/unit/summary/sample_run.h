#pragma once
// A small hand-made run with one bundle and two backends, one of which crashed.

#include "summary/summarize.h"
#include "summary/summarized_run.h"

namespace secondsource::test {

inline CellKey cell_key(std::string backend) {
  return {"tiny", std::move(backend), "bf16", "single-stream"};
}

/// A record with the cells tiny/cpu/bf16/single-stream and tiny/onednn/bf16/single-stream, `repetitions` each.
inline RunRecord hand_made_record(std::int32_t repetitions) {
  RunRecord record;
  record.run_id = "0123456789abcdef";
  record.started_utc = "2026-11-20T08:00:00Z";
  record.command = {"secondsource", "run", "tiny"};
  record.seed = 7;
  record.program_version = "0.1.0";
  record.suite = "smoke";
  record.host = {{"cpu_model", "Test CPU", ""}, {"governor", std::nullopt, "not available: no cpufreq"}};
  record.bundles = {{"tiny", "bundles/tiny", std::string(64, 'a'), true}};
  for (const char* name : {"cpu", "onednn"}) {
    BackendRecord backend;
    backend.name = name;
    backend.device.backend = name;
    backend.device.name = "Test device";
    backend.n_units_used = 2;
    record.backends.push_back(backend);
    record.cells.push_back({cell_key(name), {ScenarioKind::kSingleStream, 1, 0, 8, 100, 5}, repetitions});
  }
  record.price = Price{.usd_per_hour = 3.6, .n_units = 8, .n_units_used = 8, .source = "test", .date = "2026-11-20"};
  return record;
}

/// The journal of the same run: cpu has a golden verdict and `n_requests` requests per repetition, and onednn crashed.
/// Request i of a repetition has its first token 10 + i ms after it was sent, and then one token every 2 ms, five in
/// all.
inline Journal hand_made_journal(std::int32_t repetitions, std::int32_t n_requests, double slowdown = 1.0) {
  Journal journal;
  const auto scaled = [&](std::int64_t ns) { return static_cast<std::int64_t>(static_cast<double>(ns) * slowdown); };
  constexpr std::int32_t kOutput = 5;
  GoldenRecord golden;
  golden.bundle = "tiny";
  golden.backend = "cpu";
  golden.variant = "bf16";
  golden.suite = "smoke";
  golden.verdict = GoldenVerdict::kPassed;
  golden.n_prompts = 4;
  golden.n_positions = 40;
  golden.n_match = 39;
  golden.n_near_tie = 1;
  journal.lines.emplace_back(golden);
  for (std::int32_t r = 0; r < repetitions; ++r) {
    for (std::int32_t i = 0; i < n_requests; ++i) {
      RequestSample sample;
      sample.cell = cell_key("cpu").id();
      sample.repetition = r;
      sample.request = i;
      sample.n_prompt_tokens = 100;
      sample.n_output_tokens = kOutput;
      sample.scheduled_ns = sample.sent_ns = i * 100'000'000LL;
      sample.first_token_ns = sample.sent_ns + scaled((10 + i) * 1'000'000LL);
      sample.first_visible_ns = *sample.first_token_ns + 1000;
      for (int gap = 1; gap < kOutput; ++gap) sample.itl_ns.push_back(scaled(2'000'000));
      sample.last_token_ns = *sample.first_token_ns + 4 * scaled(2'000'000);
      sample.verified_tokens = i == 0 ? 3 : kOutput;
      sample.finish = RequestFinish::kLength;
      journal.lines.emplace_back(sample);
    }
    Repetition repetition;
    repetition.cell = cell_key("cpu").id();
    repetition.repetition = r;
    repetition.window_end_ns = scaled(1'000'000'000);
    repetition.window_output_tokens = 200 + r;
    repetition.memory = {
        .weights_bytes = 1000, .kv_bytes = 200, .workspace_bytes = 30, .runtime_bytes = 0, .peak_bytes = 1300};
    repetition.host_memory.peak_rss_bytes = 5000;
    repetition.others_cpu_share = 0.01;
    journal.lines.emplace_back(repetition);
  }
  journal.lines.emplace_back(FailureRecord{"onednn", "", FailureKind::kCrash, "signal 11 (Segmentation fault)"});
  return journal;
}

/// A run of one complete cell with five repetitions of eight requests, whose times are `slowdown` times those of hand_made_journal().
/// `change` edits the record before it is summarized.
template <typename Change>
SummarizedRun hand_made_one_cell_run(double slowdown, Change change) {
  RunRecord record = hand_made_record(5);
  record.backends.pop_back();
  record.cells.pop_back();
  change(record);
  Journal journal = hand_made_journal(5, 8, slowdown);
  journal.lines.pop_back();
  RunSummary summary = summarize(record, journal);
  return {std::move(record), std::move(summary)};
}

}  // namespace secondsource::test

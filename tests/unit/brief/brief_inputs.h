#pragma once
// Hand-made inputs of a small buyer: one machine type in use, one that could replace it, and a run on a CPU.

#include <string>
#include <string_view>
#include <vector>

#include "brief/build_brief.h"
#include "support/result.h"

namespace secondsource::test {

/// 160 000 requests per day with 100 input and 100 output tokens each. A fifth is batch work, and each hour from 8 to
/// 17 has 8 %. Growth is 50 % per year, headroom 25 %.
inline const std::string kDemand = R"(version: 1
title: A test
model: m
volume:
  requests_per_day: 160000
  growth_percent_per_year: 50
  batch_percent: 20
  profile: [1, 1, 1, 1, 1, 1, 1, 1, 5.6, 5.6, 5.6, 5.6, 5.6, 5.6, 5.6, 5.6, 5.6, 5.6, 1, 1, 1, 1, 1, 1]
context_mix:
  - {name: chat, percent: 100, input_tokens: 100, output_tokens: 100}
slo: {ttft_ms: 500, tpot_ms: 50, percent: 95}
sizing: {headroom_percent: 25, minimum_replicas: 1}
skus:
  - {id: old, description: an old one, vendor: A, price: p/r/old, quoted: {full_load: old-offline, slo: old-server}}
  - {id: new, description: a new one, vendor: B, price: p/r/new, quoted: {full_load: new-offline, slo: new-server}}
  - {id: cpu, description: a host, vendor: C, price: p/r/cpu, measured: {bundle: m, backend: cpu, variant: bf16, hardware: same}}
migration: {person_days: 60, usd_per_day: 900, people: 3, certify_weeks: 2, ramp_weeks: 4}
options:
  - {kind: stay, sku: old}
  - {kind: shift, to: new, percent: 25}
  - {kind: own, name: all, interactive: [{sku: new, percent: 100}], batch: [{sku: new, percent: 100}], migration: {person_days: 0, usd_per_day: 0, people: 1, certify_weeks: 0, ramp_weeks: 0}}
)";

/// Returns `text` with `from` replaced by `to`; `text` must contain `from`.
inline std::string with(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

inline std::vector<PriceRow> hand_made_prices() {
  const auto row = [](const char* instance, const char* accelerator, std::int64_t accelerators, std::int64_t vcpus,
                      double usd) {
    return PriceRow{.provider = "p",
                    .region = "r",
                    .instance = instance,
                    .accelerator = accelerator,
                    .accelerators = accelerators,
                    .vcpus = vcpus,
                    .usd_per_hour = usd,
                    .date = "2026-11-01",
                    .read_on = "2026-11-20",
                    .source = "a list"};
  };
  return {row("old", "a1", 1, 8, 2.40), row("new", "a2", 1, 8, 1.50), row("cpu", "cpu", 0, 8, 0.40)};
}

inline std::vector<QuotedRow> hand_made_quotes() {
  const auto row = [](const char* id, const char* accelerator, double rate, bool has_limits) {
    QuotedRow quoted{.id = id,
                     .model = "m",
                     .precision = "fp8",
                     .accelerator = accelerator,
                     .accelerators = 1,
                     .scenario = has_limits ? "server" : "offline",
                     .output_tok_per_s = rate,
                     .submitter = "s",
                     .source = "a page",
                     .date = "2026",
                     .read_on = "2026-11-20"};
    if (has_limits) quoted.slo = Slo{"", 500, 50, 99};
    return quoted;
  };
  return {row("old-offline", "a1", 500, false), row("old-server", "a1", 400, true),
          row("new-offline", "a2", 420, false), row("new-server", "a2", 320, true)};
}

/// A run of bundle "m" on backend "cpu" with two vCPUs. It has an offline cell of about 100 tokens/s and a server:slo-max
/// cell of about 60 tokens/s, each with `repetitions` repetitions; the time to first token is `ttft_ms`.
inline BriefRun hand_made_run(int repetitions = 5, double ttft_ms = 100) {
  BriefRun run{.shown_as = "runs/one"};
  RunRecord& record = run.stored.record;
  record.run_id = "0123456789abcdef";
  record.started_utc = "2026-11-20T08:00:00Z";
  record.command = {"secondsource", "run", "m"};
  record.suite = "smoke";
  record.bundles = {{"m", "bundles/m", std::string(64, 'a'), true}};
  record.host = {{"cpu_model", "Test CPU", ""}, {"governor", std::nullopt, "not available"}};
  BackendRecord backend;
  backend.name = "cpu";
  backend.device.backend = "cpu";
  backend.device.name = "Test CPU (AVX-512)";
  backend.device.memory_bytes = 10'000;
  backend.n_units_used = 2;
  record.backends.push_back(backend);
  Scenario offline;
  offline.kind = ScenarioKind::kOffline;
  offline.batch = 4;
  Scenario server;
  server.kind = ScenarioKind::kServer;
  server.seeks_slo_rate = true;
  std::vector<JournalLine>& lines = run.stored.journal.lines;
  GoldenRecord golden;
  golden.bundle = "m";
  golden.backend = "cpu";
  golden.variant = "bf16";
  golden.verdict = GoldenVerdict::kPassed;
  lines.emplace_back(golden);
  const std::int64_t offline_tokens[] = {100, 104, 96, 102, 98};
  const std::int64_t server_tokens[] = {60, 63, 57, 61, 59};
  for (const auto& [scenario, tokens] : {std::pair{&offline, offline_tokens}, {&server, server_tokens}}) {
    const PlannedCell cell{{"m", "cpu", "bf16", scenario->name()}, *scenario, repetitions};
    record.cells.push_back(cell);
    for (int r = 0; r < repetitions; ++r) {
      for (int i = 0; i < 20; ++i) {
        RequestSample sample;
        sample.cell = cell.key.id();
        sample.repetition = r;
        sample.request = i;
        sample.n_prompt_tokens = 100;
        sample.n_output_tokens = 100;
        sample.first_token_ns = static_cast<std::int64_t>(ttft_ms * 1e6);
        sample.last_token_ns = *sample.first_token_ns + 99 * 10'000'000LL;  // 10 ms per token
        sample.finish = RequestFinish::kLength;
        lines.emplace_back(sample);
      }
      Repetition repetition;
      repetition.cell = cell.key.id();
      repetition.repetition = r;
      repetition.window_end_ns = 1'000'000'000;
      repetition.window_output_tokens = tokens[r % 5];
      repetition.memory.peak_bytes = 2500;
      repetition.telemetry = {{"host_power_w", 50.0, ""}};
      lines.emplace_back(repetition);
    }
  }
  run.summary = summarize(record, run.stored.journal);
  return run;
}

inline BriefInputs hand_made_inputs(const std::string& demand = kDemand) {
  BriefInputs inputs;
  auto parsed = parse_demand(demand, "demand.yaml");
  REQUIRE_OK(parsed);
  inputs.demand = std::move(parsed).value();
  inputs.runs = {hand_made_run()};
  inputs.quoted = hand_made_quotes();
  inputs.prices = hand_made_prices();
  inputs.date = "2026-11-20";
  inputs.command = "secondsource brief runs/one --demand demand.yaml";
  return inputs;
}

}  // namespace secondsource::test

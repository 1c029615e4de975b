// make_runs KIND FOLDER [N]: writes run directories with made-up measurements, for tests of the programs that read
// runs.
//   varied   every kind of cell: proven, unverified, wrong, invalid, failed, partial, in several scenarios
//   hostile  the same with names that try to inject code into pages, terminals, XML and Markdown
//   tokens N one run of N token timestamps, 32 per request
//   nights N N small runs, one per night, with a loss of 12 % after two thirds of them: FOLDER/0000, FOLDER/0001, ...

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include "core/check.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/random.h"
#include "core/seal.h"
#include "record/record_json.h"

namespace secondsource {
namespace {

struct Speed {
  double ttft_ms;
  double itl_ms;
};

/// A run with synthetic measurements, and the random numbers by which its times vary.
struct Synthetic {
  RunRecord record{};
  std::string journal{};
  RandomStream random{20261120};

  double varied(double mean, double sigma) {
    const double z = std::sqrt(-2 * std::log(1 - random.next_unit())) * std::cos(6.283185307 * random.next_unit());
    return mean * std::exp(sigma * z);
  }
  void add(const JournalLine& line) { journal += sealed(to_json_line(line)) + "\n"; }
};

BackendRecord backend(const std::string& name, const std::string& device) {
  BackendRecord record;
  record.name = name;
  record.module_sha256 = std::string(64, 'b');
  record.device.backend = name;
  record.device.id = "0";
  record.device.name = device;
  record.device.properties = {{"threads", "2"}};
  return record;
}

RunRecord record_of(std::string run_id, std::string started_utc) {
  RunRecord record;
  record.run_id = std::move(run_id);
  record.started_utc = std::move(started_utc);
  record.command = {"secondsource", "run", "bundles/alpha", "--price", "1.2"};
  record.seed = 7;
  record.program_version = "0.1.0";
  record.commit = "0123456789ab";
  record.compiler = "g++ 12.2.0";
  record.build_type = "RelWithDebInfo";
  record.host = {{"cpu_model", "Test CPU", ""},
                 {"logical_cpus", "2", ""},
                 {"kernel", "6.1", ""},
                 {"governor", std::nullopt, "not available: no cpufreq"}};
  record.price = Price{.usd_per_hour = 1.2, .n_units = 1, .n_units_used = 1, .source = "test", .date = "2026-11-20"};
  record.limits = MachineLimits{.n_threads = 2,
                                .instruction_set = "avx2",
                                .reads = {{1 << 20, 120e9}, {1 << 29, 24e9}},
                                .f32_flops = 180e9,
                                .bf16_flops = 640e9,
                                .int8_ops = std::nullopt,
                                .int4_ops = std::nullopt,
                                .unmeasured = ""};
  record.suite = "smoke";
  return record;
}

/// Adds one repetition of `cell`: closed loop with `batch`, or open loop at `rate_per_s`.
void add_repetition(Synthetic& run, const PlannedCell& cell, std::int32_t index, Speed speed) {
  const Scenario& scenario = cell.scenario;
  const double in_flight = scenario.kind == ScenarioKind::kServer ? 2 : scenario.batch;
  const auto ns = [](double ms) { return static_cast<std::int64_t>(ms * 1e6); };
  std::int64_t end_ns = 0;
  std::vector<std::int64_t> free_at(static_cast<std::size_t>(in_flight), 0);
  std::int64_t arrival_ns = 0;
  for (std::int32_t i = 0; i < scenario.n_requests; ++i) {
    RequestSample sample;
    sample.cell = cell.key.id();
    sample.repetition = index;
    sample.request = i;
    sample.prompt = fmt::format("prompt-{}", i);
    sample.n_prompt_tokens = 64;
    sample.n_output_tokens = scenario.n_output_tokens;
    sample.engine_tokens = scenario.n_output_tokens;
    std::int64_t& slot = free_at[static_cast<std::size_t>(i) % free_at.size()];
    if (scenario.kind == ScenarioKind::kServer) {
      arrival_ns += ns(-std::log(1 - run.random.next_unit()) * 1000 / scenario.rate_per_s);
      sample.scheduled_ns = sample.sent_ns = arrival_ns;
      sample.parts.queue_ns = std::max<std::int64_t>(0, slot - arrival_ns);
    } else {
      sample.scheduled_ns = sample.sent_ns = slot;
      sample.parts.queue_ns = 1000;
    }
    std::int64_t at =
        sample.sent_ns + *sample.parts.queue_ns + ns(run.varied(speed.ttft_ms * std::sqrt(in_flight), 0.25));
    sample.first_token_ns = at;
    sample.first_visible_ns = at + 2000;
    for (std::int32_t t = 1; t < scenario.n_output_tokens; ++t) {
      const std::int64_t gap = ns(run.varied(speed.itl_ms * std::pow(in_flight, 0.4), 0.12));
      sample.itl_ns.push_back(gap);
      at += gap;
    }
    sample.last_token_ns = at;
    sample.verified_tokens = scenario.n_output_tokens;
    sample.finish = RequestFinish::kLength;
    slot = at;
    end_ns = std::max(end_ns, at);
    run.add(sample);
  }
  Repetition repetition;
  repetition.cell = cell.key.id();
  repetition.repetition = index;
  repetition.window_end_ns = end_ns;
  repetition.window_output_tokens = std::int64_t{scenario.n_requests} * scenario.n_output_tokens;
  repetition.decode = {
      .n_steps = 100, .tokens = 100, .ns = 40'000'000, .flops = 12e9, .weight_bytes = 8e8, .kv_bytes = 4e7};
  repetition.prefill = {
      .n_steps = 4, .tokens = 256, .ns = 60'000'000, .flops = 3e10, .weight_bytes = 3e7, .kv_bytes = 1e6};
  repetition.memory = {.weights_bytes = 8 << 20,
                       .kv_bytes = 3 << 20,
                       .workspace_bytes = 1 << 20,
                       .runtime_bytes = 1 << 18,
                       .peak_bytes = 14 << 20};
  repetition.host_memory.peak_rss_bytes = 40 << 20;
  repetition.others_cpu_share = 0.01;
  run.add(repetition);
}

void add_cell(Synthetic& run, const CellKey& key, const Scenario& scenario, std::int32_t repetitions, Speed speed,
              std::int32_t n_done) {
  PlannedCell cell{key, scenario, repetitions};
  cell.key.scenario = scenario.name();
  run.record.cells.push_back(cell);
  for (std::int32_t index = 0; index < n_done; ++index) add_repetition(run, cell, index, speed);
}

void add_golden(Synthetic& run, const CellKey& key, GoldenVerdict verdict) {
  GoldenRecord golden;
  golden.bundle = key.bundle;
  golden.backend = key.backend;
  golden.variant = key.variant;
  golden.suite = "smoke";
  golden.verdict = verdict;
  golden.n_prompts = 18;
  golden.n_positions = 147;
  golden.n_near_tie = 1;
  golden.n_wrong = verdict == GoldenVerdict::kFailed ? 9 : 0;
  golden.n_match = 146 - golden.n_wrong;
  run.add(golden);
}

Synthetic varied_run() {
  Synthetic run;
  run.record = record_of("feedc0de00000001", "2026-11-20T08:00:00Z");
  run.record.bundles = {{"alpha", "bundles/alpha", std::string(64, 'a'), true}};
  run.record.backends = {backend("cpu", "Test CPU (AVX2)"), backend("onednn", "Test CPU, oneDNN"),
                         backend("reference", "Test CPU, plain loops")};
  const Scenario scenarios[] = {
      {.kind = ScenarioKind::kSingleStream, .n_requests = 30, .n_output_tokens = 16},
      {.kind = ScenarioKind::kOffline, .batch = 4, .n_requests = 16, .n_output_tokens = 16},
      {.kind = ScenarioKind::kOffline, .batch = 16, .n_requests = 64, .n_output_tokens = 16},
      {.kind = ScenarioKind::kServer, .rate_per_s = 20, .n_requests = 80, .n_output_tokens = 16}};
  const std::pair<const char*, Speed> speeds[] = {{"cpu", {6, 0.9}}, {"onednn", {8, 1.4}}, {"reference", {90, 11}}};
  for (const auto& [name, speed] : speeds) {
    for (const char* variant : {"bf16", "int8"}) {
      const CellKey key{"alpha", name, variant, ""};
      const bool is_wrong = key.backend == "onednn" && key.variant == "int8";
      add_golden(run, key,
                 is_wrong                     ? GoldenVerdict::kFailed
                 : key.backend == "reference" ? GoldenVerdict::kUnverified
                                              : GoldenVerdict::kPassed);
      for (const Scenario& scenario : scenarios) {
        const bool is_partial = key.backend == "reference" && scenario.batch == 16;
        add_cell(run, key, scenario, 5, speed, is_partial ? 2 : 5);
      }
    }
  }
  // One cell that is INVALID by its own checks, and one whose backend crashed.
  PlannedCell refused{{"alpha", "cpu", "int8", "offline-b64"},
                      {.kind = ScenarioKind::kOffline, .batch = 64, .n_requests = 64, .n_output_tokens = 16},
                      1};
  run.record.cells.push_back(refused);
  Repetition repetition;
  repetition.cell = refused.key.id();
  repetition.window_end_ns = 1'000'000;
  repetition.window_output_tokens = 1'000'000;
  repetition.checks = {{"roofline", CheckOutcome::kInvalid, "decode read 3.1 times what memory gives at best"}};
  run.add(repetition);
  run.record.backends.push_back(backend("crashing", "Test CPU"));
  add_cell(run, {"alpha", "crashing", "bf16", ""}, scenarios[0], 5, {1, 1}, 0);
  run.add(FailureRecord{"crashing", "", FailureKind::kCrash, "signal 11 (Segmentation fault)"});
  return run;
}

Synthetic hostile_run() {
  const std::string names[] = {"<script>window.hacked=1</script>",
                               "\"'><img src=x onerror=window.hacked=1>",
                               "a\x1b[31mred\x07\x01",
                               "evil\xe2\x80\xaetxt.exe",
                               "](http://example.invalid/x) ![p](http://example.invalid/p.png) @everyone |x|",
                               "</title></svg></style><style>*{display:none}</style>",
                               std::string(100'000, 'x'),
                               "--><svg/onload=window.hacked=1>"};
  Synthetic run;
  run.record = record_of("feedc0de00000002", "2026-11-20T08:00:00Z");
  run.record.command = {"secondsource", "run", names[0], names[2]};
  run.record.host.push_back({"cpu_model", names[1], ""});
  run.record.suite = names[5];
  run.record.price->source = names[4];
  run.record.bundles = {{names[0], names[3], std::string(64, 'a'), false}};
  for (const std::string& name : names) {
    run.record.backends.push_back(backend(name, names[1]));
    const CellKey key{names[0], name, "bf16", ""};
    add_golden(run, key, GoldenVerdict::kPassed);
    add_cell(run, key, {.kind = ScenarioKind::kSingleStream, .n_requests = 8, .n_output_tokens = 4}, 2, {5, 1}, 2);
    run.add(FailureRecord{name, "", FailureKind::kError, names[4] + names[0] + names[6]});
  }
  return run;
}

Synthetic token_run(std::int64_t n_tokens) {
  constexpr std::int32_t kTokens = 32;
  constexpr std::int32_t kRepetitions = 5;
  Synthetic run;
  run.record = record_of("feedc0de00000003", "2026-11-20T08:00:00Z");
  run.record.bundles = {{"alpha", "bundles/alpha", std::string(64, 'a'), true}};
  run.record.backends = {backend("cpu", "Test CPU")};
  const CellKey key{"alpha", "cpu", "bf16", ""};
  add_golden(run, key, GoldenVerdict::kPassed);
  const auto n_requests = static_cast<std::int32_t>(n_tokens / kTokens / kRepetitions);
  add_cell(run, key,
           {.kind = ScenarioKind::kOffline, .batch = 64, .n_requests = n_requests, .n_output_tokens = kTokens},
           kRepetitions, {5, 1}, kRepetitions);
  return run;
}

Synthetic night_run(int night, int n_nights) {
  constexpr std::int64_t kFirstNight = 1'700'000'000;
  Synthetic run;
  run.random = RandomStream(static_cast<std::uint64_t>(night));
  run.record = record_of(fmt::format("{:016x}", 0xabc00000 + night), utc_timestamp(kFirstNight + 86'400LL * night));
  run.record.commit = fmt::format("{:012x}", night);
  run.record.bundles = {{"alpha", "bundles/alpha", std::string(64, 'a'), true}};
  run.record.backends = {backend("cpu", "Test CPU")};
  const CellKey key{"alpha", "cpu", "bf16", ""};
  add_golden(run, key, GoldenVerdict::kPassed);
  const double slowdown = (3 * night >= 2 * n_nights ? 1.12 : 1.0) * run.varied(1, 0.015);
  const Speed speed{6 * slowdown, 0.9 * slowdown};
  add_cell(run, key, {.kind = ScenarioKind::kSingleStream, .n_requests = 1, .n_output_tokens = 4}, 5, speed, 5);
  add_cell(run, key, {.kind = ScenarioKind::kOffline, .batch = 2, .n_requests = 2, .n_output_tokens = 4}, 5, speed, 5);
  return run;
}

void write(const std::filesystem::path& folder, const Synthetic& run) {
  std::filesystem::create_directories(folder);
  SS_CHECK(write_record(folder / "run.json", run.record).has_value(), "cannot write");
  SS_CHECK(write_file(folder / "samples.jsonl", run.journal).has_value(), "cannot write");
}

}  // namespace
}  // namespace secondsource

int main(int argc, char** argv) {
  using namespace secondsource;
  const std::string kind = argc > 1 ? argv[1] : "";
  if (argc < 3) {
    std::fputs("usage: make_runs varied|hostile|tokens|nights FOLDER [N]\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[2];
  const long long n = argc > 3 ? std::stoll(argv[3]) : 100;
  if (kind == "varied") write(folder, varied_run());
  if (kind == "hostile") write(folder, hostile_run());
  if (kind == "tokens") write(folder, token_run(n));
  if (kind == "nights") {
    for (int night = 0; night < n; ++night) {
      write(folder / fmt::format("{:04}", night), night_run(night, static_cast<int>(n)));
    }
  }
  return 0;
}

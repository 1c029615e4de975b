// Tests which limits a repetition is compared with: the host's for a backend on the host, its own device's for any other backend.

#include "runner/run_checks.h"

#include <algorithm>

#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// A device with small limits: it reads 1 GB/s from memory, 10 GB/s from its cache, and does 100 GFLOP/s in BF16.
DeviceRates small_device() {
  return {.n_processors = 4,
          .loops = "small",
          .reads = {{1 << 20, 1e10}, {1 << 30, 1e9}},
          .f32_flops = 1e10,
          .bf16_flops = 1e11,
          .int8_ops = 2e11};
}

/// A run of one backend on the host, "cpu", and one on a device of its own, "onednn" of the hand-made record. The host was
/// measured to be a thousand times as fast as the device.
RunRecord record_with_device() {
  RunRecord record = hand_made_record(1);
  record.backends[0].device.is_host = true;
  record.backends[1].device.is_host = false;
  MachineLimits fast;
  fast.n_threads = 2;
  fast.reads = {{1 << 20, 1e13}, {1 << 30, 1e12}};
  fast.f32_flops = 1e14;
  record.limits = record.second_limits = fast;
  return record;
}

/// A repetition of "onednn" whose decode steps read `bytes` each, in a second.
Repetition decoding(double bytes) {
  Repetition repetition;
  repetition.cell = cell_key("onednn").id();
  repetition.decode = {.n_steps = 1, .tokens = 1, .ns = 1'000'000'000, .flops = 2 * bytes, .weight_bytes = bytes};
  return repetition;
}

const CheckRecord& check_named(const Repetition& repetition, const std::string& name) {
  const auto found = std::ranges::find(repetition.checks, name, &CheckRecord::name);
  REQUIRE(found != repetition.checks.end());
  return *found;
}

/// A run in its own folder, and a device that reports `rates` times `factor`.
struct DeviceRun {
  ScratchFolder folder;
  RunDirectory directory = std::move(RunDirectory::create(folder.path() / "run", record_with_device())).value();
  InterruptFlag interrupt;
  RunChecks checks{directory, RunSettings(), {}, interrupt};
  double factor = 1;
  std::vector<RateEffort> asked;
  AskRates ask = [this](RateEffort effort) -> Result<std::optional<DeviceRates>> {
    asked.push_back(effort);
    DeviceRates rates = small_device();
    if (effort == RateEffort::kMoment) {
      rates.reads.erase(rates.reads.begin());
      rates.bf16_flops = rates.int8_ops = std::nullopt;
    }
    // Every measurement gives slightly different rates.
    const double this_time = factor * (1 - 1e-3 * static_cast<double>(asked.size()));
    for (DeviceReadRate& read : rates.reads) read.bytes_per_s *= this_time;
    rates.f32_flops *= this_time;
    return std::optional(std::move(rates));
  };
  [[nodiscard]] const BackendRecord& backend() const { return directory.record().backends[1]; }
};

}  // namespace

TEST_CASE("a device is held against what it measured of itself, and not against the host") {
  DeviceRun run;
  REQUIRE_OK(run.checks.look_at_device(run.backend(), run.ask));
  CHECK(run.asked == std::vector{RateEffort::kAll, RateEffort::kAll});
  REQUIRE(run.backend().limits);
  CHECK(run.backend().limits->instruction_set == "small");
  CHECK(run.backend().limits->reads.back().bytes_per_s == 1e9 * 0.999);
  CHECK(run.backend().second_limits->reads.back().bytes_per_s == 1e9 * 0.998);
  // The host's limits are unchanged.
  CHECK(run.directory.record().limits->reads.back().bytes_per_s == 1e12);

  Repetition possible = decoding(0.9 * 1073741824.0);
  REQUIRE_OK(run.checks.add_to(possible, 1, run.ask));
  CHECK(check_named(possible, "roofline").outcome == CheckOutcome::kPassed);
  CHECK(check_named(possible, "machine").outcome == CheckOutcome::kPassed);
  CHECK(run.asked.back() == RateEffort::kMoment);

  // Twice what the device can reach, and a five-hundredth of what the host can reach.
  Repetition impossible = decoding(2.0 * 1073741824.0);
  REQUIRE_OK(run.checks.add_to(impossible, 1, run.ask));
  CHECK(check_named(impossible, "roofline").outcome == CheckOutcome::kInvalid);
  CHECK(run.asked.back() == RateEffort::kAll);  // the limit was measured again first
  const auto reading = std::ranges::find(impossible.telemetry, kMachineReadReading, &TelemetryReading::name);
  REQUIRE(reading != impossible.telemetry.end());
  CHECK(*reading->value < 1e9);
}

TEST_CASE("a device that became slow beside a repetition makes it suspect") {
  DeviceRun run;
  REQUIRE_OK(run.checks.look_at_device(run.backend(), run.ask));
  run.factor = 0.5;
  Repetition repetition = decoding(0.4 * 1073741824.0);
  repetition.decode.weight_bytes = 0.6 * 1073741824.0;
  REQUIRE_OK(run.checks.add_to(repetition, 1, run.ask));
  CHECK(check_named(repetition, "machine").outcome == CheckOutcome::kSuspect);
}

TEST_CASE("a device that does not measure itself has no limits, whatever the host has") {
  DeviceRun run;
  const AskRates silent = [](RateEffort) -> Result<std::optional<DeviceRates>> { return std::optional<DeviceRates>(); };
  REQUIRE_OK(run.checks.look_at_device(run.backend(), silent));
  CHECK_FALSE(run.backend().limits);
  for (const AskRates& ask : {silent, AskRates()}) {
    Repetition repetition = decoding(1e15);
    REQUIRE_OK(run.checks.add_to(repetition, 1, ask));
    CHECK(check_named(repetition, "roofline").outcome == CheckOutcome::kNotAvailable);
    CHECK(std::ranges::find(repetition.checks, "machine", &CheckRecord::name) == repetition.checks.end());
  }
}

TEST_CASE("the shares and the bottleneck of a device's cells are of its own limits") {
  RunRecord record = record_with_device();
  MachineLimits small;
  small.n_threads = 4;
  small.reads = {{1 << 30, 1e9}};
  small.f32_flops = 1e10;
  record.backends[1].limits = record.backends[1].second_limits = small;
  Repetition repetition = decoding(0.8e9);
  repetition.window_end_ns = 1'000'000'000;
  Journal journal;
  journal.lines.emplace_back(repetition);
  const RunSummary summary = summarize(record, journal);
  const auto cell = std::ranges::find(summary.cells, "onednn", [](const CellSummary& one) { return one.key.backend; });
  REQUIRE(cell != summary.cells.end());
  REQUIRE(cell->read_fraction);
  CHECK(*cell->read_fraction == Approx(0.8));
  REQUIRE(cell->decode_of_limit);
  CHECK(cell->decode_of_limit->limit == LimitKind::kRead);
  CHECK(cell->bound == Bottleneck::kBandwidth);
  // Without limits of its own device a cell has no shares, although the host has limits.
  record.backends[1].limits = std::nullopt;
  const RunSummary without = summarize(record, journal);
  const auto same = std::ranges::find(without.cells, "onednn", [](const CellSummary& one) { return one.key.backend; });
  CHECK_FALSE(same->read_fraction);
  CHECK(same->bound == Bottleneck::kUnknown);
}

#include "host/telemetry.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "core/clock.h"

namespace secondsource {
namespace {

constexpr std::string_view kMostSuffix = "_max";
constexpr std::string_view kCountSuffix = "_count";

}  // namespace

std::vector<TelemetryReading> summarize_telemetry(const std::vector<TelemetrySnapshot>& snapshots) {
  struct Sum {
    TelemetryReading reading;
    std::int64_t n = 0;
  };
  std::vector<Sum> sums;
  for (const TelemetrySnapshot& snapshot : snapshots) {
    for (const TelemetryReading& reading : snapshot.readings) {
      auto found =
          std::find_if(sums.begin(), sums.end(), [&](const Sum& sum) { return sum.reading.name == reading.name; });
      if (found == sums.end()) {
        sums.push_back({{reading.name, std::nullopt, reading.why_not}, 0});
        found = std::prev(sums.end());
      }
      if (!reading.value) continue;
      const bool keeps_largest = reading.name.ends_with(kMostSuffix);
      const double so_far = found->reading.value.value_or(keeps_largest ? *reading.value : 0.0);
      found->reading.value = keeps_largest ? std::max(so_far, *reading.value) : so_far + *reading.value;
      ++found->n;
    }
  }
  std::vector<TelemetryReading> summary;
  for (Sum& sum : sums) {
    if (sum.reading.value) {
      sum.reading.why_not.clear();
      const bool is_mean = !sum.reading.name.ends_with(kMostSuffix) && !sum.reading.name.ends_with(kCountSuffix);
      if (is_mean) sum.reading.value = *sum.reading.value / static_cast<double>(sum.n);
    }
    summary.push_back(std::move(sum.reading));
  }
  return summary;
}

TelemetrySampler::TelemetrySampler(std::vector<TelemetrySource*> sources, std::int64_t period_ns,
                                   std::function<void(const TelemetrySnapshot&)> on_snapshot)
    : sources_(std::move(sources)), period_ns_(period_ns), on_snapshot_(std::move(on_snapshot)) {
  thread_ = std::thread([this] { run(); });
}

TelemetrySampler::~TelemetrySampler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

std::vector<TelemetrySnapshot> TelemetrySampler::take() {
  const std::lock_guard lock(mutex_);
  for (TelemetrySource* source : sources_) source->refresh();
  snapshots_.push_back(read_sources());
  if (on_snapshot_) on_snapshot_(snapshots_.back());
  return std::exchange(snapshots_, {});
}

std::vector<TelemetryReading> TelemetrySampler::summary_of(const std::vector<TelemetrySnapshot>& snapshots) const {
  std::vector<TelemetryReading> summary = summarize_telemetry(snapshots);
  for (const TelemetrySource* source : sources_) source->derive(summary);
  return summary;
}

TelemetrySnapshot TelemetrySampler::read_sources() {
  TelemetrySnapshot snapshot;
  snapshot.at_ns = now_ns();
  for (TelemetrySource* source : sources_) {
    std::vector<TelemetryReading> readings = source->read();
    std::move(readings.begin(), readings.end(), std::back_inserter(snapshot.readings));
  }
  return snapshot;
}

void TelemetrySampler::run() {
  std::unique_lock lock(mutex_);
  do {
    snapshots_.push_back(read_sources());
    if (on_snapshot_) on_snapshot_(snapshots_.back());
  } while (!stop_changed_.wait_for(lock, std::chrono::nanoseconds(period_ns_), [this] { return stop_; }));
}

}  // namespace secondsource

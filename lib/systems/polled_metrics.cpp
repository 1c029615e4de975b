#include "systems/polled_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/clock.h"
#include "core/utf8.h"
#include "serving/prometheus_text.h"

namespace secondsource {
namespace {

constexpr std::int64_t kLongestRefreshNs = 200'000'000;
constexpr std::int64_t kPollSliceNs = 20'000'000;
// Between two requests the page is left alone for this many times the duration of the last answer, so that the polling
// costs the server at most 5 %.
constexpr std::int64_t kRestPerAnswer = 20;
// More snapshots than this are not kept; so many accumulate only if nobody reads them any more.
constexpr std::size_t kMostAnswers = 1'000;

const TelemetryReading* found(const std::vector<TelemetryReading>& readings, std::string_view name) {
  const auto reading = std::ranges::find(readings, name, &TelemetryReading::name);
  return reading != readings.end() && reading->value ? &*reading : nullptr;
}

}  // namespace

PolledMetrics::PolledMetrics(PolledPage page, HttpClient client)
    : page_(std::move(page)), client_(std::move(client)), translator_(page_.known) {}

std::unique_ptr<PolledMetrics> PolledMetrics::start(PolledPage page, HttpClient client) {
  std::unique_ptr<PolledMetrics> metrics(new PolledMetrics(std::move(page), std::move(client)));
  metrics->thread_ = std::thread([polled = metrics.get()] { polled->run(); });
  return metrics;
}

PolledMetrics::~PolledMetrics() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::vector<TelemetryReading> PolledMetrics::read() {
  std::vector<TelemetrySnapshot> answers;
  {
    const std::lock_guard lock(mutex_);
    answers = std::exchange(answers_, {});
  }
  return summarize_telemetry(answers);
}

void PolledMetrics::refresh() {
  std::unique_lock lock(mutex_);
  const std::uint64_t mine = ++n_wanted_;
  changed_.notify_all();
  const bool is_fresh =
      changed_.wait_for(lock, std::chrono::nanoseconds(kLongestRefreshNs), [&] { return n_done_ >= mine; });
  if (is_fresh) return;
  answers_.push_back({now_ns(), {{page_.name + "_late_count", 1.0, ""}}});
}

void PolledMetrics::derive(std::vector<TelemetryReading>& summary) const {
  for (const MetricRatio& ratio : metric_ratios()) {
    const bool is_mine =
        std::ranges::any_of(page_.known, [&](const KnownMetric& known) { return known.reading == ratio.part; });
    const TelemetryReading* const part = found(summary, ratio.part);
    const TelemetryReading* const whole = found(summary, ratio.whole);
    if (!is_mine || part == nullptr || whole == nullptr || !(*whole->value > 0)) continue;
    const double share = *part->value / *whole->value;
    summary.push_back({std::string(ratio.reading), share, ""});
  }
}

void PolledMetrics::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const std::uint64_t n_wanted = n_wanted_;
    lock.unlock();
    const std::int64_t began_ns = now_ns();
    TelemetrySnapshot answer = ask();
    const std::int64_t rest_ns = std::max(page_.period_ns, kRestPerAnswer * (now_ns() - began_ns));
    lock.lock();
    if (answers_.size() < kMostAnswers) answers_.push_back(std::move(answer));
    n_done_ = n_wanted;
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::nanoseconds(rest_ns), [&] { return stop_ || n_wanted_ > n_done_; });
  }
}

TelemetrySnapshot PolledMetrics::ask() {
  const std::int64_t began_ns = now_ns();
  const std::int64_t cpu_ns = thread_cpu_ns();
  const Result<std::string> page = fetch();
  TelemetrySnapshot snapshot;
  snapshot.at_ns = now_ns();
  std::string why_not;
  if (page) {
    const auto samples =
        parse_prometheus_text(*page, [this](std::string_view name) { return translator_.is_wanted(name); });
    if (samples) {
      for (MetricReading& reading : translator_.translate(*samples)) {
        snapshot.readings.push_back({std::move(reading.name), reading.value, ""});
      }
      if (samples->empty()) why_not = "none of its metrics is known";
    } else {
      why_not = samples.error().message;
    }
  } else {
    why_not = page.error().message;
  }
  if (!why_not.empty()) {
    snapshot.readings.push_back(
        {page_.name, std::nullopt, fmt::format("not available: {}: {}", page_.url, client_.key().cut_from(why_not))});
  }
  snapshot.readings.push_back({page_.name + "_failed_count", why_not.empty() ? 0.0 : 1.0, ""});
  const auto as_double = [](std::int64_t ns) { return static_cast<double>(ns); };
  snapshot.readings.push_back({page_.name + "_answer_ns", as_double(snapshot.at_ns - began_ns), ""});
  snapshot.readings.push_back({page_.name + "_client_ns", as_double(thread_cpu_ns() - cpu_ns), ""});
  return snapshot;
}

Result<std::string> PolledMetrics::fetch() {
  constexpr std::int64_t kId = 1;
  std::string body;
  HttpCall call{
      .url = page_.url, .accept = kMetricsAccept, .timeout_ns = page_.timeout_ns, .max_body_bytes = kMostMetricsBytes};
  call.on_body = [&body](const HttpHead&, std::string_view bytes, std::int64_t) {
    body += bytes;
    return true;
  };
  SS_TRY_VOID(client_.start(kId, std::move(call)));
  std::vector<HttpEnd> ends;
  while (ends.empty()) {
    if (const Result<void> polled = client_.poll(now_ns() + kPollSliceNs, ends); !polled) {
      client_.cancel(kId);
      return polled.error();
    }
    const std::lock_guard lock(mutex_);
    if (!stop_ || !ends.empty()) continue;
    client_.cancel(kId);
    return Error{ErrorCode::kInterrupted, "the measurement is over"};
  }
  if (!ends.front().error.empty()) return Error{ErrorCode::kUnavailable, ends.front().error};
  if (ends.front().status == 200) return body;
  return Error{ErrorCode::kUnavailable, refusal_of(ends.front(), body, "text/plain", client_.key())};
}

}  // namespace secondsource

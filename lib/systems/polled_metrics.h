#pragma once
// A page of metrics as a source of telemetry: those of a server, or of an exporter for its devices. The page is
// requested on a thread of its own, so that a slow or silent server delays nothing. Each reading is the state when the
// page was last read; the cost of requesting it is among the readings.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/result.h"
#include "host/telemetry.h"
#include "serving/http_client.h"
#include "serving/server_metrics.h"

namespace secondsource {

struct PolledPage {
  std::string url;
  std::span<const KnownMetric> known;
  std::string name;                         ///< prefix of the readings about the polling itself: "server_metrics"
  std::int64_t period_ns = 500'000'000;     ///< the shortest period; a page that takes long is requested less often
  std::int64_t timeout_ns = 2'000'000'000;  ///< of one answer
};

class PolledMetrics final : public TelemetrySource {
 public:
  /// Starts the thread. `page.known` must outlive this object.
  static std::unique_ptr<PolledMetrics> start(PolledPage page, HttpClient client);
  ~PolledMetrics() override;

  /// The readings of the answers since the last call; none if there was no answer. NAME_answer_ns is the duration of an
  /// answer, NAME_client_ns the CPU time that this program spent on one, NAME_failed_count the number of answers
  /// without a value.
  std::vector<TelemetryReading> read() override;
  void refresh() override;
  void derive(std::vector<TelemetryReading>& summary) const override;

 private:
  PolledMetrics(PolledPage page, HttpClient client);
  void run();
  TelemetrySnapshot ask();
  Result<std::string> fetch();

  const PolledPage page_;
  HttpClient client_;            ///< used by the thread only
  MetricTranslator translator_;  ///< used by the thread only
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::uint64_t n_wanted_ = 0;  ///< how often refresh() was called
  std::uint64_t n_done_ = 0;    ///< how many of those calls an answer has followed
  std::vector<TelemetrySnapshot> answers_;
  std::thread thread_;  ///< the last member, because it uses all others
};

}  // namespace secondsource

#include "systems/loaded_served.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/clock.h"
#include "core/interrupt.h"
#include "core/open_files.h"
#include "host/process_tree.h"
#include "measure/arrival_trace.h"
#include "serving/model_names.h"
#include "serving/preset.h"
#include "serving/server_metrics.h"
#include "serving/server_url.h"
#include "systems/foreign_golden.h"
#include "systems/loaded_prompts.h"
#include "systems/local_devices.h"
#include "systems/polled_metrics.h"
#include "systems/served_endpoint.h"
#include "systems/served_tokens.h"

namespace secondsource {
namespace {

/// The average time to open a connection. It is reported separately, because the times of requests exclude it.
class ConnectionTelemetry final : public TelemetrySource {
 public:
  explicit ConnectionTelemetry(const ConnectionTotals& totals) : totals_(totals) {}

  std::vector<TelemetryReading> read() override {
    const std::int64_t n = totals_.n_opened;
    const auto mean = [n](const char* name, std::int64_t sum_ns) {
      TelemetryReading reading;
      reading.name = name;
      if (n > 0) reading.value = static_cast<double>(sum_ns) / static_cast<double>(n);
      if (n == 0) reading.why_not = "no connection was opened";
      return reading;
    };
    TelemetryReading opened;
    opened.name = "connections_opened";
    opened.value = static_cast<double>(n);
    return {opened, mean("connection_dns_ns", totals_.dns_ns), mean("connection_tcp_ns", totals_.tcp_ns),
            mean("connection_tls_ns", totals_.tls_ns)};
  }

 private:
  const ConnectionTotals& totals_;
};

class LoadedServed final : public LoadedSystem {
 public:
  static Result<std::unique_ptr<LoadedSystem>> load(const SystemJob& job, Progress& progress) {
    const InterruptFlag never;
    SS_CHECK(job.served, "the job of a served system says which");
    SS_TRY(ApiKey key, ApiKey::read(job.served->key));
    SS_TRY(HttpClient client, HttpClient::create({.key = std::move(key), .version = job.served->system.http}));
    SS_TRY(Bundle bundle, Bundle::open(job.bundle, progress, never));
    auto loaded = std::unique_ptr<LoadedServed>(new LoadedServed(job, std::move(bundle)));
    SS_TRY_VOID(loaded->open(std::move(client)));
    return std::unique_ptr<LoadedSystem>(std::move(loaded));
  }

  SystemUnderTest& system() override { return *endpoint_; }
  std::vector<TelemetrySource*> telemetry() override {
    std::vector<TelemetrySource*> sources = {&*telemetry_};
    for (const auto& polled : {server_metrics_.get(), device_metrics_.get()}) {
      if (polled != nullptr) sources.push_back(polled);
    }
    if (local_devices_) sources.push_back(local_devices_.get());
    if (processes_) sources.push_back(&*processes_);
    return sources;
  }

  Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>& answers, Progress& progress) override {
    ServedTokens tokens(*endpoint_, prompts_->golden.tokenizer, progress);
    return verify_foreign_tokens(job_, prompts_->golden, answers, bundle_.config().eos_ids, tokens, progress);
  }

  Result<OracleAnswers> oracle_answers(Progress&) override {
    return Error{ErrorCode::kUnsupported, "a server is no oracle"};
  }

  Result<PreparedWork> prepare(const Scenario& scenario, const LoadSeed& seed) override {
    SS_TRY(const std::optional<ArrivalTrace> trace, trace_of(scenario));
    PreparedWork work{prompts_->workload.items(scenario, seed, trace ? &*trace : nullptr, job_.client)};
    for (WorkItem& item : work.items) {
      if (item.request.prompt == nullptr || endpoint_->remember(*item.request.prompt)) continue;
      // The server gets a different prompt than the reference, so its answer cannot be judged.
      item.expected = nullptr;
    }
    endpoint_->open_connections(endpoint_->system().http == HttpVersion::kHttp2 ? 1 : scenario.batch);
    return work;
  }

  Result<OperationTimes> time_operations(const TimeOperationsCommand&, ProgressCount&) override {
    return Error{ErrorCode::kUnsupported, "the operations of a server cannot be seen"};
  }

 private:
  LoadedServed(const SystemJob& job, Bundle bundle) : job_(job), bundle_(std::move(bundle)) {}

  Result<void> open(HttpClient client) {
    allow_most_open_files();  // each stream has a connection, and shells allow 1024 files
    SS_TRY(prompts_, LoadedPrompts::load(bundle_, job_));
    // A server that holds several models may answer with another one than was asked.
    std::vector<std::string> names;
    if (!job_.served->system.models.empty()) {
      SS_TRY(names, names_on_server(client));
    }
    endpoint_.emplace(job_.served->system, std::move(client), prompts_->text.tokenizer(), job_.step_deadline_ns);
    endpoint_->expect_answers_of(std::move(names));
    telemetry_.emplace(endpoint_->connections());
    const ServedSystem& system = endpoint_->system();
    SS_TRY(server_metrics_, polled(system.metrics, known_server_metrics(), "server_metrics"));
    local_devices_ = local_devices_of(system.telemetry);
    if (!local_devices_) {
      SS_TRY(device_metrics_, polled(system.telemetry, known_device_metrics(), "device_metrics"));
    }
    if (job_.served->process > 0) processes_.emplace(HostFiles(), job_.served->process, job_.served->is_container);
    return {};
  }

  /// The names that the server has for the model that is asked. Errors: kUnavailable if it does not answer.
  Result<std::vector<std::string>> names_on_server(HttpClient& client) const {
    const ServedSystem& system = job_.served->system;
    SS_TRY(const HttpReply reply, client.fetch({.url = system.url + "/models",
                                                .timeout_ns = static_cast<std::int64_t>(1e9 * system.timeout_s)}));
    return names_of_model(reply.body, system.model);
  }

  /// Null for an empty URL.
  Result<std::unique_ptr<PolledMetrics>> polled(const std::string& url, std::span<const KnownMetric> known,
                                                std::string_view name) const {
    if (url.empty()) return std::unique_ptr<PolledMetrics>();
    // The key is sent to the server's own host only.
    ApiKey key;
    if (origin_of(url) == origin_of(job_.served->system.url)) {
      SS_TRY(key, ApiKey::read(job_.served->key));
    }
    SS_TRY(HttpClient client, HttpClient::create({.key = std::move(key)}));
    return PolledMetrics::start({.url = url, .known = known, .name = std::string(name)}, std::move(client));
  }

  SystemJob job_;
  Bundle bundle_;
  std::optional<LoadedPrompts> prompts_;
  std::optional<ServedEndpoint> endpoint_;
  std::optional<ConnectionTelemetry> telemetry_;
  std::unique_ptr<PolledMetrics> server_metrics_;
  std::unique_ptr<PolledMetrics> device_metrics_;  ///< from an exporter
  std::unique_ptr<LocalDevices> local_devices_;    ///< from the vendors' libraries
  std::optional<ProcessTreeTelemetry> processes_;
};

}  // namespace

Result<std::unique_ptr<LoadedSystem>> load_served_system(const SystemJob& job, Progress& progress) {
  return LoadedServed::load(job, progress);
}

}  // namespace secondsource

#include "systems/loaded_adapter.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/interrupt.h"
#include "host/process_tree.h"
#include "measure/arrival_trace.h"
#include "systems/adapter_endpoint.h"
#include "systems/adapter_token_source.h"
#include "systems/foreign_golden.h"
#include "systems/loaded_prompts.h"
#include "systems/local_devices.h"

namespace secondsource {
namespace {

/// How late the adapter's lines arrive behind their times, and the memory of its first process.
class AdapterTelemetry final : public TelemetrySource {
 public:
  explicit AdapterTelemetry(const AdapterEndpoint& endpoint) : endpoint_(endpoint) {}

  std::vector<TelemetryReading> read() override {
    const AdapterLateness& lateness = endpoint_.lateness();
    const std::int64_t n_lines = lateness.n_lines;
    const auto of_lines = [&](const char* name, double value) {
      TelemetryReading reading;
      reading.name = name;
      if (n_lines > 0) reading.value = value;
      if (n_lines == 0) reading.why_not = "not available: no line has arrived";
      return reading;
    };
    return {of_lines("adapter_line_delay_ns",
                     static_cast<double>(lateness.sum_ns) / static_cast<double>(std::max<std::int64_t>(1, n_lines))),
            of_lines("adapter_line_delay_ns_max", static_cast<double>(lateness.worst_ns)), resident()};
  }

 private:
  [[nodiscard]] TelemetryReading resident() const {
    TelemetryReading reading;
    reading.name = "adapter_rss_bytes";
    const auto stat = read_process_stat(HostFiles(), endpoint_.process_id());
    if (stat && !stat->is_ended) {
      reading.value = static_cast<double>(stat->resident_pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
      return reading;
    }
    reading.why_not = "not available: the process has ended";
    return reading;
  }

  const AdapterEndpoint& endpoint_;
};

class LoadedAdapter final : public LoadedSystem {
 public:
  static Result<std::unique_ptr<LoadedSystem>> load(const SystemJob& job, Progress& progress) {
    const InterruptFlag never;
    SS_CHECK(job.adapter, "the job of an adapter says which");
    SS_TRY(Bundle bundle, Bundle::open(job.bundle, progress, never));
    auto loaded = std::unique_ptr<LoadedAdapter>(new LoadedAdapter(job, std::move(bundle)));
    SS_TRY_VOID(loaded->open(progress));
    return std::unique_ptr<LoadedSystem>(std::move(loaded));
  }

  SystemUnderTest& system() override { return *endpoint_; }
  std::vector<TelemetrySource*> telemetry() override {
    std::vector<TelemetrySource*> sources = {&*telemetry_};
    if (local_devices_) sources.push_back(local_devices_.get());
    return sources;
  }

  Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>& answers, Progress& progress) override {
    AdapterTokenSource tokens(*endpoint_, bundle_.config().eos_ids, progress);
    return verify_foreign_tokens(job_, prompts_->golden, answers, bundle_.config().eos_ids, tokens, progress);
  }

  Result<OracleAnswers> oracle_answers(Progress&) override {
    return Error{ErrorCode::kUnsupported, "an adapter is no oracle"};
  }

  Result<PreparedWork> prepare(const Scenario& scenario, const LoadSeed& seed) override {
    SS_TRY(const std::optional<ArrivalTrace> trace, trace_of(scenario));
    return PreparedWork{prompts_->workload.items(scenario, seed, trace ? &*trace : nullptr)};
  }

  Result<OperationTimes> time_operations(const TimeOperationsCommand&, ProgressCount&) override {
    return Error{ErrorCode::kUnsupported, "the operations of a runtime behind an adapter cannot be seen"};
  }

 private:
  LoadedAdapter(const SystemJob& job, Bundle bundle) : job_(job), bundle_(std::move(bundle)) {}

  Result<void> open(Progress& progress) {
    SS_TRY(prompts_, LoadedPrompts::load(bundle_, job_));
    std::int64_t n_waits = 0;
    // The adapter has its own deadline for starting; this progress only shows the run that the wait is supervised.
    const AdapterWait wait = [&] {
      progress.update(++n_waits);
      return Result<void>();
    };
    SS_TRY(AdapterProcess process, AdapterProcess::start(job_.adapter->system, {.log = job_.adapter->log}, wait));
    if (std::string changed = what_changed(process.hello()); !changed.empty()) {
      return Error{ErrorCode::kInternal, std::move(changed)};
    }
    SS_TRY_VOID(process.load(job_.adapter->model.string(), wait));
    endpoint_.emplace(std::move(process), static_cast<std::int32_t>(bundle_.config().vocab_size),
                      job_.step_deadline_ns);
    telemetry_.emplace(*endpoint_);
    local_devices_ = local_devices_of(job_.adapter->system.telemetry);
    return {};
  }

  /// Compares with the answer that the adapter gave when the run was planned, which is in the record.
  [[nodiscard]] std::string what_changed(const AdapterHello& hello) const {
    const AdapterSystem& before = job_.adapter->system;
    AdapterSystem now = before;
    take_hello(now, hello);
    return now == before ? "" : "the adapter reports another runtime, version or setting than when the run began";
  }

  SystemJob job_;
  Bundle bundle_;
  std::optional<LoadedPrompts> prompts_;
  std::optional<AdapterEndpoint> endpoint_;
  std::optional<AdapterTelemetry> telemetry_;
  std::unique_ptr<LocalDevices> local_devices_;
};

}  // namespace

Result<std::unique_ptr<LoadedSystem>> load_adapter_system(const SystemJob& job, Progress& progress) {
  return LoadedAdapter::load(job, progress);
}

}  // namespace secondsource

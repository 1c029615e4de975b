#include "systems/loaded_null.h"

#include <cstdlib>

#include "systems/null_system.h"

namespace secondsource {
namespace {

class LoadedNullSystem final : public LoadedSystem {
 public:
  LoadedNullSystem(SystemJob job, NullSchedule schedule) : job_(std::move(job)), system_(schedule) {}

  SystemUnderTest& system() override { return system_; }
  std::vector<TelemetrySource*> telemetry() override { return {}; }

  Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>&, Progress&) override {
    GoldenRecord record;
    record.bundle = job_.bundle_name;
    record.backend = job_.backend;
    record.variant = job_.variant;
    record.suite = job_.suite;
    record.verdict = GoldenVerdict::kUnverified;
    record.reasons = {"the null system has no model"};
    return record;
  }

  Result<OracleAnswers> oracle_answers(Progress&) override {
    return Error{ErrorCode::kUnsupported, "the null system has no answers"};
  }

  Result<OperationTimes> time_operations(const TimeOperationsCommand&, ProgressCount&) override {
    return Error{ErrorCode::kUnsupported, "the null system has no operations"};
  }

  Result<PreparedWork> prepare(const Scenario& scenario, const LoadSeed&) override {
    std::vector<WorkItem> items(static_cast<std::size_t>(scenario.n_requests));
    for (std::size_t index = 0; index < items.size(); ++index) {
      items[index].prompt = "null";
      items[index].request.tag = static_cast<std::int64_t>(index);
      items[index].request.n_output_tokens = scenario.n_output_tokens;
    }
    return PreparedWork{std::move(items)};
  }

 private:
  SystemJob job_;
  NullSystem system_;
};

}  // namespace

Result<std::unique_ptr<LoadedSystem>> load_null_system(const SystemJob& job) {
  NullSchedule schedule;
  for (const auto& [key, value] : job.options) {
    if (key == "first_token_ns") schedule.first_token_ns = std::atoll(value.c_str());
    if (key == "token_gap_ns") schedule.token_gap_ns = std::atoll(value.c_str());
  }
  return std::unique_ptr<LoadedSystem>(std::make_unique<LoadedNullSystem>(job, schedule));
}

}  // namespace secondsource

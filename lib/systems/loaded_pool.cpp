#include "systems/loaded_pool.h"

#include <fmt/format.h>

#include <utility>

#include "bundle/bundle.h"
#include "core/clock.h"
#include "systems/engine_pool.h"
#include "systems/loaded_engine.h"
#include "systems/loaded_prompts.h"
#include "systems/pool_verdict.h"
#include "systems/request_mix.h"

namespace secondsource {
namespace {

class LoadedPool final : public LoadedSystem {
 public:
  static Result<std::unique_ptr<LoadedSystem>> load(const SystemJob& job, Progress& progress) {
    std::unique_ptr<LoadedPool> loaded(new LoadedPool(job));
    const InterruptFlag never;
    for (const ModelJob& model : job.models) {
      SS_TRY(const Bundle bundle, Bundle::open(model.bundle, progress, never));
      SS_TRY(LoadedPrompts prompts, LoadedPrompts::load(bundle, loaded->job_of(model)));
      loaded->prompts_.push_back(std::move(prompts));
    }
    SS_TRY(loaded->pool_, make_engine_pool(loaded->job_, loaded->prompts_, progress));
    return std::unique_ptr<LoadedSystem>(std::move(loaded));
  }

  SystemUnderTest& system() override { return *pool_; }
  ModelPool* pool() override { return pool_.get(); }
  /// Empty, because the sensors of a device belong to a backend instance, which an eviction destroys.
  std::vector<TelemetrySource*> telemetry() override { return {}; }

  /// Each model is judged by its own expected outputs, one after the other, with the device to itself.
  Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>&, Progress& progress) override {
    const std::int64_t started_ns = now_ns();
    GoldenRecord all;
    all.verdict = GoldenVerdict::kPassed;
    SS_TRY_VOID(pool_->evict_all());
    for (const ModelJob& model : job_.models) {
      SS_TRY(const std::unique_ptr<LoadedSystem> alone, load_engine_system(job_of(model), progress));
      SS_TRY(const GoldenRecord one, alone->golden_pass(std::nullopt, progress));
      add_verdict(one, all);
    }
    all.bundle = job_.bundle_name;
    all.backend = job_.backend;
    all.variant = job_.variant;
    all.suite = job_.suite;
    all.duration_ns = now_ns() - started_ns;
    return all;
  }

  Result<OracleAnswers> oracle_answers(Progress&) override {
    return Error{ErrorCode::kUnsupported, "several models at once: each has its own expected outputs, and no oracle"};
  }

  /// Each model gets the requests of its own bundle in their order; the mix decides which model is next.
  Result<PreparedWork> prepare(const Scenario& scenario, const LoadSeed& seed) override {
    if (!scenario.swap) {
      return Error{ErrorCode::kInternal, fmt::format("scenario {}: expected one of several models", scenario.name())};
    }
    pool_->set_budget(*scenario.swap);
    std::vector<std::vector<WorkItem>> items_of;
    for (const LoadedPrompts& prompts : prompts_) items_of.push_back(prompts.workload.items(scenario, seed));
    PreparedWork work;
    work.items =
        mixed_items(std::move(items_of), draw_models(mix_shares(*scenario.swap), scenario.n_requests, seed.run));
    return work;
  }

  Result<OperationTimes> time_operations(const TimeOperationsCommand&, ProgressCount&) override {
    return Error{ErrorCode::kUnsupported, "the operations of several models at once cannot be timed"};
  }

 private:
  explicit LoadedPool(const SystemJob& job) : job_(job) {}

  [[nodiscard]] SystemJob job_of(const ModelJob& model) const {
    SystemJob job = job_;
    job.bundle = model.bundle;
    job.bundle_name = model.name;
    job.models.clear();
    return job;
  }

  SystemJob job_;
  std::vector<LoadedPrompts> prompts_;
  std::unique_ptr<ModelPool> pool_;
};

}  // namespace

Result<std::unique_ptr<LoadedSystem>> load_engine_pool(const SystemJob& job, Progress& progress) {
  return LoadedPool::load(job, progress);
}

}  // namespace secondsource

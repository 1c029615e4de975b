#include "systems/loaded_served_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "core/clock.h"
#include "core/counted.h"
#include "serving/preset.h"
#include "systems/loaded_served.h"
#include "systems/pool_verdict.h"
#include "systems/request_mix.h"
#include "systems/served_pool.h"

namespace secondsource {
namespace {

class LoadedServedPool final : public LoadedSystem {
 public:
  static Result<std::unique_ptr<LoadedSystem>> load(const SystemJob& job, Progress& progress) {
    SS_CHECK(job.served, "the job of a served system says which");
    std::unique_ptr<LoadedServedPool> loaded(new LoadedServedPool(job));
    const ServedSystem& system = job.served->system;
    ServedSystem in_order = system;
    in_order.models.clear();
    ServedPoolParts parts;
    parts.name =
        fmt::format("{} with {} at {}", facts_of(system.preset).title, counted(job.models.size(), "model"), system.url);
    for (const ModelJob& model : job.models) {
      SS_TRY(SystemJob own, loaded->job_of(model));
      SS_TRY(std::unique_ptr<LoadedSystem> alone, load_served_system(own, progress));
      in_order.models.push_back(
          {.bundle = model.name, .model = own.served->system.model, .url = own.served->system.url});
      parts.models.push_back(model.name);
      parts.endpoints.push_back(&alone->system());
      loaded->alone_.push_back(std::move(alone));
    }
    const auto tell = [&progress, n_waits = std::int64_t{0}]() mutable { progress.update(++n_waits); };
    SS_TRY(parts.host, make_model_host(in_order, job.served->key, tell));
    parts.why_no_memory = fmt::format("{} does not say what a model takes", facts_of(system.preset).title);
    SS_TRY(loaded->pool_, make_served_pool(std::move(parts)));
    return std::unique_ptr<LoadedSystem>(std::move(loaded));
  }

  SystemUnderTest& system() override { return *pool_; }
  ModelPool* pool() override { return pool_.get(); }
  std::vector<TelemetrySource*> telemetry() override { return {}; }

  /// Each model is judged by its own expected outputs, one after the other, with the server to itself.
  Result<GoldenRecord> golden_pass(const std::optional<OracleAnswers>&, Progress& progress) override {
    const std::int64_t started_ns = now_ns();
    GoldenRecord all;
    all.verdict = GoldenVerdict::kPassed;
    SwapPlan one_at_a_time;
    one_at_a_time.budget_models = 1;
    pool_->set_budget(one_at_a_time);
    for (std::size_t model = 0; model < alone_.size(); ++model) {
      SS_TRY_VOID(pool_->evict_all());
      SS_TRY_VOID(pool_->make_resident(static_cast<std::int32_t>(model), -1));
      SS_TRY(const GoldenRecord one, alone_[model]->golden_pass(std::nullopt, progress));
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
    return Error{ErrorCode::kUnsupported, "a server is no oracle"};
  }

  Result<PreparedWork> prepare(const Scenario& scenario, const LoadSeed& seed) override {
    if (!scenario.swap) {
      return Error{ErrorCode::kInternal, fmt::format("scenario {}: expected one of several models", scenario.name())};
    }
    pool_->set_budget(*scenario.swap);
    std::vector<std::vector<WorkItem>> items_of;
    for (const auto& alone : alone_) {
      SS_TRY(PreparedWork work, alone->prepare(scenario, seed));
      items_of.push_back(std::move(work.items));
    }
    return PreparedWork{
        mixed_items(std::move(items_of), draw_models(mix_shares(*scenario.swap), scenario.n_requests, seed.run))};
  }

  Result<OperationTimes> time_operations(const TimeOperationsCommand&, ProgressCount&) override {
    return Error{ErrorCode::kUnsupported, "the operations of a server cannot be seen"};
  }

 private:
  explicit LoadedServedPool(const SystemJob& job) : job_(job) {}

  /// The job for this model alone on the same server.
  [[nodiscard]] Result<SystemJob> job_of(const ModelJob& model) const {
    SystemJob job = job_;
    job.bundle = model.bundle;
    job.bundle_name = model.name;
    job.models.clear();
    ServedSystem& system = job.served->system;
    const auto found = std::ranges::find(job_.served->system.models, model.name, &ServedModel::bundle);
    if (found == job_.served->system.models.end()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("system {}: expected a model for bundle {}, found none", job_.backend, model.name)};
    }
    system.model = found->model;
    if (!found->url.empty()) system.url = found->url;
    // Metrics are sampled for the server as a whole and not for each model, and they do not name the model.
    system.metrics.clear();
    system.telemetry.clear();
    job.served->process = 0;
    return job;
  }

  SystemJob job_;
  std::vector<std::unique_ptr<LoadedSystem>> alone_;
  std::unique_ptr<ModelPool> pool_;
};

}  // namespace

Result<std::unique_ptr<LoadedSystem>> load_served_pool(const SystemJob& job, Progress& progress) {
  return LoadedServedPool::load(job, progress);
}

}  // namespace secondsource

#include "systems/loaded_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bundle/bundle.h"
#include "core/clock.h"
#include "systems/engine_pool.h"
#include "systems/loaded_engine.h"
#include "systems/loaded_prompts.h"
#include "systems/request_mix.h"

namespace secondsource {
namespace {

/// Adds the verdict on one model to that on all: the worst counts, and reasons say whose they are.
void add_verdict(const GoldenRecord& one, GoldenRecord& all) {
  const auto badness = [](GoldenVerdict verdict) {
    return verdict == GoldenVerdict::kPassed ? 0 : verdict == GoldenVerdict::kFailed ? 2 : 1;
  };
  if (badness(one.verdict) > badness(all.verdict)) all.verdict = one.verdict;
  for (const std::string& reason : one.reasons) all.reasons.push_back(one.bundle + ": " + reason);
  if (one.kl_mean && one.n_positions > 0) {
    const auto before = static_cast<double>(all.n_positions);
    const auto added = static_cast<double>(one.n_positions);
    const auto mean_of = [&](const std::optional<double>& so_far, double value) {
      return (so_far.value_or(0) * before + value * added) / (before + added);
    };
    all.kl_mean = mean_of(all.kl_mean, *one.kl_mean);
    if (one.nll_difference_mean) all.nll_difference_mean = mean_of(all.nll_difference_mean, *one.nll_difference_mean);
  }
  if (one.kl_worst) all.kl_worst = std::max(all.kl_worst.value_or(0), *one.kl_worst);
  all.n_prompts += one.n_prompts;
  all.n_skipped += one.n_skipped;
  all.n_positions += one.n_positions;
  all.n_match += one.n_match;
  all.n_near_tie += one.n_near_tie;
  all.n_wrong += one.n_wrong;
  const auto add = [](const std::optional<std::int32_t>& from, std::optional<std::int32_t>& to) {
    if (from) to = to.value_or(0) + *from;
  };
  add(one.n_answers, all.n_answers);
  add(one.n_answers_right, all.n_answers_right);
  add(one.n_reference_answers_right, all.n_reference_answers_right);
  add(one.n_streamed, all.n_streamed);
}

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
  /// Sensors of a device belong to a backend's instance, which an eviction ends.
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

  /// The requests of each model are those of its own bundle, in their order; the mix decides whose turn it is.
  Result<PreparedWork> prepare(const Scenario& scenario, std::uint64_t seed) override {
    if (!scenario.swap) {
      return Error{ErrorCode::kInternal, fmt::format("scenario {}: expected one of several models", scenario.name())};
    }
    pool_->set_budget(scenario.swap->memory_budget_bytes);
    std::vector<std::vector<WorkItem>> items_of;
    for (const LoadedPrompts& prompts : prompts_) items_of.push_back(prompts.workload.items(scenario, seed));
    std::vector<std::size_t> n_taken(prompts_.size(), 0);
    PreparedWork work;
    for (const std::int32_t model : draw_models(mix_shares(*scenario.swap), scenario.n_requests, seed)) {
      const auto index = static_cast<std::size_t>(model);
      WorkItem item = items_of[index][n_taken[index]++];
      item.request.model = model;
      item.request.tag = static_cast<std::int64_t>(work.items.size());
      work.items.push_back(std::move(item));
    }
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

#pragma once
// Runs a model on one backend, one step at a time: takes requests and returns tokens. The engine owns pages, batches
// and compiled steps; the backend owns the bytes. It uses one thread, and only Backend::wait() blocks.
//
//   SS_TRY(const ModelWeights weights,
//          prepare_model_weights(*backend, config, bundle.tensors(), variant, name, progress, interrupt));
//   SS_TRY(auto engine, Engine::create(*backend, config, weights, {.act = variant.activations}));
//   SS_TRY(const RequestId id,
//          engine->submit({.prompt_ids = ids, .max_new_tokens = 32, .stop_ids = config.eos_ids}));
//   while (engine->has_work()) {
//     SS_TRY(const std::vector<TokenEvent> events, engine->step(deadline));
//     ...
//   }

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "engine/batch_builder.h"
#include "engine/model_weights.h"
#include "engine/op_work.h"
#include "engine/page_allocator.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/step_cache.h"

namespace secondsource {

struct EngineOptions {
  ActQuant act = ActQuant::kNone;  ///< Variant::activations
  SchedulerOptions scheduler{};    ///< max_seqs and max_tokens_per_step are upper limits for set_scheduler()
  std::int64_t max_context = 0;    ///< tokens per sequence; 0 means the model's own limit
  /// Bytes of the KV cache. 0 means max_seqs sequences of max_context, but at most the larger of 1 GiB and one sequence
  /// of max_context.
  std::int64_t kv_bytes = 0;
  std::int64_t kv_pages = 0;  ///< overrides kv_bytes and kv_tokens if > 0
  /// Overrides kv_bytes if > 0: the cache's size in tokens, rounded up to pages, plus two pages per sequence for partly
  /// filled ones.
  std::int64_t kv_tokens = 0;
  std::optional<DType> kv_dtype{};  ///< absent means the device's preferred type
  std::int32_t n_top = 20;          ///< entries of TokenEvent::top, for requests that ask for them
  /// No fusion, and every value is readable, to locate a wrong operation by bisection.
  bool observe_all = false;
  GroupTiming group_timing = GroupTiming::kOff;
};

/// What the last step computed, and where its time went.
struct StepStats {
  std::int32_t n_seqs = 0;
  std::int32_t n_prefill_tokens = 0;
  std::int32_t n_decode_tokens = 0;
  std::int32_t n_logit_rows = 0;
  std::int32_t bucket_tokens = 0;
  std::int32_t n_preempted = 0;
  std::int32_t n_evicted = 0;
  StepCounts counts{};
  bool compiled = false;        ///< the step was compiled or made ready on demand, so its time is not a sample
  std::int64_t started_ns = 0;  ///< on the monotonic clock
  std::int64_t finished_ns = 0;
  std::int64_t plan_ns = 0;  ///< time for scheduling and for assembling the batch
  std::int64_t compile_ns = 0;
  std::int64_t submit_ns = 0;
  std::int64_t wait_ns = 0;
  std::int64_t apply_ns = 0;                  ///< time for turning results into events
  std::int64_t device_ns = 0;                 ///< time as the device measured it
  std::optional<std::int64_t> transfer_ns{};  ///< StepResult::transfer_ns
  std::vector<GroupTime> groups{};            ///< filled for traced steps only

  /// Host time spent neither submitting to the device nor waiting for it.
  [[nodiscard]] std::int64_t host_ns() const { return plan_ns + apply_ns; }
};

class Engine {
 public:
  /// Creates an engine and allocates its KV cache; compiles nothing. `backend`, `config` and `weights` must outlive the
  /// engine. Errors: kInvalidInput for contradictory options; the errors of the backend.
  static Result<std::unique_ptr<Engine>> create(Backend& backend, const ModelConfig& config,
                                                const ModelWeights& weights, const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Queues a request. Errors: kInvalidInput for an id outside the vocabulary, a prompt that leaves no room for another
  /// token, or contradictory options; the engine is then unchanged.
  Result<RequestId> submit(Request request);
  /// Runs one step: plans, submits, waits, and returns the resulting events in the order of the batch. The result is
  /// empty if there is nothing to do yet (see wakes_at_ns()) or if only parts of prompts were computed. Errors: those
  /// of the backend, which is unusable afterwards.
  Result<std::vector<TokenEvent>> step(Deadline deadline = {});
  /// Removes a request at any stage, without an event; returns false if there is no such request.
  bool cancel(RequestId id) { return scheduler_->remove(id); }
  /// Frees the pages that a finished request with `hold` keeps.
  bool release(RequestId id) { return scheduler_->remove(id); }

  [[nodiscard]] bool has_work() const { return scheduler_->has_work(); }
  /// With dynamic batching, the time at which the next step may have work, if there is none yet.
  [[nodiscard]] std::optional<std::int64_t> wakes_at_ns() const { return scheduler_->wakes_at_ns(); }

  /// The outputs with which steps are compiled.
  struct Outputs {
    bool top = false;
    bool logits = false;
    bool prompt_scores = false;
  };
  /// Compiles the steps for all token buckets up to max_tokens_per_step, so that no timed step has to be compiled.
  /// Returns the time it took in nanoseconds.
  Result<std::int64_t> prepare(Outputs outputs);

  /// Changes the scheduler's options. Call it only while no request is waiting or running. Errors: kInvalidInput beyond
  /// the limits given at creation.
  Result<void> set_scheduler(const SchedulerOptions& options);
  /// Sets how the following steps are traced. Traced steps are compiled separately and are never samples.
  void set_group_timing(GroupTiming group_timing) { group_timing_ = group_timing; }

  [[nodiscard]] const StepStats& last_step() const { return stats_; }
  /// The groups into which the backend fused the graph's operations, for the bucket of the last step.
  [[nodiscard]] std::span<const OpGroup> groups() const;
  /// The graph that groups() refers to.
  [[nodiscard]] StepGraph graph() const { return steps_->graph_of(last_key_); }
  /// The least work that steps with these counts have to do.
  [[nodiscard]] OpWork work_of(const StepCounts& counts) const;
  /// The least work of one operation of graph().
  [[nodiscard]] OpWork work_of(const Op& op, const StepGraph& graph, const StepCounts& counts) const;
  /// Reads a value of the last step, to locate a wrong operation by bisection. Requires EngineOptions::observe_all.
  Result<std::vector<float>> read_value(ValueId id) const;

  [[nodiscard]] const PageAllocator& pages() const { return pages_; }
  [[nodiscard]] const Scheduler& scheduler() const { return *scheduler_; }
  [[nodiscard]] const KvSpec& kv_spec() const { return kv_spec_; }
  [[nodiscard]] std::int64_t max_context() const { return max_context_; }
  [[nodiscard]] Backend& backend() const { return backend_; }

 private:
  Engine(Backend& backend, const ModelConfig& config, const ModelWeights& weights, const EngineOptions& options,
         const KvSpec& kv_spec, std::int64_t n_pages, std::int64_t max_context);
  Result<void> check(const Request& request) const;
  void set_buckets();
  [[nodiscard]] StepKey key_for(const StepPlan& plan, std::int64_t n_rows) const;
  Result<StepResult> run(const StepPlan& plan, const Batch& batch, Deadline deadline);
  Result<std::vector<TokenEvent>> apply(const StepPlan& plan, StepResult& result);
  TokenEvent event_of_row(const LogitRow& row, std::size_t index, StepResult& result) const;
  [[nodiscard]] FinishReason finish_of(const Sequence& sequence) const;

  Backend& backend_;
  const ModelConfig& config_;
  const ModelWeights& weights_;
  EngineOptions options_;
  KvSpec kv_spec_;
  std::int64_t max_context_;
  PageAllocator pages_;
  KvPoolId pool_{};
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<StepCache> steps_;
  BatchBuilder builder_;
  GroupTiming group_timing_;
  std::int32_t window_ = 0;  ///< sliding window of the model's layers that have one
  StepStats stats_;
  StepKey last_key_;
  Step* last_step_ = nullptr;
  std::int64_t next_id_ = 1;
};

}  // namespace secondsource

#pragma once
// Runs a model on one backend: requests in, tokens out, one step at a time. Owns pages, batches and compiled steps; the
// backend owns bytes. One thread; nothing here blocks but Backend::wait().
//
//   SS_TRY(const ModelWeights weights, prepare_model_weights(*backend, config, bundle.tensors(), variant, name,
//   progress)); SS_TRY(auto engine, Engine::create(*backend, config, weights, {.act =
//   activation_quantization(variant)})); SS_TRY(const RequestId id, engine->submit({.prompt_ids = ids, .max_new_tokens
//   = 32, .stop_ids = config.eos_ids})); while (engine->has_work()) {
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
  ActQuant act = ActQuant::kNone;  ///< activation_quantization(variant)
  SchedulerOptions scheduler{};    ///< max_seqs and max_tokens_per_step are upper limits for set_scheduler()
  std::int64_t max_context = 0;    ///< tokens of a sequence; 0: what the model was made for
  /// Bytes of the KV cache. 0: max_seqs sequences of max_context, but at most 1 GiB or one sequence of max_context.
  std::int64_t kv_bytes = 0;
  std::int64_t kv_pages = 0;  ///< overrides kv_bytes when > 0
  std::int64_t kv_tokens =
      0;  ///< the same in tokens, rounded up to pages, one more for every sequence's last partial page
  std::optional<DType> kv_dtype{};  ///< default: what the device prefers
  std::int32_t n_top = 20;          ///< entries of TokenEvent::top, for requests that want them
  bool observe_all = false;         ///< no fusion, every value readable: bisection
  Trace trace = Trace::kOff;
};

/// What the last step was, and where its time went.
struct StepStats {
  std::int32_t n_seqs = 0;
  std::int32_t n_prefill_tokens = 0;
  std::int32_t n_decode_tokens = 0;
  std::int32_t n_logit_rows = 0;
  std::int32_t bucket_tokens = 0;
  std::int32_t n_preempted = 0;
  std::int32_t n_evicted = 0;
  StepCounts counts{};
  bool compiled = false;        ///< the step was compiled, or made ready, on demand: not a sample
  std::int64_t started_ns = 0;  ///< on the monotonic clock
  std::int64_t finished_ns = 0;
  std::int64_t plan_ns = 0;  ///< scheduling and assembling the batch
  std::int64_t compile_ns = 0;
  std::int64_t submit_ns = 0;
  std::int64_t wait_ns = 0;
  std::int64_t apply_ns = 0;                  ///< results to events
  std::int64_t device_ns = 0;                 ///< as the device measured it
  std::optional<std::int64_t> transfer_ns{};  ///< StepResult::transfer_ns
  std::vector<GroupTime> groups{};            ///< of traced steps

  /// Host time that is neither submitting to nor waiting for the device.
  [[nodiscard]] std::int64_t host_ns() const { return plan_ns + apply_ns; }
};

class Engine {
 public:
  /// `backend`, `config` and `weights` must outlive the engine. Allocates the KV cache; compiles nothing.
  /// Errors: kInvalidInput for options that contradict each other, what the backend returns.
  static Result<std::unique_ptr<Engine>> create(Backend& backend, const ModelConfig& config,
                                                const ModelWeights& weights, const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Queues a request. Errors: kInvalidInput: an id outside the vocabulary, a prompt without room for one more token,
  /// contradictory options; the engine is as before.
  Result<RequestId> submit(Request request);
  /// One step: plans, runs, waits, and returns what came out, in the order of the batch. No events: nothing to do now
  /// (see wakes_at_ns()), or only parts of prompts were computed. Errors: what the backend returns; it is poisoned
  /// then.
  Result<std::vector<TokenEvent>> step(Deadline deadline = {});
  /// Forgets a request at any stage, without an event; false when it is not there (any more).
  bool cancel(RequestId id) { return scheduler_->remove(id); }
  /// Gives up the pages that a finished request with `hold` keeps.
  bool release(RequestId id) { return scheduler_->remove(id); }

  [[nodiscard]] bool has_work() const { return scheduler_->has_work(); }
  /// With dynamic batching: when the next step may do something, if not now.
  [[nodiscard]] std::optional<std::int64_t> wakes_at_ns() const { return scheduler_->wakes_at_ns(); }

  /// Which outputs steps are compiled with.
  struct Outputs {
    bool top = false;
    bool logits = false;
    bool prompt_scores = false;
  };
  /// Compiles the steps for all token buckets up to max_tokens_per_step, so that no timed step does. Returns how long
  /// it took, in nanoseconds.
  Result<std::int64_t> prepare(Outputs outputs);

  /// Between runs, when nothing is waiting or running. Errors: kInvalidInput past the limits given at creation.
  Result<void> set_scheduler(const SchedulerOptions& options);
  /// Traced steps are other steps, and never samples.
  void set_trace(Trace trace) { trace_ = trace; }

  [[nodiscard]] const StepStats& last_step() const { return stats_; }
  /// What the backend made of the graph, for the bucket of the last step.
  [[nodiscard]] std::span<const OpGroup> groups() const;
  /// The graph that groups() refers to.
  [[nodiscard]] StepGraph graph() const { return steps_->graph_of(last_key_); }
  /// What steps of these counts have to do at least.
  [[nodiscard]] OpWork work_of(const StepCounts& counts) const;
  /// The same of one operation of graph().
  [[nodiscard]] OpWork work_of(const Op& op, const StepGraph& graph, const StepCounts& counts) const;
  /// An observed value after the last step; needs EngineOptions::observe_all. For bisection.
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
  Trace trace_;
  std::int32_t window_ = 0;  ///< of the model's layers with a sliding window
  StepStats stats_;
  StepKey last_key_;
  Step* last_step_ = nullptr;
  std::int64_t next_id_ = 1;
};

}  // namespace secondsource

#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/checked.h"
#include "core/clock.h"

namespace secondsource {
namespace {

constexpr std::int64_t kDefaultKvBytes = std::int64_t{1} << 30;

Error bad_request(std::string message) {
  return Error{ErrorCode::kInvalidInput, "request: " + std::move(message)};
}

Result<void> check_ids(std::span<const std::int32_t> ids, const char* what, std::int64_t vocab_size) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return bad_request(fmt::format("{} {}: expected an id in [0, {}), found {}", what, i, vocab_size, ids[i]));
    }
  }
  return {};
}

Result<void> check_scheduler(const SchedulerOptions& options) {
  if (options.max_seqs <= 0 || options.max_tokens_per_step <= 0 || options.max_queue_delay_ns < 0) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("engine: expected at least one sequence and one token a step, found {} and {}",
                             options.max_seqs, options.max_tokens_per_step)};
  }
  return {};
}

std::int64_t choose_kv_pages(const EngineOptions& options, const KvSpec& spec, std::int64_t max_context) {
  if (options.kv_pages > 0) return options.kv_pages;
  if (options.kv_tokens > 0) {
    return ceil_divide<std::int64_t>(options.kv_tokens, spec.page_tokens) + 2 * options.scheduler.max_seqs;
  }
  const std::int64_t page_bytes = kv_page_bytes(spec);
  const std::int64_t pages_per_seq = ceil_divide<std::int64_t>(max_context, spec.page_tokens);
  const std::int64_t wanted = pages_per_seq * options.scheduler.max_seqs;
  const std::int64_t limit =
      options.kv_bytes > 0 ? options.kv_bytes / page_bytes : std::max(kDefaultKvBytes / page_bytes, pages_per_seq);
  return std::min(wanted, limit);
}

}  // namespace

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return "none";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContext:
      return "context";
    case FinishReason::kNonFinite:
      return "non-finite";
  }
  return "?";
}

Engine::Engine(Backend& backend, const ModelConfig& config, const ModelWeights& weights, const EngineOptions& options,
               const KvSpec& kv_spec, std::int64_t n_pages, std::int64_t max_context)
    : backend_(backend),
      config_(config),
      weights_(weights),
      options_(options),
      kv_spec_(kv_spec),
      max_context_(max_context),
      pages_(n_pages),
      scheduler_(std::make_unique<Scheduler>(options.scheduler, pages_, kv_spec.page_tokens)),
      group_timing_(options.group_timing) {}

Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(Backend& backend, const ModelConfig& config, const ModelWeights& weights,
                                               const EngineOptions& options) {
  SS_TRY_VOID(check_scheduler(options.scheduler));
  const DeviceInfo& device = backend.device();
  if (options.scheduler.max_seqs > device.n_seq_slots) {
    return Error{ErrorCode::kUnsupported, fmt::format("backend {}: expected at most {} sequences a step, found {}",
                                                      device.backend, device.n_seq_slots, options.scheduler.max_seqs)};
  }
  const KvSpec kv_spec = kv_spec_of(config, device.page_tokens, options.kv_dtype.value_or(device.kv_dtype));
  std::int64_t max_context = config.max_seq_len;
  if (options.max_context > 0) max_context = std::min(max_context, options.max_context);
  const std::int64_t n_pages = choose_kv_pages(options, kv_spec, max_context);
  if (n_pages <= 0) {
    return Error{ErrorCode::kInvalidInput, fmt::format("engine: a cache of {} bytes holds no page of {} bytes",
                                                       options.kv_bytes, kv_page_bytes(kv_spec))};
  }
  max_context = std::min(max_context, n_pages * kv_spec.page_tokens);

  std::unique_ptr<Engine> engine(new Engine(backend, config, weights, options, kv_spec, n_pages, max_context));
  SS_TRY(engine->pool_, backend.create_kv_pool(kv_spec, n_pages));
  const GraphOptions graph{.act = options.act, .observe_all = options.observe_all};
  const StepCache::Limits limits{
      .max_seqs = options.scheduler.max_seqs,
      .max_pages_per_seq = static_cast<std::int32_t>(ceil_divide<std::int64_t>(max_context, kv_spec.page_tokens)),
      .n_top = options.n_top};
  engine->steps_ = std::make_unique<StepCache>(backend, config, weights, engine->pool_, graph, limits);
  engine->set_buckets();
  engine->window_ = window_of(engine->steps_->graph_of({}));
  return engine;
}

void Engine::set_buckets() {
  const std::int32_t largest = scheduler_->options().max_tokens_per_step;
  std::vector<std::int32_t> buckets;
  for (const std::int32_t bucket : backend_.device().token_buckets) {
    if (bucket < largest) buckets.push_back(bucket);
  }
  buckets.push_back(largest);
  steps_->set_buckets(std::move(buckets));
}

Result<void> Engine::set_scheduler(const SchedulerOptions& options) {
  SS_TRY_VOID(check_scheduler(options));
  if (scheduler_->has_work()) {
    return Error{ErrorCode::kInvalidInput, "engine: the scheduler changes only while no request is waiting or running"};
  }
  const SchedulerOptions& limit = options_.scheduler;
  if (options.max_seqs > limit.max_seqs || options.max_tokens_per_step > limit.max_tokens_per_step) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("engine: expected at most {} sequences and {} tokens a step, found {} and {}",
                             limit.max_seqs, limit.max_tokens_per_step, options.max_seqs, options.max_tokens_per_step)};
  }
  scheduler_->set_options(options);
  set_buckets();
  return {};
}

Result<void> Engine::check(const Request& request) const {
  if (request.prompt_ids.empty()) return bad_request("expected at least one prompt token, found none");
  SS_TRY_VOID(check_ids(request.prompt_ids, "prompt token", config_.vocab_size));
  SS_TRY_VOID(check_ids(request.forced_ids, "forced token", config_.vocab_size));
  if (request.max_new_tokens < 0) {
    return bad_request(fmt::format("expected max_new_tokens >= 0, found {}", request.max_new_tokens));
  }
  const auto n_prompt = static_cast<std::int64_t>(request.prompt_ids.size());
  // The last generated token is never an input, so it needs no place in the cache.
  const std::int64_t n_forced = std::max<std::int64_t>(static_cast<std::int64_t>(request.forced_ids.size()) - 1, 0);
  if (n_prompt + n_forced > max_context_) {
    return bad_request(
        fmt::format("expected at most {} tokens of prompt and answer, which model, options and cache allow; found {}",
                    max_context_, n_prompt + n_forced));
  }
  const SamplingOptions& sampling = request.sampling;
  const bool is_sane = sampling.temperature >= 0.0F && std::isfinite(sampling.temperature) && sampling.top_k >= 0 &&
                       sampling.top_p > 0.0F && sampling.top_p <= 1.0F;
  if (!is_sane) {
    return bad_request(
        fmt::format("expected a finite temperature >= 0, top_k >= 0 and top_p in (0, 1], found {}, {} and {}",
                    sampling.temperature, sampling.top_k, sampling.top_p));
  }
  return {};
}

Result<RequestId> Engine::submit(Request request) {
  SS_TRY_VOID(check(request));
  if (!request.forced_ids.empty()) request.max_new_tokens = static_cast<std::int32_t>(request.forced_ids.size());
  // The last generated token is never an input.
  const std::int32_t n_new = std::max({request.max_new_tokens, request.may_generate, 1});
  const std::int64_t n_inputs = static_cast<std::int64_t>(request.prompt_ids.size()) + n_new - 1;
  const RequestId id{next_id_++};
  auto sequence = std::make_unique<Sequence>(id, std::move(request), kv_spec_.page_tokens);
  sequence->long_rope = !config_.long_rope_tables.empty() && n_inputs > config_.long_rope_after;
  sequence->times.submitted_ns = now_ns();
  scheduler_->submit(std::move(sequence));
  return id;
}

StepKey Engine::key_for(const StepPlan& plan, std::int64_t n_rows) const {
  StepKey key{.max_tokens = steps_->bucket_for(plan.n_tokens), .group_timing = group_timing_};
  key.row_per_token = n_rows > std::min(key.max_tokens, options_.scheduler.max_seqs);
  key.long_rope = plan.long_rope;
  for (const Chunk& chunk : plan.chunks) {
    key.with_top = key.with_top || chunk.sequence->request.want_top;
    key.keep_logits = key.keep_logits || chunk.sequence->request.want_logits;
    key.row_per_token = key.row_per_token || chunk.sequence->request.score_prompt;
  }
  return key;
}

Result<std::int64_t> Engine::prepare(Outputs outputs) {
  const std::int64_t started_ns = now_ns();
  const bool has_long_rope = !config_.long_rope_tables.empty() && max_context_ > config_.long_rope_after;
  for (const std::int32_t bucket : steps_->buckets()) {
    StepKey key{.max_tokens = bucket,
                .row_per_token = outputs.prompt_scores,
                .with_top = outputs.top,
                .keep_logits = outputs.logits,
                .group_timing = group_timing_};
    SS_TRY_VOID(steps_->get(key));
    key.long_rope = has_long_rope;
    SS_TRY_VOID(steps_->get(key));
  }
  SS_TRY_VOID(steps_->make_ready());
  return now_ns() - started_ns;
}

Result<std::vector<TokenEvent>> Engine::step(Deadline deadline) {
  stats_ = StepStats{.started_ns = now_ns()};
  const StepPlan plan = scheduler_->plan(stats_.started_ns);
  stats_.n_preempted = plan.n_preempted;
  stats_.n_evicted = plan.n_evicted;
  if (plan.chunks.empty()) {
    stats_.finished_ns = now_ns();
    if (has_work() && !wakes_at_ns()) return Error{ErrorCode::kInternal, "engine: work is waiting but nothing can run"};
    return std::vector<TokenEvent>();
  }
  const Batch batch = builder_.build(plan);
  stats_.n_seqs = batch.n_seqs();
  stats_.n_logit_rows = batch.n_logit_rows();
  stats_.counts = counts_of(batch, window_);
  for (const Chunk& chunk : plan.chunks) {
    (chunk.is_decode ? stats_.n_decode_tokens : stats_.n_prefill_tokens) += static_cast<std::int32_t>(chunk.n_tokens);
  }
  stats_.plan_ns = now_ns() - stats_.started_ns;
  SS_TRY(StepResult result, run(plan, batch, deadline));
  stats_.compiled = stats_.compiled || result.made_ready;
  stats_.device_ns = result.device_ns;
  stats_.transfer_ns = result.transfer_ns;
  for (const Chunk& chunk : plan.chunks) {
    if (!result.transfer_ns || chunk.sequence->n_generated() > 0) continue;
    RequestTimes& times = chunk.sequence->times;
    times.transfer_ns = times.transfer_ns.value_or(0) + *result.transfer_ns;
  }
  stats_.groups = std::move(result.groups);
  auto events = apply(plan, result);
  stats_.apply_ns = now_ns() - stats_.finished_ns;
  return events;
}

Result<StepResult> Engine::run(const StepPlan& plan, const Batch& batch, Deadline deadline) {
  const std::int64_t compile_started_ns = now_ns();
  last_key_ = key_for(plan, batch.n_logit_rows());
  stats_.compiled = !steps_->contains(last_key_);
  SS_TRY(last_step_, steps_->get(last_key_));
  stats_.bucket_tokens = last_key_.max_tokens;
  // One call per copy, because a page that one copy reads may be the target of a later one.
  for (const PageCopy& copy : plan.copies) SS_TRY_VOID(backend_.kv_copy_pages(pool_, {&copy, 1}));
  const std::int64_t submit_started_ns = now_ns();
  if (stats_.compiled) stats_.compile_ns = submit_started_ns - compile_started_ns;
  for (const Chunk& chunk : plan.chunks) {
    const bool is_whole = chunk.first_token + chunk.n_tokens == chunk.sequence->n_tokens();
    RequestTimes& times = chunk.sequence->times;
    if (is_whole && times.prefilled_ns == 0) times.prefilled_ns = submit_started_ns;
  }
  SS_TRY(const Ticket ticket, last_step_->submit(batch));
  const std::int64_t wait_started_ns = now_ns();
  // submit() returns before the device finishes, so the time of the step ends here.
  auto result = backend_.wait(ticket, deadline);
  stats_.finished_ns = now_ns();
  stats_.submit_ns = wait_started_ns - submit_started_ns;
  stats_.wait_ns = stats_.finished_ns - wait_started_ns;
  return result;
}

TokenEvent Engine::event_of_row(const LogitRow& row, std::size_t index, StepResult& result) const {
  const Sequence& sequence = *row.sequence;
  SampledToken& token = result.tokens[index];
  TokenEvent event{.request = sequence.id,
                   .of_prompt = row.position + 1 < sequence.n_prompt(),
                   .position = static_cast<std::int32_t>(row.position + 1),
                   .id = token.id,
                   .logprob = token.logprob,
                   .time_ns = stats_.finished_ns};
  event.index = event.of_prompt ? event.position : static_cast<std::int32_t>(sequence.n_generated());
  if (sequence.request.want_top) event.top = std::move(token.top);
  if (sequence.request.want_logits) {
    const auto vocab_size = static_cast<std::ptrdiff_t>(config_.vocab_size);
    const auto first = result.logits.begin() + static_cast<std::ptrdiff_t>(index) * vocab_size;
    event.logits.assign(first, first + vocab_size);
  }
  if (!token.finite) event.finish = FinishReason::kNonFinite;
  return event;
}

FinishReason Engine::finish_of(const Sequence& sequence) const {
  const Request& request = sequence.request;
  if (request.forced_ids.empty() && !request.ignore_stop_ids) {
    const auto& stops = request.stop_ids;
    if (std::find(stops.begin(), stops.end(), sequence.tokens.back()) != stops.end()) return FinishReason::kStop;
  }
  if (sequence.n_generated() >= request.max_new_tokens) return FinishReason::kLength;
  if (sequence.n_tokens() > max_context_) return FinishReason::kContext;
  return FinishReason::kNone;
}

Result<std::vector<TokenEvent>> Engine::apply(const StepPlan& plan, StepResult& result) {
  const auto rows = builder_.rows();
  const auto n_logits = last_key_.keep_logits ? rows.size() * static_cast<std::size_t>(config_.vocab_size) : 0;
  if (result.tokens.size() != rows.size() || result.logits.size() < n_logits) {
    return Error{
        ErrorCode::kInternal,
        fmt::format("backend {}: expected {} sampled rows and {} logits, found {} and {}", backend_.device().backend,
                    rows.size(), n_logits, result.tokens.size(), result.logits.size())};
  }
  for (const Chunk& chunk : plan.chunks) Scheduler::advance(chunk);
  std::vector<TokenEvent> events;
  std::vector<Sequence*> finished;
  const auto is_finished = [&](const Sequence* sequence) {
    return std::find(finished.begin(), finished.end(), sequence) != finished.end();
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Sequence& sequence = *rows[i].sequence;
    if (is_finished(&sequence)) continue;  // an earlier row of this sequence was not finite
    TokenEvent event = event_of_row(rows[i], i, result);
    if (event.finish == FinishReason::kNone) {
      if (event.of_prompt) {
        sequence.n_scored = rows[i].position + 1;
      } else {
        sequence.tokens.push_back(event.id);
        event.finish = finish_of(sequence);
      }
    }
    if (event.finish != FinishReason::kNone) finished.push_back(&sequence);
    event.times = sequence.times;
    events.push_back(std::move(event));
  }
  for (const Chunk& chunk : plan.chunks) {
    Sequence& sequence = *chunk.sequence;
    if (sequence.n_pending() > 0 || sequence.request.max_new_tokens > 0 || is_finished(&sequence)) continue;
    events.push_back({.request = sequence.id,
                      .position = static_cast<std::int32_t>(sequence.n_tokens()),
                      .time_ns = stats_.finished_ns,
                      .finish = FinishReason::kLength,
                      .times = sequence.times});
    finished.push_back(&sequence);
  }
  for (Sequence* sequence : finished) scheduler_->finish(*sequence);
  return events;
}

std::span<const OpGroup> Engine::groups() const {
  if (last_step_ == nullptr) return {};
  return last_step_->groups();
}

OpWork Engine::work_of(const StepCounts& counts) const {
  return secondsource::work_of(steps_->graph_of({}), weights_, kv_spec_.dtype, counts);
}

OpWork Engine::work_of(const Op& op, const StepGraph& graph, const StepCounts& counts) const {
  return secondsource::work_of(op, graph, weights_, kv_spec_.dtype, counts);
}

Result<std::vector<float>> Engine::read_value(ValueId id) const {
  if (last_step_ == nullptr) return Error{ErrorCode::kInvalidInput, "engine: no step has run yet"};
  return last_step_->read_value(id);
}

}  // namespace secondsource

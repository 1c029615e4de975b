#include "systems/engine_system.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/clock.h"
#include "systems/wait_until.h"

namespace secondsource {
EngineSystem::EngineSystem(ModelSession& session, const Tokenizer* tokenizer, std::int64_t step_deadline_ns)
    : session_(session), tokenizer_(tokenizer), step_deadline_ns_(step_deadline_ns) {}

std::string EngineSystem::name() const {
  return fmt::format("engine over {}", session_.backend().device().backend);
}

std::int32_t EngineSystem::max_in_flight() const {
  return session_.engine().scheduler().options().max_seqs;
}

Result<std::vector<std::int32_t>> EngineSystem::ids_of(const TimedRequest& request) const {
  if (request.texts.empty()) return request.ids;
  if (tokenizer_ == nullptr) {
    return Error{ErrorCode::kInvalidInput, "a prompt as text: expected ids, since the bundle has no tokenizer"};
  }
  std::vector<std::int32_t> ids;
  for (const std::string& text : request.texts) {
    SS_TRY(const std::vector<std::int32_t> piece, tokenizer_->encode(text, {.add_special_tokens = false}));
    ids.insert(ids.end(), piece.begin(), piece.end());
  }
  ids.insert(ids.end(), request.ids.begin(), request.ids.end());
  return ids;
}

Result<void> EngineSystem::submit(const TimedRequest& request) {
  const std::int64_t started_ns = now_ns();
  SS_TRY(std::vector<std::int32_t> ids, ids_of(request));
  InFlight state;
  state.tag = request.tag;
  state.n_prompt_tokens = static_cast<std::int32_t>(ids.size());
  if (!request.texts.empty()) state.parts.tokenize_ns = now_ns() - started_ns;
  if (session_.backend().device().is_host) state.parts.transfer_ns = 0;
  if (tokenizer_ != nullptr) state.decoder = tokenizer_->stream({.skip_special = true});
  Request inner;
  inner.prompt_ids = std::move(ids);
  inner.max_new_tokens = request.n_output_tokens;
  inner.stop_ids = session_.config().eos_ids;
  inner.ignore_stop_ids = true;
  inner.sampling.seed = request.seed;
  const bool shares = request.n_shared_prefix > 0;
  inner.hold = shares && !prefix_holder_;
  if (shares) inner.fork_of = prefix_holder_;
  // The prefix holder may be this very request, sent earlier as a warm-up. Reuse stops at the shared prefix, so that
  // the rest of its prompt is computed nevertheless.
  inner.max_forked_tokens = request.n_shared_prefix;
  SS_TRY(const RequestId id, session_.engine().submit(std::move(inner)));
  if (shares && !prefix_holder_) prefix_holder_ = id;
  in_flight_.emplace(id, std::move(state));
  return {};
}

Result<std::optional<RequestEnd>> EngineSystem::cancel(std::int64_t tag) {
  const auto found = std::ranges::find_if(in_flight_, [tag](const auto& entry) { return entry.second.tag == tag; });
  if (found == in_flight_.end()) return std::optional<RequestEnd>();
  const InFlight& state = found->second;
  RequestEnd end{.tag = tag,
                 .n_prompt_tokens = state.n_prompt_tokens,
                 .n_cached_prompt_tokens = state.n_shared_tokens,
                 .parts = state.parts,
                 .ttft_kernel_ns = state.ttft_kernel_ns,
                 .finish = RequestFinish::kCancelled};
  session_.engine().cancel(found->first);
  if (prefix_holder_ == found->first) prefix_holder_.reset();
  in_flight_.erase(found);
  return std::optional(std::move(end));
}

Result<void> EngineSystem::abandon() {
  for (const auto& [id, state] : in_flight_) {
    session_.engine().cancel(id);
    if (prefix_holder_ == id) prefix_holder_.reset();
  }
  in_flight_.clear();
  return {};
}

void EngineSystem::forget_prefix() {
  if (prefix_holder_) session_.engine().release(*prefix_holder_);
  prefix_holder_.reset();
}

Result<void> EngineSystem::poll(std::int64_t until_ns, SystemEvents& events) {
  Engine& engine = session_.engine();
  if (!engine.has_work()) {
    wait_until(until_ns);
    return {};
  }
  const std::int64_t started_ns = now_ns();
  if (const auto wakes_at_ns = engine.wakes_at_ns(); wakes_at_ns && *wakes_at_ns > started_ns) {
    wait_until(std::min(until_ns, *wakes_at_ns));
    return {};
  }
  SS_TRY(const std::vector<TokenEvent> tokens, engine.step({started_ns + step_deadline_ns_}));
  for (const TokenEvent& event : tokens) take(event, events);
  count_step(now_ns() - started_ns);
  if (observer_) observer_(engine);
  return {};
}

void EngineSystem::take(const TokenEvent& event, SystemEvents& events) {
  const auto found = in_flight_.find(event.request);
  if (found == in_flight_.end() || event.of_prompt) return;
  InFlight& state = found->second;
  if (event.index == 0) {
    state.parts.queue_ns = event.times.scheduled_ns - event.times.submitted_ns;
    state.ttft_kernel_ns = event.time_ns - event.times.scheduled_ns;
    state.parts.prefill_ns = state.ttft_kernel_ns;
    state.n_shared_tokens = event.times.n_shared_tokens;
    if (event.times.transfer_ns) state.parts.transfer_ns = event.times.transfer_ns;
  }
  SystemToken token{.tag = state.tag, .id = event.id, .at_ns = event.time_ns};
  const bool is_last = event.finish != FinishReason::kNone;
  if (state.decoder) {
    bool is_visible = !state.decoder->push(event.id).empty();
    if (is_last) is_visible = !state.decoder->finish().empty() || is_visible;
    if (is_visible) token.visible_ns = now_ns();
  }
  if (event.id >= 0) events.tokens.push_back(token);
  if (!is_last) return;
  RequestEnd end{.tag = state.tag,
                 .n_prompt_tokens = state.n_prompt_tokens,
                 .n_cached_prompt_tokens = event.times.n_shared_tokens,
                 .n_output_tokens = event.index + (event.id >= 0 ? 1 : 0),
                 .parts = state.parts,
                 .ttft_kernel_ns = state.ttft_kernel_ns};
  if (event.finish != FinishReason::kLength) end.error = fmt::format("finished early: {}", to_string(event.finish));
  events.ends.push_back(std::move(end));
  in_flight_.erase(found);
}

void EngineSystem::count_step(std::int64_t poll_ns) {
  const StepStats& step = session_.engine().last_step();
  const std::int64_t device_side_ns = step.submit_ns + step.wait_ns;
  host_ns_ += poll_ns - device_side_ns;
  n_compiled_ += step.compiled ? 1 : 0;
  Steps& steps = step.n_decode_tokens == 0 ? prefill_ : step.n_prefill_tokens == 0 ? decode_ : mixed_;
  steps.ns += device_side_ns;
  steps.counts += step.counts;
}

StepTotals EngineSystem::step_totals() const {
  return {.prefill = work_of(prefill_),
          .decode = work_of(decode_),
          .mixed = work_of(mixed_),
          .host_ns = host_ns_,
          .n_compiled = n_compiled_};
}

StepWork EngineSystem::work_of(const Steps& steps) const {
  const OpWork work = session_.engine().work_of(steps.counts);
  return {.n_steps = steps.counts.n_steps,
          .tokens = steps.counts.n_tokens,
          .ns = steps.ns,
          .flops = work.flops,
          .weight_bytes = work.weight_bytes,
          .kv_bytes = work.kv_bytes};
}

}  // namespace secondsource

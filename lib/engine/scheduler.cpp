#include "engine/scheduler.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/checked.h"

namespace secondsource {
namespace {

/// The number of equal leading tokens of the two sequences.
std::int64_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const auto n = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first - a.begin();
}

/// How many of these tokens `child` may share: the common prefix, but at least one token must go through the model to
/// give logits.
std::int64_t shareable_of(const Sequence& child, std::span<const std::int32_t> tokens) {
  return std::min({common_prefix(child.tokens, tokens), child.n_tokens() - 1, child.request.max_forked_tokens});
}

/// How many of the parent's cached tokens `child` may use. Prompt rows that are scored have to be computed.
std::int64_t shareable_tokens(const Sequence& child, const Sequence& parent) {
  const std::span<const std::int32_t> cached(parent.tokens.data(), static_cast<std::size_t>(parent.n_cached));
  if (child.long_rope != parent.long_rope) return 0;  // its keys are rotated otherwise
  std::int64_t n_shared = shareable_of(child, cached);
  if (child.request.score_prompt) n_shared = std::min(n_shared, child.n_scored);
  return n_shared;
}

bool by_id(const std::unique_ptr<Sequence>& a, const std::unique_ptr<Sequence>& b) {
  return a->id < b->id;
}

}  // namespace

Result<Batching> batching_from_name(std::string_view name) {
  if (const auto batching = enum_from_name<Batching>(name)) return *batching;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("batching: expected one of continuous, static, dynamic, found {}", name)};
}

Scheduler::Scheduler(SchedulerOptions options, PageAllocator& pages, std::int32_t page_tokens)
    : pages_(pages), page_tokens_(page_tokens) {
  set_options(options);
  pages_.set_eviction_hook([this] { return evict_oldest(); });
}

Scheduler::~Scheduler() {
  pages_.set_eviction_hook({});
  for (auto* list : {&running_, &held_}) {
    for (const Owned& sequence : *list) sequence->pages.release(pages_);
  }
}

void Scheduler::set_options(const SchedulerOptions& options) {
  SS_CHECK(running_.empty(), "options change between runs only");
  SS_CHECK(options.max_seqs > 0 && options.max_tokens_per_step > 0, "a step holds at least one token");
  options_ = options;
  free_slots_.clear();
  for (std::int32_t slot = options_.max_seqs - 1; slot >= 0; --slot) free_slots_.push_back(slot);
}

void Scheduler::submit(std::unique_ptr<Sequence> sequence) {
  SS_CHECK(ceil_divide<std::int64_t>(sequence->n_tokens(), page_tokens_) <= pages_.n_pages(),
           "the engine refuses what can never fit");
  waiting_.push_back(std::move(sequence));
}

StepPlan Scheduler::plan(std::int64_t now_ns) {
  StepPlan plan;
  n_evicted_ = 0;
  const bool was_idle = running_.empty();
  plan.long_rope = next_kind();
  plan_running(plan, now_ns);
  if (plan.chunks.empty()) {
    plan.long_rope = !plan.long_rope;  // prompts of the other kind may have to be computed first
    plan_running(plan, now_ns);
  }
  while (may_admit(was_idle, now_ns) && admit_head(plan)) {
    if (plan.chunks.empty()) plan.long_rope = running_.back()->long_rope;
    plan_prefill(*running_.back(), plan, now_ns);
    if (options_.batching == Batching::kContinuous && plan.n_tokens >= options_.max_tokens_per_step) break;
  }
  plan.n_evicted = n_evicted_;
  last_was_long_rope_ = plan.long_rope;
  return plan;
}

void Scheduler::plan_running(StepPlan& plan, std::int64_t now_ns) {
  plan_decodes(plan);
  for (const Owned& sequence : running_) {
    if (!sequence->is_decoding()) plan_prefill(*sequence, plan, now_ns);
  }
}

bool Scheduler::next_kind() const {
  const auto is_other = [&](const Owned& sequence) { return sequence->long_rope != last_was_long_rope_; };
  return std::ranges::any_of(running_, is_other) ? !last_was_long_rope_ : last_was_long_rope_;
}

void Scheduler::plan_decodes(StepPlan& plan) {
  // Static and dynamic batches decode only after all their prompts are computed; that is the cost of static batching.
  const bool as_one = options_.batching != Batching::kContinuous;
  const auto prefilling = [](const Owned& sequence) { return !sequence->is_decoding(); };
  if (as_one && std::any_of(running_.begin(), running_.end(), prefilling)) return;
  // Iterate by index, because preemption removes sequences from the end. It never removes one that was already planned.
  for (std::size_t i = 0; i < running_.size(); ++i) {
    if (plan.n_tokens >= options_.max_tokens_per_step) return;
    Sequence& sequence = *running_[i];
    if (!sequence.is_decoding() || sequence.long_rope != plan.long_rope) continue;
    if (!grow_or_preempt(sequence, plan)) return;  // it was itself the youngest, so no sequence follows
    plan.add({.sequence = &sequence, .first_token = sequence.n_cached, .n_tokens = 1, .is_decode = true});
  }
}

void Scheduler::plan_prefill(Sequence& sequence, StepPlan& plan, std::int64_t now_ns) const {
  const std::int64_t n_tokens = std::min(sequence.n_pending(), options_.max_tokens_per_step - plan.n_tokens);
  if (n_tokens <= 0 || sequence.long_rope != plan.long_rope) return;
  if (sequence.times.scheduled_ns == 0) sequence.times.scheduled_ns = now_ns;
  plan.add({.sequence = &sequence, .first_token = sequence.n_cached, .n_tokens = n_tokens, .is_decode = false});
}

bool Scheduler::may_admit(bool was_idle, std::int64_t now_ns) const {
  if (waiting_.empty() || free_slots_.empty()) return false;
  switch (options_.batching) {
    case Batching::kContinuous:
      return true;
    case Batching::kStatic:
      return was_idle;
    case Batching::kDynamic: {
      // Once a batch starts to form, it takes all requests it can: the condition holds until running_ has its first
      // member.
      if (!was_idle || !running_.empty()) return was_idle;
      const auto wake_ns = wakes_at_ns();
      return !wake_ns || now_ns >= *wake_ns;
    }
  }
  return false;
}

std::optional<std::int64_t> Scheduler::wakes_at_ns() const {
  if (options_.batching != Batching::kDynamic || !running_.empty() || waiting_.empty()) return std::nullopt;
  if (waiting_.size() >= static_cast<std::size_t>(options_.max_seqs)) return std::nullopt;
  return waiting_.front()->times.submitted_ns + options_.max_queue_delay_ns;
}

bool Scheduler::admit_head(StepPlan& plan) {
  Sequence& head = *waiting_.front();
  const Sequence* parent = parent_of(head);
  // The parent is ahead in the queue and will compute the common part of the prompts, so wait until it is in the cache.
  if (parent != nullptr && !parent->request.prompt_ids.empty() && !head.request.score_prompt &&
      parent->n_cached < shareable_of(head, parent->request.prompt_ids)) {
    return false;
  }
  if (!take_pages(head, parent, plan)) {
    // If nothing is running, waiting would free no page; then give up sharing, so that the parent's pages may be
    // evicted too.
    if (!running_.empty() || parent == nullptr) return false;
    if (!take_pages(head, nullptr, plan)) return false;
  }
  head.slot = free_slots_.back();
  free_slots_.pop_back();
  SS_CHECK(running_.empty() || by_id(running_.back(), waiting_.front()), "arrival order is the order of admission");
  running_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
  return true;
}

bool Scheduler::take_pages(Sequence& sequence, const Sequence* parent, StepPlan& plan) {
  forking_from_ = parent;
  may_evict_ = running_.empty();
  std::int64_t n_shared = 0;
  std::optional<PageCopy> copy;
  bool taken = true;
  if (parent != nullptr) {
    n_shared = shareable_tokens(sequence, *parent);
    auto fork = parent->pages.fork(pages_, n_shared);
    taken = fork.has_value();
    if (fork) {
      sequence.pages = std::move(fork->table);
      copy = fork->copy;
    }
  }
  taken = taken && sequence.pages.grow(pages_, sequence.n_tokens());
  // Every running sequence may soon need a page. A request admitted into that space would only be preempted again.
  taken = taken && (running_.empty() || pages_.n_free() >= static_cast<std::int64_t>(running_.size()));
  forking_from_ = nullptr;
  may_evict_ = true;
  if (!taken) {
    sequence.pages.release(pages_);
    return false;
  }
  if (copy) plan.copies.push_back(*copy);
  sequence.n_cached = n_shared;
  sequence.times.n_shared_tokens = static_cast<std::int32_t>(n_shared);
  return true;
}

const Sequence* Scheduler::parent_of(const Sequence& sequence) const {
  if (!sequence.request.fork_of) return nullptr;
  for (const auto* list : {&running_, &held_}) {
    for (const Owned& candidate : *list) {
      if (candidate->id == *sequence.request.fork_of) return candidate.get();
    }
  }
  return nullptr;
}

bool Scheduler::grow_or_preempt(Sequence& sequence, StepPlan& plan) {
  while (!sequence.pages.grow(pages_, sequence.n_cached + 1)) {
    Owned victim = std::move(running_.back());
    running_.pop_back();
    const bool is_self = victim.get() == &sequence;
    stop(*victim);
    victim->n_cached = 0;
    ++victim->times.n_preemptions;
    ++plan.n_preempted;
    const auto place = std::upper_bound(waiting_.begin(), waiting_.end(), victim, by_id);
    waiting_.insert(place, std::move(victim));
    if (is_self) return false;
  }
  return true;
}

void Scheduler::stop(Sequence& sequence) {
  sequence.pages.release(pages_);
  free_slots_.push_back(sequence.slot);
  sequence.slot = -1;
}

bool Scheduler::evict_oldest() {
  if (!may_evict_) return false;
  for (auto it = held_.begin(); it != held_.end(); ++it) {
    if (it->get() == forking_from_) continue;
    (*it)->pages.release(pages_);
    held_.erase(it);
    ++n_evicted_;
    return true;
  }
  return false;
}

void Scheduler::advance(const Chunk& chunk) {
  chunk.sequence->n_cached += chunk.n_tokens;
}

void Scheduler::finish(Sequence& sequence) {
  const auto it =
      std::find_if(running_.begin(), running_.end(), [&](const Owned& owned) { return owned.get() == &sequence; });
  SS_CHECK(it != running_.end(), "only a running sequence finishes");
  Owned owned = std::move(*it);
  running_.erase(it);
  if (!owned->request.hold) {
    stop(*owned);
    return;
  }
  free_slots_.push_back(owned->slot);
  owned->slot = -1;
  held_.push_back(std::move(owned));
}

bool Scheduler::remove(RequestId id) {
  const auto has_id = [&](const Owned& sequence) { return sequence->id == id; };
  if (const auto it = std::find_if(waiting_.begin(), waiting_.end(), has_id); it != waiting_.end()) {
    waiting_.erase(it);
    return true;
  }
  if (const auto it = std::find_if(running_.begin(), running_.end(), has_id); it != running_.end()) {
    stop(**it);
    running_.erase(it);
    return true;
  }
  if (const auto it = std::find_if(held_.begin(), held_.end(), has_id); it != held_.end()) {
    (*it)->pages.release(pages_);
    held_.erase(it);
    return true;
  }
  return false;
}

}  // namespace secondsource

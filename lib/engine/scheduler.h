#pragma once
// Decides what the next step computes: which requests are admitted, how a long prompt is cut into chunks, who gives up
// pages when there are none left. Knows pages and counts only, no backend, so that it is tested without one.
//
// Rules, in this order:
//   1. Every decoding sequence gets its next token, oldest first (kContinuous), within max_tokens_per_step.
//   2. Running prompts continue, oldest first, in chunks of what the token budget leaves.
//   3. Waiting requests are admitted strictly in order of arrival, while there is a sequence slot, budget, and pages
//   for
//      all their known tokens. A request that does not fit blocks those behind it: nobody is overtaken for ever.
// When a running sequence needs a page and none is free, held sequences are evicted (oldest first), then the youngest
// running one is preempted: its pages are freed, and it waits at its old place in the order to be recomputed. The
// oldest is never preempted for a younger one, and a request larger than the whole cache is refused at submission, so
// the oldest always advances: there is no deadlock and no starvation.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "engine/page_allocator.h"
#include "engine/sequence.h"

namespace secondsource {

enum class BatchPolicy : std::uint8_t {
  kContinuous,  ///< requests join and leave at every step; the normal way
  kStatic,      ///< a batch of what is waiting, up to max_seqs, runs until all of it is done
  kDynamic,     ///< as static, but waits for a full batch, or until the oldest has waited max_queue_delay_ns
};

/// "continuous", "static", "dynamic".
[[nodiscard]] std::string_view to_string(BatchPolicy policy);
Result<BatchPolicy> batch_policy_by_name(std::string_view name);

struct SchedulerOptions {
  BatchPolicy policy = BatchPolicy::kContinuous;
  std::int32_t max_seqs = 64;
  std::int32_t max_tokens_per_step = 512;
  std::int64_t max_queue_delay_ns = 10'000'000;  ///< kDynamic
};

/// Tokens [first_token, first_token + n_tokens) of one sequence in one step.
struct Chunk {
  Sequence* sequence = nullptr;
  std::int64_t first_token = 0;
  std::int64_t n_tokens = 0;
  bool is_decode = false;
};

struct StepPlan {
  std::vector<Chunk> chunks;     ///< decoding sequences first
  std::vector<PageCopy> copies;  ///< of forks, to be done before the step, in this order
  std::int32_t n_preempted = 0;
  std::int32_t n_evicted = 0;
  std::int64_t n_tokens = 0;  ///< of all chunks

  void add(const Chunk& chunk) {
    chunks.push_back(chunk);
    n_tokens += chunk.n_tokens;
  }
};

class Scheduler {
 public:
  /// `pages` must outlive the scheduler, which becomes its eviction hook.
  Scheduler(SchedulerOptions options, PageAllocator& pages, std::int32_t page_tokens);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  /// Only while nothing is running.
  void set_options(const SchedulerOptions& options);
  [[nodiscard]] const SchedulerOptions& options() const { return options_; }

  void submit(std::unique_ptr<Sequence> sequence);
  /// The next step; without chunks when there is nothing to do now. Marks nothing as computed: advance() does.
  StepPlan plan(std::int64_t now_ns);
  /// The chunk's tokens are in the cache.
  static void advance(const Chunk& chunk);
  /// The running sequence is complete: its pages are freed, or held if the request says so.
  void finish(Sequence& sequence);
  /// Forgets a waiting, running or held sequence; false when there is none.
  bool remove(RequestId id);

  [[nodiscard]] bool has_work() const { return !waiting_.empty() || !running_.empty(); }
  [[nodiscard]] std::size_t n_waiting() const { return waiting_.size(); }
  [[nodiscard]] std::size_t n_running() const { return running_.size(); }
  [[nodiscard]] std::size_t n_held() const { return held_.size(); }
  /// When a plan may have chunks although the last had none; nullopt: now, or not before a submission.
  [[nodiscard]] std::optional<std::int64_t> wakes_at_ns() const;

 private:
  using Owned = std::unique_ptr<Sequence>;
  void plan_decodes(StepPlan& plan);
  void plan_prefill(Sequence& sequence, StepPlan& plan, std::int64_t now_ns) const;
  [[nodiscard]] bool may_admit(bool was_idle, std::int64_t now_ns) const;
  /// True when the head of the queue is running now; false when it has to wait.
  bool admit_head(StepPlan& plan);
  /// The cache of the head's known tokens, shared with `parent` as far as they begin alike.
  bool take_pages(Sequence& sequence, const Sequence* parent, StepPlan& plan);
  /// A running or held sequence to fork from; nullptr: there is none (any more), so all is computed.
  [[nodiscard]] const Sequence* parent_of(const Sequence& sequence) const;
  bool grow_or_preempt(Sequence& sequence, StepPlan& plan);
  /// Frees its pages and its slot; the caller has taken it out of running_.
  void stop(Sequence& sequence);
  bool evict_oldest();

  SchedulerOptions options_;
  PageAllocator& pages_;
  std::int32_t page_tokens_;
  std::deque<Owned> waiting_;   ///< by id
  std::vector<Owned> running_;  ///< by id
  std::vector<Owned> held_;     ///< by the time they finished
  std::vector<std::int32_t> free_slots_;
  bool may_evict_ = true;
  std::int32_t n_evicted_ = 0;
  const Sequence* forking_from_ = nullptr;  ///< not to be evicted while it is being forked
};

}  // namespace secondsource

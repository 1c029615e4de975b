#pragma once
// Decides what the next step computes: which requests are admitted, how a long prompt is cut into chunks, and which
// sequence gives up its pages when none is left. It uses only pages and counts, so that it can be tested without a
// backend.
//
// Rules, in this order:
//   1. Every decoding sequence gets its next token, oldest first (kContinuous), within max_tokens_per_step.
//   2. Running prompts continue, oldest first, in chunks that fill the rest of the token budget.
//   3. Waiting requests are admitted strictly in order of arrival, while there are a sequence slot, token budget, and
//      pages for all their known tokens. A request that does not fit blocks those behind it, so that no request is
//      overtaken forever.
// A model with LongRoPE rotates long sequences by other frequencies than short ones. All sequences of a step are of the
// same kind; while sequences of both kinds run, steps of the two kinds alternate.
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

#include "core/batching.h"
#include "core/result.h"
#include "engine/page_allocator.h"
#include "engine/sequence.h"

namespace secondsource {

/// Parses the name of a batching mode as users write it. Errors: kInvalidInput.
Result<Batching> batching_from_name(std::string_view name);

struct SchedulerOptions {
  Batching batching = Batching::kContinuous;
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
  std::vector<PageCopy> copies;  ///< copies of forked pages, to be made before the step, in this order
  std::int32_t n_preempted = 0;
  std::int32_t n_evicted = 0;
  std::int64_t n_tokens = 0;  ///< tokens of all chunks
  bool long_rope = false;     ///< the kind of all its sequences

  void add(const Chunk& chunk) {
    chunks.push_back(chunk);
    n_tokens += chunk.n_tokens;
  }
};

class Scheduler {
 public:
  /// Installs itself as the eviction hook of `pages`, which must outlive the scheduler.
  Scheduler(SchedulerOptions options, PageAllocator& pages, std::int32_t page_tokens);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  /// Changes the options. Call it only while nothing is running.
  void set_options(const SchedulerOptions& options);
  [[nodiscard]] const SchedulerOptions& options() const { return options_; }

  void submit(std::unique_ptr<Sequence> sequence);
  /// Plans the next step. The plan has no chunks if there is nothing to do yet. Nothing is marked as computed until
  /// advance().
  StepPlan plan(std::int64_t now_ns);
  /// Records that the chunk's tokens are in the cache.
  static void advance(const Chunk& chunk);
  /// Ends a running sequence: its pages are freed, or held if the request asks for it.
  void finish(Sequence& sequence);
  /// Removes a waiting, running or held sequence; returns false if there is none of this id.
  bool remove(RequestId id);

  [[nodiscard]] bool has_work() const { return !waiting_.empty() || !running_.empty(); }
  [[nodiscard]] std::size_t n_waiting() const { return waiting_.size(); }
  [[nodiscard]] std::size_t n_running() const { return running_.size(); }
  [[nodiscard]] std::size_t n_held() const { return held_.size(); }
  /// The time from which a plan may have chunks although the last one had none; nullopt if that is now, or not before
  /// another request is submitted.
  [[nodiscard]] std::optional<std::int64_t> wakes_at_ns() const;

 private:
  using Owned = std::unique_ptr<Sequence>;
  /// The kind of the next step's sequences: the kind that the last step did not have, if any such sequence is running.
  [[nodiscard]] bool next_kind() const;
  /// Plans the running sequences of the plan's kind.
  void plan_running(StepPlan& plan, std::int64_t now_ns);
  void plan_decodes(StepPlan& plan);
  void plan_prefill(Sequence& sequence, StepPlan& plan, std::int64_t now_ns) const;
  [[nodiscard]] bool may_admit(bool was_idle, std::int64_t now_ns) const;
  /// Admits the first waiting request; returns false if it has to wait.
  bool admit_head(StepPlan& plan);
  /// Takes pages for all known tokens of the sequence. Those that begin like the tokens of `parent` are shared with it.
  bool take_pages(Sequence& sequence, const Sequence* parent, StepPlan& plan);
  /// The running or held sequence to fork from; nullptr if there is none (any more) and all tokens must be computed.
  [[nodiscard]] const Sequence* parent_of(const Sequence& sequence) const;
  bool grow_or_preempt(Sequence& sequence, StepPlan& plan);
  /// Frees the pages and the slot of a sequence that the caller has taken out of running_.
  void stop(Sequence& sequence);
  bool evict_oldest();

  SchedulerOptions options_;
  PageAllocator& pages_;
  std::int32_t page_tokens_;
  std::deque<Owned> waiting_;   ///< sorted by id
  std::vector<Owned> running_;  ///< sorted by id
  std::vector<Owned> held_;     ///< in the order in which they finished
  std::vector<std::int32_t> free_slots_;
  bool may_evict_ = true;
  bool last_was_long_rope_ = false;
  std::int32_t n_evicted_ = 0;
  const Sequence* forking_from_ = nullptr;  ///< must not be evicted while it is being forked
};

}  // namespace secondsource

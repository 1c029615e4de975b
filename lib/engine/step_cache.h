#pragma once
// The compiled steps, by the key for which they were compiled. Steps are compiled and made ready outside of timed
// regions by Engine::prepare(). If a step has to be compiled on demand, StepStats records it.

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "engine/model_graph.h"

namespace secondsource {

struct StepKey {
  std::int32_t max_tokens = 0;
  bool row_per_token = false;  ///< rows of logits for every token (scores), otherwise one per sequence
  bool with_top = false;
  bool keep_logits = false;
  bool long_rope = false;
  GroupTiming group_timing = GroupTiming::kOff;
  friend auto operator<=>(const StepKey&, const StepKey&) = default;  // NOLINT(modernize-use-nullptr): not one
};

class StepCache {
 public:
  struct Limits {
    std::int32_t max_seqs = 0;
    std::int32_t max_pages_per_seq = 0;
    std::int32_t n_top = 0;
  };
  /// All arguments by reference must outlive the cache. `graph` holds the options that all steps share.
  StepCache(Backend& backend, const ModelConfig& config, const ModelWeights& weights, KvPoolId pool,
            const GraphOptions& graph, Limits limits);

  /// The smallest bucket that holds n_tokens, or the last bucket if none does.
  [[nodiscard]] std::int32_t bucket_for(std::int64_t n_tokens) const;
  [[nodiscard]] const std::vector<std::int32_t>& buckets() const { return buckets_; }
  /// Sets the buckets, ascending and at least one. Compiled steps are kept.
  void set_buckets(std::vector<std::int32_t> buckets) { buckets_ = std::move(buckets); }

  /// Returns the step and compiles it first if necessary. Errors: those of Backend::compile.
  Result<Step*> get(const StepKey& key);
  /// Makes every compiled step ready; call it after the last one was compiled. Errors: those of Step::make_ready.
  Result<void> make_ready();
  [[nodiscard]] bool contains(const StepKey& key) const { return steps_.contains(key); }
  /// The graph from which the step of `key` is compiled and to which its groups refer.
  [[nodiscard]] StepGraph graph_of(const StepKey& key) const;

 private:
  Backend& backend_;
  const ModelConfig& config_;
  const ModelWeights& weights_;
  KvPoolId pool_;
  GraphOptions graph_;
  Limits limits_;
  std::vector<std::int32_t> buckets_;
  std::map<StepKey, std::unique_ptr<Step>> steps_;
};

}  // namespace secondsource

#pragma once
// Compiled steps, by what they were compiled for. Steps are compiled and made ready outside of timed regions:
// Engine::prepare() does it ahead, and a step for which it was done on demand says so in StepStats.

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "engine/model_graph.h"

namespace secondsource {

struct StepKey {
  std::int32_t max_tokens = 0;
  bool row_per_token = false;  ///< logit rows for every token (scores), else one a sequence
  bool with_top = false;
  bool keep_logits = false;
  Trace trace = Trace::kOff;
  friend auto operator<=>(const StepKey&, const StepKey&) = default;  // NOLINT(modernize-use-nullptr): not one
};

class StepCache {
 public:
  struct Limits {
    std::int32_t max_seqs = 0;
    std::int32_t max_pages_per_seq = 0;
    std::int32_t n_top = 0;
  };
  /// All borrowed, and must outlive the cache. `graph` holds the options that all steps share.
  StepCache(Backend& backend, const ModelConfig& config, const ModelWeights& weights, KvPoolId pool,
            const GraphOptions& graph, Limits limits);

  /// The smallest of the ascending buckets that holds n_tokens; the last one otherwise.
  [[nodiscard]] std::int32_t bucket_for(std::int64_t n_tokens) const;
  [[nodiscard]] const std::vector<std::int32_t>& buckets() const { return buckets_; }
  /// Ascending, at least one; drops no compiled step.
  void set_buckets(std::vector<std::int32_t> buckets) { buckets_ = std::move(buckets); }

  /// The step, compiled now if it was not yet. Errors: what Backend::compile returns.
  Result<Step*> get(const StepKey& key);
  /// Makes every compiled step ready: after the last one was compiled. Errors: what Step::make_ready returns.
  Result<void> make_ready();
  [[nodiscard]] bool contains(const StepKey& key) const { return steps_.contains(key); }
  /// The graph that `key` is compiled from: what its groups refer to.
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

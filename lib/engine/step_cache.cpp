#include "engine/step_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/counted.h"

namespace secondsource {

StepCache::StepCache(Backend& backend, const ModelConfig& config, const ModelWeights& weights, KvPoolId pool,
                     const GraphOptions& graph, Limits limits)
    : backend_(backend), config_(config), weights_(weights), pool_(pool), graph_(graph), limits_(limits) {}

std::int32_t StepCache::bucket_for(std::int64_t n_tokens) const {
  SS_CHECK(!buckets_.empty(), "a step cache has buckets");
  const auto it = std::lower_bound(buckets_.begin(), buckets_.end(), n_tokens);
  return it == buckets_.end() ? buckets_.back() : *it;
}

StepGraph StepCache::graph_of(const StepKey& key) const {
  GraphOptions options = graph_;
  options.n_top = key.with_top ? limits_.n_top : 0;
  options.keep_logits = key.keep_logits;
  options.long_rope = key.long_rope;
  return build_step_graph(config_, weights_, options);
}

Result<Step*> StepCache::get(const StepKey& key) {
  if (const auto it = steps_.find(key); it != steps_.end()) return it->second.get();
  const std::int32_t max_seqs = std::min(key.max_tokens, limits_.max_seqs);
  const Bucket bucket{.max_tokens = key.max_tokens,
                      .max_seqs = max_seqs,
                      .max_logit_rows = key.row_per_token ? key.max_tokens : max_seqs,
                      .max_pages_per_seq = limits_.max_pages_per_seq};
  auto step = backend_.compile(graph_of(key), bucket, pool_, key.group_timing);
  if (!step) return step.error().with_context(fmt::format("compiling a step of {}", counted(key.max_tokens, "token")));
  return steps_.emplace(key, std::move(*step)).first->second.get();
}

Result<void> StepCache::make_ready() {
  for (const auto& [key, step] : steps_) SS_TRY_VOID(step->make_ready());
  return {};
}

}  // namespace secondsource

#include "backend_kit/workspace_plan.h"

#include <algorithm>
#include <limits>

#include "backend/op_access.h"
#include "core/checked.h"

namespace secondsource {
namespace {

/// The range of operations over which a value must keep its bytes.
struct Life {
  std::size_t first = std::numeric_limits<std::size_t>::max();
  std::size_t last = 0;
  [[nodiscard]] bool touched() const { return first <= last; }
  [[nodiscard]] bool overlaps(const Life& other) const { return first <= other.last && other.first <= last; }
};

std::vector<Life> find_lives(const StepGraph& graph) {
  std::vector<Life> lives(graph.values.size());
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const OpAccess access = op_access(graph.ops[i]);
    for (const auto* list : {&access.reads, &access.writes}) {
      for (const ValueId id : *list) {
        Life& life = lives[static_cast<std::size_t>(index_of(id))];
        life.first = std::min(life.first, i);
        life.last = std::max(life.last, i);
      }
    }
  }
  for (std::size_t v = 0; v < lives.size(); ++v) {
    if (graph.values[v].observed && lives[v].touched()) lives[v].last = graph.ops.size();
  }
  return lives;
}

}  // namespace

std::int32_t max_rows(Rows rows, const Bucket& bucket) {
  switch (rows) {
    case Rows::kTokens:
      return bucket.max_tokens;
    case Rows::kSeqs:
      return bucket.max_seqs;
    case Rows::kLogits:
      return bucket.max_logit_rows;
  }
  return 0;
}

WorkspacePlan plan_workspace(const StepGraph& graph, const Bucket& bucket, std::size_t alignment_bytes,
                             std::size_t gap_bytes) {
  WorkspacePlan plan;
  std::vector<Life> lives = find_lives(graph);
  for (const ValueDesc& value : graph.values) {
    const auto rows = static_cast<std::size_t>(max_rows(value.rows, bucket));
    plan.sizes.push_back(rows * static_cast<std::size_t>(value.cols) * size_of(value.dtype));
  }
  plan.offsets.resize(graph.values.size(), 0);
  // First fit, largest first: for the chains of operations in transformers this is within a few percent of the optimum.
  std::vector<std::size_t> order;
  for (std::size_t v = 0; v < lives.size(); ++v) {
    if (lives[v].touched()) order.push_back(v);
    if (gap_bytes > 0) lives[v] = {0, graph.ops.size()};
  }
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return plan.sizes[a] > plan.sizes[b]; });
  std::vector<std::size_t> placed;
  for (const std::size_t v : order) {
    const std::size_t bytes = round_up(plan.sizes[v] + gap_bytes, alignment_bytes);
    std::vector<std::pair<std::size_t, std::size_t>> taken;
    for (const std::size_t other : placed) {
      if (!lives[v].overlaps(lives[other])) continue;
      taken.emplace_back(plan.offsets[other],
                         plan.offsets[other] + round_up(plan.sizes[other] + gap_bytes, alignment_bytes));
    }
    std::sort(taken.begin(), taken.end());
    std::size_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + bytes <= begin) break;
      offset = std::max(offset, end);
    }
    plan.offsets[v] = offset;
    plan.total_bytes = std::max(plan.total_bytes, offset + bytes);
    placed.push_back(v);
  }
  return plan;
}

}  // namespace secondsource

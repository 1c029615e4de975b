#pragma once
// The parts that all host backends share, independent of their cache, weights and kernels: bookkeeping of caches and
// tickets, and the checks at the start of compile(). A derived class prepares weights, reports what it supports, and
// compiles.

#include <fmt/format.h>

#include <vector>

#include "backend/check_kv.h"
#include "backend/op_access.h"
#include "backend_kit/eager_step.h"

namespace secondsource {

/// Pool must have create(MemoryAccount&, const KvSpec&, n_pages), spec(), copy_pages() and export_range(), like
/// HostKvPool.
template <typename Pool>
class HostBackend : public Backend {
 public:
  explicit HostBackend(DeviceInfo device) : device_(std::move(device)), queue_(device_.n_seq_slots, &account_) {}

  [[nodiscard]] const DeviceInfo& device() const noexcept override { return device_; }
  Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) override {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY(Pool pool, Pool::create(account_, spec, n_pages));
    pools_.push_back(std::move(pool));
    return KvPoolId{static_cast<std::int32_t>(pools_.size()) - 1};
  }
  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY_VOID(check_pool(pool));
    return pools_[static_cast<std::size_t>(index_of(pool))].copy_pages(copies);
  }
  Result<void> kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const override {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY_VOID(check_pool(pool));
    return pools_[static_cast<std::size_t>(index_of(pool))].export_range(range, out);
  }
  Result<StepResult> wait(Ticket ticket, Deadline deadline) override { return queue_.take(ticket, deadline); }
  [[nodiscard]] MemoryUse memory() const override { return account_.use(); }

 protected:
  /// Checks that nothing failed before, that the graph, its weights (`specs` by id) and its cache fit together, and
  /// that they are supported.
  [[nodiscard]] Result<void> check_compile(const StepGraph& graph, std::span<const WeightSpec> specs,
                                           KvPoolId pool) const {
    SS_TRY_VOID(queue_.healthy());
    SS_TRY_VOID(check_graph(graph));
    SS_TRY_VOID(check_graph_weights(graph, specs));
    SS_TRY_VOID(check_pool(pool));
    SS_TRY_VOID(check_graph_cache(graph, pools_[static_cast<std::size_t>(index_of(pool))].spec()));
    for (std::size_t i = 0; i < graph.ops.size(); ++i) {
      Support support = supports(graph.ops[i], graph.values);
      const auto encoding = [&](WeightId weight) { return specs[static_cast<std::size_t>(index_of(weight))].encoding; };
      if (!support.supported) {
        // Report the reason that supports() gave.
      } else if (const auto* const matmul = std::get_if<Matmul>(&graph.ops[i])) {
        support = supports_weight(encoding(matmul->weight), matmul->act);
      } else if (const auto* const grouped = std::get_if<GroupedMatmul>(&graph.ops[i])) {
        support = supports_weight(encoding(grouped->weights), grouped->act);
      }
      if (support.supported) continue;
      return Error{ErrorCode::kUnsupported, fmt::format("{}: {}", op_label(graph, i), support.reason)};
    }
    return {};
  }

  [[nodiscard]] Result<void> check_pool(KvPoolId pool) const {
    if (index_of(pool) >= 0 && static_cast<std::size_t>(index_of(pool)) < pools_.size()) return {};
    return Error{ErrorCode::kInvalidInput, fmt::format("no KV cache {}", index_of(pool))};
  }

  DeviceInfo device_;
  MemoryAccount account_;
  std::vector<Pool> pools_;
  EagerQueue queue_;
};

}  // namespace secondsource

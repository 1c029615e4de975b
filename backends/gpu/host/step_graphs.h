#pragma once
// The captured graphs of one step: one for each combination of prefill and decode attention with and without work, so
// that a decode step launches no prefill kernel.

#include <array>
#include <memory>

#include "gpu/host/batch_upload.h"

namespace secondsource::gpu {

class StepGraphs {
 public:
  /// The graph for a batch with this work; null until it is captured.
  [[nodiscard]] std::unique_ptr<Graph>& of(const BatchUpload::Work& work) {
    return graphs_[(work.n_query_tiles > 0 ? 1U : 0U) + (work.n_decodes > 0 ? 2U : 0U)];
  }
  /// Drops all graphs: the addresses in them are no longer valid.
  void reset() {
    for (auto& graph : graphs_) graph.reset();
  }

 private:
  std::array<std::unique_ptr<Graph>, 4> graphs_;
};

}  // namespace secondsource::gpu

#pragma once
// Binds the operations of a step to kernels: which kernel each launches, and with what arguments.

#include <memory>
#include <span>

#include "gpu/host/sample_results.h"
#include "gpu/host/step_products.h"

namespace secondsource::gpu {

/// Scratch of Sample: SampleBins of each row, then its pieces.
[[nodiscard]] std::size_t sample_scratch_bytes(std::int32_t max_rows, std::int32_t n_logits);

/// Scratch of Route: the scores of each row.
[[nodiscard]] std::size_t route_scratch_bytes(std::int32_t max_rows, std::int32_t n_experts);

/// Visits an Op (std::visit) and returns its launch, over the workspace where it is now. There is no catch-all: a new
/// operation does not compile until it is bound here. The references must outlive the launches.
struct LaunchBinder {
  const Shared& shared;
  const Weights& weights;
  const KvPool& pool;
  const StepGraph& graph;
  const StepValues& values;
  const StepProducts& products;
  const BatchUpload& upload;
  std::span<const std::shared_ptr<DeviceBuffer>> inv_freqs;     ///< one per rope of the graph
  std::span<const std::shared_ptr<DeviceBuffer>> column_lists;  ///< one per list of columns of the graph
  const SampleResults& samples;
  PrefillBy prefill = PrefillBy::kWarps;
  const DeviceBuffer& block_counters;  ///< n_arrived of AttentionArguments, RouteArguments and MatmulArguments
  std::int32_t n_logits = 0;
  std::int32_t max_logit_rows = 0;

  StepLaunch operator()(const Embed& op) const;
  StepLaunch operator()(const RmsNorm& op) const;
  StepLaunch operator()(const Matmul& op) const { return products.bind(op, upload, block_counters); }
  StepLaunch operator()(const RopeAppend& op) const;
  StepLaunch operator()(const LatentAppend& op) const;
  StepLaunch operator()(const HeadMatmul& op) const { return products.bind(op, upload); }
  StepLaunch operator()(const Attention& op) const;
  StepLaunch operator()(const SelectRows& op) const;
  StepLaunch operator()(const SelectColumns& op) const;
  StepLaunch operator()(const Sample& op) const;
  StepLaunch operator()(const Route& op) const;
  StepLaunch operator()(const GroupedMatmul& op) const { return products.bind(op, upload); }

 private:
  [[nodiscard]] const std::int32_t* n_rows_of(ValueId id) const {
    return StepValues::n_rows(upload, values.desc(id).rows);
  }
};

}  // namespace secondsource::gpu

#include "gpu/host/step_values.h"

#include "core/checked.h"

namespace secondsource::gpu {

StepValues::StepValues(const Shared& shared, const StepGraph& graph, const Bucket& bucket, std::size_t gap_bytes)
    : shared_(shared),
      graph_(graph),
      bucket_(bucket),
      plan_(plan_workspace(graph, bucket, kWorkspaceAlignment, gap_bytes)) {}

float* StepValues::address(ValueId id) const {
  return reinterpret_cast<float*>(shared_.workspace.data() + plan_.offsets[static_cast<std::size_t>(index_of(id))]);
}

bool StepValues::overlap(ValueId a, ValueId b) const {
  const auto first = static_cast<std::size_t>(index_of(a));
  const auto second = static_cast<std::size_t>(index_of(b));
  return plan_.offsets[first] < plan_.offsets[second] + plan_.sizes[second] &&
         plan_.offsets[second] < plan_.offsets[first] + plan_.sizes[first];
}

std::byte* StepValues::scratch() const {
  return shared_.workspace.data() + values_bytes();
}

const std::int32_t* StepValues::n_rows(const BatchUpload& upload, Rows rows) {
  switch (rows) {
    case Rows::kSeqs:
      return upload.n_seqs();
    case Rows::kLogits:
      return upload.view().n_logit_rows;
    case Rows::kTokens:
      break;
  }
  return upload.view().n_tokens;
}

std::size_t StepValues::values_bytes() const {
  return round_up(plan_.total_bytes, kWorkspaceAlignment);
}

}  // namespace secondsource::gpu

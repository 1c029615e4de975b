#pragma once
// Addresses and row counts of the values of one step's graph. The values lie in the workspace that all steps share, and
// after them the scratch of the operation that is running. Addresses change when the workspace moves
// (Shared::workspace_generation), so launches have to be bound again after that.

#include "backend_kit/workspace_plan.h"
#include "gpu/host/backend.h"
#include "gpu/host/batch_upload.h"

namespace secondsource::gpu {

inline constexpr std::size_t kWorkspaceAlignment = 256;

class StepValues {
 public:
  /// `shared` and `graph` must outlive this. With `gap_bytes` > 0 no place in the workspace is reused, and each value is
  /// followed by a gap of that size.
  StepValues(const Shared& shared, const StepGraph& graph, const Bucket& bucket, std::size_t gap_bytes);

  [[nodiscard]] const ValueDesc& desc(ValueId id) const {
    return graph_.values[static_cast<std::size_t>(index_of(id))];
  }
  [[nodiscard]] std::int32_t max_rows_of(ValueId id) const { return max_rows(desc(id).rows, bucket_); }
  /// Device address of the value in the workspace as it is now.
  [[nodiscard]] float* address(ValueId id) const;
  /// Whether two values share a byte of the workspace.
  [[nodiscard]] bool overlap(ValueId a, ValueId b) const;
  /// Device address of the scratch of one operation, which the next operation may overwrite.
  [[nodiscard]] std::byte* scratch() const;
  /// Device address of the number of rows that the current batch has.
  [[nodiscard]] static const std::int32_t* n_rows(const BatchUpload& upload, Rows rows);
  /// Where each value lies in the workspace.
  [[nodiscard]] const WorkspacePlan& plan() const { return plan_; }
  /// Bytes of the workspace in front of the scratch.
  [[nodiscard]] std::size_t values_bytes() const;

 private:
  const Shared& shared_;
  const StepGraph& graph_;
  Bucket bucket_;
  WorkspacePlan plan_;
};

}  // namespace secondsource::gpu

#pragma once
// The portability matrix shows how well each operation runs on each platform. A row is an operation with a type of
// weights and a class of shapes; a column is a backend on a device. The matrix is made from the traced passes of stored
// runs (`run --trace`), the refusals of backends, and the findings of the conformance suite.
//
// The share of the roofline is the least time that the operation could take / the time that it took. The least time is
// the longer one of reading its weights and cache at the machine's read rate and of computing at its peak. Only matmuls
// and attention have such a share, because the work of other operations is not counted (engine/op_work.h).
//
// Each row has one figure, the harmonic mean of the shares over all platforms except the oracle, which is 0 if one of
// them cannot run the operation or computes it wrongly: Pennycook, Sewall and Lee, "A Metric for Performance
// Portability", arXiv:1611.07409, with architectural efficiency. The mean hides which platform is slow, so it is never
// shown without its parts.

#include <optional>
#include <span>

#include "record/conformance_record.h"
#include "summary/portability_record.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Builds the matrix. It is empty, without platforms, if no run was traced.
[[nodiscard]] PortabilityMatrix portability_matrix(std::span<const SummarizedRun> runs,
                                                   std::span<const ConformanceRecord> conformance);

/// The harmonic mean n / sum of 1 / e; 0 if one of the efficiencies is nullopt or 0.
[[nodiscard]] double harmonic_mean(std::span<const std::optional<double>> efficiencies);

}  // namespace secondsource

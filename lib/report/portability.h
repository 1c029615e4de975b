#pragma once
// How well each operation runs on each platform: a row an operation, type of weights and class of shapes, a column a
// backend on a device. From the traced passes of stored runs (`run --trace`), what backends refuse, and what the
// conformance suite found.
//
// The share of the roofline is the time that the operation would take at best / the time that it took, the best being
// the slower of reading its weights and cache at the machine's read rate and of computing at its peak. Only products
// and attention have such a share: of the rest the work is not counted (engine/op_work.h).
//
// One figure a row is the harmonic mean of the shares over all platforms but the oracle, 0 when one of them cannot run
// it or answers wrongly: Pennycook, Sewall and Lee, "A Metric for Performance Portability", arXiv:1611.07409, with
// architectural efficiency. It hides which platform is slow, so it never stands without its parts.

#include <optional>
#include <span>

#include "report/conformance_record.h"
#include "report/portability_record.h"
#include "report/stored_run.h"
#include "report/text_table.h"

namespace secondsource {

/// Empty, without platforms, when no run was traced.
[[nodiscard]] PortabilityMatrix portability_matrix(std::span<const SummarizedRun> runs,
                                                   std::span<const ConformanceRecord> conformance);

/// 0 when one is nullopt or 0: n / sum of 1 / e.
[[nodiscard]] double harmonic_mean(std::span<const std::optional<double>> efficiencies);

/// "62 %, passed", "41 %, fallback, passed", "unsupported".
[[nodiscard]] TextTable portability_table(const PortabilityMatrix& matrix);

}  // namespace secondsource

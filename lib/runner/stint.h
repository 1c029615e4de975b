#pragma once
// What one worker process measures, and in which order.

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "record/run_record.h"
#include "runner/finished_work.h"

namespace secondsource {

/// All cells of one bundle, backend and variant, which one worker measures. Points into the run's record.
struct Stint {
  std::string id;  ///< "BUNDLE/BACKEND/VARIANT"
  const BundleRecord* bundle = nullptr;
  const BackendRecord* backend = nullptr;
  std::string variant;
  std::vector<const PlannedCell*> cells;
};

/// The id of the stint to which a cell belongs.
[[nodiscard]] std::string stint_id(const CellKey& key);

/// The stints of a run in the order of the plan. Errors: kInvalidInput for a cell whose bundle or backend is not in the
/// record's lists.
Result<std::vector<Stint>> stints_of(const RunRecord& record);

/// One repetition of a cell, or the whole search of a cell that seeks a rate.
struct Turn {
  const PlannedCell* cell = nullptr;
  std::int32_t repetition = 0;
};

/// The remaining part of a stint, in the order in which it is measured: its cells take turns, repetition by repetition,
/// so that a disturbance of some seconds does not affect all repetitions of one cell.
[[nodiscard]] std::vector<Turn> turns_of(const Stint& stint, const FinishedWork& finished);

}  // namespace secondsource

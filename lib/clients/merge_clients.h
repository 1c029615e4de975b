#pragma once
// Merges the runs of all clients of one load into one run, whose figures describe the servers under the load of all
// clients.
//
//   SS_TRY(MergedRun merged, merge_clients(runs));
//   merged.record and merged.lines are a run.json and a samples.jsonl

#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "record/record_json.h"

namespace secondsource {

struct MergedRun {
  /// The record of the first client, with the load of all clients in its cells; without run_id and command, which the
  /// caller sets.
  RunRecord record;
  std::vector<JournalLine> lines;
  std::vector<std::string> notes;  ///< repetitions that are in no merged one, and cells without any, one sentence each
};

/// `runs` may be in any order. Repetitions are matched by their overlap in time; a repetition that was not measured by
/// all clients together is left out and noted, and a cell without one that was is a failure of the merged run. Errors:
/// kInvalidInput for runs that are not the clients of one load (same_plan.h), for clocks that are not known closely
/// enough (merged_repetition.h), and where no cell could be merged.
Result<MergedRun> merge_clients(std::vector<StoredRun> runs);

}  // namespace secondsource

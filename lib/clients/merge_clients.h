#pragma once
// The runs of all clients of one load as one run, whose figures are those of the servers under the load of all.
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
  /// That of the first client, with the load of all in its cells; without run_id and command, which are the caller's.
  RunRecord record;
  std::vector<JournalLine> lines;
  std::vector<std::string> notes;  ///< repetitions that are in no merged one, one sentence each
};

/// `runs` in any order. Repetitions are matched by their overlap in time; one that not all clients measured together is left out
/// and noted. Errors: kInvalidInput for runs that are not the clients of one load (same_plan.h), whose clocks are not known
/// closely enough (merged_repetition.h), and for a cell of which no repetition is common to all.
Result<MergedRun> merge_clients(std::vector<StoredRun> runs);

}  // namespace secondsource

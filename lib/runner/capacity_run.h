#pragma once
// Measures one cell of server:slo-max: searches for the highest rate that keeps the run's SLO, holds it, and measures the
// repetitions at it. The repetitions are the last hold: they are stored together, when all of them held. If one does not,
// the search backs off, and they begin again at the lower rate.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "measure/capacity_search.h"
#include "record/records.h"
#include "runner/finished_work.h"
#include "runner/worker_client.h"

namespace secondsource {

class CapacityRun {
 public:
  /// What the run does for this cell.
  struct Hooks {
    /// Gives the worker one command and adds what it measured to `lines`, with all checks made.
    std::function<Result<WorkerOutcome>(const MeasureCommand& command, std::vector<JournalLine>& lines)> measure;
    std::function<Result<void>(std::span<const JournalLine>)> store;  ///< writes lines to the disk
    std::function<bool()> is_out_of_time;                             ///< asked only when something is measured already
    std::function<void(const std::string&)> say;                      ///< what is done now
    std::function<void(const std::string&)> note;                     ///< the verdict on an attempt
  };

  /// `plan` is that of a repetition without its rate, its number of requests and its number; its warm_up is that of the
  /// first command to a worker that is not warm.
  CapacityRun(const PlannedCell& cell, const Slo& slo, RepetitionPlan plan, Hooks hooks);

  /// Continues after what `finished` has of the cell. A failure of kind kNoRate is a result: no rate keeps the SLO.
  Result<WorkerOutcome> run(const FinishedWork& finished);
  /// The scenario at the rate that held, after a successful run().
  [[nodiscard]] Scenario held_scenario() const;

 private:
  Result<WorkerOutcome> find_rate();
  /// Measures the open repetitions. The search has no held rate any more if they did not hold.
  Result<WorkerOutcome> measure_repetitions(const FinishedWork& finished);
  /// The reason why the lines measured so far do not count as a hold of the rate; nullopt if they do. `is_last`: no
  /// more follow.
  [[nodiscard]] std::optional<RateProbe> broken_hold(std::span<const JournalLine> lines, bool is_last) const;
  Result<WorkerOutcome> give_up(RateProbe broken);
  Result<WorkerOutcome> measure(MeasureCommand command, std::vector<JournalLine>& lines);
  /// Stores and reports an attempt.
  Result<void> keep(RateProbe probe);

  const PlannedCell& cell_;
  Slo slo_;
  RepetitionPlan plan_;
  Hooks hooks_;
  CapacitySearch search_;
  std::int32_t n_attempts_ = 0;
};

}  // namespace secondsource

#pragma once
// How and why a worker, or the server that it measures, failed.

#include <optional>
#include <string>
#include <utility>

#include "host/child_watch.h"
#include "record/failure_record.h"

namespace secondsource {

struct WorkerFailure {
  FailureKind kind = FailureKind::kError;
  std::string message;
  /// The run was paused (Ctrl-Z) during the command. This is no failure of the backend: the command is to be given
  /// again to a new worker, because its times would include the pause.
  bool was_paused = false;
};

/// Empty on success, otherwise the failure. The Error of a Result<WorkerOutcome> is reserved for what ends the whole
/// run: a disk error or an interrupt.
using WorkerOutcome = std::optional<WorkerFailure>;

/// The failure of a child that ended by itself, although it should not have.
[[nodiscard]] inline WorkerFailure worker_failure(ChildFailure failure) {
  return {.kind = failure.kind, .message = std::move(failure.message)};
}

}  // namespace secondsource

#pragma once
// The only place that maps errors and verdicts to the program's exit statuses (docs/exit-statuses.md).

#include <initializer_list>
#include <vector>

#include "core/result.h"

namespace secondsource {

enum class ExitStatus : int {
  kOk = 0,
  kRegressed = 1,      ///< a regression beyond the threshold
  kBadInput = 2,       ///< bad usage or bad input
  kWrongTokens = 3,    ///< generated tokens failed their golden check
  kBackendFailed = 4,  ///< a named backend was unavailable, or any backend crashed, hung or ran out of memory
  kInconclusive = 5,   ///< the noise was too large for a verdict
  kNotComparable = 6,  ///< not comparable, nothing in common, or an INVALID measurement
  kInternal = 70,      ///< internal error or I/O failure (disk full)
  kInterrupted = 130,  ///< interrupted; the work can be resumed
};

/// The status of a command that ended with error `code`.
[[nodiscard]] ExitStatus exit_status_of(ErrorCode code);

/// Chooses the exit status of the program among several: the first of 70, 2, 130, 3, 4, 6, 1, 5 that occurs; otherwise
/// 0.
[[nodiscard]] ExitStatus most_serious(const std::vector<ExitStatus>& statuses);

}  // namespace secondsource

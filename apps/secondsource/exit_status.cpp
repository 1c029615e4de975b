#include "exit_status.h"

#include <algorithm>
#include <array>

namespace secondsource {

ExitStatus exit_status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidInput:
    case ErrorCode::kUnsupported:
      return ExitStatus::kBadInput;
    case ErrorCode::kUnavailable:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kDeviceLost:
    case ErrorCode::kDeadline:
      return ExitStatus::kBackendFailed;
    case ErrorCode::kInterrupted:
      return ExitStatus::kInterrupted;
    case ErrorCode::kNotComparable:
      return ExitStatus::kNotComparable;
    case ErrorCode::kInconclusive:
      return ExitStatus::kInconclusive;
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      return ExitStatus::kInternal;
  }
  return ExitStatus::kInternal;
}

ExitStatus most_serious(const std::vector<ExitStatus>& statuses) {
  constexpr std::array kBySeverity = {ExitStatus::kInternal,    ExitStatus::kBadInput,      ExitStatus::kInterrupted,
                                      ExitStatus::kWrongTokens, ExitStatus::kBackendFailed, ExitStatus::kNotComparable,
                                      ExitStatus::kRegressed,   ExitStatus::kInconclusive};
  for (const ExitStatus candidate : kBySeverity) {
    if (std::find(statuses.begin(), statuses.end(), candidate) != statuses.end()) return candidate;
  }
  return ExitStatus::kOk;
}

}  // namespace secondsource

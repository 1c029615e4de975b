#pragma once
// Finds the operations that caused a regression. The operations of both sides are profiled in interleaved pairs, and
// the cell's loss per request is divided among the operations that lost significantly. The rest of the loss is in the
// host code or the scheduler, or is not resolved.

#include <string>
#include <string_view>
#include <vector>

#include "ab/ab_directory.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "gate/gate_record.h"

namespace secondsource {

/// One operation of a profile that `secondsource profile --json` printed, in seconds per request.
struct OperationSeconds {
  std::string phase{}, operation{}, shape{}, kernel{};
  double seconds = 0;
};
struct ProfileSeconds {
  double prefill_s = 0;
  double decode_s = 0;
  std::vector<OperationSeconds> operations{};
};
Result<ProfileSeconds> profile_from_json(std::string_view text, std::string_view name);

/// Profiles of both sides that were taken one after the other.
struct ProfilePair {
  ProfileSeconds base{}, candidate{};
};

/// Returns the losses of one regressed cell, the largest first: the operations that lost time (signed-rank test,
/// one-sided p <= 0.02) and at least a twentieth of the whole loss, and the remainder. The remainder is
/// kOtherThanOperations if it passes the same test, else kNotResolved; so is the whole loss if the profiles do not show
/// it beyond chance. The metric "cost" counts whole requests, "ttft" their prefill, "tpot" their decode.
/// LossShare::source is not filled in. Without pairs there are no shares.
[[nodiscard]] std::vector<LossShare> divide_loss(const CellKey& cell, std::string_view metric,
                                                 const std::vector<ProfilePair>& pairs);

/// The source of a kernel, as found by searching its backend's folder: the file and line with the longest prefix of the
/// kernel's name.
struct KernelSource {
  std::string file;  ///< relative to `root`; empty when the backend has no folder in `root`
  int line = 1;
};
[[nodiscard]] KernelSource find_kernel_source(const std::filesystem::path& root, const std::string& backend,
                                              const std::string& operation, const std::string& kernel);

/// Measures and divides the losses of every regressed cell of the report. When a side cannot be profiled (an older
/// program), `progress` gets a note and the cell has no losses; neither have the cells of systems that are not ours, whose
/// operations cannot be seen. Errors: kInterrupted, kIo.
Result<std::vector<LossShare>> attribute_losses(const AbDirectory& directory, const GateReport& report,
                                                const std::filesystem::path& source_root, Progress& progress,
                                                const InterruptFlag& interrupt);

}  // namespace secondsource

#pragma once
// After a regression: which operation is it in? The operations of both sides are profiled in interleaved pairs, and the
// cell's loss per request is divided among those that lost beyond chance; the rest is the host's, the scheduler's, or
// unexplained.

#include <string>
#include <string_view>
#include <vector>

#include "ab/ab_directory.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "report/gate_record.h"

namespace secondsource {

/// One profile as `secondsource profile --json` prints it, in seconds per request.
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

/// Profiles of both sides, one after the other.
struct ProfilePair {
  ProfileSeconds base{}, candidate{};
};

/// The losses of one regressed cell: operations that lost time (signed-rank test, one-sided p <= 0.02) and at
/// least a twentieth of the whole loss, the largest first, and what they leave over as kOtherThanOperations. `metric`:
/// "cost" counts whole requests, "ttft" their prefill. Empty when the profiles show no loss. Sources are not filled in.
[[nodiscard]] std::vector<LossShare> divide_loss(const CellKey& cell, std::string_view metric,
                                                 const std::vector<ProfilePair>& pairs);

/// Where a kernel is written, as far as its backend's folder says: the file that has the longest beginning of the
/// kernel's name, and the line.
struct KernelSource {
  std::string file;  ///< relative to `root`; empty when the backend has no folder there
  int line = 1;
};
[[nodiscard]] KernelSource find_kernel_source(const std::filesystem::path& root, const std::string& backend,
                                              const std::string& operation, const std::string& kernel);

/// Measures and divides the losses of every cell of the report that regressed. A side that cannot be profiled (an older
/// program) is noted, and the cell has no losses. Errors: kInterrupted, kIo.
Result<std::vector<LossShare>> attribute_losses(const AbDirectory& directory, const GateReport& report,
                                                const std::filesystem::path& source_root, Progress& progress,
                                                const InterruptFlag& interrupt);

}  // namespace secondsource

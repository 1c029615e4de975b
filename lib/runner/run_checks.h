#pragma once
// The checks of a repetition that the parent process makes because the worker that measured it cannot (docs/checks.md):
// that the result stays within the limits of the machine or device, that the harness costs little, and that bundle and
// module are still the same files. A backend on the host is compared with the limits of the machine, any other with
// those of its own device, which only the worker can measure.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/device_rates.h"
#include "core/interrupt.h"
#include "core/result.h"
#include "host/limit_store.h"
#include "host/machine_probe.h"
#include "record/run_settings.h"
#include "runner/input_watch.h"
#include "runner/run_directory.h"

namespace secondsource {

/// Asks a worker to measure its device's rates; nullopt if the device does not report any.
using AskRates = std::function<Result<std::optional<DeviceRates>>(RateEffort effort)>;

class RunChecks {
 public:
  /// `inputs` are the files and folders that must not change. `run` and `interrupt` must outlive this object.
  RunChecks(RunDirectory& run, RunSettings settings, std::vector<std::filesystem::path> inputs,
            const InterruptFlag& interrupt);

  /// Measures the limits of the backend's own device until two looks agree, at most twice. Does nothing for a backend
  /// on the host, whose limits are already in the run's record. Errors: kIo; those of `ask`.
  Result<void> look_at_device(const BackendRecord& backend, const AskRates& ask);

  /// Adds the checks "machine", "roofline", "harness" and "inputs" to a repetition with `n_requests` requests. Also
  /// adds to its telemetry the rates that the machine or the device reached within three seconds of it, which count as
  /// another look at its limits. A limit that the repetition seems to exceed is measured again first, because other
  /// load may have lowered the earlier looks. If neighbours disturbed the repetition, they may explain why its time per
  /// token fell, so "warm_up" is then at most suspect. `ask` may be empty for a worker without a device. Errors: kIo,
  /// kOutOfMemory, kInterrupted; those of `ask`.
  Result<void> add_to(Repetition& repetition, std::int64_t n_requests, const AskRates& ask);

 private:
  struct Moment {
    MachineMoment rates;
    std::int64_t looked_ns = 0;  ///< when the look ended
  };
  /// The limits with which a repetition's backend is compared, and how they are measured again.
  struct Limited;

  Result<void> look_at_machine(const Limited& limited, Repetition& repetition);
  Result<CheckRecord> roofline_of(const Limited& limited, const Repetition& repetition, std::string_view variant);
  [[nodiscard]] std::optional<LimitLooks> looks_at(const Limited& limited) const;
  Result<void> add_look(const Limited& limited, const MachineLimits& look);
  Result<std::optional<MachineMoment>> moment_of(const Limited& limited) const;
  Result<std::optional<MachineLimits>> another_look(const Limited& limited) const;
  RunDirectory& run_;
  RunSettings settings_;
  LimitStore limits_;  ///< those of the host
  InputWatch watch_;
  const InterruptFlag& interrupt_;
  std::map<std::string, Moment> moments_;  ///< the last look, by backend; backends on the host share that of ""
};

}  // namespace secondsource

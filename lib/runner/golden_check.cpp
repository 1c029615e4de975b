#include "runner/golden_check.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <optional>
#include <utility>

#include "core/file.h"
#include "runner/worker_command.h"

namespace secondsource {

Result<GoldenCheck> run_golden_check(SystemJob job, const RunSettings& settings, const InterruptFlag& interrupt) {
  GoldenCheck check;
  check.record.bundle = job.bundle_name;
  check.record.backend = job.backend;
  check.record.variant = job.variant;
  check.record.suite = job.suite;
  check.record.verdict = GoldenVerdict::kUnverified;
  const WorkerDeadlines deadlines{.step_ns = static_cast<std::int64_t>(1e9 * settings.step_deadline_s)};
  job.step_deadline_ns = deadlines.step_ns;
  if (settings.threads > 0) job.options.emplace(job.options.begin(), "threads", std::to_string(settings.threads));
  // The worker's stderr goes to an unnamed file, which disappears however this process ends.
  const FileDescriptor said(::memfd_create("stderr of a worker", MFD_CLOEXEC));
  do {
    SS_TRY(WorkerClient worker,
           WorkerClient::start(worker_command(job.program, settings, fmt::format("/proc/self/fd/{}", said.get())),
                               deadlines, interrupt));
    SS_TRY(check.failure, worker.load(job, {}));
    if (!check.failure) {
      SS_TRY(check.failure, worker.golden(std::nullopt, {}, check.record));
    }
    worker.quit();
  } while (check.failure && check.failure->was_paused);
  return check;
}

}  // namespace secondsource

// secondsource worker: the other end of lib/runner's pipes. Hidden: only `run` starts it.

#include "commands.h"
#include "runner/engine_subject.h"
#include "runner/null_subject.h"
#include "runner/worker.h"

namespace secondsource {
namespace {

Result<ExitStatus> run_worker() {
  SS_TRY_VOID(serve_as_worker([](const WorkerJob& job, Progress& progress) {
    return job.system == "null" ? load_null_subject(job) : load_engine_subject(job, progress);
  }));
  return ExitStatus::kOk;
}

}  // namespace

void add_worker_command(CLI::App& app, CommandAction& action) {
  CLI::App* command = app.add_subcommand("worker", "");
  command->group("");  // hidden
  command->callback([&action] { action = [](CommandContext&) { return run_worker(); }; });
}

}  // namespace secondsource

// secondsource worker: the worker's end of lib/runner's pipes. The command is hidden because only the program itself
// starts it.

#include "commands.h"
#include "runner/worker.h"
#include "systems/loaded_engine.h"
#include "systems/loaded_null.h"

namespace secondsource {
namespace {

Result<ExitStatus> run_worker() {
  SS_TRY_VOID(serve_as_worker([](const SystemJob& job, Progress& progress) {
    return job.system == "null" ? load_null_system(job) : load_engine_system(job, progress);
  }));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_worker_command(CommandNode& app, CommandAction& action) {
  CommandNode* command = app.add_subcommand("worker", "");
  command->callback([&action] { action = [](CommandContext&) { return run_worker(); }; });
  return command;
}

}  // namespace secondsource

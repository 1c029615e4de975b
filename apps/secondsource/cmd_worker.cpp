// secondsource worker: a child process that either serves as a worker (the other end of lib/runner's pipes) or only
// opens one backend module, which may crash it. The command is hidden because only the program itself starts it.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "runner/module_probe.h"
#include "runner/worker.h"
#include "systems/loaded_adapter.h"
#include "systems/loaded_engine.h"
#include "systems/loaded_null.h"
#include "systems/loaded_pool.h"
#include "systems/loaded_served.h"
#include "systems/loaded_served_pool.h"

namespace secondsource {
namespace {

struct WorkerOptions {
  std::string module_name;  ///< only open this module and say what it is; empty: serve as a worker
  std::string module_file;
  bool with_support = false;
  std::vector<std::string> backend_options;  ///< each KEY=VALUE
};

Result<ExitStatus> run_worker(const WorkerOptions& options) {
  if (!options.module_name.empty()) {
    std::vector<std::pair<std::string, std::string>> backend_options;
    for (const std::string& option : options.backend_options) {
      const std::size_t equals = option.find('=');
      backend_options.emplace_back(option.substr(0, equals), option.substr(equals + 1));
    }
    SS_TRY_VOID(serve_probe({options.module_name, options.module_file}, options.with_support, backend_options));
    return ExitStatus::kOk;
  }
  SS_TRY_VOID(serve_as_worker([](const SystemJob& job, Progress& progress) {
    switch (job.system) {
      case SystemKind::kNull:
        return load_null_system(job);
      case SystemKind::kServed:
        return job.models.empty() ? load_served_system(job, progress) : load_served_pool(job, progress);
      case SystemKind::kAdapter:
        return load_adapter_system(job, progress);
      case SystemKind::kEngine:
        break;
    }
    return job.models.empty() ? load_engine_system(job, progress) : load_engine_pool(job, progress);
  }));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_worker_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<WorkerOptions>();
  CommandNode* command = app.add_subcommand("worker", "");
  command->add_option("--module", options->module_name, "Only open this backend module and say what it is");
  command->add_option("--file", options->module_file, "File of that module");
  command->add_flag("--support", options->with_support, "Also say what its backend supports");
  command->add_option("--option", options->backend_options, "An option of that backend, as KEY=VALUE");
  command->callback([options, &action] { action = [options](CommandContext&) { return run_worker(*options); }; });
  return command;
}

}  // namespace secondsource

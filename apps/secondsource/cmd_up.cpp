// secondsource up: starts the server of a plan, says where it is, and keeps it up until its standard input ends.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "commands.h"
#include "core/utf8.h"
#include "installed_data.h"
#include "output.h"
#include "runner/kept_server.h"
#include "runner/plan_file.h"
#include "runner/survey_systems.h"

namespace secondsource {
namespace {

struct UpOptions {
  std::string system, config = "secondsource.yaml", bundle, log;
};

/// The system of the plan that is to be started.
Result<SystemRequest> system_to_start(const UpOptions& options, const PlanFile& plan) {
  std::vector<std::string> names;
  for (const SystemRequest& system : plan.request.systems) {
    if (!system.managed) continue;
    if (system.name == options.system) return system;
    names.push_back(system.name);
  }
  if (options.system.empty() && names.size() == 1) {
    return *std::ranges::find(plan.request.systems, names.front(), &SystemRequest::name);
  }
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected the name of one of its systems with start or image ({}), found {}",
                           options.config, names.empty() ? "it has none" : fmt::format("{}", fmt::join(names, ", ")),
                           options.system.empty() ? "none" : in_quotes(options.system))};
}

Result<ExitStatus> run_up(const UpOptions& options, CommandContext& context) {
  SS_TRY(PlanFile plan, read_plan_file(options.config));
  SS_TRY(const SystemRequest system, system_to_start(options, plan));
  std::vector<std::filesystem::path>& bundles = plan.request.bundles;
  if (!options.bundle.empty()) bundles = {options.bundle};
  for (std::filesystem::path& bundle : bundles) {
    SS_TRY(bundle, bundle_path(bundle, context.program));
  }
  const std::filesystem::path log = options.log.empty() ? system.name + ".log" : options.log;
  InputPaths inputs = bundles;
  inputs.emplace_back(options.config);
  SS_TRY_VOID(check_is_no_input(log, inputs));
  const RunSettings& settings = plan.request.settings;
  const ChildLimits limits{.cpus = settings.cpus, .memory_max_bytes = settings.memory_max_bytes};
  SS_TRY(const SystemSurvey survey,
         survey_systems(
             {system}, {.bundles = bundles, .run_folder = {}, .adapters = {}, .limits = limits, .start_servers = false},
             context.progress, context.interrupt));
  context.progress.begin(fmt::format("{}: starting its server", system.name), 0);
  const KeptServer kept{.log = log, .limits = limits, .input = STDIN_FILENO, .ready = [](const std::string& url) {
                          return print_text(url + "\n");
                        }};
  SS_TRY(const std::string said, keep_server_up(survey.servers.at(system.name), kept, context.interrupt));
  if (!said.empty()) context.progress.note(fmt::format("{}: the server: {}", system.name, said));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_up_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<UpOptions>();
  CommandNode* command = app.add_subcommand("up", "Keep a server of a plan up, with the bundle's model");
  command->add_option("system", options->system,
                      "Name of a system of the plan (default: the only one that is started)");
  command->add_option("--config", options->config, "Plan file")->capture_default_str();
  command->add_option("--bundle", options->bundle, "Bundle that it serves (default: the plan's)");
  command->add_option("--log", options->log, "File for what the server writes (default: NAME.log)");
  command->footer(
      "Prints the server's URL once it is healthy. The server stays until standard input ends (Ctrl-D) or Ctrl-C,\n"
      "and ends with all that it started. Status 4: it did not come up, or ended by itself.\n"
      "Example: secondsource up vllm --config plan.yaml");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_up(*options, context); }; });
  return command;
}

}  // namespace secondsource

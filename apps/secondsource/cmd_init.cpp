// secondsource init: writes a plan, a waivers file and a CI file into a repository, and says what it chose and why.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "commands.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/utf8.h"
#include "gate/waiver.h"
#include "host/fingerprint.h"
#include "modules.h"
#include "runner/plan_file.h"
#include "secondsource_version.h"
#include "setup/starter_kit.h"

namespace secondsource {
namespace {

struct InitOptions {
  std::string repository = ".";
  std::string ci;
  bool dry_run = false;
};

MachineView view_of_machine(const ModuleSurvey& survey) {
  MachineView machine;
  for (const ProbedModule& module : survey.probed) {
    machine.backends.push_back(
        {.name = module.name,
         .unavailable = module.unavailable,
         .is_host = std::ranges::all_of(module.devices, [](const DeviceInfo& device) { return device.is_host; }),
         .is_oracle = module.name == kOracle});
  }
  const std::vector<HostFact> facts = host_fingerprint(HostFiles());
  machine.cpus = fact(facts, "logical_cpus").value_or("");
  const std::string memory = fact(facts, "memory_bytes").value_or("");
  std::from_chars(memory.data(), memory.data() + memory.size(), machine.memory_bytes);
  return machine;
}

/// Parses a file that exists already, so that a mistake in it is reported now and not by the first CI job.
Result<void> check_present(StarterRole role, const std::filesystem::path& path) {
  if (role == StarterRole::kPlan) {
    SS_TRY([[maybe_unused]] const PlanFile plan, read_plan_file(path));
  } else if (role == StarterRole::kWaivers) {
    SS_TRY([[maybe_unused]] const std::vector<Waiver> waivers, read_waivers(path));
  }
  return {};
}

std::string indented(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    lines += line.empty() ? std::string("\n") : fmt::format("    {}\n", line);
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return lines;
}

Result<ExitStatus> run_init(const InitOptions& options, CommandContext& context) {
  SS_TRY(const Repository repository, look_at_repository(options.repository, context.progress, context.interrupt));
  SS_TRY(const ModuleSurvey survey, survey_modules({}, context));
  const StarterKit kit = starter_kit(repository, view_of_machine(survey),
                                     {.host = enum_from_name<CiHost>(options.ci), .program_version = kVersionText});
  std::string text, to_do;
  for (const auto& [what, sentence] : kit.findings) text += fmt::format("{:<12} {}\n", what, sentence);
  text += "\n";
  // Everything is read before anything is written.
  for (const StarterFile& file : kit.files) {
    const std::filesystem::path path = repository.root / file.path;
    if (path_exists(path)) SS_TRY_VOID(check_present(file.role, path));
  }
  for (const StarterFile& file : kit.files) {
    const std::filesystem::path path = repository.root / file.path;
    if (path_exists(path)) {
      text += fmt::format("{}: left as it is\n", file.path.string());
      continue;
    }
    if (options.dry_run) {
      text += fmt::format("{}: would be written: {}\n{}", file.path.string(), file.why, indented(file.text));
      continue;
    }
    SS_TRY_VOID(create_folder(folder_of(path)));
    SS_TRY_VOID(write_file(path, file.text));
    text += fmt::format("{}: written: {}\n", file.path.string(), file.why);
    if (!file.to_do.empty()) to_do += file.to_do + "\n";
  }
  if (!options.dry_run) {
    text += "\nTry it here: secondsource run --dry-run, and without that flag.\n" + to_do + "Then commit the files.\n";
  }
  SS_TRY_VOID(print_text(text));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_init_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<InitOptions>();
  CommandNode* command = app.add_subcommand("init", "A plan, a waivers file and a CI file for this repository");
  command->add_option("--repo", options->repository, "The repository, or a folder in it")->capture_default_str();
  command->add_option("--ci", options->ci, "The host of the CI file (default: by the git remote, or by what lies here)")
      ->check(OneOf({"github", "gitlab"}));
  command->add_flag("--dry-run", options->dry_run, "Print what would be written, and write nothing");
  command->footer(
      "Looks at the machine and at the repository, asks nothing, and says what it chose and why. A file that is "
      "there is left as it is; one that is there and cannot be read ends with 2, and nothing is written.\n"
      "Example: secondsource init --dry-run");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_init(*options, context); }; });
  return command;
}

}  // namespace secondsource

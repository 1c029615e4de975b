// secondsource completion SHELL writes the script with which a shell completes commands and flags.

#include <memory>
#include <string>
#include <vector>

#include "backend/module.h"
#include "commands.h"
#include "completion.h"

namespace secondsource {

CommandNode* add_completion_command(CommandNode& app, CommandAction& action) {
  auto shell = std::make_shared<std::string>();
  CommandNode* command = app.add_subcommand("completion", "A script by which a shell completes commands and flags");
  command->add_option("shell", *shell, "The shell that reads it")->required()->check(OneOf({"bash", "zsh", "fish"}));
  command->footer(
      "To keep it: bash reads ~/.local/share/bash-completion/completions/secondsource, zsh a file _secondsource in a folder of "
      "its $fpath, fish ~/.config/fish/completions/secondsource.fish. An installed package has all three.\n"
      "Example: source <(secondsource completion bash)");
  command->callback([shell, &action] {
    action = [shell](CommandContext& context) -> Result<ExitStatus> {
      std::vector<std::string> backends;
      for (const ModuleFile& module : list_modules(module_folders(context.program))) backends.push_back(module.name);
      SS_TRY_VOID(print(completion_script(*enum_from_name<Shell>(*shell), context.commands, backends)));
      return ExitStatus::kOk;
    };
  });
  return command;
}

}  // namespace secondsource

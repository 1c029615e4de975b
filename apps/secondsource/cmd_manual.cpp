// secondsource manual [COMMAND...] writes the manual page of a command from the texts of its help.

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "commands.h"
#include "manual_page.h"
#include "secondsource_version.h"

namespace secondsource {
namespace {

struct ManualOptions {
  std::vector<std::string> words;
  std::string out;
};

Result<ExitStatus> write_manual(const ManualOptions& options, const CommandDescription& program) {
  const std::string version = std::string("secondsource ") + kVersionText;
  const CommandDescription* command = &program;
  for (const std::string& word : options.words) {
    const auto child = std::ranges::find(command->subcommands, word, &CommandDescription::word);
    if (child == command->subcommands.end()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("manual: expected a command of {}, found \"{}\"", command->name, word)};
    }
    command = &*child;
  }
  if (options.out.empty()) {
    SS_TRY_VOID(print(manual_page(*command, version)));
  } else {
    SS_TRY_VOID(write_manual_pages(*command, version, options.out));
  }
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_manual_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<ManualOptions>();
  CommandNode* command = app.add_subcommand("manual", "Manual pages for man(1), from the texts of the help");
  command->add_option("command", options->words, "The command, as in `manual bundle create`; none: the program");
  command->add_option("--out", options->out, "Folder for the pages of the command and of all below it, as files");
  command->footer("Example: secondsource manual run | man -l -");
  command->callback([options, &action] {
    action = [options](CommandContext& context) { return write_manual(*options, context.commands); };
  });
  return command;
}

}  // namespace secondsource

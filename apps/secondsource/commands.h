#pragma once
// Declares the subcommands, one per file.

#include "command.h"

namespace secondsource {

// Each function adds its subcommand to `app` and returns it. If that subcommand is parsed, its work is stored in
// `action`.

CommandNode* add_ab_command(CommandNode& app, CommandAction& action);
CommandNode* add_backends_command(CommandNode& app, CommandAction& action);
CommandNode* add_brief_command(CommandNode& app, CommandAction& action);
CommandNode* add_bundle_command(CommandNode& app, CommandAction& action);
CommandNode* add_bundle_accept_command(CommandNode& bundle, CommandAction& action);
CommandNode* add_cache_command(CommandNode& app, CommandAction& action);
CommandNode* add_check_command(CommandNode& app, CommandAction& action);
CommandNode* add_completion_command(CommandNode& app, CommandAction& action);
CommandNode* add_eval_command(CommandNode& app, CommandAction& action);
CommandNode* add_fit_command(CommandNode& app, CommandAction& action);
CommandNode* add_gate_command(CommandNode& app, CommandAction& action);
CommandNode* add_generate_command(CommandNode& app, CommandAction& action);
CommandNode* add_history_command(CommandNode& app, CommandAction& action);
CommandNode* add_init_command(CommandNode& app, CommandAction& action);
CommandNode* add_inspect_command(CommandNode& app, CommandAction& action);
CommandNode* add_manual_command(CommandNode& app, CommandAction& action);
CommandNode* add_merge_command(CommandNode& app, CommandAction& action);
CommandNode* add_prices_command(CommandNode& app, CommandAction& action);
CommandNode* add_prompts_command(CommandNode& app, CommandAction& action);
CommandNode* add_report_command(CommandNode& app, CommandAction& action);
CommandNode* add_profile_command(CommandNode& app, CommandAction& action);
CommandNode* add_run_command(CommandNode& app, CommandAction& action);
CommandNode* add_selftest_command(CommandNode& app, CommandAction& action);
CommandNode* add_tokenize_command(CommandNode& app, CommandAction& action);
CommandNode* add_up_command(CommandNode& app, CommandAction& action);
CommandNode* add_verify_command(CommandNode& app, CommandAction& action);
CommandNode* add_waiver_command(CommandNode& app, CommandAction& action);
CommandNode* add_worker_command(CommandNode& app, CommandAction& action);

}  // namespace secondsource

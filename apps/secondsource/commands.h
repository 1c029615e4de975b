#pragma once
// Declares the subcommands, one per file.

#include "command.h"

namespace secondsource {

// Each function adds its subcommand to `app`. If that subcommand is parsed, its work is stored in `action`.

void add_ab_command(CLI::App& app, CommandAction& action);
void add_backends_command(CLI::App& app, CommandAction& action);
void add_brief_command(CLI::App& app, CommandAction& action);
void add_bundle_command(CLI::App& app, CommandAction& action);
void add_cache_command(CLI::App& app, CommandAction& action);
void add_check_command(CLI::App& app, CommandAction& action);
void add_eval_command(CLI::App& app, CommandAction& action);
void add_gate_command(CLI::App& app, CommandAction& action);
void add_generate_command(CLI::App& app, CommandAction& action);
void add_history_command(CLI::App& app, CommandAction& action);
void add_inspect_command(CLI::App& app, CommandAction& action);
void add_prices_command(CLI::App& app, CommandAction& action);
void add_report_command(CLI::App& app, CommandAction& action);
void add_profile_command(CLI::App& app, CommandAction& action);
void add_run_command(CLI::App& app, CommandAction& action);
void add_selftest_command(CLI::App& app, CommandAction& action);
void add_tokenize_command(CLI::App& app, CommandAction& action);
void add_waiver_command(CLI::App& app, CommandAction& action);
void add_worker_command(CLI::App& app, CommandAction& action);

}  // namespace secondsource

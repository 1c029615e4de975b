// secondsource merge: merges the runs of several client machines that loaded the same servers at the same time into one
// run.

#include <fmt/format.h>

#include "clients/merge_clients.h"
#include "commands.h"
#include "core/staging.h"
#include "report/clock_tables.h"
#include "report/notes.h"
#include "report/tables.h"
#include "runner/run_directory.h"
#include "summary/summarized_run.h"

namespace secondsource {
namespace {

struct MergeOptions {
  std::vector<std::string> runs;
  std::string out;
};

Result<ExitStatus> run_merge(const MergeOptions& options, CommandContext& context) {
  SS_TRY_VOID(RunDirectory::check_free(options.out));
  SS_TRY_VOID(RunDirectory::check_nothing_foreign(options.out));
  std::vector<StoredRun> runs;
  for (const std::string& folder : options.runs) {
    SS_TRY(StoredRun run, read_run(folder));
    runs.push_back(std::move(run));
  }
  SS_TRY(MergedRun merged, merge_clients(std::move(runs)));
  merged.record.run_id = random_digits();
  merged.record.command = context.arguments;
  for (const std::string& note : merged.notes) context.progress.note(note);
  SS_TRY(RunDirectory directory, RunDirectory::create(options.out, merged.record));
  SS_TRY_VOID(directory.append(merged.lines));
  SS_TRY_VOID(directory.write_summary());
  SS_TRY(const SummarizedRun run, read_summarized_run(options.out));
  std::string text = terminal_lines(run_header(run));
  text += "\n" + render_terminal(results_table({&run, 1}));
  text += "\n" + render_terminal(client_table({&run, 1})) + "\n";
  text += terminal_lines(result_notes({&run, 1}));
  SS_TRY_VOID(print_text(text + fmt::format("run: {}\n", options.out)));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_merge_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<MergeOptions>();
  CommandNode* command =
      app.add_subcommand("merge", "Make one run of the runs of several clients that loaded the same servers together");
  command
      ->add_option("runs", options->runs, "Run directories of all clients, each measured with run --client INDEX/COUNT")
      ->required();
  command->add_option("--out", options->out, "Run directory to be written")->required();
  command->footer(
      "A load that one machine cannot send is sent by several: the same `run`, at the same time, against the same "
      "--system NAME=URL, on each with a --client of its own. The merged run has the load of all of them: offline:16 at "
      "four clients is offline-b64. Clocks are related by the Date of the server's responses; by how much, and how closely "
      "that is known, stands in the run. Runs that are not the clients of one load end with 2, and so do clocks that are "
      "not known to 1 % of the window, and runs of which no cell was measured by all clients together. A single such cell "
      "is a failure of the merged run.\n"
      "Example: secondsource merge runs/client-1 runs/client-2 --out runs/both");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_merge(*options, context); }; });
  return command;
}

}  // namespace secondsource

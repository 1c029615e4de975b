// secondsource verify: derives every figure of a run again from its raw samples, and names what does not follow.

#include <fmt/format.h>

#include "commands.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/utf8.h"
#include "summary/summarized_run.h"
#include "verify/verify_run.h"

namespace secondsource {
namespace {

constexpr std::int64_t kLimitBytes = std::int64_t{1} << 40;

/// What `report` would print now, and what the run wrote when it ended.
Result<std::vector<verify::NamedSummary>> summaries_of(const std::filesystem::path& folder) {
  SS_TRY(const SummarizedRun run, read_summarized_run(folder));
  std::vector<verify::NamedSummary> summaries = {{"report", to_json(run.summary)}};
  const std::filesystem::path path = folder / "summary.json";
  if (path_exists(path)) {
    SS_TRY(std::string stored, read_file(path));
    summaries.push_back({"summary.json", std::move(stored)});
  }
  return summaries;
}

Result<bool> follows(const std::filesystem::path& folder) {
  SS_TRY_VOID(check_run_folder(folder));
  SS_TRY(const std::string record, read_file(folder / "run.json"));
  SS_TRY(const std::string samples, read_file(folder / "samples.jsonl", kLimitBytes));
  SS_TRY(const std::vector<verify::NamedSummary> summaries, summaries_of(folder));
  SS_TRY(const verify::Verification found, verify::verify_run(record, samples, summaries));
  std::string text;
  for (const std::string& fault : found.faults) text += fmt::format("fault: {}\n", printable(fault));
  for (const std::string& note : found.notes) text += fmt::format("note: {}\n", printable(note));
  if (summaries.size() < 2) text += "note: there is no summary.json: the run has not ended\n";
  text += fmt::format(
      "{}: {}: {} of {} from {}\n", folder.string(), found.faults.empty() ? "every figure follows" : "does not follow",
      counted(found.n_figures, "value"), counted(found.n_cells, "cell"), counted(found.n_samples, "sample"));
  SS_TRY_VOID(print(text));
  return found.faults.empty();
}

Result<ExitStatus> run_verify(const std::vector<std::string>& runs) {
  bool all = true;
  for (const std::string& run : runs) {
    SS_TRY(const bool one, follows(run));
    all = all && one;
  }
  return all ? ExitStatus::kOk : ExitStatus::kBadInput;
}

}  // namespace

CommandNode* add_verify_command(CommandNode& app, CommandAction& action) {
  auto runs = std::make_shared<std::vector<std::string>>();
  CommandNode* command =
      app.add_subcommand("verify", "Derive every figure of stored runs again from their raw samples");
  command->add_option("runs", *runs, "Run directories")->required();
  command->footer(
      "Compares summary.json, and what `report` prints, with a second implementation that shares no arithmetic with\n"
      "the first. Ends with 2 if something does not follow, or a file is damaged.\n"
      "Example: secondsource verify runs/today");
  command->callback([runs, &action] { action = [runs](CommandContext&) { return run_verify(*runs); }; });
  return command;
}

}  // namespace secondsource

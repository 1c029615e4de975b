// secondsource gate BASE CANDIDATE: gives the verdict on two stored runs.

#include <fmt/format.h>

#include "commands.h"
#include "core/clock.h"
#include "gate/compare.h"
#include "gate_output.h"
#include "gate_status.h"
#include "report/notes.h"
#include "report/tables.h"

namespace secondsource {
namespace {

struct GateCommandOptions {
  std::string base;
  std::string candidate;
  std::string waivers;
  std::string format = "table";
  double threshold_percent = 10;
  double sitting_percent = 4;
  bool allow_inconclusive = false;
  bool allow_unverified = false;
  bool gate_opportunistic = false;
};

Result<ExitStatus> run_gate(const GateCommandOptions& options) {
  GateOptions gate_options;
  gate_options.rule.threshold = options.threshold_percent / 100;
  gate_options.rule.sitting_sigma = options.sitting_percent / 100;
  gate_options.today = utc_timestamp().substr(0, 10);
  gate_options.allow_unverified = options.allow_unverified;
  gate_options.judge_opportunistic = options.gate_opportunistic;
  if (!options.waivers.empty()) {
    SS_TRY(gate_options.waivers, read_waivers(options.waivers));
  }
  SS_TRY(const SummarizedRun base, read_summarized_run(options.base));
  SS_TRY(const SummarizedRun candidate, read_summarized_run(options.candidate));
  GateReport gate = compare_runs(base, candidate, gate_options);
  for (const auto& [name, run] : {std::pair("base", &base), std::pair("candidate", &candidate)}) {
    gate.compared.push_back(fmt::format("{}: {}; {}", name, run_line(run->record), host_line(run->record.host)));
    if (!run->has_samples) gate.compared.push_back(summary_only_note(*run));
  }
  SS_TRY_VOID(print(render_gate(gate, options.format, {&candidate, 1})));
  return most_serious(statuses_of(gate, options.allow_inconclusive));
}

}  // namespace

CommandNode* add_gate_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<GateCommandOptions>();
  CommandNode* command = app.add_subcommand("gate", "The verdict on two stored runs: regressed, pass or inconclusive");
  command->add_option("base", options->base, "Run directory of the base")->required();
  command->add_option("candidate", options->candidate, "Run directory of the candidate")->required();
  command->add_option("--threshold", options->threshold_percent, "Percent by which cost or TTFT may grow")
      ->check(Range(0.1, 1000.0))
      ->capture_default_str();
  command
      ->add_option("--sitting-error", options->sitting_percent,
                   "Percent that two sittings of the same thing differ by (standard deviation)")
      ->check(Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--waivers", options->waivers, "YAML file with accepted regressions");
  command->add_option("--format", options->format, "table, markdown, json or junit")
      ->check(OneOf({"table", "markdown", "json", "junit"}))
      ->capture_default_str();
  command->add_flag("--allow-inconclusive", options->allow_inconclusive, "Inconclusive ends with status 0");
  command->add_flag("--allow-unverified", options->allow_unverified, "Also judge bundles without expected outputs");
  command->add_flag("--gate-opportunistic", options->gate_opportunistic, kGateOpportunisticHelp);
  command->footer(
      "Ends with 0 (pass or waived), 1 (regressed), 2 (bad input; a waiver is invalid and nothing else fails),\n"
      "3 (wrong tokens), 4 (a cell could not be measured), 5 (inconclusive), 6 (not comparable).\n"
      "docs/gate.md has the rule.\n"
      "Example: secondsource gate runs/main runs/pr-812 --waivers waivers.yaml --format markdown");
  command->callback([options, &action] { action = [options](CommandContext&) { return run_gate(*options); }; });
  return command;
}

}  // namespace secondsource

// secondsource waiver check FILE: checks that the waivers are well-formed, that none has expired, and that each matches
// a verdict of a gate.

#include <fmt/format.h>

#include <memory>

#include "commands.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "gate/apply_waivers.h"
#include "record/record_json.h"

namespace secondsource {
namespace {

struct WaiverOptions {
  std::string file;
  std::string gate;
};

struct WaiverFindings {
  std::vector<std::string> errors, notes;
};

/// Returns the invalid waivers, compared with a gate's verdicts or, without a gate, with the calendar alone.
Result<WaiverFindings> findings_of(const std::vector<Waiver>& waivers, const WaiverOptions& options,
                                   const std::string& today) {
  if (!options.gate.empty()) {
    SS_TRY(const std::string text, read_file(options.gate));
    SS_TRY(GateReport report, gate_report_from_json(text, options.gate));
    report.waiver_errors.clear();
    report.waiver_notes.clear();
    for (GateVerdict& verdict : report.verdicts) verdict.waived_by.clear();
    apply_waivers(waivers, today, report);
    return WaiverFindings{std::move(report.waiver_errors), std::move(report.waiver_notes)};
  }
  WaiverFindings findings;
  for (const Waiver& waiver : waivers) {
    if (auto fault = fault_on(waiver, today)) findings.errors.push_back(std::move(*fault));
  }
  return findings;
}

Result<ExitStatus> check_waivers(const WaiverOptions& options) {
  SS_TRY(const std::vector<Waiver> waivers, read_waivers(options.file));
  const std::string today = utc_timestamp().substr(0, 10);
  SS_TRY(const WaiverFindings findings, findings_of(waivers, options, today));
  std::string text;
  for (const Waiver& waiver : waivers) {
    text += fmt::format("{}: {} {}, up to {:g} %, {}: {} ({})\n", waiver.id,
                        is_expired(waiver, today) ? "EXPIRED on" : "until", waiver.expires, waiver.ceiling_percent,
                        waiver.owner, waiver.reason, waiver.link);
  }
  for (const std::string& error : findings.errors) text += error + "\n";
  for (const std::string& note : findings.notes) text += note + "\n";
  text +=
      fmt::format("{}: {}, {} not in order\n", options.file, counted(waivers.size(), "waiver"), findings.errors.size());
  SS_TRY_VOID(print_text(text));
  return findings.errors.empty() ? ExitStatus::kOk : ExitStatus::kBadInput;
}

}  // namespace

CommandNode* add_waiver_command(CommandNode& app, CommandAction& action) {
  CommandNode* command = app.add_subcommand("waiver", "Accepted regressions");
  command->require_subcommand();
  CommandNode* check = command->add_subcommand("check", "Is the file well-formed, and is every waiver in order?");
  auto options = std::make_shared<WaiverOptions>();
  check->add_option("file", options->file, "YAML file with waivers")->required();
  check->add_option(
      "--gate", options->gate,
      "A gate's JSON (gate --format json, or gate.json of ab): also finds waivers that are exceeded, match "
      "no cell of a backend that was compared, or cover a cell twice");
  check->footer(
      "Ends with 2 when the file is malformed or a waiver is not in order.\nExample: secondsource waiver check "
      "waivers.yaml --gate gate.json");
  check->callback([options, &action] { action = [options](CommandContext&) { return check_waivers(*options); }; });
  command->footer("Example: secondsource waiver check waivers.yaml");
  return command;
}

}  // namespace secondsource

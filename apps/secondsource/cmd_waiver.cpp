// secondsource waiver check FILE: checks that the waivers are well-formed, that none has expired, and that each matches
// a verdict of a gate.

#include <fmt/format.h>

#include <memory>

#include "commands.h"
#include "core/clock.h"
#include "core/file.h"
#include "gate/apply_waivers.h"
#include "record/record_json.h"

namespace secondsource {
namespace {

struct WaiverOptions {
  std::string file;
  std::string gate;
};

/// Returns the invalid waivers, compared with a gate's verdicts or, without a gate, with the calendar alone.
Result<std::vector<std::string>> errors_of(const std::vector<Waiver>& waivers, const WaiverOptions& options,
                                           const std::string& today) {
  if (!options.gate.empty()) {
    SS_TRY(const std::string text, read_file(options.gate));
    SS_TRY(GateReport report, gate_report_from_json(text, options.gate));
    report.waiver_errors.clear();
    for (GateVerdict& verdict : report.verdicts) verdict.waived_by.clear();
    apply_waivers(waivers, today, report);
    return report.waiver_errors;
  }
  std::vector<std::string> errors;
  for (const Waiver& waiver : waivers) {
    if (is_expired(waiver, today)) {
      errors.push_back(fmt::format("waiver {}: expired on {}", waiver.id, waiver.expires));
    }
  }
  return errors;
}

Result<ExitStatus> check_waivers(const WaiverOptions& options) {
  SS_TRY(const std::vector<Waiver> waivers, read_waivers(options.file));
  const std::string today = utc_timestamp().substr(0, 10);
  SS_TRY(const std::vector<std::string> errors, errors_of(waivers, options, today));
  std::string text;
  for (const Waiver& waiver : waivers) {
    text += fmt::format("{}: {} {}, up to {:g} %, {}: {} ({})\n", waiver.id,
                        is_expired(waiver, today) ? "EXPIRED on" : "until", waiver.expires, waiver.ceiling_percent,
                        waiver.owner, waiver.reason, waiver.link);
  }
  for (const std::string& error : errors) text += error + "\n";
  text += fmt::format("{}: {} waivers, {} not in order\n", options.file, waivers.size(), errors.size());
  SS_TRY_VOID(print(text));
  return errors.empty() ? ExitStatus::kOk : ExitStatus::kBadInput;
}

}  // namespace

void add_waiver_command(CLI::App& app, CommandAction& action) {
  CLI::App* command = app.add_subcommand("waiver", "Accepted regressions");
  command->require_subcommand(1);
  CLI::App* check = command->add_subcommand("check", "Is the file well-formed, and is every waiver in order?");
  auto options = std::make_shared<WaiverOptions>();
  check->add_option("file", options->file, "YAML file with waivers")->required();
  check->add_option(
      "--gate", options->gate,
      "A gate's JSON (gate --format json, or gate.json of ab): also finds waivers that are exceeded, match "
      "no cell, or cover a cell twice");
  check->footer(
      "Ends with 2 when the file is malformed or a waiver is not in order.\nExample: secondsource waiver check "
      "waivers.yaml --gate gate.json");
  check->callback([options, &action] { action = [options](CommandContext&) { return check_waivers(*options); }; });
  command->footer("Example: secondsource waiver check waivers.yaml");
}

}  // namespace secondsource

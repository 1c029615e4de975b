// secondsource waiver check FILE: are the waivers well-formed, and which have expired?

#include <fmt/format.h>

#include "commands.h"
#include "core/clock.h"
#include "gate/waiver.h"

namespace secondsource {
namespace {

Result<ExitStatus> check_waivers(const std::string& path) {
  SS_TRY(const std::vector<Waiver> waivers, read_waivers(path));
  const std::string today = utc_timestamp().substr(0, 10);
  std::string text;
  bool any_expired = false;
  for (const Waiver& waiver : waivers) {
    const bool expired = is_expired(waiver, today);
    any_expired = any_expired || expired;
    text += fmt::format("{}: {} {}, up to {:g} %, {}: {} ({})\n", waiver.id, expired ? "EXPIRED on" : "until",
                        waiver.expires, waiver.ceiling_percent, waiver.owner, waiver.reason, waiver.link);
  }
  text += fmt::format("{}: {} waivers\n", path, waivers.size());
  SS_TRY_VOID(print(text));
  return any_expired ? ExitStatus::kBadInput : ExitStatus::kOk;
}

}  // namespace

void add_waiver_command(CLI::App& app, CommandAction& action) {
  CLI::App* command = app.add_subcommand("waiver", "Accepted regressions");
  command->require_subcommand(1);
  CLI::App* check = command->add_subcommand("check", "Is the file well-formed, and is any waiver out of date?");
  auto path = std::make_shared<std::string>();
  check->add_option("file", *path, "YAML file with waivers")->required();
  check->footer(
      "Ends with 2 when the file is malformed or a waiver has expired.\nExample: secondsource waiver check "
      "waivers.yaml");
  command->footer("Example: secondsource waiver check waivers.yaml");
  check->callback([path, &action] { action = [path](CommandContext&) { return check_waivers(*path); }; });
}

}  // namespace secondsource

// secondsource backends: lists the modules, their devices, what they support, and why a module is unavailable.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "core/json_text.h"
#include "core/units.h"
#include "modules.h"
#include "secondsource_version.h"

namespace secondsource {
namespace {

struct BackendsOptions {
  bool json = false;
};

nlohmann::json json_of(const NamedSupport& support) {
  nlohmann::json value = {{"supported", support.supported}};
  if (!support.supported) value["reason"] = support.reason;
  return value;
}

nlohmann::json json_of(const DeviceInfo& device) {
  nlohmann::json properties = nlohmann::json::object();
  for (const auto& [key, value] : device.properties) properties[key] = value;
  return {{"id", device.id},
          {"name", device.name},
          {"memory_bytes", device.memory_bytes},
          {"page_tokens", device.page_tokens},
          {"kv_dtype", std::string(to_string(device.kv_dtype))},
          {"token_buckets", device.token_buckets},
          {"is_host", device.is_host},
          {"properties", std::move(properties)}};
}

std::string json_text(const std::vector<ProbedModule>& modules) {
  nlohmann::json entries = nlohmann::json::array();
  for (const ProbedModule& module : modules) {
    nlohmann::json entry = {
        {"name", module.name}, {"path", module.path.string()}, {"available", module.unavailable.empty()}};
    if (!module.description.empty()) entry["description"] = module.description;
    if (!module.unavailable.empty()) entry["unavailable"] = module.unavailable;
    entry["devices"] = nlohmann::json::array();
    for (const DeviceInfo& device : module.devices) entry["devices"].push_back(json_of(device));
    for (const NamedSupport& support : module.operations) entry["operations"][support.name] = json_of(support);
    for (const NamedSupport& support : module.weights) entry["weights"][support.name] = json_of(support);
    entries.push_back(std::move(entry));
  }
  return to_json_text(
             nlohmann::json{{"schema", "secondsource-backends"}, {"version", 1}, {"backends", std::move(entries)}}, 2) +
         "\n";
}

/// Collects named answers for a line like "yes: a, b; no: c (reason)".
struct Answers {
  std::string yes;
  std::string no;
  explicit Answers(const std::vector<NamedSupport>& supports) {
    for (const NamedSupport& support : supports) {
      if (support.supported) {
        yes += fmt::format("{}{}", yes.empty() ? "" : " ", support.name);
      } else {
        no += fmt::format("    no {}: {}\n", support.name, support.reason);
      }
    }
  }
};

std::string table_text(const std::vector<ProbedModule>& modules) {
  if (modules.empty()) return "no backend modules were found; set SECONDSOURCE_MODULES to the folder they are in\n";
  std::string text;
  for (const ProbedModule& module : modules) {
    text += fmt::format("{:<10} {}", module.name, module.unavailable.empty() ? "available" : "unavailable");
    if (!module.description.empty()) text += fmt::format("   {}", module.description);
    text += "\n";
    if (!module.unavailable.empty()) text += fmt::format("    why: {}\n", module.unavailable);
    for (const DeviceInfo& device : module.devices) {
      text +=
          fmt::format("    device {}: {}, {} of memory\n", device.id, device.name, format_bytes(device.memory_bytes));
      for (const auto& [key, value] : device.properties) text += fmt::format("      {}: {}\n", key, value);
    }
    if (!module.unavailable.empty()) continue;
    const Answers operations(module.operations);
    const Answers weights(module.weights);
    text += fmt::format("    operations: {}\n{}    weights: {}\n{}", operations.yes, operations.no, weights.yes,
                        weights.no);
  }
  return text;
}

/// Adds the backends that this build left out as unavailable, with the reason from the build.
void add_left_out(std::vector<ProbedModule>& modules) {
  for (const auto& [name, why] : kBackendsLeftOut) {
    if (std::ranges::find(modules, name, &ProbedModule::name) != modules.end()) continue;
    modules.push_back({.name = std::string(name), .unavailable = fmt::format("not in this build: {}", why)});
  }
  std::ranges::sort(modules, {}, &ProbedModule::name);
}

Result<ExitStatus> run_backends(const BackendsOptions& options, const CommandContext& context) {
  SS_TRY(ModuleSurvey survey, survey_modules({}, context, /*with_support=*/true));
  add_left_out(survey.probed);
  SS_TRY_VOID(options.json ? print(json_text(survey.probed)) : print_text(table_text(survey.probed)));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_backends_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<BackendsOptions>();
  CommandNode* const command =
      app.add_subcommand("backends", "Backend modules: their devices, what they support, and why one is not available");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example: secondsource backends --json | jq -r '.backends[] | select(.available) | .name'");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_backends(*options, context); }; });
  return command;
}

}  // namespace secondsource

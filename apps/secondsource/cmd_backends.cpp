// secondsource backends: lists the modules, their devices, what they support, and why a module is unavailable.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "backend/capabilities.h"
#include "backend/module.h"
#include "commands.h"
#include "core/json_text.h"
#include "core/units.h"
#include "secondsource_version.h"

namespace secondsource {
namespace {

struct BackendsOptions {
  bool json = false;
};

/// One module with the capabilities of its first device, if it has one.
struct ModuleRecord {
  const Module* module;
  std::optional<Capabilities> capabilities;
  std::string unavailable;
};

std::vector<ModuleRecord> inspect_modules(const std::vector<Module>& modules) {
  std::vector<ModuleRecord> records;
  for (const Module& module : modules) {
    ModuleRecord record{&module, std::nullopt, module.unavailable};
    if (record.unavailable.empty()) {
      // A temporary instance, only to probe the capabilities.
      const auto backend = create_backend(modules, module.name, {});
      if (backend) record.capabilities = probe_capabilities(**backend);
      if (!backend) record.unavailable = backend.error().message;
    }
    records.push_back(std::move(record));
  }
  return records;
}

nlohmann::json json_of(const Support& support) {
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

std::string json_text(const std::vector<ModuleRecord>& records) {
  nlohmann::json modules = nlohmann::json::array();
  for (const ModuleRecord& record : records) {
    nlohmann::json entry = {{"name", record.module->name},
                            {"path", record.module->path.string()},
                            {"available", record.unavailable.empty()}};
    if (record.module->interface != nullptr) entry["description"] = record.module->interface->description;
    if (!record.unavailable.empty()) entry["unavailable"] = record.unavailable;
    entry["devices"] = nlohmann::json::array();
    for (const DeviceInfo& device : record.module->devices) entry["devices"].push_back(json_of(device));
    if (record.capabilities) {
      for (const auto& [operation, support] : record.capabilities->operations) {
        entry["operations"][operation] = json_of(support);
      }
      for (const auto& [encoding, act, support] : record.capabilities->weights) {
        entry["weights"][weight_support_name(encoding, act)] = json_of(support);
      }
    }
    modules.push_back(std::move(entry));
  }
  return to_json_text(
             nlohmann::json{{"schema", "secondsource-backends"}, {"version", 1}, {"backends", std::move(modules)}}, 2) +
         "\n";
}

/// Collects named answers for a line like "yes: a, b; no: c (reason)".
struct Answers {
  std::string yes;
  std::string no;
  void add(const std::string& name, const Support& support) {
    if (support.supported) {
      yes += fmt::format("{}{}", yes.empty() ? "" : " ", name);
    } else {
      no += fmt::format("    no {}: {}\n", name, support.reason);
    }
  }
};

std::string table_text(const std::vector<ModuleRecord>& records) {
  if (records.empty()) return "no backend modules were found; set SECONDSOURCE_MODULES to the folder they are in\n";
  std::string text;
  for (const ModuleRecord& record : records) {
    const Module& module = *record.module;
    text += fmt::format("{:<10} {}", module.name, record.unavailable.empty() ? "available" : "unavailable");
    if (module.interface != nullptr) text += fmt::format("   {}", module.interface->description);
    text += "\n";
    if (!record.unavailable.empty()) text += fmt::format("    why: {}\n", record.unavailable);
    for (const DeviceInfo& device : module.devices) {
      text +=
          fmt::format("    device {}: {}, {} of memory\n", device.id, device.name, format_bytes(device.memory_bytes));
      for (const auto& [key, value] : device.properties) text += fmt::format("      {}: {}\n", key, value);
    }
    if (!record.capabilities) continue;
    Answers operations;
    for (const auto& [operation, support] : record.capabilities->operations) operations.add(operation, support);
    Answers weights;
    for (const auto& [encoding, act, support] : record.capabilities->weights) {
      weights.add(weight_support_name(encoding, act), support);
    }
    text += fmt::format("    operations: {}\n{}    weights: {}\n{}", operations.yes, operations.no, weights.yes,
                        weights.no);
  }
  return text;
}

/// Adds the backends that this build left out as unavailable, with the reason from the build.
void add_left_out(std::vector<Module>& modules) {
  for (const auto& [name, why] : kBackendsLeftOut) {
    if (std::ranges::find(modules, name, &Module::name) != modules.end()) continue;
    Module module;
    module.name = name;
    module.unavailable = fmt::format("not in this build: {}", why);
    modules.push_back(std::move(module));
  }
  std::ranges::sort(modules, {}, &Module::name);
}

Result<ExitStatus> run_backends(const BackendsOptions& options, const CommandContext& context) {
  std::vector<Module> modules = load_modules(module_folders(context.program));
  add_left_out(modules);
  const std::vector<ModuleRecord> records = inspect_modules(modules);
  SS_TRY_VOID(options.json ? print(json_text(records)) : print_text(table_text(records)));
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

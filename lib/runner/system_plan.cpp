#include "runner/system_plan.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/enum_names.h"
#include "core/json_text.h"

namespace secondsource {
namespace {

using Tree = nlohmann::ordered_json;

std::string seconds_text(double seconds) {
  return fmt::format("{}s", seconds);
}

Tree map_of(const std::vector<std::pair<std::string, std::string>>& texts) {
  Tree map = Tree::object();
  for (const auto& [name, value] : texts) map[name] = value;
  return map;
}

void set_text(Tree& tree, const char* key, const std::string& value) {
  if (!value.empty()) tree[key] = value;
}

void add_start(const ManagedStart& managed, Tree& tree) {
  if (!managed.start.empty()) tree["start"] = managed.start;
  if (!managed.stop.empty()) tree["stop"] = managed.stop;
  if (!managed.env.empty()) tree["env"] = map_of(managed.env);
  if (!managed.engine_options.empty()) tree["options"] = managed.engine_options;
  set_text(tree, "image", managed.image);
  set_text(tree, "engine", managed.engine);
  set_text(tree, "health", managed.health);
  tree["start_deadline"] = seconds_text(managed.start_deadline_s);
  tree["stop_deadline"] = seconds_text(managed.stop_deadline_s);
}

void add_server(const SystemRequest& system, Tree& tree) {
  tree["preset"] = to_string(system.preset);
  tree["api"] = to_string(system.api);
  tree["http"] = to_string(system.http);
  tree["timeout"] = fmt::format("{}", system.timeout_s);
  set_text(tree, "url", system.url);
  set_text(tree, "model", system.model);
  for (const ServedModel& model : system.models) {
    tree["models"][model.bundle] = model.url.empty() ? model.model : model.url;
  }
  set_text(tree, "metrics", system.metrics);
  set_text(tree, "telemetry", system.telemetry);
  set_text(tree, "speculative", system.features.speculative);
  set_text(tree, "prefix_cache", system.features.prefix_cache);
  set_text(tree, "kv_cache", system.features.kv_cache);
  set_text(tree, "key_env", system.key.environment);
  if (!system.key.file.empty()) tree["key_file"] = std::filesystem::absolute(system.key.file).string();
  if (system.managed) add_start(*system.managed, tree);
}

void add_adapter(const AdapterSystem& adapter, Tree& tree) {
  tree["adapter"] = adapter.adapter;
  tree["start"] = adapter.start;
  if (!adapter.options.empty()) tree["options"] = map_of(adapter.options);
  if (!adapter.env.empty()) tree["env"] = map_of(adapter.env);
  tree["start_deadline"] = seconds_text(adapter.start_deadline_s);
}

}  // namespace

std::string system_plan_text(const SystemRequest& system, const RunSettings& settings) {
  Tree entry;
  entry["name"] = system.name;
  set_text(entry, "variant", system.variant);
  set_text(entry, "bundle", system.bundle);
  if (system.n_devices) entry["devices"] = fmt::format("{}", *system.n_devices);
  if (system.adapter) {
    add_adapter(*system.adapter, entry);
  } else {
    add_server(system, entry);
  }
  Tree plan;
  plan["version"] = 1;
  if (!settings.cpus.empty()) plan["cpus"] = format_cpu_list(settings.cpus);
  if (settings.memory_max_bytes > 0) plan["memory_max"] = fmt::format("{}", settings.memory_max_bytes);
  plan["step_deadline"] = seconds_text(settings.step_deadline_s);
  plan["systems"] = Tree::array({entry});
  return to_json_text(plan, 2) + "\n";  // JSON is YAML
}

SystemRequest kept_at(SystemRequest system, const std::string& url) {
  // The settings in its command are known, although the run that measures the system does not start it.
  if (system.managed) {
    const ServerCommand command = server_command(*system.managed, system.preset);
    system.features = with_command(system.preset, command, std::move(system.features));
  }
  system.managed.reset();
  system.url = url;
  return system;
}

}  // namespace secondsource

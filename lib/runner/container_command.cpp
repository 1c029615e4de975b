#include "runner/container_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "record/run_settings.h"

namespace secondsource {

std::vector<std::string> container_run(const ManagedStart& managed, const ContainerRun& run) {
  std::vector<std::string> words = {managed.engine, "run", "--name", run.name, "--pull=never", "--network=host"};
  for (const auto& [name, path] : run.model_files) {
    words.insert(words.end(), {"--volume", fmt::format("{}:{}/{}:ro", path.string(), kModelInContainer, name)});
  }
  for (const auto& [name, value] : managed.env) {
    words.insert(words.end(), {"--env", fmt::format("{}={}", name, filled(value, run.places))});
  }
  if (!run.limits.cpus.empty()) words.push_back("--cpuset-cpus=" + format_cpu_list(run.limits.cpus));
  if (run.limits.memory_max_bytes > 0) words.push_back(fmt::format("--memory={}b", run.limits.memory_max_bytes));
  for (const std::string& option : filled(managed.engine_options, run.places)) words.push_back(option);
  words.push_back(managed.image);
  for (const std::string& argument : filled(managed.start, run.places)) words.push_back(argument);
  return words;
}

std::vector<std::string> container_stop(const ManagedStart& managed, const std::string& name) {
  const auto seconds = static_cast<std::int64_t>(std::ceil(std::max(1.0, managed.stop_deadline_s)));
  return {managed.engine, "stop", "--time", fmt::to_string(seconds), name};
}

std::vector<std::string> container_kill(const ManagedStart& managed, const std::string& name) {
  return {managed.engine, "kill", name};
}

std::vector<std::string> container_remove(const ManagedStart& managed, const std::string& name) {
  return {managed.engine, "rm", "--force", name};
}

std::vector<std::string> container_process(const ManagedStart& managed, const std::string& name) {
  return {managed.engine, "inspect", "--format", "{{.State.Pid}}", name};
}

std::vector<std::string> container_memory_kill(const ManagedStart& managed, const std::string& name) {
  return {managed.engine, "inspect", "--format", "{{.State.OOMKilled}}", name};
}

std::vector<std::string> engine_version(const ManagedStart& managed) {
  return {managed.engine, "--version"};
}

std::vector<std::string> image_id(const ManagedStart& managed) {
  return {managed.engine, "image", "inspect", "--format", "{{.Id}}", managed.image};
}

}  // namespace secondsource

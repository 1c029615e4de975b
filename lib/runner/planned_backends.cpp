#include "runner/planned_backends.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "core/enum_format.h"
#include "core/hash.h"
#include "core/nearest_word.h"
#include "fault/fault.h"
#include "serving/preset.h"
#include "systems/system_job.h"

namespace secondsource {
namespace {

/// Names in a sentence; "none" if there are none.
std::string listed(const std::vector<std::string>& names) {
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

using NamedDevice = std::pair<std::string, std::string>;  ///< a backend, and the id of its device

/// The devices of the request, each with its backend's name filled in.
Result<std::vector<NamedDevice>> devices_of_backends(const RunRequest& request) {
  const std::vector<std::string> named = named_modules(request);
  std::vector<NamedDevice> devices;
  for (const auto& [backend, id] : request.devices) {
    if (backend.empty() && named.size() != 1) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--device {}: expected --device BACKEND={}, or exactly one --backend, whose "
                               "device it then is",
                               id, id)};
    }
    const std::string& name = backend.empty() ? named.front() : backend;
    const auto other = std::ranges::find(devices, name, &NamedDevice::first);
    if (other != devices.end()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--device {}={}: expected one device of a backend, found {}={}, too", name, id, name,
                               other->second)};
    }
    devices.emplace_back(name, id);
  }
  return devices;
}

double n_host_cpus() {
  return std::max(1U, std::thread::hardware_concurrency());
}

/// Number of vCPUs that a backend on the host uses; of devices otherwise.
double units_used(const DeviceInfo& device, const RunSettings& settings) {
  if (!device.is_host) return 1;
  const double n_cpus = settings.cpus.empty() ? n_host_cpus() : static_cast<double>(settings.cpus.size());
  return settings.threads > 0 ? std::min<double>(settings.threads, n_cpus) : n_cpus;
}

/// Chooses the first device, or the requested one, which is then added to the options with its environment.
Result<void> choose_device(const ProbedModule& module, const std::vector<NamedDevice>& devices, BackendRecord& record) {
  if (!module.devices.empty()) record.device = module.devices.front();
  for (const auto& [backend, id] : devices) {
    if (backend != module.name || !module.unavailable.empty()) continue;
    const auto found = std::ranges::find(module.devices, id, &DeviceInfo::id);
    if (found == module.devices.end()) {
      std::vector<std::string> known;
      for (const DeviceInfo& device : module.devices) known.push_back(device.id);
      return Error{ErrorCode::kInvalidInput, fmt::format("--device {}={}: expected one of the devices of this "
                                                         "backend, whose ids are {}",
                                                         backend, id, fmt::join(known, ", "))};
    }
    record.device = *found;
    record.options.emplace_back("device", id);
  }
  for (const auto& [name, value] : record.device.environment) {
    record.options.emplace_back(std::string(kEnvironmentOption) + name, value);
  }
  return {};
}

/// Describes the module of this name, which may be absent.
Result<BackendRecord> module_record(const std::string& name, const RunRequest& request, const ModuleSurvey& modules,
                                    const std::vector<NamedDevice>& devices) {
  BackendRecord record;
  record.name = name;
  const ProbedModule* const found = modules.find(name);
  if (found == nullptr) {
    std::vector<std::string> known;
    for (const ModuleFile& module : modules.found) known.push_back(module.name);
    record.unavailable = fmt::format("there is no backend of this name; this program has {}{}", listed(known),
                                     did_you_mean(name, known));
    return record;
  }
  record.unavailable = found->unavailable;
  SS_TRY(record.module_sha256, sha256_of_file(found->path));
  SS_TRY_VOID(choose_device(*found, devices, record));
  const RunSettings& settings = request.settings;
  if (settings.threads > 0) record.options.emplace_back("threads", std::to_string(settings.threads));
  if (!settings.cpus.empty()) record.options.emplace_back("cpus", format_cpu_list(settings.cpus));
  if (settings.strict) record.options.emplace_back("strict", "true");
  for (const auto& [backend, fault] : request.faults) {
    if (backend != name) continue;
    record.options.emplace_back("fault", fault);
  }
  for (const BackendOption& option : request.backend_options) {
    if (option.backend == name) record.options.emplace_back(option.key, option.value);
  }
  record.n_units_used = units_used(record.device, settings);
  return record;
}

/// A system whose devices are not stated counts as the whole instance of a price book's row, and as one device of a
/// price by the device; otherwise their number is not known.
void set_units(const SystemRequest& request, const std::optional<PricedInstance>& price, BackendRecord& record) {
  const double n_devices_of_price = price ? price->n_devices : 0;
  const bool is_per_device = price && price->is_per_device;
  record.n_units_used = request.n_devices ? static_cast<double>(*request.n_devices) : std::max(1.0, n_devices_of_price);
  record.are_units_unknown = !request.n_devices && n_devices_of_price == 0 && !is_per_device;
}

DeviceInfo device_of(const SystemRequest& request, const ServedSystem& served) {
  return {.backend = request.name,
          .id = "",
          .name = fmt::format("{}, {}", facts_of(request.preset).title, served.model),
          .properties = {{"api", std::string(to_string(request.api))}, {"http", std::string(to_string(request.http))}}};
}

DeviceInfo device_of(const std::string& name, const AdapterSystem& adapter) {
  return {.backend = name,
          .id = "",
          .name = fmt::format("{}, behind an adapter", adapter.runtime.empty() ? adapter.adapter : adapter.runtime),
          .properties = {{"tokens", std::string(to_string(adapter.tokens))},
                         {"forced", std::string(to_string(adapter.forced))}}};
}

/// A server or an adapter is recorded as a backend without a module.
BackendRecord system_record(const ProbedSystem& system, const std::optional<PricedInstance>& price) {
  const SystemRequest& request = system.request;
  BackendRecord record;
  record.name = request.name;
  record.unavailable = system.unavailable;
  record.device = system.adapter ? device_of(request.name, *system.adapter) : device_of(request, system.record);
  record.adapter = system.adapter;
  if (!system.adapter) record.served = system.record;
  record.device.is_host = false;
  set_units(request, price, record);
  return record;
}

Result<void> check_own_names(const std::vector<ProbedSystem>& systems, const ModuleSurvey& modules,
                             const std::vector<std::string>& wanted) {
  std::vector<std::string> taken = wanted;
  for (const ModuleFile& module : modules.found) taken.push_back(module.name);
  for (const ProbedSystem& system : systems) {
    const std::string& name = system.request.name;
    if (contains(taken, name)) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("system {}: expected a name of its own, found that of another system or of a backend", name)};
    }
    taken.push_back(name);
  }
  return {};
}

/// Refuses a device, a fault or an option of a backend that is not one of the modules `wanted`.
Result<void> check_settings_of_backends(const RunRequest& request, const std::vector<NamedDevice>& devices,
                                        const std::vector<std::string>& wanted) {
  for (const auto& [name, id] : devices) {
    if (contains(wanted, name)) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("--device {}={}: expected the device of one of this "
                                                       "run's backends, which are {}",
                                                       name, id, listed(wanted))};
  }
  for (const auto& [name, fault] : request.faults) {
    if (contains(wanted, name)) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("--fault {}={}: expected a fault for one of this run's "
                                                       "backends, which are {}",
                                                       name, fault, listed(wanted))};
  }
  for (const BackendOption& option : request.backend_options) {
    if (contains(wanted, option.backend)) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--backend-option {}:{}={}: expected an option of one of this run's backends, "
                             "which are {}",
                             option.backend, option.key, option.value, listed(wanted))};
  }
  return {};
}

Error no_backend_available(const std::vector<BackendRecord>& backends) {
  std::vector<std::string> reasons;
  for (const BackendRecord& one : backends) reasons.push_back(one.name + ": " + one.unavailable);
  return Error{ErrorCode::kUnavailable,
               reasons.empty()
                   ? "no backend module was found; set SECONDSOURCE_MODULES to the folder that the modules are in"
                   : fmt::format("no backend is available: {}", fmt::join(reasons, "; "))};
}

}  // namespace

std::vector<std::string> named_modules(const RunRequest& request) {
  std::vector<std::string> named = request.backends;
  for (const std::string& name : request.required) {
    if (!contains(named, name)) named.push_back(name);
  }
  return named;
}

Result<std::vector<BackendRecord>> plan_backends(const RunRequest& request, const ModuleSurvey& modules,
                                                 const std::vector<ProbedSystem>& systems) {
  SS_TRY(const std::vector<NamedDevice> devices, devices_of_backends(request));
  std::vector<std::string> wanted = named_modules(request);
  if (request.backends.empty() && systems.empty()) {
    for (const ProbedModule& module : modules.probed) {
      if (!contains(wanted, module.name)) wanted.push_back(module.name);
    }
  }
  std::vector<BackendRecord> backends;
  for (const std::string& name : wanted) {
    SS_TRY(BackendRecord record, module_record(name, request, modules, devices));
    backends.push_back(std::move(record));
  }
  SS_TRY_VOID(check_own_names(systems, modules, wanted));
  for (const ProbedSystem& system : systems) backends.push_back(system_record(system, request.price));
  SS_TRY_VOID(check_settings_of_backends(request, devices, wanted));
  if (std::ranges::none_of(backends, [](const BackendRecord& one) { return one.unavailable.empty(); })) {
    return no_backend_available(backends);
  }
  if (!request.price) return backends;
  for (BackendRecord& backend : backends) {
    backend.price_share = charged_share(*request.price, {.n = backend.n_units_used,
                                                         .is_host = backend.device.is_host,
                                                         .is_system = backend.is_foreign(),
                                                         .is_stated = !backend.are_units_unknown,
                                                         .n_host_cpus = n_host_cpus()});
  }
  return backends;
}

}  // namespace secondsource

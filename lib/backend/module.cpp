#include "backend/module.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "core/folder.h"
#include "core/nearest_word.h"
#include "core/shared_library.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "libsecondsource-";
constexpr std::string_view kSuffix = ".so";

/// "cpu" for ".../libsecondsource-cpu.so"; empty for any other file.
std::string module_name(const fs::path& path) {
  const std::string file = path.filename().string();
  if (file.size() <= kPrefix.size() + kSuffix.size() || !file.starts_with(kPrefix) || !file.ends_with(kSuffix)) {
    return {};
  }
  return file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
}

void load_interface(Module& module) {
  const Result<SharedLibrary> library = SharedLibrary::open({module.path.string()});
  if (!library) {
    module.unavailable = library.error().message;
    return;
  }
  using Entry = const ModuleInterface* (*)();
  const auto entry = reinterpret_cast<Entry>(library->find("secondsource_backend_module"));
  if (entry == nullptr) {
    module.unavailable = "not a backend module: it does not export secondsource_backend_module";
    return;
  }
  const ModuleInterface* const interface = entry();
  // Only this first field may be read until the ids agree.
  if (interface == nullptr || interface->abi_id == nullptr || backend_abi_id() != interface->abi_id) {
    module.unavailable = fmt::format("built for another program: expected \"{}\", found \"{}\"", backend_abi_id(),
                                     interface != nullptr && interface->abi_id != nullptr ? interface->abi_id : "");
    return;
  }
  if (module.name != interface->name) {
    module.unavailable = fmt::format("expected a module named {}, found {}", module.name, interface->name);
    return;
  }
  module.interface = interface;
  auto devices = interface->devices();
  if (!devices) {
    module.unavailable = devices.error().message;
    return;
  }
  module.devices = std::move(devices).value();
  if (module.devices.empty()) module.unavailable = "no device";
}

std::string describe_available(const std::vector<Module>& modules) {
  std::string list;
  for (const Module& module : modules) {
    if (module.unavailable.empty()) list += (list.empty() ? "" : ", ") + module.name;
  }
  return list.empty() ? "no backend" : list;
}

}  // namespace

std::vector<fs::path> module_folders(const fs::path& program) {
  std::vector<fs::path> folders;
  if (const char* const listed = std::getenv("SECONDSOURCE_MODULES"); listed != nullptr) {
    std::string_view rest = listed;
    while (!rest.empty()) {
      const std::size_t end = rest.find(':');
      if (const std::string_view folder = rest.substr(0, end); !folder.empty()) folders.emplace_back(folder);
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }
  const fs::path folder = program.parent_path();
  folders.push_back(folder);
  for (const char* const library_folder : {SECONDSOURCE_INSTALL_LIBDIR, "lib", "lib64"}) {
    const fs::path installed = (folder / ".." / library_folder / "secondsource").lexically_normal();
    if (std::ranges::find(folders, installed) == folders.end()) folders.push_back(installed);
  }
  return folders;
}

std::vector<ModuleFile> list_modules(const std::vector<fs::path>& folders) {
  std::vector<ModuleFile> modules;
  for (const fs::path& folder : folders) {
    const auto entries = list_folder(folder);
    if (!entries) continue;
    for (const fs::path& entry : *entries) {
      std::string name = module_name(entry);
      if (name.empty() || std::ranges::find(modules, name, &ModuleFile::name) != modules.end()) continue;
      modules.push_back({std::move(name), entry});
    }
  }
  std::ranges::sort(modules, {}, &ModuleFile::name);
  return modules;
}

Module open_module(const ModuleFile& file) {
  Module module;
  module.name = file.name;
  module.path = file.path;
  load_interface(module);
  return module;
}

std::vector<Module> load_modules(const std::vector<fs::path>& folders) {
  std::vector<Module> modules;
  for (const ModuleFile& file : list_modules(folders)) modules.push_back(open_module(file));
  return modules;
}

Result<const Module*> find_module(const std::vector<Module>& modules, std::string_view name) {
  const auto found = std::ranges::find(modules, name, &Module::name);
  if (found == modules.end()) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("backend {}: there is no backend of this name; available here: {}", name,
                             describe_available(modules))};
  }
  if (found->interface == nullptr || !found->unavailable.empty()) {
    return Error{ErrorCode::kUnavailable, fmt::format("backend {}: unavailable: {}; available here: {}", name,
                                                      found->unavailable, describe_available(modules))};
  }
  return &*found;
}

Error unusable_backend(const std::vector<ModuleFile>& found, std::string_view name, std::string_view reason) {
  std::vector<std::string> names;
  for (const ModuleFile& file : found) names.push_back(file.name);
  const std::string list = names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
  if (!reason.empty()) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("backend {}: unavailable: {}; this program has {}", name, reason, list)};
  }
  return Error{ErrorCode::kUnavailable,
               fmt::format("backend {}: there is no backend of this name; this program has {}{}", name, list,
                           did_you_mean(name, names))};
}

Result<std::unique_ptr<Backend>> create_backend(const std::vector<Module>& modules, std::string_view name,
                                                const BackendOptions& options) {
  SS_TRY(const Module* const found, find_module(modules, name));
  auto created = found->interface->create(options);
  if (!created) return created.error().with_context(fmt::format("backend {}", name));
  return created;
}

Result<std::unique_ptr<Backend>> load_backend(const std::vector<fs::path>& folders, std::string_view name,
                                              const BackendOptions& options) {
  const std::vector<ModuleFile> files = list_modules(folders);
  const auto found = std::ranges::find(files, name, &ModuleFile::name);
  Module module;
  if (found != files.end()) module = open_module(*found);
  if (module.interface != nullptr && module.unavailable.empty()) return create_backend({module}, name, options);
  return unusable_backend(files, name, module.unavailable);
}

}  // namespace secondsource

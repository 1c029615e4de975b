#pragma once
// How a backend is found: it is a shared module libsecondsource-<name>.so next to the program (or in
// ../lib/secondsource when installed), loaded at run time with RTLD_NOW | RTLD_LOCAL and never closed. C++ types cross
// between them, because program and modules are built together; an ABI id is compared when the module is loaded.
//
// Opening a module runs its code and that of its driver, which may crash, end the process or never return. A process
// that has more to do than to use this one backend asks another one to open it (runner/module_probe.h).

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace secondsource {

/// The one static object that a module exports through secondsource_backend_module().
struct ModuleInterface {
  const char* abi_id;       ///< backend_abi_id() when this module was built
  const char* name;         ///< "cpu"
  const char* description;  ///< one line for `secondsource backends`
  /// The devices that can be used on this machine; kUnavailable with the reason ("libcuda.so.1 not found: no driver").
  Result<std::vector<DeviceInfo>> (*devices)();
  Result<std::unique_ptr<Backend>> (*create)(const BackendOptions& options);
};

/// The compiler, the flags of the standard library, the sanitizer, and a hash of the boundary headers.
[[nodiscard]] std::string_view backend_abi_id();

/// A module that was found and not opened.
struct ModuleFile {
  std::string name;
  std::filesystem::path path;
};

/// A module that was opened, whether it is usable or not.
struct Module {
  std::string name;
  std::filesystem::path path;
  const ModuleInterface* interface = nullptr;  ///< null if the module could not be loaded
  std::string unavailable;                     ///< the reason why no device can be used; empty if one can
  std::vector<DeviceInfo> devices;
};

/// The folders that are searched for modules: $SECONDSOURCE_MODULES, the folder of the program, ../lib/secondsource
/// (and lib64, multiarch).
std::vector<std::filesystem::path> module_folders(const std::filesystem::path& program);

/// The modules in the folders, sorted by name; if several folders have the same name, the first one wins.
std::vector<ModuleFile> list_modules(const std::vector<std::filesystem::path>& folders);

/// Opens one module and asks for its devices, in this process.
Module open_module(const ModuleFile& file);

/// Opens every module in the folders, in this process.
std::vector<Module> load_modules(const std::vector<std::filesystem::path>& folders);

/// The module with this name, which must have a usable device. Errors: kUnavailable, listing those that have one.
Result<const Module*> find_module(const std::vector<Module>& modules, std::string_view name);

/// The error for a backend that cannot be used, with the modules that were found. `reason` is empty if it is not among
/// them.
[[nodiscard]] Error unusable_backend(const std::vector<ModuleFile>& found, std::string_view name,
                                     std::string_view reason);

/// Creates the backend with this name. Errors: those of find_module(), and those of the backend itself.
Result<std::unique_ptr<Backend>> create_backend(const std::vector<Module>& modules, std::string_view name,
                                                const BackendOptions& options);

/// Does the same but opens only the module of this name, so that no other vendor's driver is touched. The error lists
/// the modules that exist.
Result<std::unique_ptr<Backend>> load_backend(const std::vector<std::filesystem::path>& folders, std::string_view name,
                                              const BackendOptions& options);

}  // namespace secondsource

/// Defines the one symbol of a module. Used once in a backend's module.cpp:
///   SS_BACKEND_MODULE("cpu", "own SIMD kernels, threads", cpu::devices, cpu::create)
#define SS_BACKEND_MODULE(name_, description_, devices_, create_)                                                     \
  extern "C" __attribute__((visibility("default"))) const ::secondsource::ModuleInterface*                            \
  secondsource_backend_module() {                                                                                     \
    static const ::secondsource::ModuleInterface module{::secondsource::backend_abi_id().data(), name_, description_, \
                                                        devices_, create_};                                           \
    return &module;                                                                                                   \
  }

#pragma once
// How a backend is found: a shared module libsecondsource-<name>.so beside the program (or in ../lib/secondsource when
// installed), loaded at run time with RTLD_NOW | RTLD_LOCAL and never closed. C++ types cross, because program and
// modules are built together: an ABI id is compared at load.

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace secondsource {

/// What a module exports, as one static object, through secondsource_backend_module().
struct ModuleInterface {
  const char* abi_id;       ///< backend_abi_id() as this module was built
  const char* name;         ///< "cpu"
  const char* description;  ///< one line for `secondsource backends`
  /// The devices that can be used here and now; kUnavailable with the reason ("libcuda.so.1 not found: no driver").
  Result<std::vector<DeviceInfo>> (*devices)();
  Result<std::unique_ptr<Backend>> (*create)(const BackendOptions& options);
};

/// Compiler, standard library flags, sanitizer and a hash of the boundary's headers.
[[nodiscard]] std::string_view backend_abi_id();

/// A module that was found, usable or not.
struct Module {
  std::string name;
  std::filesystem::path path;
  const ModuleInterface* interface = nullptr;  ///< null when it could not be loaded
  std::string unavailable;                     ///< why there is no device to use; empty when there is one
  std::vector<DeviceInfo> devices;
};

/// Where modules are looked for: $SECONDSOURCE_MODULES, the program's folder, ../lib/secondsource (and lib64,
/// multiarch).
std::vector<std::filesystem::path> module_folders(const std::filesystem::path& program);

/// Every module of the folders, loaded, sorted by name; the first folder that has a name wins.
std::vector<Module> load_modules(const std::vector<std::filesystem::path>& folders);

/// One module by name, with a device to use. Errors: kUnavailable, naming what is there instead.
Result<const Module*> find_module(const std::vector<Module>& modules, std::string_view name);

/// One backend by name. Errors: those of find_module(); what the backend itself returns.
Result<std::unique_ptr<Backend>> create_backend(const std::vector<Module>& modules, std::string_view name,
                                                const BackendOptions& options);

/// The same out of its own module: no other is loaded, and no other vendor's driver is touched. Where it cannot be
/// used, all are looked at, so that the error names what is there instead.
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

#include "backend/module.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "backend/capabilities.h"
#include "fault/faulty_backend.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

// Folders that CMake fills: one with modules that are all unusable, one with the reference backend.
#ifndef SECONDSOURCE_TEST_MODULES
#error "SECONDSOURCE_TEST_MODULES is not defined"
#endif

namespace secondsource {
namespace {

const Module& find(const std::vector<Module>& modules, std::string_view name) {
  for (const Module& module : modules) {
    if (module.name == name) return module;
  }
  FAIL("no module " << name);
  return modules.front();
}

std::vector<Module> load_broken() {
  const std::filesystem::path folder = SECONDSOURCE_TEST_MODULES;
  std::ofstream(folder / "libsecondsource-garbled.so") << "this is not a library";
  std::ofstream(folder / "unrelated.so") << "not looked at";
  return load_modules({folder});
}

BackendOptions with_extra(std::string key, std::string value) {
  BackendOptions options;
  options.extra.emplace_back(std::move(key), std::move(value));
  return options;
}

TEST_CASE("a module that cannot be used is listed with the reason, sorted by name") {
  const std::vector<Module> modules = load_broken();
  REQUIRE(modules.size() == 5);
  CHECK(modules[0].name == "absent_dependency");
  CHECK(find(modules, "absent_dependency").unavailable == "libsecondsource_test_absent.so.1 not found");
  CHECK(find(modules, "foreign").unavailable.find("built for another program: expected \"") == 0);
  CHECK(find(modules, "foreign").unavailable.find("found \"gcc 1.0; boundary 0000\"") != std::string::npos);
  CHECK(find(modules, "foreign").interface == nullptr);
  CHECK(find(modules, "garbled").unavailable.find("libsecondsource-garbled.so") != std::string::npos);
  CHECK(find(modules, "mute").unavailable == "not a backend module: it does not export secondsource_backend_module");
  CHECK(find(modules, "no_device").unavailable == "no such device in this machine");
  CHECK(find(modules, "no_device").interface != nullptr);
}

TEST_CASE("creating a backend that is not there names what is") {
  std::vector<Module> modules = load_broken();
  CHECK_ERROR(create_backend(modules, "cuda", {}), ErrorCode::kUnavailable,
              "there is no backend of this name; available here: no backend");
  CHECK_ERROR(create_backend(modules, "foreign", {}), ErrorCode::kUnavailable,
              "unavailable: built for another program");
  for (Module& module : load_modules({SECONDSOURCE_REFERENCE_FOLDER})) {
    if (module.name == "reference") modules.push_back(module);
  }
  CHECK_ERROR(create_backend(modules, "cuda", {}), ErrorCode::kUnavailable, "available here: reference");
}

TEST_CASE("the reference loads, says what it supports, and takes a planted fault by name") {
  const std::vector<Module> modules = load_modules({SECONDSOURCE_REFERENCE_FOLDER});
  const auto plain = create_backend(modules, "reference", {});
  REQUIRE_OK(plain);
  const Capabilities capabilities = probe_capabilities(**plain);
  CHECK(capabilities.operations.size() == std::variant_size_v<Op>);
  for (const OperationSupport& operation : capabilities.operations) {
    CHECK(operation.support.supported);
  }
  const auto faulty =
      load_backend_with_fault({SECONDSOURCE_REFERENCE_FOLDER}, "reference", with_extra("fault", "slow:50"));
  REQUIRE_OK(faulty);
  CHECK((*faulty)->device().properties.back() == std::pair<std::string, std::string>("fault", "slow:50"));
  CHECK_ERROR(load_backend_with_fault({SECONDSOURCE_REFERENCE_FOLDER}, "reference", with_extra("fault", "melt")),
              ErrorCode::kInvalidInput, "expected one of fail, crash");
  CHECK_ERROR(create_backend(modules, "reference", with_extra("color", "red")), ErrorCode::kInvalidInput,
              "backend reference: option color");
}

TEST_CASE("a backend is loaded without the modules beside it, whether it can be had or not") {
  // Copies, because no other test has loaded them.
  const test::ScratchFolder folder;
  const auto copy = [&](const std::filesystem::path& from) {
    const std::filesystem::path to = folder.path() / from.filename();
    std::filesystem::copy_file(from, to);
    return to;
  };
  const auto reference = copy(std::filesystem::path(SECONDSOURCE_REFERENCE_FOLDER) / "libsecondsource-reference.so");
  const auto beside = copy(std::filesystem::path(SECONDSOURCE_TEST_MODULES) / "libsecondsource-no_device.so");
  const auto is_loaded = [](const std::filesystem::path& path) {
    return ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) != nullptr;
  };
  REQUIRE_OK(load_backend({folder.path()}, "reference", {}));
  CHECK(is_loaded(reference));
  CHECK_FALSE(is_loaded(beside));
  CHECK_ERROR(load_backend({folder.path()}, "no_device", {}), ErrorCode::kUnavailable,
              "unavailable: no such device in this machine; this program has no_device, reference");
  CHECK_ERROR(load_backend({folder.path()}, "cuda", {}), ErrorCode::kUnavailable,
              "there is no backend of this name; this program has no_device, reference");
}

TEST_CASE("the first folder that has a name wins, and folders that are not there do not matter") {
  const std::vector<Module> modules = load_modules(
      {"/nonexistent", SECONDSOURCE_TEST_MODULES, SECONDSOURCE_TEST_MODULES, SECONDSOURCE_REFERENCE_FOLDER});
  CHECK(find(modules, "foreign").path.parent_path() == SECONDSOURCE_TEST_MODULES);
  CHECK(find(modules, "reference").unavailable.empty());
}

TEST_CASE("modules are looked for where the environment says, beside the program, and where they are installed") {
  ::setenv("SECONDSOURCE_MODULES", "/a:/b", 1);
  const auto folders = module_folders("/opt/x/bin/secondsource");
  ::unsetenv("SECONDSOURCE_MODULES");
  REQUIRE(folders.size() >= 4);
  CHECK(folders[0] == "/a");
  CHECK(folders[1] == "/b");
  CHECK(folders[2] == "/opt/x/bin");
  CHECK(std::find(folders.begin(), folders.end(), "/opt/x/lib/secondsource") != folders.end());
}

TEST_CASE("the ABI id names compiler, library, sanitizer and boundary") {
  const std::string id(backend_abi_id());
  for (const char* const part : {"; ", "sanitizer ", "boundary "}) CHECK(id.find(part) != std::string::npos);
}

}  // namespace
}  // namespace secondsource

#include "golden_support.h"

#include <algorithm>
#include <cstdlib>

#include "support/catch.h"

namespace secondsource::test {

std::vector<Module> available_backends() {
  std::vector<Module> modules = load_modules(module_folders(std::filesystem::read_symlink("/proc/self/exe")));
  std::erase_if(modules,
                [](const Module& module) { return !module.unavailable.empty() || module.interface == nullptr; });
  if (const char* const only = std::getenv("SECONDSOURCE_GOLDEN_BACKEND"); only != nullptr) {
    std::erase_if(modules, [&](const Module& module) { return module.name != only; });
    if (modules.empty()) FAIL("no backend " << only);
  }
  std::stable_partition(modules.begin(), modules.end(),
                        [](const Module& module) { return module.name == "reference"; });
  return modules;
}

std::unique_ptr<Backend> make_backend(const std::string& name) {
  BackendOptions options;
  if (const char* const isa = std::getenv("SECONDSOURCE_GOLDEN_ISA"); isa != nullptr) options.extra = {{"isa", isa}};
  auto backend = create_backend(available_backends(), name, options);
  if (!backend) FAIL(name << ": " << backend.error().message);
  return std::move(*backend);
}

std::unique_ptr<ModelSession> open_session(const std::string& backend, const Bundle& bundle, const std::string& variant,
                                           const EngineOptions& options) {
  SilentProgress progress;
  auto session = ModelSession::open(make_backend(backend), bundle.config(), bundle.tensors(), variant, options,
                                    progress, InterruptFlag());
  if (!session) FAIL(backend << ", " << variant << ": " << session.error().message);
  return std::move(*session);
}

std::vector<TokenEvent> run_all(Engine& engine) {
  std::vector<TokenEvent> all;
  while (engine.has_work()) {
    auto events = engine.step();
    if (!events) FAIL(events.error().message);
    std::move(events->begin(), events->end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace secondsource::test

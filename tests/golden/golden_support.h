#pragma once
// What the golden tests share: every backend that was built, and a model on it.

#include <memory>
#include <string>
#include <vector>

#include "backend/module.h"
#include "bundle/bundle.h"
#include "core/progress.h"
#include "engine/model_session.h"

namespace secondsource::test {

/// The modules that have a device here, `reference` first; the one that SECONDSOURCE_GOLDEN_BACKEND names, if it does.
[[nodiscard]] std::vector<Module> available_backends();

/// A fresh backend of that module, with the instruction set that SECONDSOURCE_GOLDEN_ISA names, if it does. Fails the
/// test when it cannot be created.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const std::string& name);

/// A session on a fresh backend. Fails the test on an error.
[[nodiscard]] std::unique_ptr<ModelSession> open_session(const std::string& backend, const Bundle& bundle,
                                                         const std::string& variant, const EngineOptions& options);

/// Runs the engine until nothing is left to do and returns all events in order. Fails the test on an error.
[[nodiscard]] std::vector<TokenEvent> run_all(Engine& engine);

}  // namespace secondsource::test

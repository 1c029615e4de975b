#pragma once
// Helpers of the golden tests: every backend that was built, and models on them.

#include <memory>
#include <string>
#include <vector>

#include "backend/module.h"
#include "bundle/bundle.h"
#include "core/progress.h"
#include "engine/model_session.h"

namespace secondsource::test {

/// The modules that have a device on this machine, `reference` first. If SECONDSOURCE_GOLDEN_BACKEND is set, only the
/// module of that name.
[[nodiscard]] std::vector<Module> available_backends();

/// Creates a backend of that module, with the instruction set of SECONDSOURCE_GOLDEN_ISA if that is set. Fails the test
/// on an error.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const std::string& name);

/// Opens a session on a new backend. Fails the test on an error.
[[nodiscard]] std::unique_ptr<ModelSession> open_session(const std::string& backend, const Bundle& bundle,
                                                         const std::string& variant, const EngineOptions& options);

/// Runs the engine until it has no more work and returns all events in order. Fails the test on an error.
[[nodiscard]] std::vector<TokenEvent> run_all(Engine& engine);

}  // namespace secondsource::test

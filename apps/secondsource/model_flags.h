#pragma once
// The flags by which generate, eval and check say which backend runs the model, in which variant.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "backend/module.h"
#include "bundle/bundle.h"
#include "command.h"
#include "engine/model_session.h"

namespace secondsource {

struct ModelFlags {
  std::string bundle;   ///< a bundle folder or zip, or a plain Hugging Face folder
  std::string backend;  ///< empty: the first available one that is no oracle
  std::string variant;  ///< empty: the bundle's first
  std::string device;   ///< DeviceInfo::id; empty: the first
  std::int32_t n_threads = 0;
  std::vector<std::string> backend_options;  ///< KEY=VALUE
};

/// Adds `bundle`, --backend, --device, --variant, --threads and --backend-option.
void add_model_flags(CLI::App& command, ModelFlags& flags);

/// Errors: kInvalidInput for what is no KEY=VALUE.
Result<BackendOptions> backend_options(const ModelFlags& flags);

/// The backend that --backend names or, without it, the default, for which every module is looked at. Errors:
/// kUnavailable when there is no default.
Result<std::string> choose_backend(const std::vector<std::filesystem::path>& folders, const std::string& wanted);

/// The variant that --variant names or, without it, the bundle's first; of a plain folder, the one that its weights are
/// stored in.
Result<std::string> choose_variant(const Bundle& bundle, const std::string& wanted);

/// The model on its backend, ready for requests.
Result<std::unique_ptr<ModelSession>> open_session(const Bundle& bundle, const ModelFlags& flags,
                                                   const EngineOptions& options, CommandContext& context);

}  // namespace secondsource

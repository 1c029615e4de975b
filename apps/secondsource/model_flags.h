#pragma once
// The flags of generate, eval and check that choose the backend and the variant of the model.

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
  std::string backend;  ///< empty: the first available one that is not an oracle
  std::string variant;  ///< empty: the bundle's first
  std::string device;   ///< DeviceInfo::id; empty: the first
  std::int32_t n_threads = 0;
  std::vector<std::string> backend_options;  ///< KEY=VALUE
};

/// Adds `bundle`, --backend, --device, --threads and --backend-option.
void add_backend_flags(CommandNode& command, ModelFlags& flags);

/// Adds the same, and --variant.
void add_model_flags(CommandNode& command, ModelFlags& flags);

/// Errors: kInvalidInput for an option that is not KEY=VALUE.
Result<BackendOptions> backend_options(const ModelFlags& flags);

/// Returns the variant of --variant. Without that flag, returns the bundle's first variant; for a plain folder, the one
/// in which its weights are stored.
Result<std::string> choose_variant(const Bundle& bundle, const std::string& wanted);

/// Opens the model on its backend, ready for requests.
Result<std::unique_ptr<ModelSession>> open_session(const Bundle& bundle, const ModelFlags& flags,
                                                   const EngineOptions& options, CommandContext& context);

}  // namespace secondsource

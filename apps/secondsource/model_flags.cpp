#include "model_flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "fault/faulty_backend.h"
#include "golden/golden_pass.h"

namespace secondsource {
namespace {

/// An oracle declares in its device properties that it is too slow for long prompts.
bool is_oracle(const Module& module) {
  const auto limits = [](const DeviceInfo& device) {
    return std::any_of(device.properties.begin(), device.properties.end(),
                       [](const auto& property) { return property.first == kGoldenLimitProperty; });
  };
  return std::any_of(module.devices.begin(), module.devices.end(), limits);
}

}  // namespace

void add_model_flags(CommandNode& command, ModelFlags& flags) {
  command.add_option("bundle", flags.bundle, "Bundle folder or zip, or a Hugging Face model folder")->required();
  command.add_option("--backend", flags.backend, "Backend; default: the first available one that is no oracle");
  command.add_option("--device", flags.device, "Device of the backend, as `backends` lists it; default: the first");
  command.add_option("--variant", flags.variant, "bf16, f16, int8, int8-g32, int4, ...; default: the bundle's first");
  command.add_option("--threads", flags.n_threads, "Threads of the backend; default: all that may be used")
      ->check(Range(0, 4096));
  command.add_option("--backend-option", flags.backend_options, "KEY=VALUE, as the backend's README says");
}

Result<BackendOptions> backend_options(const ModelFlags& flags) {
  BackendOptions options;
  options.device_id = flags.device;
  options.n_threads = flags.n_threads;
  for (const std::string& text : flags.backend_options) {
    const auto split = text.find('=');
    if (split == std::string::npos || split == 0) {
      return Error{ErrorCode::kInvalidInput, fmt::format("--backend-option: expected KEY=VALUE, found {}", text)};
    }
    options.extra.emplace_back(text.substr(0, split), text.substr(split + 1));
  }
  return options;
}

Result<std::string> choose_backend(const std::vector<std::filesystem::path>& folders, const std::string& wanted) {
  if (!wanted.empty()) return wanted;  // if it does not exist, load_backend() lists the existing ones
  const std::vector<Module> modules = load_modules(folders);
  const auto is_available = [](const Module& module) { return module.unavailable.empty() && !module.devices.empty(); };
  const Module* chosen = nullptr;
  for (const Module& module : modules) {
    if (!is_available(module)) continue;
    if (chosen == nullptr || (is_oracle(*chosen) && !is_oracle(module))) chosen = &module;
  }
  if (chosen == nullptr) return Error{ErrorCode::kUnavailable, "no backend is available: see secondsource backends"};
  return chosen->name;
}

Result<std::string> choose_variant(const Bundle& bundle, const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  if (bundle.manifest() != nullptr && !bundle.manifest()->variants.empty()) {
    return bundle.manifest()->variants.front().name;
  }
  SS_TRY(const StoredTensor embedding, bundle.tensor(kEmbeddingTensor));
  SS_TRY(const WeightEncoding stored, encoding_as_stored(embedding.info.dtype.value_or(DType::kBool)));
  return std::string(to_string(stored));
}

Result<std::unique_ptr<ModelSession>> open_session(const Bundle& bundle, const ModelFlags& flags,
                                                   const EngineOptions& options, CommandContext& context) {
  const std::vector<std::filesystem::path> folders = module_folders(context.program);
  SS_TRY(const std::string name, choose_backend(folders, flags.backend));
  SS_TRY(const std::string variant, choose_variant(bundle, flags.variant));
  SS_TRY(const BackendOptions created, backend_options(flags));
  SS_TRY(std::unique_ptr<Backend> backend, load_backend_with_fault(folders, name, created));
  return ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), variant, options, context.progress);
}

}  // namespace secondsource

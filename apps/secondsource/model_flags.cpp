#include "model_flags.h"

#include <fmt/format.h>

#include "core/utf8.h"
#include "fault/faulty_backend.h"
#include "modules.h"

namespace secondsource {

void add_backend_flags(CommandNode& command, ModelFlags& flags) {
  command.add_option("bundle", flags.bundle, "Bundle folder or zip, or a Hugging Face model folder")->required();
  command.add_option("--backend", flags.backend, "Backend; default: the first available one other than reference");
  command.add_option("--device", flags.device, "Device of the backend, as `backends` lists it; default: the first");
  command.add_option("--threads", flags.n_threads, "Threads of the backend; default: all that may be used")
      ->check(Range(0, 4096));
  command.add_option("--backend-option", flags.backend_options, "KEY=VALUE, as the backend's README says");
}

void add_model_flags(CommandNode& command, ModelFlags& flags) {
  add_backend_flags(command, flags);
  command.add_option("--variant", flags.variant, "bf16, f16, int8, int8-g32, int4, ...; default: the bundle's first");
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
    const std::string key = text.substr(0, split);
    for (const auto& [other, value] : options.extra) {
      if (other != key) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--backend-option {}: expected {} once, found {}, too", text, key, in_quotes(value))};
    }
    options.extra.emplace_back(key, text.substr(split + 1));
  }
  return options;
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
  SS_TRY(const std::string name, choose_backend(flags.backend, context));
  SS_TRY(const std::string variant, choose_variant(bundle, flags.variant));
  SS_TRY(const BackendOptions created, backend_options(flags));
  SS_TRY(std::unique_ptr<Backend> backend, load_backend_with_fault(module_folders(context.program), name, created));
  return ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), variant, options, context.progress,
                            context.interrupt);
}

}  // namespace secondsource

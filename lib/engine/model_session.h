#pragma once
// A backend with one model in one variant, ready for requests. The session owns everything that an Engine borrows.
//
//   SS_TRY(auto session, ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), "bf16", {},
//                                           progress, interrupt));
//   SS_TRY(const RequestId id, session->engine().submit(request));

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "bundle/model_config.h"
#include "bundle/tensor_store.h"
#include "bundle/variant.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"
#include "engine/model_weights.h"

namespace secondsource {

class ModelSession {
 public:
  /// Prepares the weights and allocates the cache. EngineOptions::act is taken from the variant, and the value in
  /// `options` is ignored. Errors: kInvalidInput for an unknown variant or bad tensors, kUnsupported, kInterrupted, the
  /// errors of the backend.
  static Result<std::unique_ptr<ModelSession>> open(std::unique_ptr<Backend> backend, const ModelConfig& config,
                                                    const TensorStore& tensors, std::string_view variant,
                                                    EngineOptions options, Progress& progress,
                                                    const InterruptFlag& interrupt);

  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const Variant& variant() const { return variant_; }
  /// The time it took to read and prepare the weights.
  [[nodiscard]] std::int64_t load_ns() const { return load_ns_; }

 private:
  ModelSession(std::unique_ptr<Backend> backend, const ModelConfig& config, Variant variant)
      : backend_(std::move(backend)), config_(config), variant_(std::move(variant)) {}

  // Each member borrows from those above it, so the engine's steps are destroyed before the backend.
  std::unique_ptr<Backend> backend_;
  ModelConfig config_;
  Variant variant_;
  ModelWeights weights_;
  std::unique_ptr<Engine> engine_;
  std::int64_t load_ns_ = 0;
};

}  // namespace secondsource

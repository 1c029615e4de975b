#include "engine/model_session.h"

#include <fmt/format.h>

#include "core/clock.h"

namespace secondsource {

Result<std::unique_ptr<ModelSession>> ModelSession::open(std::unique_ptr<Backend> backend, const ModelConfig& config,
                                                         const TensorStore& tensors, std::string_view variant,
                                                         EngineOptions options, Progress& progress,
                                                         const InterruptFlag& interrupt) {
  SS_TRY(Variant known, variant_from_name(variant));
  std::unique_ptr<ModelSession> session(new ModelSession(std::move(backend), config, std::move(known)));
  const std::int64_t started_ns = now_ns();
  SS_TRY(session->weights_, prepare_model_weights(*session->backend_, session->config_, tensors, session->variant_,
                                                  "model", progress, interrupt));
  session->load_ns_ = now_ns() - started_ns;
  options.act = session->variant_.activations;
  SS_TRY(session->engine_, Engine::create(*session->backend_, session->config_, session->weights_, options));
  return session;
}

}  // namespace secondsource

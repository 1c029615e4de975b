#include "engine/activation_maxima.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace secondsource {
namespace {

/// The vectors that receive the maxima of products' inputs, by the product's label in the graph.
using Places = std::map<std::string, std::vector<float>*, std::less<>>;

Places places_of(const ModelConfig& config, ActivationMaxima& maxima) {
  maxima.layers.resize(static_cast<std::size_t>(config.n_layers));
  Places places = {{"head", &maxima.head}};
  for (std::size_t layer = 0; layer < maxima.layers.size(); ++layer) {
    LayerActivations& of_layer = maxima.layers[layer];
    places[fmt::format("layers.{}.attention.qkv", layer)] = &of_layer.qkv;
    places[fmt::format("layers.{}.attention.qk", layer)] = &of_layer.qkv;  // if v has a product of its own
    places[fmt::format("layers.{}.attention.out", layer)] = &of_layer.attention_out;
    places[fmt::format("layers.{}.ffn.gate_up", layer)] = &of_layer.gate_up;
    places[fmt::format("layers.{}.ffn.up", layer)] = &of_layer.gate_up;  // without a gate
    places[fmt::format("layers.{}.ffn.down", layer)] = &of_layer.down;
  }
  return places;
}

/// The input of a product, if the maxima of its columns can be taken over all tokens: the input of a matmul, or of the
/// first matmul of experts.
std::optional<ValueId> input_of(const Op& op) {
  if (const auto* const product = std::get_if<Matmul>(&op)) return product->x;
  const auto* const of_experts = std::get_if<GroupedMatmul>(&op);
  if (of_experts != nullptr && !of_experts->weight) return of_experts->x;
  return std::nullopt;
}

/// Updates the maxima from the last step, which had `n_rows` tokens.
Result<void> take_maxima(const Engine& engine, std::size_t n_rows, const Places& places) {
  const StepGraph graph = engine.graph();
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const auto place = places.find(graph.labels[i]);
    const std::optional<ValueId> input = input_of(graph.ops[i]);
    if (place == places.end() || !input) continue;
    SS_TRY(const std::vector<float> values, engine.read_value(*input));
    const auto n_columns = static_cast<std::size_t>(graph.values[static_cast<std::size_t>(index_of(*input))].cols);
    std::vector<float>& most = *place->second;
    most.resize(n_columns, 0.0F);
    // Rows after those of the tokens are padding.
    for (std::size_t k = 0; k < std::min(values.size(), n_rows * n_columns); ++k) {
      if (!std::isfinite(values[k])) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("{}: expected finite inputs, found a NaN or an infinity", graph.labels[i])};
      }
      float& of_column = most[k % n_columns];
      of_column = std::max(of_column, std::abs(values[k]));
    }
  }
  return {};
}

}  // namespace

Result<ActivationMaxima> measure_activation_maxima(Engine& engine, const ModelConfig& config,
                                                   std::span<const std::int32_t> ids, std::int64_t window,
                                                   Progress& progress, const InterruptFlag& interrupt) {
  if (ids.empty()) return Error{ErrorCode::kInvalidInput, "expected a text of at least one token, found none"};
  ActivationMaxima maxima;
  const Places places = places_of(config, maxima);
  progress.begin("calibration (tokens)", static_cast<std::int64_t>(ids.size()));
  for (std::size_t begin = 0; begin < ids.size(); begin += static_cast<std::size_t>(window)) {
    const auto part = ids.subspan(begin, std::min(static_cast<std::size_t>(window), ids.size() - begin));
    Request request{.prompt_ids = {part.begin(), part.end()}, .score_prompt = true};
    SS_TRY_VOID(engine.submit(std::move(request)));
    while (engine.has_work()) {
      SS_TRY_VOID(interrupt.check());
      SS_TRY_VOID(engine.step());
      SS_TRY_VOID(take_maxima(engine, static_cast<std::size_t>(engine.last_step().n_prefill_tokens), places));
    }
    progress.update(static_cast<std::int64_t>(begin + part.size()));
  }
  return maxima;
}

}  // namespace secondsource

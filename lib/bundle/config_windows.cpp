#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bundle/config_source.h"

namespace secondsource::detail {
namespace {

/// The value of sliding_window; the result 0 means no window. A 0 in the file is refused, because a token would then
/// attend to nothing, not even to itself.
Result<std::int64_t> parse_window(const ConfigSource& source) {
  if (source.is_null("sliding_window")) return 0;
  if (!source.fields.has("sliding_window")) return std::max<std::int64_t>(0, source.defaults.sliding_window);
  return source.fields.integer("sliding_window", {.min = 1, .max = kMaxSeqLen});
}

/// Gives the window to the layers that layer_types lists. `is_used` says whether use_sliding_window allows one.
Result<void> parse_layer_types(const JsonFields& fields, const nlohmann::json& layer_types, std::int64_t window,
                               bool is_used, ModelConfig& config) {
  if (!layer_types.is_array() || layer_types.size() != config.windows.size()) {
    return fields.mismatch("layer_types", fmt::format("a list of {}", config.n_layers));
  }
  for (std::size_t layer = 0; layer < config.windows.size(); ++layer) {
    const nlohmann::json& type = layer_types[layer];
    if (type != "full_attention" && type != "sliding_attention") {
      return fields.mismatch("layer_types", "a list of full_attention and sliding_attention");
    }
    if (type == "full_attention") continue;
    if (window == 0) {
      return fields.mismatch(is_used ? "sliding_window" : "use_sliding_window",
                             "a window for the layers of sliding_attention");
    }
    config.windows[layer] = window;
  }
  return {};
}

/// Which layers have a window where the file lists none.
Result<std::vector<bool>> default_layers(const ConfigSource& source, std::int64_t n_layers) {
  const JsonFields& fields = source.fields;
  const WindowRule rule = source.defaults.windows;
  if (rule == WindowRule::kWithoutRope) return unrotated_layers(source, n_layers);
  std::int64_t limit = 0;
  if (rule == WindowRule::kFromLayer || rule == WindowRule::kEveryOther) {
    SS_TRY(limit, fields.integer_or("max_window_layers", kMaxWindowLayers, {.min = 0, .max = kMaxLayers}));
  }
  std::int64_t period = source.defaults.window_period;
  if (!source.defaults.window_period_key.empty()) {
    SS_TRY(period, fields.integer_or(source.defaults.window_period_key, period, {.min = 1, .max = kMaxLayers}));
  }
  std::vector<bool> layers(static_cast<std::size_t>(n_layers), true);
  for (std::int64_t layer = 0; layer < n_layers; ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    if (rule == WindowRule::kFromLayer) layers[index] = layer >= limit;
    if (rule == WindowRule::kEveryOther) layers[index] = layer % 2 == 0 && layer < limit;
    if (rule == WindowRule::kPattern) layers[index] = (layer + 1) % period != 0;
  }
  return layers;
}

}  // namespace

Result<void> parse_windows(const ConfigSource& source, ModelConfig& config) {
  const JsonFields& fields = source.fields;
  const WindowRule rule = source.defaults.windows;
  config.windows.assign(static_cast<std::size_t>(config.n_layers), 0);
  if (rule == WindowRule::kNone) return {};
  bool is_used = true;
  if (rule != WindowRule::kAll && rule != WindowRule::kPattern) {
    SS_TRY(is_used, fields.boolean_or("use_sliding_window", false));
  }
  std::int64_t window = 0;
  if (is_used) {
    SS_TRY(window, parse_window(source));
  }
  const bool reads_types = rule != WindowRule::kAll && rule != WindowRule::kAllUsed;
  if (const nlohmann::json* layer_types = fields.find("layer_types"); reads_types && layer_types != nullptr) {
    return parse_layer_types(fields, *layer_types, window, is_used, config);
  }
  SS_TRY(const std::vector<bool> layers, default_layers(source, config.n_layers));
  const bool needs_window = rule == WindowRule::kPattern || (rule == WindowRule::kEveryOther && is_used);
  if (needs_window && window == 0 && std::ranges::find(layers, true) != layers.end()) {
    return fields.mismatch("sliding_window", "a window for the layers of sliding_attention");
  }
  for (std::size_t layer = 0; layer < layers.size(); ++layer) config.windows[layer] = layers[layer] ? window : 0;
  return {};
}

}  // namespace secondsource::detail

#include "ab/timed_bundle.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bundle/named_shape.h"
#include "bundle/synth.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/units.h"
#include "core/utf8.h"
#include "core/variant_name.h"
#include "host/cache_size.h"
#include "runner/cell_estimate.h"

namespace secondsource {
namespace {

constexpr const char* kShape = "demo-50m";
constexpr std::int64_t kBeyondCache = 2;
constexpr std::int64_t kMaxLayers = 256;
constexpr std::uint64_t kSeed = 1;

}  // namespace

std::int64_t weight_bytes(const ModelConfig& config, const std::vector<std::string>& variants) {
  double smallest = bytes_per_weight("f32");
  for (const std::string& variant : variants) smallest = std::min(smallest, bytes_per_weight(variant));
  return static_cast<std::int64_t>(smallest * static_cast<double>(model_size(config).n_parameters));
}

bool is_too_large_for(std::int64_t cache_bytes, std::int64_t weight_bytes) {
  return weight_bytes >= kBeyondCache * cache_bytes;
}

std::int64_t timed_cache_bytes() {
  constexpr std::int64_t kAssumedCache = std::int64_t{64} << 20;
  return last_level_cache_bytes(HostFiles()).value_or(kAssumedCache);
}

Result<void> check_timed_variants(const ModelConfig& config, const std::filesystem::path& bundle,
                                  const std::vector<std::string>& variants, std::int64_t cache_bytes) {
  const auto published = std::ranges::find_if(variants, is_published_variant);
  if (published == variants.end() || is_too_large_for(cache_bytes, weight_bytes(config, variants))) return {};
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("ab: variant {}: this bundle is too small to be timed beside a last-level cache of {}, and the "
                  "synthesised bundle that is timed instead has no published variants; expected --timed-bundle {}, or "
                  "--variant without it",
                  *published, format_bytes(cache_bytes), printable(bundle.string()))};
}

Result<std::filesystem::path> synthesised_bundle_beyond(std::int64_t cache_bytes,
                                                        const std::vector<std::string>& variants, Progress& progress,
                                                        const InterruptFlag& interrupt) {
  SS_TRY(const NamedShape shape, find_named_shape(kShape));
  SS_TRY(ModelConfig config, parse_model_config(shape.config_json, shape.name));
  while (!is_too_large_for(cache_bytes, weight_bytes(config, variants)) && config.n_layers < kMaxLayers) {
    ++config.n_layers;
  }
  if (!is_too_large_for(cache_bytes, weight_bytes(config, variants))) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("no synthesised bundle is large enough for a last-level cache of {}: name a bundle "
                             "with --timed-bundle",
                             format_bytes(cache_bytes))};
  }
  const std::string name = fmt::format("{}-{}-layers", kShape, config.n_layers);
  SS_TRY(const std::filesystem::path cache, cache_folder());
  const std::filesystem::path folder = cache / "synthesised" / fmt::format("{}-seed-{}", name, kSeed);
  if (path_exists(folder / "manifest.yaml")) return folder;
  // The text is our own and was parsed above, so that this cannot fail.
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(shape.config_json);
  json["num_hidden_layers"] = config.n_layers;
  progress.note(fmt::format("making the bundle {} with {} of weights, more than a last-level cache of {} can hold",
                            folder.string(), format_bytes(weight_bytes(config, {"bf16"})), format_bytes(cache_bytes)));
  const SynthOptions options{.name = name,
                             .source = fmt::format("{} with {}", shape.name, counted(config.n_layers, "layer")),
                             .config_json = json.dump(2),
                             .seed = kSeed};
  if (Result<void> made = synthesize_bundle(options, folder, progress, interrupt); !made) {
    // Another process may have made the bundle meanwhile.
    if (!path_exists(folder / "manifest.yaml")) return made.error();
  }
  return folder;
}

}  // namespace secondsource

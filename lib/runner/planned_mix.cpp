#include "runner/planned_mix.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bundle/prompts.h"
#include "core/hash.h"
#include "core/units.h"
#include "core/utf8.h"
#include "runner/scenario_defaults.h"
#include "serving/preset.h"
#include "systems/request_mix.h"

namespace secondsource {
namespace {

/// The variants of the run that every bundle has.
Result<std::vector<std::string>> variants_of_mix(const CellInputs& inputs) {
  std::vector<std::string> common;
  for (const OpenedBundle& opened : inputs.bundles) {
    SS_TRY(const std::vector<std::string> variants, variants_to_measure(opened.bundle, inputs.request.variants));
    if (&opened == &inputs.bundles.front()) common = variants;
    std::erase_if(common, [&](const std::string& one) { return std::ranges::find(variants, one) == variants.end(); });
  }
  if (common.empty()) {
    return Error{ErrorCode::kInvalidInput, "scenario swap: expected a variant that all bundles have, found none"};
  }
  return common;
}

/// All bundles as one entry of the record.
BundleRecord record_of_mix(const std::vector<OpenedBundle>& bundles, const std::vector<std::string>& variants) {
  BundleRecord mix;
  std::string contents;
  mix.verified = true;
  for (const OpenedBundle& opened : bundles) {
    mix.models.push_back(opened.record.name);
    contents += fmt::format("{} {}\n", opened.record.name, opened.record.content_sha256);
    mix.verified = mix.verified && opened.record.verified;
    if (opened.record.source_quantization.empty()) continue;
    mix.source_quantization += fmt::format("{}{}: {}", mix.source_quantization.empty() ? "" : "; ", opened.record.name,
                                           opened.record.source_quantization);
  }
  mix.name = fmt::format("{}", fmt::join(mix.models, "+"));
  mix.content_sha256 = sha256_hex(contents);
  for (const std::string& name : variants) {
    VariantRecord all;
    all.name = name;
    for (const OpenedBundle& opened : bundles) {
      const auto one = std::ranges::find(opened.record.variants, name, &VariantRecord::name);
      if (one->tier != Tier::kBlessed) all.tier = one->tier;
      if (one->outside_limits.empty()) continue;
      all.outside_limits +=
          fmt::format("{}{}: {}", all.outside_limits.empty() ? "" : "; ", opened.record.name, one->outside_limits);
    }
    mix.variants.push_back(std::move(all));
  }
  return mix;
}

/// The variants in which a backend serves a mix: those of the run, or for a server its only one.
Result<std::vector<std::string>> variants_of_mix_for(const BackendRecord& backend,
                                                     const std::vector<std::string>& variants,
                                                     const CellInputs& inputs) {
  const SystemRequest* const system = inputs.system_of(backend);
  if (system == nullptr) return variants;
  const std::string& asked = system->variant;
  if (asked.empty()) return std::vector<std::string>{variants.front()};
  if (std::ranges::find(variants, asked) != variants.end()) return std::vector<std::string>{asked};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("system {}: variant: expected one that all bundles have: {}, found {}", backend.name,
                           fmt::join(variants, ", "), in_quotes(asked))};
}

/// Why a backend cannot take turns with the models of a mix under this budget; empty if it can.
std::string why_no_mix(const BackendRecord& backend, const Scenario& scenario) {
  if (!backend.is_foreign()) return "";
  if (!backend.served || backend.served->models.empty()) return "it holds one model";
  const PresetFacts& facts = facts_of(backend.served->preset);
  if (scenario.swap->budget_models == 0 && !facts.tells_model_bytes) {
    return fmt::format("{} does not say what a model takes: give the budget as a number of models (swap:2models)",
                       facts.title);
  }
  if (backend.served->models.size() != scenario.swap->models.size()) {
    return fmt::format("it holds {} models, and the run has {} bundles", backend.served->models.size(),
                       scenario.swap->models.size());
  }
  return "";
}

/// Refuses a budget that cannot hold the weights of one model. What a model needs besides its weights is only known
/// after it was loaded.
Result<void> check_weights(const Scenario& scenario, const OpenedBundle& largest, const std::string& variant) {
  const SwapPlan& swap = *scenario.swap;
  const double weights =
      static_cast<double>(model_size(largest.bundle.config()).n_parameters) * bytes_per_weight(variant);
  if (swap.budget_models == 0 && weights > static_cast<double>(swap.memory_budget_bytes)) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("scenario {}: expected a memory budget that holds the largest model: the weights of {} take "
                    "about {} in {}",
                    scenario.name(), largest.record.name, format_bytes(static_cast<std::int64_t>(weights)), variant)};
  }
  return {};
}

/// Refuses so few requests that a model of the mix gets none.
Result<void> check_every_model_is_asked(const Scenario& scenario, std::uint64_t seed) {
  const SwapPlan& swap = *scenario.swap;
  const std::vector<std::int32_t> drawn = draw_models(mix_shares(swap), scenario.n_requests, seed);
  for (std::size_t model = 0; model < swap.models.size(); ++model) {
    if (std::ranges::find(drawn, static_cast<std::int32_t>(model)) != drawn.end()) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("scenario {}: expected a request for every model: of {} requests none is for {}; ask for "
                             "more (+requests=COUNT)",
                             scenario.name(), scenario.n_requests, swap.models[model])};
  }
  return {};
}

/// What decides how long the requests of a mix may be, and what its memory has to hold.
struct Extremes {
  const OpenedBundle* largest = nullptr;   ///< the model with the most parameters
  const OpenedBundle* shortest = nullptr;  ///< the model with the shortest context
  bool have_all_prompts = true;            ///< every bundle has golden prompts
};

Result<Extremes> extremes_of(const std::vector<OpenedBundle>& bundles) {
  const auto n_parameters = [](const OpenedBundle& one) { return model_size(one.bundle.config()).n_parameters; };
  Extremes extremes = {.largest = &bundles.front(), .shortest = &bundles.front()};
  for (const OpenedBundle& opened : bundles) {
    SS_TRY(const GoldenPrompts prompts, opened.bundle.prompts());
    extremes.have_all_prompts = extremes.have_all_prompts && !prompts.prompts.empty();
    if (n_parameters(opened) > n_parameters(*extremes.largest)) extremes.largest = &opened;
    if (opened.bundle.config().max_seq_len < extremes.shortest->bundle.config().max_seq_len)
      extremes.shortest = &opened;
  }
  return extremes;
}

bool is_swap(const Scenario& scenario) {
  return scenario.kind == ScenarioKind::kSwap;
}

/// Adds the cell of one backend, variant and mix.
Result<void> add_cell(const Scenario& asked, const BackendRecord& backend, const std::string& variant,
                      const Extremes& extremes, const CellInputs& inputs, PlannedMix& mix) {
  const OpenedBundle& shortest = *extremes.shortest;
  PlannedCell cell;
  cell.scenario = with_defaults(asked, extremes.have_all_prompts, false, shortest.bundle.config());
  SS_TRY_VOID(fit_into_context(cell.scenario, shortest.record.name, shortest.bundle.config()));
  if (!backend.is_foreign()) SS_TRY_VOID(check_weights(cell.scenario, *extremes.largest, variant));
  SS_TRY_VOID(check_every_model_is_asked(cell.scenario, inputs.request.seed));
  cell.key = {mix.bundle.name, backend.name, variant, cell.scenario.name()};
  cell.repetitions = inputs.request.repetitions;
  const double seconds_once = estimate_seconds(cell, model_size(extremes.largest->bundle.config()), variant,
                                               units_of_estimate(backend), false, 0);
  // Each request is served twice: alone and in the mix.
  mix.cells.estimates.push_back({cell.key.id(), 2 * seconds_once});
  mix.cells.cells.push_back(std::move(cell));
  return {};
}

}  // namespace

Result<std::optional<PlannedMix>> plan_mix(const CellInputs& inputs) {
  std::optional<PlannedMix> mix;
  if (std::ranges::none_of(inputs.scenarios, is_swap)) return mix;
  SS_TRY(const std::vector<std::string> variants, variants_of_mix(inputs));
  SS_TRY(const Extremes extremes, extremes_of(inputs.bundles));
  mix.emplace();
  mix->bundle = record_of_mix(inputs.bundles, variants);
  for (const BackendRecord& backend : inputs.backends) {
    const bool is_oracle = backend.name == inputs.request.settings.oracle && !inputs.is_named(backend.name);
    if (!backend.unavailable.empty() || is_oracle) continue;
    SS_TRY(const std::vector<std::string> own_variants, variants_of_mix_for(backend, variants, inputs));
    for (const std::string& variant : own_variants) {
      for (const Scenario& scenario : inputs.scenarios) {
        if (!is_swap(scenario)) continue;
        if (const std::string why = why_no_mix(backend, scenario); !why.empty()) {
          mix->cells.notes.push_back(fmt::format("{}: {}: not run: {}", backend.name, scenario.name(), why));
          continue;
        }
        SS_TRY_VOID(add_cell(scenario, backend, variant, extremes, inputs, *mix));
      }
    }
  }
  return mix;
}

}  // namespace secondsource

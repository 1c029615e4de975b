#include "runner/planned_cells.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "bundle/prompts.h"
#include "core/enum_format.h"
#include "core/utf8.h"
#include "runner/scenario_defaults.h"

namespace secondsource {
namespace {

/// The variants of a bundle that a backend runs: those of the run, or for a server the one that it serves.
Result<std::vector<std::string>> variants_for(const BackendRecord& backend, const OpenedBundle& opened,
                                              const std::vector<std::string>& variants, const CellInputs& inputs) {
  const SystemRequest* const system = inputs.system_of(backend);
  if (system == nullptr) return variants;
  const SystemRequest& request = *system;
  if (!request.models.empty()) return std::vector<std::string>();  // planned_mix.h
  if (request.bundle.empty() && inputs.bundles.size() > 1) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("system {}: expected bundle=NAME, the bundle that it serves, since the run has several",
                             request.name)};
  }
  if (!request.bundle.empty() && request.bundle != opened.record.name) return std::vector<std::string>();
  if (request.variant.empty()) return std::vector<std::string>{variants.front()};
  const std::vector<std::string> stored = opened.bundle.variants();
  if (std::ranges::find(stored, request.variant) == stored.end()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("system {}: variant: expected one of bundle {}: {}, found {}", request.name,
                             opened.record.name, fmt::join(stored, ", "), in_quotes(request.variant))};
  }
  return std::vector<std::string>{request.variant};
}

/// Checks that every system serves bundles of the run.
Result<void> check_served_bundles(const std::vector<ProbedSystem>& systems, const std::vector<OpenedBundle>& bundles) {
  for (const ProbedSystem& system : systems) {
    for (const ServedModel& model : system.request.models) {
      if (std::ranges::find(bundles, model.bundle, [](const OpenedBundle& one) { return one.record.name; }) !=
          bundles.end()) {
        continue;
      }
      return Error{ErrorCode::kInvalidInput, fmt::format("system {}: models: expected bundles of this run, found {}",
                                                         system.request.name, in_quotes(model.bundle))};
    }
    const std::string& name = system.request.bundle;
    const auto is_named = [&](const OpenedBundle& opened) { return opened.record.name == name; };
    if (name.empty() || std::ranges::any_of(bundles, is_named)) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("system {}: bundle: expected one of this run, found {}",
                                                       system.request.name, in_quotes(name))};
  }
  return {};
}

/// Why a server cannot run a scenario; empty if it can. A server's own batching cannot be changed.
std::string why_not_served(const Scenario& scenario) {
  if (scenario.batching == Batching::kContinuous) return "";
  return fmt::format("{} batching cannot be asked of a server", to_string(scenario.batching));
}

/// Adds the cells of one bundle.
Result<void> add_cells(const OpenedBundle& opened, const CellInputs& inputs, PlannedCells& planned) {
  const RunRequest& request = inputs.request;
  SS_TRY(const std::vector<std::string> variants, variants_to_measure(opened.bundle, request.variants));
  SS_TRY(const GoldenPrompts prompts, opened.bundle.prompts());
  const bool has_prompts = !prompts.prompts.empty();
  const auto is_in_suite = [&](const GoldenPrompt& prompt) {
    return request.suite == "all" || prompt.has_tag(request.suite);
  };
  if (has_prompts && std::none_of(prompts.prompts.begin(), prompts.prompts.end(), is_in_suite)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bundle {}: suite {}: expected prompts with that tag, found none", opened.record.name,
                             in_quotes(request.suite))};
  }
  // Reads them before a backend does: faulty expected outputs are bad input and not a failure of a backend.
  for (const std::string& variant : variants) SS_TRY_VOID(opened.bundle.expected(variant));
  const ModelSize size = model_size(opened.bundle.config());
  for (const BackendRecord& backend : inputs.backends) {
    if (!backend.unavailable.empty()) continue;
    const bool is_oracle = backend.name == request.settings.oracle && request.scenarios.empty();
    if (is_oracle && size.n_parameters > kOracleLargestModel && !inputs.is_named(backend.name)) {
      planned.notes.push_back(fmt::format("{} is not timed on {}, since it is too slow for {} million parameters",
                                          backend.name, opened.record.name, size.n_parameters / 1'000'000));
      continue;
    }
    SS_TRY(const std::vector<std::string> own_variants, variants_for(backend, opened, variants, inputs));
    for (const std::string& variant : own_variants) {
      for (const Scenario& scenario : inputs.scenarios) {
        if (is_oracle && scenario.kind != ScenarioKind::kSingleStream) continue;
        if (scenario.kind == ScenarioKind::kSwap) continue;  // planned_mix.h
        if (const std::string why = backend.is_foreign() ? why_not_served(scenario) : ""; !why.empty()) {
          planned.notes.push_back(fmt::format("{}: {}: not run: {}", backend.name, scenario.name(), why));
          continue;
        }
        PlannedCell cell;
        cell.scenario = with_defaults(scenario, has_prompts, is_oracle, opened.bundle.config());
        SS_TRY_VOID(fit_into_context(cell.scenario, opened.record.name, opened.bundle.config()));
        cell.key = {opened.record.name, backend.name, variant, cell.scenario.name()};
        cell.repetitions = is_oracle ? 1 : request.repetitions;
        const bool is_slow = backend.name == request.settings.oracle;
        planned.estimates.push_back({cell.key.id(), estimate_seconds(cell, size, variant, units_of_estimate(backend),
                                                                     is_slow, request.settings.cell_budget_s)});
        planned.cells.push_back(std::move(cell));
      }
    }
  }
  return {};
}

}  // namespace

bool CellInputs::is_named(std::string_view backend) const {
  return std::ranges::find(settings.named_backends, backend) != settings.named_backends.end();
}

const SystemRequest* CellInputs::system_of(const BackendRecord& backend) const {
  if (!backend.is_foreign()) return nullptr;
  const auto found = std::ranges::find(systems, backend.name, [](const ProbedSystem& one) { return one.request.name; });
  return found == systems.end() ? nullptr : &found->request;
}

double units_of_estimate(const BackendRecord& backend) {
  return backend.is_foreign() ? 1 : backend.n_units_used;
}

Result<PlannedCells> plan_cells(const CellInputs& inputs) {
  SS_TRY_VOID(check_served_bundles(inputs.systems, inputs.bundles));
  PlannedCells planned;
  for (const OpenedBundle& opened : inputs.bundles) SS_TRY_VOID(add_cells(opened, inputs, planned));
  return planned;
}

}  // namespace secondsource

#include "runner/run_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/staging.h"
#include "runner/opened_bundle.h"
#include "runner/planned_backends.h"
#include "runner/planned_cells.h"
#include "runner/planned_mix.h"
#include "runner/planned_scenarios.h"
#include "systems/overhead.h"

namespace secondsource {
namespace {

// For a larger model, even the few tokens that check a bundle without expected outputs take minutes.
constexpr std::int64_t kOracleLargestAnswered = 300'000'000;

/// What the record says of the run before any bundle or backend is known.
Result<RunRecord> describe_run(const RunRequest& request, const ProgramIdentity& identity) {
  RunRecord record;
  record.run_id = random_digits();
  record.started_utc = utc_timestamp();
  record.command = identity.command;
  record.seed = request.seed;
  record.client = request.client;
  record.program_version = identity.version;
  record.commit = identity.commit;
  record.compiler = identity.compiler;
  record.build_type = identity.build_type;
  record.suite = request.suite;
  record.slo = request.slo;
  SS_TRY(record.host, host_facts(identity.file));
  SS_TRY(const HarnessCost cost, measure_harness_overhead());
  record.host.push_back({"harness_ns_per_request", fmt::format("{:.0f}", cost.ns_per_request), ""});
  record.host.push_back({"harness_ns_per_poll", fmt::format("{:.1f}", cost.ns_per_poll), ""});
  record.host.push_back({"harness_ns_per_token", fmt::format("{:.1f}", cost.ns_per_token), ""});
  if (request.price) record.price = request.price->price;
  record.settings = request.settings;
  return record;
}

/// Adds the bundle to the record, and to the notes what a reader should know of it.
void add_bundle(const OpenedBundle& opened, RunPlan& plan) {
  const BundleRecord& record = opened.record;
  std::string& oracle = plan.record.settings.oracle;
  const std::int64_t n_parameters = model_size(opened.bundle.config()).n_parameters;
  if (!record.verified && n_parameters > kOracleLargestAnswered && !oracle.empty()) {
    plan.notes.push_back(
        fmt::format("{}: its answers are not compared with those of {}, which is too slow for {} million parameters",
                    record.name, oracle, n_parameters / 1'000'000));
    oracle.clear();
  }
  if (const Manifest* manifest = opened.bundle.manifest(); manifest && !manifest->source_quantization.empty()) {
    plan.notes.push_back(fmt::format("{}: quantized at its source: {}; {}", record.name, manifest->source_quantization,
                                     manifest->what_is_kept()));
  }
  plan.record.bundles.push_back(record);
}

void append(PlannedCells cells, RunPlan& plan) {
  std::ranges::move(cells.cells, std::back_inserter(plan.record.cells));
  std::ranges::move(cells.estimates, std::back_inserter(plan.estimates));
  std::ranges::move(cells.notes, std::back_inserter(plan.notes));
}

void note_other_scenarios(const std::vector<ProbedSystem>& systems, const std::vector<Scenario>& scenarios,
                          std::vector<std::string>& notes) {
  for (const ProbedSystem& system : systems) {
    if (system.request.models.empty() || !system.unavailable.empty()) continue;
    for (const Scenario& scenario : scenarios) {
      if (scenario.kind == ScenarioKind::kSwap) continue;
      notes.push_back(
          fmt::format("{}: {}: not run: this server holds several models, which only the scenario swap "
                      "measures; bundle=NAME and model=NAME would measure one of them",
                      system.request.name, scenario.name()));
    }
  }
}

}  // namespace

Result<RunPlan> make_run_plan(const RunRequest& request, const ProgramIdentity& identity, const ModuleSurvey& modules,
                              Progress& progress, const InterruptFlag& interrupt,
                              const std::vector<ProbedSystem>& systems) {
  RunPlan plan;
  RunRecord& record = plan.record;
  SS_TRY(record, describe_run(request, identity));
  SS_TRY(const std::vector<OpenedBundle> bundles, open_bundles(request.bundles, progress, interrupt));
  std::vector<std::string> bundle_names;
  for (const OpenedBundle& opened : bundles) {
    add_bundle(opened, plan);
    bundle_names.push_back(opened.record.name);
  }

  SS_TRY(record.backends, plan_backends(request, modules, systems));
  record.settings.named_backends = named_modules(request);
  for (const ProbedSystem& system : systems) record.settings.named_backends.push_back(system.request.name);

  SS_TRY(const std::vector<Scenario> scenarios, plan_scenarios(request, bundle_names));
  SS_TRY_VOID(check_client(request, record.backends, scenarios));

  const CellInputs inputs = {.request = request,
                             .settings = record.settings,
                             .bundles = bundles,
                             .backends = record.backends,
                             .systems = systems,
                             .scenarios = scenarios};
  SS_TRY(PlannedCells cells, plan_cells(inputs));
  append(std::move(cells), plan);
  SS_TRY(std::vector<std::string> trace_notes, notes_of_traces(record.cells));
  std::ranges::move(trace_notes, std::back_inserter(plan.notes));

  SS_TRY(std::optional<PlannedMix> mix, plan_mix(inputs));
  if (mix) {
    append(std::move(mix->cells), plan);
    record.bundles.push_back(std::move(mix->bundle));
  }
  note_other_scenarios(systems, scenarios, plan.notes);
  if (record.cells.empty()) {
    return Error{ErrorCode::kUnavailable, fmt::format("nothing to run: {}", fmt::join(plan.notes, "; "))};
  }
  return plan;
}

}  // namespace secondsource

#include "runner/planned_scenarios.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "core/hash.h"
#include "measure/arrival_trace.h"
#include "runner/scenario_text.h"
#include "systems/workload.h"

namespace secondsource {
namespace {

constexpr double kTraceSeconds =
    10.0;  ///< of a recorded load that are replayed if the scenario states no number of requests

void add_once(std::string note, std::vector<std::string>& notes) {
  if (std::ranges::find(notes, note) == notes.end()) notes.push_back(std::move(note));
}

/// Fills in a mix, whose models are all bundles of the run.
Result<void> complete_mix(Scenario& scenario, const std::vector<std::string>& bundle_names) {
  scenario.swap->models = bundle_names;
  const std::size_t n_models = bundle_names.size();
  if (n_models < 2) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("scenario {}: expected several bundles, which take turns; found {}", scenario.name(),
                             fmt::join(scenario.swap->models, ", "))};
  }
  if (const std::size_t n_shares = scenario.swap->shares.size(); n_shares != 0 && n_shares != n_models) {
    return Error{ErrorCode::kInvalidInput, fmt::format("scenario {}: expected a share for each of {} bundles, found {}",
                                                       scenario.name(), n_models, n_shares)};
  }
  return {};
}

/// Fills in what a scenario takes from other inputs: the run's SLO or a recorded load.
Result<void> complete(Scenario& scenario, const std::optional<Slo>& slo, const std::vector<std::string>& bundle_names) {
  if (scenario.seeks_slo_rate && !slo) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("scenario {}: expected an SLO to keep (--slo), found none", scenario.name())};
  }
  if (scenario.n_shared_prefix > 0 && scenario.n_prompt_tokens > 0 &&
      scenario.n_shared_prefix >= scenario.n_prompt_tokens) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("scenario {}: expected prompts longer than their shared prefix, found {} tokens",
                             scenario.name(), scenario.n_prompt_tokens)};
  }
  if (scenario.has_conversations() && scenario.n_shared_prefix > 0) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("scenario {}: expected conversations or a shared prefix, found both", scenario.name())};
  }
  if (scenario.swap) return complete_mix(scenario, bundle_names);
  if (scenario.arrivals != ArrivalKind::kTrace) return {};
  scenario.trace = std::filesystem::absolute(scenario.trace).lexically_normal().string();
  SS_TRY(const ArrivalTrace trace, read_arrival_trace(scenario.trace));
  SS_TRY(scenario.trace_sha256, sha256_of_file(scenario.trace));
  const auto n_entries = static_cast<std::int64_t>(trace.entries.size());
  if (scenario.n_requests > n_entries) {
    return Error{ErrorCode::kInvalidInput, fmt::format("scenario {}: expected {} requests in the trace, found {}",
                                                       scenario.name(), scenario.n_requests, n_entries)};
  }
  if (scenario.n_requests > 0) return {};
  const double until_ns = 1e9 * kTraceSeconds * scenario.trace_speed;
  const auto n_in_time = std::ranges::count_if(
      trace.entries, [&](const TraceEntry& entry) { return static_cast<double>(entry.at_ns) <= until_ns; });
  scenario.n_requests =
      static_cast<std::int32_t>(std::min<std::int64_t>(n_entries, std::max<std::int64_t>(8, n_in_time)));
  return {};
}

}  // namespace

Result<std::vector<Scenario>> plan_scenarios(const RunRequest& request, const std::vector<std::string>& bundle_names) {
  const std::vector<std::string> texts = request.scenarios.empty()
                                             ? std::vector<std::string>{"single-stream", "offline:16", "server:8"}
                                             : request.scenarios;
  std::vector<Scenario> scenarios;
  std::set<std::string> names;
  for (const std::string& text : texts) {
    SS_TRY(const std::vector<Scenario> parsed, parse_scenario(text));
    for (Scenario scenario : parsed) {
      // A mix of models sends one request at a time, each with its own prompt, so batching does not apply.
      if (request.batching && !scenario.swap) scenario.batching = *request.batching;
      if (request.n_shared_prefix > 0 && !scenario.swap) scenario.n_shared_prefix = request.n_shared_prefix;
      SS_TRY_VOID(complete(scenario, request.slo, bundle_names));
      if (!names.insert(scenario.name()).second) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("scenario {}: expected it once, found it twice; one run can measure it with "
                                 "one length only",
                                 scenario.name())};
      }
      scenarios.push_back(std::move(scenario));
    }
  }
  return scenarios;
}

Result<void> check_client(const RunRequest& request, const std::vector<BackendRecord>& backends,
                          const std::vector<Scenario>& scenarios) {
  if (!request.client) return {};
  for (const BackendRecord& backend : backends) {
    if (backend.served && !backend.served->managed) continue;
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("--client: expected only servers that run already (--system NAME=URL), found {}, {}", backend.name,
                    backend.served    ? "which this run would start for itself"
                    : backend.adapter ? "behind an adapter on this machine"
                                      : "which is a backend of this machine")};
  }
  for (const Scenario& scenario : scenarios) {
    if (const std::string why = why_not_divided(scenario); !why.empty()) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("--client: scenario {}: expected offline:BATCH or server:RATE, found {}", scenario.name(), why)};
    }
  }
  return {};
}

Result<std::vector<std::string>> notes_of_traces(const std::vector<PlannedCell>& cells) {
  std::vector<std::string> notes;
  for (const PlannedCell& cell : cells) {
    const Scenario& scenario = cell.scenario;
    if (scenario.arrivals != ArrivalKind::kTrace) continue;
    SS_TRY(const std::optional<ArrivalTrace> trace, trace_of(scenario));
    const auto n_sent = static_cast<std::size_t>(scenario.n_requests);
    if (scenario.n_too_long > 0) {
      add_once(fmt::format("{}: of {} recorded requests {} are longer than the context of {} tokens, and are not sent",
                           scenario.name(), scenario.n_requests + scenario.n_too_long, scenario.n_too_long,
                           scenario.trace_context + 1),
               notes);
    }
    std::int64_t n_prompts = 0, n_answers = 0;
    for (const TraceEntry& entry : std::span(trace->entries).first(n_sent)) {
      if (entry.n_prompt_tokens > scenario.n_prompt_tokens) ++n_prompts;
      if (entry.n_output_tokens > scenario.n_output_tokens) ++n_answers;
    }
    if (n_prompts == 0 && n_answers == 0) continue;
    std::string note = fmt::format(
        "{}: of {} recorded requests, prompts longer than {} tokens are shortened ({} of them), and answers "
        "longer than {} tokens ({}); @PROMPT/OUTPUT sets these limits",
        scenario.name(), n_sent, scenario.n_prompt_tokens, n_prompts, scenario.n_output_tokens, n_answers);
    add_once(std::move(note), notes);
  }
  return notes;
}

}  // namespace secondsource

#include "run_outcome.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/json_text.h"
#include "gate_status.h"
#include "record/record_json.h"
#include "report/detail_tables.h"
#include "report/notes.h"
#include "report/swap_tables.h"
#include "report/tables.h"

namespace secondsource {
namespace {

std::vector<ExitStatus> statuses_of(const RunHealth& health) {
  std::vector<ExitStatus> statuses;
  if (health.wrong_tokens) statuses.push_back(ExitStatus::kWrongTokens);
  if (!health.refused.empty()) statuses.push_back(ExitStatus::kBadInput);
  if (!health.failures.empty()) statuses.push_back(ExitStatus::kBackendFailed);
  if (!health.invalid.empty()) statuses.push_back(ExitStatus::kNotComparable);
  return statuses;
}

}  // namespace

RunOutcome outcome_of(RunHealth health, std::optional<GateReport> gate, bool allow_inconclusive) {
  std::vector<ExitStatus> statuses = statuses_of(health);
  if (gate) statuses = statuses_of(*gate, allow_inconclusive, std::move(statuses));
  return {.health = std::move(health), .gate = std::move(gate), .statuses = std::move(statuses)};
}

std::string text_of(const SummarizedRun& run, const RunOutcome& outcome, const std::filesystem::path& folder) {
  std::string text = terminal_lines(run_header(run));
  text += "\n" + render_terminal(results_table({&run, 1}));
  if (const TextTable turns = turn_table({&run, 1}); !turns.rows.empty()) text += "\n" + render_terminal(turns);
  if (const TextTable swap = swap_table({&run, 1}); !swap.rows.empty()) text += "\n" + render_terminal(swap);
  const TextTable golden = golden_table({&run, 1});
  if (!golden.rows.empty()) text += "\n" + render_terminal(golden);
  text += "\n";
  text += terminal_lines(result_notes({&run, 1}));
  if (outcome.health.wrong_tokens)
    text += "WRONG TOKENS: a golden pass failed, or tokens of a timed request differ from the reference's\n";
  if (const auto& gate = outcome.gate) {
    if (!gate->verdicts.empty()) text += "\n" + render_terminal(gate_table(*gate));
    text += terminal_lines(gate_notes(*gate));
    text += "gate: " + gate_headline(*gate) + "\n";
  }
  return text + fmt::format("run: {}\n", folder.string());
}

std::string json_of(const SummarizedRun& run, const RunOutcome& outcome, const std::filesystem::path& folder) {
  const RunHealth& health = outcome.health;
  nlohmann::ordered_json tree;
  tree["run"] = folder.string();
  tree["status"] = static_cast<int>(most_serious(outcome.statuses));
  tree["statuses"] = nlohmann::json::array();
  for (const ExitStatus status : outcome.statuses) tree["statuses"].push_back(static_cast<int>(status));
  tree["wrong_tokens"] = health.wrong_tokens;
  tree["failures"] = health.failures;
  tree["refused"] = health.refused;
  tree["invalid"] = health.invalid;
  tree["unavailable"] = health.unavailable;
  tree["unverified"] = health.unverified;
  tree["without_effect"] = health.without_effect;
  tree["summary"] = nlohmann::ordered_json::parse(to_json(run.summary));
  if (outcome.gate) tree["gate"] = nlohmann::ordered_json::parse(to_json(*outcome.gate));
  return to_json_text(tree, 2) + "\n";
}

}  // namespace secondsource

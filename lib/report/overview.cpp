#include "report/overview.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "core/enum_format.h"
#include "core/units.h"
#include "report/cell_text.h"
#include "report/chart/chart.h"
#include "report/disturbances.h"
#include "report/tables.h"

namespace secondsource {
namespace {

using Cells = std::vector<const CellSummary*>;

/// Groups the cells by bundle, backend and variant, in the order of the run.
std::vector<Cells> groups_of(const SummarizedRun& run) {
  std::vector<Cells> groups;
  std::map<std::tuple<std::string, std::string, std::string>, std::size_t> index;
  for (const CellSummary& cell : run.summary.cells) {
    const auto [found, is_new] =
        index.emplace(std::tuple(cell.key.bundle, cell.key.backend, cell.key.variant), groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(&cell);
  }
  return groups;
}

/// Returns "VALUE (scenario)" for the best value among the cells that have credit; `better` orders values.
template <typename Value, typename Better>
std::string best(const Cells& cells, const Value& value_of, const Better& better,
                 std::string (*text_of)(const std::optional<double>&) = nullptr) {
  const CellSummary* winner = nullptr;
  for (const CellSummary* cell : cells) {
    if (!has_credit(*cell) || !value_of(*cell)) continue;
    if (winner == nullptr || better(*value_of(*cell), *value_of(*winner))) winner = cell;
  }
  if (winner == nullptr) return "-";
  const double value = *value_of(*winner);
  return fmt::format("{} ({})", text_of != nullptr ? text_of(value) : figure_text(value), winner->key.scenario);
}

std::string verdict_on_tokens(const Cells& cells) {
  const bool wrong =
      std::any_of(cells.begin(), cells.end(), [](const CellSummary* c) { return c->golden == GoldenVerdict::kFailed; });
  if (wrong) return "WRONG TOKENS";
  const CellSummary& cell = *cells.front();
  return fmt::format("{}{}", cell.golden, cell.golden_level ? fmt::format(" ({})", *cell.golden_level) : "");
}

VerdictLine gate_line(const GateReport& gate) {
  const bool bad = gate.count(Decision::kRegressed) > 0 || !gate.wrong_tokens.empty() || !gate.failed.empty() ||
                   !gate.waiver_errors.empty();
  const bool unsure = gate.count(Decision::kInconclusive) > 0 || !gate.not_comparable.empty() || gate.verdicts.empty();
  return {bad      ? Tone::kBad
          : unsure ? Tone::kUnsure
                   : Tone::kGood,
          fmt::format("Gate at {:g} %: {}", gate.threshold_percent, gate_headline(gate))};
}

/// Whether the measurement was undisturbed.
VerdictLine cleanness_line(std::span<const SummarizedRun> runs) {
  const auto is_marked = [](const CellSummary& cell) { return !disturbance_mark(cell).empty(); };
  const bool all_clean = std::ranges::none_of(
      runs, [&](const SummarizedRun& run) { return std::ranges::any_of(run.summary.cells, is_marked); });
  return {all_clean ? Tone::kGood : Tone::kUnsure, clean_rows_text(runs)};
}

/// The figure of a cell if its rate is a capacity. An offered load says neither how fast nor how expensive a system is.
std::optional<double> if_capacity(const CellSummary& cell, std::optional<double> figure) {
  return has_capacity(cell) ? figure : std::nullopt;
}

}  // namespace

std::vector<VerdictLine> verdict_lines(std::span<const SummarizedRun> runs, const GateReport* gate) {
  std::vector<VerdictLine> lines;
  if (gate != nullptr) lines.push_back(gate_line(*gate));
  if (runs.empty()) return lines;
  if (std::string sentence = cannot_tell_sentence(runs); !sentence.empty()) {
    lines.insert(lines.begin(), {Tone::kBad, std::move(sentence)});
  }
  std::map<std::string, int> n_by_verdict;
  std::map<CellStatus, int> n_by_status;
  int n_groups = 0;
  int n_cells = 0;
  for (const SummarizedRun& run : runs) {
    for (const Cells& cells : groups_of(run)) {
      ++n_by_verdict[verdict_on_tokens(cells)];
      ++n_groups;
    }
    for (const CellSummary& cell : run.summary.cells) {
      ++n_by_status[cell.status];
      ++n_cells;
    }
  }
  const int n_passed = n_by_verdict["passed"];
  if (n_by_verdict["WRONG TOKENS"] > 0) {
    lines.push_back({Tone::kBad, fmt::format("WRONG TOKENS from {} of {} combinations of backend and variant",
                                             n_by_verdict["WRONG TOKENS"], n_groups)});
  } else {
    lines.push_back(
        {n_passed == n_groups ? Tone::kGood : Tone::kUnsure,
         fmt::format("Tokens proven right in {} of {} combinations of backend and variant", n_passed, n_groups)});
  }
  const int n_complete = n_by_status[CellStatus::kComplete];
  std::string text = fmt::format("{} of {} cells complete", n_complete, n_cells);
  for (const CellStatus status :
       {CellStatus::kPartial, CellStatus::kMissing, CellStatus::kFailed, CellStatus::kInvalid}) {
    if (n_by_status[status] > 0) text += fmt::format(", {} {}", n_by_status[status], status);
  }
  const bool bad = n_by_status[CellStatus::kFailed] > 0 || n_by_status[CellStatus::kInvalid] > 0;
  lines.push_back({bad ? Tone::kBad : n_complete == n_cells ? Tone::kGood : Tone::kUnsure, std::move(text)});
  lines.push_back(cleanness_line(runs));
  for (const SummarizedRun& run : runs) {
    if (run.has_samples) continue;
    lines.push_back({Tone::kUnsure, fmt::format("run {}: from its summary alone", run.summary.run_id.substr(0, 8))});
  }
  return lines;
}

TextTable overview_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  table.columns = {
      "bundle",      "backend",    "variant", "tokens", "cells complete", "most output tok/s", "TTFT p50 ms, least",
      "$/1M, least", "peak memory"};
  table.right_aligned = {false, false, false, false, true, true, true, true, true};
  table.verdict_column = 3;
  const bool several = runs.size() > 1;
  if (several) {
    table.columns.insert(table.columns.begin(), {"run", "device"});
    table.right_aligned.insert(table.right_aligned.begin(), {false, false});
    table.verdict_column = 5;
  }
  const auto more = [](double a, double b) { return a > b; };
  const auto less = [](double a, double b) { return a < b; };
  for (const SummarizedRun& run : runs) {
    for (const Cells& cells : groups_of(run)) {
      const auto n_complete = std::count_if(cells.begin(), cells.end(),
                                            [](const CellSummary* c) { return c->status == CellStatus::kComplete; });
      std::int64_t peak_bytes = 0;
      for (const CellSummary* cell : cells) {
        if (cell->memory && has_credit(*cell)) peak_bytes = std::max(peak_bytes, cell->memory->peak_bytes);
      }
      const CellKey& key = cells.front()->key;
      const bool is_outside = !cells.front()->outside_limits.empty();
      table.rows.push_back(
          {key.bundle, key.backend, key.variant, verdict_on_tokens(cells) + (is_outside ? ", outside its limits" : ""),
           fmt::format("{} of {}", n_complete, cells.size()),
           best(
               cells, [](const CellSummary& c) { return if_capacity(c, c.output_tok_per_s.value); }, more),
           best(
               cells,
               [](const CellSummary& c) {
                 const auto& ns = c.ttft_e2e_p50_ns.value;
                 return ns ? std::optional<double>(*ns / 1e6) : std::nullopt;
               },
               less),
           best(
               cells,
               [](const CellSummary& c) {
                 const std::optional<double> usd = if_capacity(c, c.usd_per_1k_output);
                 return usd ? std::optional<double>(1000 * *usd) : std::nullopt;
               },
               less, dollars_text),
           peak_bytes > 0 ? format_bytes(peak_bytes) : "-"});
      if (several) {
        auto& row = table.rows.back();
        row.insert(row.begin(), {run.summary.run_id.substr(0, 8), device_of(run, key.backend)});
      }
    }
  }
  return table;
}

}  // namespace secondsource

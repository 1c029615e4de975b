#include "report/swap_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "core/counted.h"
#include "core/units.h"
#include "report/cell_text.h"

namespace secondsource {
namespace {

template <typename T>
std::string bytes_text(const std::optional<T>& bytes) {
  return bytes ? format_bytes(static_cast<std::int64_t>(*bytes)) : kUnknown;
}

std::string budget_of(const SwapSummary& swap) {
  if (swap.budget_models > 0) return counted(swap.budget_models, "model");
  return format_bytes(swap.memory_budget_bytes);
}

/// A name for the row of a cell, with the run's where there are several.
std::string row_name(std::span<const SummarizedRun> runs, const SummarizedRun& run, const CellSummary& cell) {
  return (runs.size() > 1 ? run.summary.run_id.substr(0, 8) + " " : "") + cell.key.id();
}

void for_each_swap(std::span<const SummarizedRun> runs,
                   const std::function<void(const SummarizedRun&, const CellSummary&, const SwapSummary&)>& visit) {
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      if (has_credit(cell) && cell.swap) visit(run, cell, *cell.swap);
    }
  }
}

}  // namespace

TextTable swap_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  table.columns = {"cell",      "budget",        "resident, mean", "peak",      "models, mean", "loads",
                   "evictions", "time in loads", "tok/s",          "unswapped", "lost tok/s",   "lost"};
  table.right_aligned.assign(table.columns.size(), true);
  table.right_aligned.front() = false;
  for_each_swap(runs, [&](const SummarizedRun& run, const CellSummary& cell, const SwapSummary& swap) {
    table.rows.push_back({row_name(runs, run, cell), budget_of(swap), bytes_text(swap.mean_resident_bytes),
                          bytes_text(swap.peak_resident_bytes),
                          swap.mean_resident_models ? fmt::format("{:.2f}", *swap.mean_resident_models) : kUnknown,
                          fmt::format("{:g}", swap.loads), fmt::format("{:g}", swap.evictions),
                          percent_text(swap.load_time_share), rate_text(cell.output_tok_per_s),
                          rate_text(swap.unswapped_tok_per_s), rate_text(swap.lost_tok_per_s),
                          percent_text(swap.lost_share)});
  });
  return table;
}

TextTable swap_models_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  table.columns = {"cell",    "model",     "requests",        "resident",
                   "weights", "from disk", "from page cache", "from host memory",
                   "loads",   "evictions", "tok/s alone",     "$/resident hour"};
  table.right_aligned.assign(table.columns.size(), true);
  table.right_aligned[0] = table.right_aligned[1] = false;
  for_each_swap(runs, [&](const SummarizedRun& run, const CellSummary& cell, const SwapSummary& swap) {
    for (const SwapModelSummary& model : swap.models) {
      table.rows.push_back(
          {row_name(runs, run, cell), model.model, fmt::format("{} ({:.0f} %)", model.n_requests, 100 * model.share),
           bytes_text(model.resident_bytes), bytes_text(model.weights_bytes), duration_text(model.start_disk_ns),
           duration_text(model.start_page_cache_ns), duration_text(model.start_host_memory_ns),
           fmt::format("{:g}", model.loads), fmt::format("{:g}", model.evictions), rate_text(model.alone_tok_per_s),
           dollars_text(model.usd_per_resident_hour)});
    }
  });
  return table;
}

std::vector<std::string> swap_lines(std::span<const SummarizedRun> runs) {
  std::vector<std::string> lines;
  const auto add = [&lines](std::string line) {
    if (std::ranges::find(lines, line) == lines.end()) lines.push_back(std::move(line));
  };
  for_each_swap(runs, [&](const SummarizedRun&, const CellSummary& cell, const SwapSummary& swap) {
    if (cell.verified_share.value_or(0) == 0) {
      add(fmt::format("{}: 0 % of the timed tokens were verified: the golden prompts alone show whether they are right",
                      cell.key.backend));
    }
    if (!swap.memory_why_not.empty()) add(fmt::format("{}: memory: {}", cell.key.backend, swap.memory_why_not));
    for (const SwapModelSummary& model : swap.models) {
      const std::pair<const char*, const Estimate*> starts[] = {{"from disk", &model.start_disk_ns},
                                                                {"from page cache", &model.start_page_cache_ns},
                                                                {"from host memory", &model.start_host_memory_ns}};
      for (const auto& [source, start] : starts) {
        if (start->value) continue;
        add(fmt::format("{}: start {}: {}", cell.key.backend, source, start->why_not));
      }
    }
  });
  return lines;
}

}  // namespace secondsource

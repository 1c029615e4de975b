#include "report/disturbances.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "core/counted.h"
#include "report/cell_text.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

bool is_disturbed(const CheckRecord& check) {
  return check.outcome == CheckOutcome::kSuspect || check.outcome == CheckOutcome::kInvalid;
}

const char* word_of(CheckOutcome outcome) {
  return outcome == CheckOutcome::kInvalid ? "INVALID" : "suspect";
}

/// The largest distance of a repetition's value to the figure, as a share of the figure.
std::optional<double> variation_of(const Estimate& figure, std::span<const double> by_repetition) {
  if (!figure.value || !(*figure.value > 0) || by_repetition.size() < 2) return std::nullopt;
  const auto [low, high] = std::ranges::minmax(by_repetition);
  return std::max(high - *figure.value, *figure.value - low) / *figure.value;
}

/// A cell and a check that it did not pass.
struct Disturbance {
  const CellSummary* cell;
  const CheckRecord* check;
};

std::vector<Disturbance> disturbances_of(std::span<const SummarizedRun> runs) {
  std::vector<Disturbance> all;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      for (const CheckRecord& check : cell.checks) {
        if (is_disturbed(check)) all.push_back({&cell, &check});
      }
    }
  }
  return all;
}

/// Orders marked cells before others, then by the time that they lost, then by their variation; an unknown one counts as
/// infinite.
bool is_hit_harder(const CellSummary* a, const CellSummary* b) {
  const auto hit = [](const CellSummary& cell) {
    return std::tuple(!disturbance_mark(cell).empty(), cell.time_lost.value_or(0),
                      variation_of(cell).value_or(INFINITY));
  };
  return hit(*a) > hit(*b);
}

std::string rows_text(std::size_t n, std::size_t n_cells) {
  return fmt::format("{} of {}", n, counted(n_cells, "row"));
}

std::size_t count_cells(std::span<const SummarizedRun> runs) {
  std::size_t n = 0;
  for (const SummarizedRun& run : runs) n += run.summary.cells.size();
  return n;
}

std::string seen_of_tokens(std::span<const SummarizedRun> runs) {
  std::map<GoldenVerdict, std::size_t> n_by_verdict;
  std::set<std::tuple<std::string, std::string, std::string, std::string>> seen;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      const auto& [bundle, backend, variant] = std::tie(cell.key.bundle, cell.key.backend, cell.key.variant);
      if (seen.emplace(run.summary.run_id, bundle, backend, variant).second) ++n_by_verdict[cell.golden];
    }
  }
  const std::size_t n_wrong = n_by_verdict[GoldenVerdict::kFailed];
  const std::size_t n_passed = n_by_verdict[GoldenVerdict::kPassed];
  std::string text = fmt::format("Tokens: proven right in {} of {} of bundle, backend and variant", n_passed,
                                 counted(seen.size(), "combination"));
  if (n_wrong > 0) text += fmt::format(", WRONG TOKENS in {}", n_wrong);
  const std::size_t n_open = seen.size() - n_passed - n_wrong;
  if (n_open > 0) text += fmt::format(", not proven in {} (no expected outputs, or not run)", n_open);
  return text + ".";
}

std::string seen_of_speed(std::span<const SummarizedRun> runs) {
  bool any_offered = false;
  std::vector<std::pair<std::string, const CellSummary*>> fastest;  // of each bundle, in the order of the runs
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      if (!has_credit(cell) || !cell.output_tok_per_s.value) continue;
      if (!has_capacity(cell)) {
        any_offered = true;
        continue;
      }
      auto found = std::ranges::find(fastest, cell.key.bundle, &std::pair<std::string, const CellSummary*>::first);
      if (found == fastest.end()) found = fastest.insert(found, {cell.key.bundle, &cell});
      if (*cell.output_tok_per_s.value > *found->second->output_tok_per_s.value) found->second = &cell;
    }
  }
  if (fastest.empty() && any_offered) {
    return "Speed: no row has a capacity; the output rates of the rows are the loads that were offered.";
  }
  if (fastest.empty()) return "Speed: no row has figures.";
  std::string text = "Speed: the highest rate of output tokens per second is ";
  for (std::size_t i = 0; i < fastest.size(); ++i) {
    const CellSummary& cell = *fastest[i].second;
    if (i > 0) text += i + 1 == fastest.size() ? " and " : ", ";
    text += fmt::format("{} on {} ({}, {}, {})", rate_text(cell.output_tok_per_s), cell.key.bundle, cell.key.backend,
                        cell.key.variant, cell.key.scenario);
  }
  return text + ".";
}

std::string seen_of_disturbances(std::span<const SummarizedRun> runs) {
  return "Measurement: " + clean_rows_text(runs) + ".";
}

}  // namespace

std::optional<double> variation_of(const CellSummary& cell) {
  const auto ttft = variation_of(cell.ttft_e2e_p50_ns, cell.ttft_p50_ns_by_repetition);
  const auto rate = variation_of(cell.output_tok_per_s, cell.output_tok_per_s_by_repetition);
  if (!ttft || !rate) return ttft ? ttft : rate;
  return std::max(*ttft, *rate);
}

DisturbanceGrade grade_of(const CellSummary& cell) {
  if (std::ranges::none_of(cell.checks, is_disturbed)) return DisturbanceGrade::kClean;
  const double lost = cell.time_lost.value_or(0);
  if (lost > kHeavyTimeLost) return DisturbanceGrade::kHeavy;
  const bool varied = variation_of(cell).value_or(INFINITY) > kMarkedVariation;
  return lost >= kMarkedTimeLost || varied ? DisturbanceGrade::kSuspect : DisturbanceGrade::kSlight;
}

std::string disturbance_mark(const CellSummary& cell) {
  const DisturbanceGrade grade = grade_of(cell);
  if (!has_credit(cell) || grade < DisturbanceGrade::kSuspect) return "";
  const double lost = cell.time_lost.value_or(0);
  if (lost >= kMarkedTimeLost) {
    return fmt::format("{} ({:.0f} % lost)", grade == DisturbanceGrade::kHeavy ? "SUSPECT" : "suspect", 100 * lost);
  }
  const std::optional<double> variation = variation_of(cell);
  return variation ? fmt::format("suspect (varied by {:.0f} %)", 100 * *variation) : "suspect";
}

std::string clean_rows_text(std::span<const SummarizedRun> runs) {
  std::map<DisturbanceGrade, std::size_t> n_by_grade;
  std::size_t n_invalid = 0, n_wrong = 0, n_not_measured = 0;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      if (cell.status == CellStatus::kInvalid) {
        ++n_invalid;
      } else if (cell.golden == GoldenVerdict::kFailed) {
        ++n_wrong;
      } else if (cell.status == CellStatus::kFailed || cell.status == CellStatus::kMissing) {
        ++n_not_measured;
      } else {
        ++n_by_grade[grade_of(cell)];
      }
    }
  }
  const std::size_t n_slight = n_by_grade[DisturbanceGrade::kSlight];
  std::string text = rows_text(n_by_grade[DisturbanceGrade::kClean] + n_slight, count_cells(runs)) + " clean";
  if (n_slight > 0) text += fmt::format(" ({} slightly disturbed)", n_slight);
  const auto add = [&text](std::size_t n, std::string_view what) {
    if (n > 0) text += fmt::format("; {} {}", n, what);
  };
  add(n_by_grade[DisturbanceGrade::kSuspect],
      fmt::format("suspect, because {:.0f} to {:.0f} % of the time was lost or a repetition is more than {:.0f} "
                  "% from the figure",
                  100 * kMarkedTimeLost, 100 * kHeavyTimeLost, 100 * kMarkedVariation));
  add(n_by_grade[DisturbanceGrade::kHeavy],
      fmt::format("SUSPECT: over {:.0f} % of the time lost", 100 * kHeavyTimeLost));
  add(n_invalid, "INVALID, without figures");
  add(n_wrong, "without figures because of wrong tokens");
  add(n_not_measured, "not measured");
  return text;
}

std::string cannot_tell_sentence(std::span<const SummarizedRun> runs) {
  std::vector<double> losses;  // of the rows that lost over kHeavyTimeLost
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      if (grade_of(cell) == DisturbanceGrade::kHeavy) losses.push_back(*cell.time_lost);
    }
  }
  if (2 * losses.size() <= count_cells(runs)) return "";
  return fmt::format(
      "This machine cannot tell how fast the systems are: other processes, the hypervisor or a quota took {:.0f} % of "
      "the time (the median of {}, which lost over {:.0f} %).",
      100 * *median(losses), rows_text(losses.size(), count_cells(runs)), 100 * kHeavyTimeLost);
}

std::vector<std::string> disturbance_lines(std::span<const SummarizedRun> runs) {
  struct Kind {
    std::vector<const CellSummary*> cells;
    const CellSummary* hardest_hit = nullptr;
    const CheckRecord* example = nullptr;
  };
  // CheckOutcome orders suspect before INVALID; the map is walked from its end.
  std::map<std::pair<CheckOutcome, std::string>, Kind> kinds;
  for (const auto& [cell, check] : disturbances_of(runs)) {
    Kind& kind = kinds[{check->outcome, check->name}];
    kind.cells.push_back(cell);
    if (kind.hardest_hit != nullptr && !is_hit_harder(cell, kind.hardest_hit)) continue;
    kind.hardest_hit = cell;
    kind.example = check;
  }
  std::vector<std::string> lines;
  for (auto kind = kinds.rbegin(); kind != kinds.rend(); ++kind) {
    const auto& [outcome, name] = kind->first;
    const auto& [cells, hardest_hit, example] = kind->second;
    std::string how_many = rows_text(cells.size(), count_cells(runs));
    if (outcome == CheckOutcome::kSuspect) {
      const auto n_marked =
          std::ranges::count_if(cells, [](const CellSummary* one) { return !disturbance_mark(*one).empty(); });
      how_many += fmt::format(", {} marked", n_marked);
    }
    const auto variation = has_credit(*hardest_hit) ? variation_of(*hardest_hit) : std::nullopt;
    const std::string range = variation ? fmt::format(" (varied by {:.0f} %)", 100 * *variation) : "";
    const char* const which = cells.size() > 1 ? "worst: " : "";
    lines.push_back(fmt::format("{}: {}: {}; {}{}{}: {}", word_of(outcome), name, how_many, which,
                                hardest_hit->key.id(), range, example->detail));
  }
  return lines;
}

TextTable disturbance_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  table.columns = {"cell", "varied by", "check", "outcome", "what was seen"};
  table.right_aligned = {false, true, false, false, false};
  for (const auto& [cell, check] : disturbances_of(runs)) {
    table.rows.push_back({cell->key.id(), percent_text(has_credit(*cell) ? variation_of(*cell) : std::nullopt),
                          check->name, word_of(check->outcome), check->detail});
  }
  return table;
}

std::vector<std::string> other_notes(const CellSummary& cell) {
  std::vector<std::string> notes;
  for (const std::string& note : cell.notes) {
    const bool is_of_check = std::ranges::any_of(cell.checks, [&](const CheckRecord& check) {
      return is_disturbed(check) && note.starts_with(fmt::format("{}: {}: ", word_of(check.outcome), check.name));
    });
    if (!is_of_check) notes.push_back(note);
  }
  return notes;
}

std::vector<std::string> what_was_seen(std::span<const SummarizedRun> runs) {
  return {seen_of_tokens(runs), seen_of_speed(runs), seen_of_disturbances(runs)};
}

}  // namespace secondsource

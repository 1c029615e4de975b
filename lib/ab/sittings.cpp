#include "ab/sittings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>

#include "ab/ab_session.h"
#include "ab/pair_series.h"
#include "core/counted.h"
#include "core/enum_format.h"
#include "gate/planning.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

// Beyond this, pairs that share a start fail more often than they should (docs/operating-characteristic.md).
constexpr double kLargeStartSigma = 0.04;

bool has_server(const AbRecord& record) {
  return record.base.kind == ArmKind::kServer || record.candidate.kind == ArmKind::kServer;
}

/// "-" where there is no number.
std::string number_or_dash(std::optional<double> value, std::string_view unit) {
  return value ? fmt::format("{:.1f} {}", *value, unit) : "-";
}

/// ": ", the number of starts of each side's server, and the median of what one took; empty where nothing was timed.
std::string starts_text(std::span<const ProcessLine> lines) {
  std::vector<std::string> texts;
  std::vector<double> took_s;
  for (const Arm arm : {Arm::kBase, Arm::kCandidate}) {
    std::set<std::int64_t> starts;
    for (const ProcessLine& line : lines) {
      if (line.arm != arm || !line.server_start) continue;
      starts.insert(*line.server_start);
      if (line.start_s > 0) took_s.push_back(line.start_s);
    }
    if (!starts.empty()) texts.push_back(fmt::format("{} {}", arm, starts.size()));
  }
  if (texts.empty()) return "";
  return fmt::format(": {} starts, {} each (median)", fmt::join(texts, " and "), number_or_dash(median(took_s), "s"));
}

/// The starts behind each pair of a stint, in the order of series_of().
std::vector<std::pair<std::int64_t, std::int64_t>> starts_of_pairs(std::span<const ProcessLine> lines,
                                                                   const std::string& stint) {
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> starts;
  for (const ProcessLine& line : lines) {
    if (line.stint != stint || !line.failure.empty()) continue;
    auto& [base, candidate] = starts[line.pair];
    (line.arm == Arm::kBase ? base : candidate) = line.server_start.value_or(0);
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> result;
  for (const auto& [pair, both] : starts) result.push_back(both);
  return result;
}

/// The differences of a series, grouped by the starts of the servers behind them.
StartGroups groups_of(const PairSeries& series, const std::vector<std::pair<std::int64_t, std::int64_t>>& starts) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<double>> groups;
  const std::vector<double> differences = series.differences();
  for (std::size_t i = 0; i < std::min(differences.size(), starts.size()); ++i) {
    groups[starts[i]].push_back(differences[i]);
  }
  StartGroups result;
  for (auto& [key, group] : groups) result.push_back(std::move(group));
  return result;
}

/// How much starts differ: the largest standard deviation over all cells, of each metric.
std::map<std::string, double> start_spread(const AbRecord& record, std::span<const ProcessLine> lines) {
  std::map<std::string, double> largest;
  for (const AbStint& stint : record.stints) {
    const auto starts = starts_of_pairs(lines, stint.id());
    for (const PairSeries& series : series_of(lines, stint.id())) {
      const auto sigma = start_sigma(groups_of(series, starts));
      if (!sigma) continue;
      double& kept = largest[series.metric];
      kept = std::max(kept, *sigma / std::numbers::sqrt2);
    }
  }
  return largest;
}

/// The smallest slowdown that the planned pairs find at the noise of those so far: the worst of all cells and metrics.
std::string found_from(const AbRecord& record, std::span<const ProcessLine> lines) {
  const PairedGate gate = gate_of(record);
  std::optional<double> worst;
  for (const AbStint& stint : record.stints) {
    for (const PairSeries& series : series_of(lines, stint.id())) {
      if (std::ssize(series.base_s) < kPilotPairs) continue;
      const auto sigma = robust_sigma(series.differences());
      if (!sigma) continue;
      worst = std::max(worst.value_or(0), detectable_change(*sigma, gate.plan().max_pairs(), gate));
    }
  }
  if (!worst) return "";
  return fmt::format("; with the noise of these pairs, {} of them can show a slowdown of {:.0f} %",
                     gate.plan().max_pairs(), to_percent(*worst));
}

std::string side_by_side_line(const AbRecord& record, std::span<const ProcessLine> lines) {
  std::string text = fmt::format(
      "sittings: side by side, servers started anew after every {}{}; all pairs of one start share its "
      "effects (memory layout, placement)",
      counted(record.pairs_per_start, "pair"), starts_text(lines));
  std::vector<std::string> spread;
  bool is_large = false;
  for (const auto& [metric, sigma] : start_spread(record, lines)) {
    spread.push_back(fmt::format("{} {:.1f} %", metric, 100 * sigma));
    is_large = is_large || (sigma > kLargeStartSigma && record.pairs_per_start > 1);
  }
  if (!spread.empty()) text += fmt::format(", which varies from start to start by {}", fmt::join(spread, ", "));
  if (is_large)
    text += ": too much for so few starts, so chance may have decided the verdict; repeat with --pairs-per-start 1";
  return text + found_from(record, lines);
}

std::string alternating_line(const AbRecord& record, std::span<const ProcessLine> lines) {
  std::vector<double> pair_s;
  for (const ProcessLine& line : lines) {
    if (line.failure.empty()) pair_s.push_back(2 * line.wall_s);
  }
  return fmt::format(
      "sittings: alternating, one server at a time, started anew for each process{}; a pair takes {}, and its "
      "difference includes whatever else changes on the machine in that time or with a start{}",
      starts_text(lines), number_or_dash(median(pair_s), "s (median)"), found_from(record, lines));
}

}  // namespace

std::optional<double> start_sigma(const StartGroups& groups) {
  double n = 0;
  double sum = 0;
  double squared_sizes = 0;
  double n_groups = 0;
  double within = 0;
  std::vector<std::pair<double, double>> means;  // size and mean
  for (const std::vector<double>& group : groups) {
    if (group.empty()) continue;
    const auto size = static_cast<double>(group.size());
    double mean = 0;
    for (const double value : group) mean += value / size;
    for (const double value : group) within += (value - mean) * (value - mean);
    means.emplace_back(size, mean);
    n += size;
    n_groups += 1;
    squared_sizes += size * size;
    sum += size * mean;
  }
  if (n_groups < 2 || n - n_groups < 2) return std::nullopt;
  double between = 0;
  for (const auto& [size, mean] : means) between += size * (mean - sum / n) * (mean - sum / n);
  const double mean_size = (n - squared_sizes / n) / (n_groups - 1);
  const double variance = (between / (n_groups - 1) - within / (n - n_groups)) / mean_size;
  return std::sqrt(std::max(0.0, variance));
}

std::vector<std::string> sittings_lines(const AbRecord& record, std::span<const ProcessLine> lines) {
  std::vector<std::string> text;
  if (!record.is_of_systems()) return text;
  if (has_server(record)) {
    text.push_back(record.sittings == Sittings::kSideBySide ? side_by_side_line(record, lines)
                                                            : alternating_line(record, lines));
  }
  for (const ArmRecord* const arm : {&record.base, &record.candidate}) {
    if (arm->kind != ArmKind::kEndpoint) continue;
    text.push_back(
        fmt::format("{}: its server was running already and was not restarted, so effects of its start and of "
                    "its host's state look like a change",
                    arm->name));
  }
  return text;
}

}  // namespace secondsource

#pragma once
// Describes in sentences for a report how often two systems were started while they were measured, and what that means
// for the certainty of the verdict.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ab/ab_record.h"

namespace secondsource {

/// One line for each fact that a reader of the verdict must know: how often servers were started and how long that
/// took, how much the results of one start differ from the next, and what the pairs could not show. Empty for two
/// programs.
[[nodiscard]] std::vector<std::string> sittings_lines(const AbRecord& record, std::span<const ProcessLine> lines);

/// Differences of the pairs that were measured between two starts of the servers.
using StartGroups = std::vector<std::vector<double>>;

/// The standard deviation that the starts of the servers add to a difference: the part of the variance between the groups
/// that the variance within them does not explain (one-way analysis of variance, method of moments). Empty below two
/// groups of two.
[[nodiscard]] std::optional<double> start_sigma(const StartGroups& groups);

}  // namespace secondsource

#pragma once
// Predicts where the figure of a rerun lies, from the repetitions of one run.
//
// Only the repetition is repeated: the requests of a batch share their steps, and prompts differ in length, so that the
// spread of requests says little about a rerun. Every repetition sends the same prompts and gives the figure once, such
// as its median or its rate. The spread of these values is free of the prompts, and requests that shared a step count
// once.
//
// The mean of n further values lies within t s sqrt(1/n + 1/n) of the mean of n (Student's prediction interval: Hahn and
// Meeker, Statistical Intervals, 1991, chapter 4), if all are independent. Repetitions that follow each other are not: a
// neighbour stays for a second or a minute, so they resemble each other more than those of a rerun. The mean of n values
// with the correlation phi^k at distance k has the variance s^2 (n - 1) / n * A / (n - A), where A = 1 + 2 sum (1 - k/n)
// phi^k (Anderson, The Statistical Analysis of Time Series, 1971, chapter 8). phi is estimated from the squares of
// successive differences (von Neumann, Ann. Math. Statist. 12, 1941). A few values cannot show that they are
// independent, so 1.4 standard errors are added, 1.4 / sqrt(n) (Bartlett, J. R. Statist. Soc. Suppl. 8, 1946),
// and phi is at most 0.8.
//
// Logarithms are used throughout: a rate and the time that follows from it get the same relative bounds, and no bound is
// negative.

#include <cstdint>
#include <optional>
#include <span>

namespace secondsource {

struct RerunBounds {
  double low = 0;
  double high = 0;
};

/// Two repetitions have one difference, which cannot tell noise from drift.
inline constexpr std::int64_t kFewestRepetitions = 3;

/// With 95 % confidence, the same figure of a rerun with as many repetitions lies between the bounds. `figure` is that
/// of the run, `by_repetition` the same of each repetition alone, in their order. nullopt for fewer than
/// kFewestRepetitions, and where a value is not positive, unless all are equal.
[[nodiscard]] std::optional<RerunBounds> rerun_bounds(double figure, std::span<const double> by_repetition);

}  // namespace secondsource

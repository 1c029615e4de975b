#pragma once
// How much noise a plan can see through: what to print before anybody waits for it. All of it treats the estimate as
// normal with the standard error of a Hodges-Lehmann estimate of normal data, sigma * sqrt(pi / 3 / n), sigma taken
// robustly: a forecast, not a verdict.

#include <cstdint>
#include <optional>
#include <span>

#include "gate/paired_gate.h"

namespace secondsource {

/// The standard error of the estimate from `n_pairs` differences whose robust sigma is `sigma_pair`.
[[nodiscard]] double standard_error(double sigma_pair, std::int64_t n_pairs);

/// The smallest true change, as a logarithm, that `n_pairs` find with this probability.
[[nodiscard]] double detectable_change(double sigma_pair, std::int64_t n_pairs, const PairedGate& gate,
                                       double power = 0.99);

/// The fewest pairs that find a true change of `log_ratio` with this probability; nullopt when it is not beyond the
/// threshold, so that no number of pairs will.
[[nodiscard]] std::optional<std::int64_t> pairs_to_find(double log_ratio, double sigma_pair, const PairedGate& gate,
                                                        double power = 0.99);

/// The fewest pairs after which a build that did not change passes with this probability.
[[nodiscard]] std::int64_t pairs_to_pass(double sigma_pair, const PairedGate& gate, double power = 0.99);

/// How many more pairs than these would give a verdict, if estimate and noise stay as they are. At least 1.
[[nodiscard]] std::int64_t pairs_missing(std::span<const double> differences, double estimate, const GateRule& rule,
                                         double alpha);

}  // namespace secondsource

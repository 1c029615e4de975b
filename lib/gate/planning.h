#pragma once
// Forecasts what a plan can detect at a given noise, to be shown before the pairs run. All functions treat the estimate
// as normal with the standard error of a Hodges-Lehmann estimate of normal data, sigma * sqrt(pi / 3 / n), with a
// robust sigma. The results are forecasts, not verdicts.

#include <cstdint>
#include <optional>
#include <span>

#include "gate/paired_gate.h"

namespace secondsource {

/// The standard error of the estimate from `n_pairs` differences whose robust sigma is `sigma_pair`.
[[nodiscard]] double standard_error(double sigma_pair, std::int64_t n_pairs);

/// The smallest true change, as a logarithm, that `n_pairs` pairs detect with probability `power`.
[[nodiscard]] double detectable_change(double sigma_pair, std::int64_t n_pairs, const PairedGate& gate,
                                       double power = 0.99);

/// The smallest number of pairs that detect a true change of `log_ratio` with probability `power`; nullopt when the
/// change is not beyond the threshold, so that no number of pairs suffices.
[[nodiscard]] std::optional<std::int64_t> pairs_to_find(double log_ratio, double sigma_pair, const PairedGate& gate,
                                                        double power = 0.99);

/// The smallest number of pairs after which an unchanged build passes with probability `power`.
[[nodiscard]] std::int64_t pairs_to_pass(double sigma_pair, const PairedGate& gate, double power = 0.99);

/// The number of further pairs that would give a verdict if estimate and noise stay as they are. At least 1.
[[nodiscard]] std::int64_t pairs_missing(std::span<const double> differences, double estimate, const PairedGate& gate);

}  // namespace secondsource

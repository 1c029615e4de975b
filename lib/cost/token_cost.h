#pragma once
// The cost of tokens, given the cost per hour of the machine that generates them. Pure functions; docs/cost.md has the
// formulas and a worked example that tests/unit/cost recomputes.

#include <optional>

#include "cost/interval.h"

namespace secondsource {

/// How the cost of an hour is split between input and output tokens: an input token has weight `input`, an output token
/// weight `output`. The GKE recommender uses 1 : 4; it is printed beside every figure.
struct TokenWeights {
  double input = 1;
  double output = 4;
};

/// Costs in USD per 1000 tokens.
struct TokenCosts {
  Interval output_only{};           ///< cost of the whole hour / output tokens: the headline, which the gate judges
  std::optional<Interval> input{};  ///< the hour's cost split by weights; absent if the input length is not known
  std::optional<Interval> output{};
  std::optional<Interval> blended{};  ///< cost of the whole hour / (input + output tokens)
};

/// `usd_per_hour` is the cost per hour of the system that generates `output_tok_per_s` (above 0); `input_per_output` is
/// the number of prompt tokens per output token.
[[nodiscard]] TokenCosts token_costs(double usd_per_hour, const Interval& output_tok_per_s,
                                     std::optional<double> input_per_output, const TokenWeights& weights);

/// Device-hours per million output tokens at this rate on `n_devices` (accelerators, or vCPUs of a machine without).
[[nodiscard]] Interval device_hours_per_million(double n_devices, const Interval& output_tok_per_s);

/// Joules per output token: power / rate.
[[nodiscard]] Interval joules_per_token(double power_w, const Interval& output_tok_per_s);

}  // namespace secondsource

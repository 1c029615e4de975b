#pragma once
// What tokens cost when an hour of the machine that makes them costs this much. Pure functions; docs/cost.md has the
// formulas and a worked example that tests/unit/cost recomputes.

#include <optional>

#include "cost/interval.h"

namespace secondsource {

/// How the cost of an hour is split between the tokens that go in and those that come out: an input token counts
/// `input`, an output token `output`. 1 : 4 is what the GKE recommender uses; it is printed beside every figure.
struct TokenWeights {
  double input = 1;
  double output = 4;
};

/// USD per 1000 tokens.
struct TokenCosts {
  Interval output_only{};           ///< the whole hour over the output tokens: what the gate judges, and the headline
  std::optional<Interval> input{};  ///< the hour split by weights; absent where the input length is not known
  std::optional<Interval> output{};
  std::optional<Interval> blended{};  ///< the whole hour over input and output tokens alike
};

/// `usd_per_hour` is what the system that makes `output_tok_per_s` (above 0) costs an hour; `input_per_output` is the
/// number of prompt tokens for each output token.
[[nodiscard]] TokenCosts token_costs(double usd_per_hour, const Interval& output_tok_per_s,
                                     std::optional<double> input_per_output, const TokenWeights& weights);

/// Device-hours for a million output tokens at this rate over `n_devices` (accelerators; vCPUs of a machine without).
[[nodiscard]] Interval device_hours_per_million(double n_devices, const Interval& output_tok_per_s);

/// Joules for one output token: power / rate.
[[nodiscard]] Interval joules_per_token(double power_w, const Interval& output_tok_per_s);

}  // namespace secondsource

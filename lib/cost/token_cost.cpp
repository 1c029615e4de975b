#include "cost/token_cost.h"

namespace secondsource {

TokenCosts token_costs(double usd_per_hour, const Interval& output_tok_per_s, std::optional<double> input_per_output,
                       const TokenWeights& weights) {
  constexpr double kSecondsPerHour = 3600;
  // The cost of an hour divided by its tokens, of which there are `tokens_per_output` for each output token.
  const auto usd_per_1k = [&](double tokens_per_output, double share = 1) {
    return map_falling(output_tok_per_s, [&](double rate) {
      return share * 1000 * usd_per_hour / (rate * tokens_per_output * kSecondsPerHour);
    });
  };
  TokenCosts costs{.output_only = usd_per_1k(1)};
  if (input_per_output) {
    const double weighted = weights.output + weights.input * *input_per_output;
    costs.output = usd_per_1k(weighted, weights.output);
    costs.input = usd_per_1k(weighted, weights.input);
    costs.blended = usd_per_1k(1 + *input_per_output);
  }
  return costs;
}

Interval device_hours_per_million(double n_devices, const Interval& output_tok_per_s) {
  return map_falling(output_tok_per_s, [&](double rate) { return n_devices * 1e6 / (rate * 3600); });
}

Interval joules_per_token(double power_w, const Interval& output_tok_per_s) {
  return map_falling(output_tok_per_s, [&](double rate) { return power_w / rate; });
}

}  // namespace secondsource

#include "brief/api_row.h"

#include <cmath>
#include <optional>
#include <string>

namespace secondsource {

BriefApi api_row(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs) {
  const ApiPrice& api = *demand.api;
  const double usd_per_day = demand.requests_per_day *
                             (demand.mean_input_tokens() * api.usd_per_million_input +
                              demand.mean_output_tokens() * api.usd_per_million_output) /
                             1e6;
  const auto over_years = [&](std::int64_t years) {
    double usd = 0;
    for (std::int64_t month = 0; month < 12 * years; ++month) {
      usd +=
          usd_per_day * 365 / 12 * std::pow(1 + demand.growth_percent_per_year / 100, static_cast<double>(month) / 12);
    }
    return usd;
  };
  const Evidence quoted{.quoted = true, .projected = true, .basis = {"api " + api.name}};
  BriefApi row{.name = api.name, .source = api.source, .date = api.date};
  row.usd_1_year = Figure::of({.value = over_years(1)}, "USD", quoted);
  row.usd_3_years = Figure::of({.value = over_years(3)}, "USD", quoted);
  if (const std::string why = costs.why_not(demand.stay()); !why.empty()) {
    row.first_requests_per_day = row.always_requests_per_day =
        Figure::absent("requests/day", "from no load that is known: staying cannot be costed: " + why);
    return row;
  }
  Assumed assumed = assume_as_known(skus);
  const auto own = [&](double volume) {
    assumed.volume = volume;
    return costs.usd_of_day(demand.stay(), assumed);
  };
  constexpr double kSmallest = 1e-4;
  const LoadBreakEven even = break_even_load(
      own, [&](double volume) { return volume * usd_per_day; }, kSmallest, 100);
  Evidence both = quoted;
  for (const std::size_t index : costs.skus_of(demand.stay())) both = both.combined(skus[index].at_slo.evidence);
  const auto figure = [&](const std::optional<double>& volume) {
    if (!volume) return Figure::absent("requests/day", "at no load up to 100 times yours");
    if (*volume <= kSmallest) return Figure::absent("requests/day", "at every load from a ten-thousandth of yours");
    return Figure::of({.value = *volume * demand.requests_per_day}, "requests/day", both);
  };
  row.first_requests_per_day = figure(even.first);
  row.always_requests_per_day = figure(even.always);
  // If own machines win at the smallest load that is searched and lose at a larger one, the load at which they begin to win
  // is below the range of the search.
  if (even.first && *even.first <= kSmallest && !(even.always && *even.always <= kSmallest))
    row.first_requests_per_day = Figure::absent("requests/day", "from a load below a ten-thousandth of yours on");
  return row;
}

}  // namespace secondsource

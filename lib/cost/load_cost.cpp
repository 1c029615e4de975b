#include "cost/load_cost.h"

#include <algorithm>
#include <cmath>

namespace secondsource {
namespace {

constexpr double kSecondsPerHour = 3600;
constexpr double kSecondsPerDay = 24 * kSecondsPerHour;
constexpr double kDaysPerMonth = 365.0 / 12;
constexpr double kMostOfAnything = 1e15;  ///< no sum of 24 such counts leaves the range of an integer

/// Rounds up, except that a count which is whole up to arithmetic error stays as it is. Beyond kMostOfAnything, it is that.
std::int64_t whole_units(double amount) {
  return static_cast<std::int64_t>(std::min(std::ceil(amount - 1e-9), kMostOfAnything));
}

/// The replicas that the load of hour `hour` keeps busy, as a fraction, with the given headroom for interactive tokens.
double busy_replicas(const ServedLoad& load, const Fleet& fleet, std::size_t hour, double headroom) {
  double replicas = 0;
  if (load.interactive_tokens_per_day > 0) {
    const double tok_per_s = load.interactive_tokens_per_day * load.profile[hour] / kSecondsPerHour;
    replicas += tok_per_s * (1 + headroom) / fleet.interactive_tok_per_s;
  }
  if (load.batch_tokens_per_day > 0) replicas += load.batch_tokens_per_day / kSecondsPerDay / fleet.batch_tok_per_s;
  return replicas;
}

}  // namespace

DayProfile flat_profile() {
  DayProfile profile;
  profile.fill(1.0 / 24);
  return profile;
}

DayCost cost_of_day(const ServedLoad& load, const Fleet& fleet, const SizingRule& rule) {
  DayCost day;
  if (!(load.interactive_tokens_per_day + load.batch_tokens_per_day > 0)) return day;
  double busy = 0;
  for (std::size_t hour = 0; hour < day.instances.size(); ++hour) {
    busy += busy_replicas(load, fleet, hour, 0);
    const std::int64_t replicas =
        std::max(rule.minimum_replicas, whole_units(busy_replicas(load, fleet, hour, rule.headroom_percent / 100)));
    day.instances[hour] = whole_units(static_cast<double>(replicas) * fleet.instances_per_replica);
  }
  if (fleet.pays_for_peak) day.instances.fill(*std::max_element(day.instances.begin(), day.instances.end()));
  for (const std::int64_t instances : day.instances) day.instance_hours += instances;
  day.usd = static_cast<double>(day.instance_hours) * fleet.usd_per_instance_hour;
  day.idle_share = 1 - busy * fleet.instances_per_replica / static_cast<double>(day.instance_hours);
  return day;
}

HorizonCost cost_of_horizon(const ServedLoad& load, const Fleet& fleet, const SizingRule& rule, double growth_percent,
                            const MonthSpan& span) {
  HorizonCost total;
  double idle_hours = 0;
  for (double month = std::floor(span.from); month < span.until; ++month) {
    const double days = kDaysPerMonth * (std::min(month + 1, span.until) - std::max(month, span.from));
    const double growth = std::pow(1 + growth_percent / 100, month / 12);
    ServedLoad grown = load;
    grown.interactive_tokens_per_day *= growth;
    grown.batch_tokens_per_day *= growth;
    const DayCost day = cost_of_day(grown, fleet, rule);
    const double hours = static_cast<double>(day.instance_hours) * days;
    total.usd += day.usd * days;
    total.output_tokens += (grown.interactive_tokens_per_day + grown.batch_tokens_per_day) * days;
    total.instance_hours += hours;
    idle_hours += day.idle_share * hours;
    total.peak_instances =
        std::max(total.peak_instances, *std::max_element(day.instances.begin(), day.instances.end()));
  }
  if (total.instance_hours > 0) total.idle_share = idle_hours / total.instance_hours;
  return total;
}

}  // namespace secondsource

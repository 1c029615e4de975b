#include "cost/load_cost.h"

#include <algorithm>
#include <cmath>

namespace secondsource {
namespace {

constexpr double kSecondsPerHour = 3600;
constexpr double kHoursPerDay = 24;
constexpr double kSecondsPerDay = kHoursPerDay * kSecondsPerHour;
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

std::int64_t peak_of(const DayCost& day) {
  return *std::max_element(day.instances.begin(), day.instances.end());
}

/// The load in a month, counted from 0 today.
ServedLoad after_growth(ServedLoad load, double growth_percent, double month) {
  const double growth = std::pow(1 + growth_percent / 100, month / 12);
  load.interactive_tokens_per_day *= growth;
  load.batch_tokens_per_day *= growth;
  return load;
}

/// Calls body(month, days) for each month that the span touches, with the number of days of it that lie in the span.
/// A span that ends before it begins touches none.
template <typename Body>
void for_each_month(const MonthSpan& span, Body body) {
  if (span.until <= span.from) return;
  for (double month = std::floor(span.from); month < span.until; ++month)
    body(month, kDaysPerMonth * (std::min(month + 1, span.until) - std::max(month, span.from)));
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
  if (fleet.pays_for_peak) day.instances.fill(peak_of(day));
  for (const std::int64_t instances : day.instances) day.instance_hours += instances;
  day.usd = static_cast<double>(day.instance_hours) * fleet.usd_per_instance_hour;
  day.idle_share = 1 - busy * fleet.instances_per_replica / static_cast<double>(day.instance_hours);
  return day;
}

HorizonCost cost_of_horizon(const ServedLoad& load, const Fleet& fleet, const SizingRule& rule, double growth_percent,
                            const MonthSpan& span) {
  HorizonCost total;
  double idle_hours = 0;
  for_each_month(span, [&](double month, double days) {
    const ServedLoad grown = after_growth(load, growth_percent, month);
    const DayCost day = cost_of_day(grown, fleet, rule);
    const double hours = static_cast<double>(day.instance_hours) * days;
    total.usd += day.usd * days;
    total.output_tokens += (grown.interactive_tokens_per_day + grown.batch_tokens_per_day) * days;
    total.instance_hours += hours;
    idle_hours += day.idle_share * hours;
    total.peak_instances = std::max(total.peak_instances, peak_of(day));
  });
  if (total.instance_hours > 0) total.idle_share = idle_hours / total.instance_hours;
  return total;
}

HorizonCost joined(const HorizonCost& a, const HorizonCost& b) {
  HorizonCost both{.usd = a.usd + b.usd,
                   .output_tokens = a.output_tokens + b.output_tokens,
                   .instance_hours = a.instance_hours + b.instance_hours,
                   .peak_instances = std::max(a.peak_instances, b.peak_instances)};
  if (both.instance_hours > 0)
    both.idle_share = (a.idle_share * a.instance_hours + b.idle_share * b.instance_hours) / both.instance_hours;
  return both;
}

HorizonCost owed_over_horizon(const CommittedInstances& committed, std::span<const FleetLoad> served,
                              const SizingRule& rule, double growth_percent, const MonthSpan& span) {
  HorizonCost total;
  for_each_month({span.from, std::min(span.until, committed.until_month)}, [&](double month, double days) {
    std::int64_t unneeded = committed.instances;
    for (const FleetLoad& one : served)
      unneeded -= peak_of(cost_of_day(after_growth(one.load, growth_percent, month), one.fleet, rule));
    if (unneeded <= 0) return;
    const double hours = kHoursPerDay * static_cast<double>(unneeded) * days;
    total.usd += hours * committed.usd_per_instance_hour;
    total.instance_hours += hours;
    total.peak_instances = std::max(total.peak_instances, unneeded);
    total.idle_share = 1;
  });
  return total;
}

}  // namespace secondsource

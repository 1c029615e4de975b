#pragma once
// The cost of a load that varies over the day: the buyer's own requests, served by whole instances of which some are
// idle. Pure functions; docs/cost.md has the formulas and a worked example.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace secondsource {

/// The share of a day's tokens that is requested in each hour; the shares sum to 1.
using DayProfile = std::array<double, 24>;

/// A share of 1/24 for every hour.
[[nodiscard]] DayProfile flat_profile();

/// Output tokens per day, and how they are served. A replica is the smallest system that serves on its own, as it was
/// measured or quoted. It may be a part of an instance (2 of 128 vCPUs) or several instances (16 accelerators on two
/// machines of 8).
struct ServedLoad {
  double interactive_tokens_per_day = 0;  ///< must be answered on arrival, under the SLO
  DayProfile profile = flat_profile();    ///< how the interactive tokens are spread over the day
  double batch_tokens_per_day = 0;        ///< can wait, and is spread evenly over the day at full load
};

struct Fleet {
  double interactive_tok_per_s = 0;  ///< rate of one replica that keeps the SLO
  double batch_tok_per_s = 0;        ///< rate of one replica at full load
  double instances_per_replica = 1;
  double usd_per_instance_hour = 0;
  bool pays_for_peak = false;  ///< for committed or owned instances, the day's peak number is paid around the clock
};

struct SizingRule {
  double headroom_percent = 0;  ///< capacity kept free at every hour, in percent of the load
  std::int64_t minimum_replicas = 1;
};

struct DayCost {
  std::array<std::int64_t, 24> instances{};  ///< paid instances in each hour
  std::int64_t instance_hours = 0;
  double usd = 0;
  double idle_share = 0;  ///< 1 - replica-hours that the load needs / replica-hours that are paid
};

/// The cost of one day. In each hour h,
///   replicas  = max(minimum, ceil((interactive tokens/s of h x (1 + headroom)) / interactive rate
///                                 + batch tokens/s / batch rate))
///   instances = ceil(replicas x instances per replica)
/// A load of zero needs no instances.
[[nodiscard]] DayCost cost_of_day(const ServedLoad& load, const Fleet& fleet, const SizingRule& rule);

/// A span of time in months of 365/12 days, counted from today.
struct MonthSpan {
  double from = 0;
  double until = 0;
};

/// The cost of a load that grows by `growth_percent` per year, month by month: month m (from 0) has (1 + growth)^(m/12)
/// times the load, and 365/12 days. A month of which the span covers a part counts for that part.
struct HorizonCost {
  double usd = 0;
  double output_tokens = 0;
  double instance_hours = 0;
  std::int64_t peak_instances = 0;
  double idle_share = 0;  ///< over all instance-hours
};
[[nodiscard]] HorizonCost cost_of_horizon(const ServedLoad& load, const Fleet& fleet, const SizingRule& rule,
                                          double growth_percent, const MonthSpan& span);

/// The cost of two spans of time together.
[[nodiscard]] HorizonCost joined(const HorizonCost& a, const HorizonCost& b);

/// Instances that are paid around the clock until a day, whether or not a load needs them.
struct CommittedInstances {
  std::int64_t instances = 0;
  double until_month = 0;
  double usd_per_instance_hour = 0;
};

/// A load and the instances that serve it.
struct FleetLoad {
  ServedLoad load{};
  Fleet fleet{};
};

/// What is owed for committed instances that no load needs: those beyond the day's peak of the loads that they serve, of
/// which each grows as in cost_of_horizon(). No load is paid twice, since the instances that the loads need are in their
/// own cost.
[[nodiscard]] HorizonCost owed_over_horizon(const CommittedInstances& committed, std::span<const FleetLoad> served,
                                            const SizingRule& rule, double growth_percent, const MonthSpan& span);

}  // namespace secondsource

#pragma once
// What a load costs that is not the full load of one machine: the buyer's own requests over the day, served by whole
// instances, of which some are idle. Pure functions; docs/cost.md has the formulas and a worked example.

#include <array>
#include <cstdint>
#include <vector>

namespace secondsource {

/// The share of a day's tokens that is asked for in each hour; sums to 1.
using DayProfile = std::array<double, 24>;

/// 1/24 an hour.
[[nodiscard]] DayProfile flat_profile();

/// Output tokens a day, and how they are served. A replica is the smallest system that serves alone: what was measured
/// or quoted. It may be a part of an instance (2 of 128 vCPUs) or several (16 accelerators on two machines of 8).
struct ServedLoad {
  double interactive_tokens_per_day = 0;  ///< has to be answered when it comes, under the SLO
  DayProfile profile = flat_profile();    ///< of the interactive tokens
  double batch_tokens_per_day = 0;        ///< may wait: spread evenly over the day, at full load
};

struct Fleet {
  double interactive_tok_per_s = 0;  ///< of one replica, at the SLO
  double batch_tok_per_s = 0;        ///< of one replica, at full load
  double instances_per_replica = 1;
  double usd_per_instance_hour = 0;
  bool pays_for_peak = false;  ///< committed or owned: the day's largest number is paid around the clock
};

struct SizingRule {
  double headroom_percent = 0;  ///< capacity kept free at every hour, in percent of the load
  std::int64_t minimum_replicas = 1;
};

struct DayCost {
  std::array<std::int64_t, 24> instances{};  ///< that are paid, by hour
  std::int64_t instance_hours = 0;
  double usd = 0;
  double idle_share = 0;  ///< of what is paid: 1 - the replica-hours that the load needs / those that are paid
};

/// replicas in hour h = max(minimum, ceil((interactive tokens/s of h x (1 + headroom)) / interactive rate
///                                        + batch tokens/s / batch rate))
/// instances = ceil(replicas x instances per replica). A load of nothing needs nothing.
[[nodiscard]] DayCost cost_of_day(const ServedLoad& load, const Fleet& fleet, const SizingRule& rule);

/// A load that grows by `growth_percent` a year, month by month: month m (from 0) has (1 + growth)^(m/12) times the
/// load, and 365/12 days.
struct HorizonCost {
  double usd = 0;
  double output_tokens = 0;
  double instance_hours = 0;
  std::int64_t peak_instances = 0;
  double idle_share = 0;  ///< over all instance-hours
};
[[nodiscard]] HorizonCost cost_of_horizon(const ServedLoad& load, const Fleet& fleet, const SizingRule& rule,
                                          double growth_percent, std::int64_t years);

}  // namespace secondsource

#include "brief/option_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/calendar.h"

namespace secondsource {
namespace {

double at(const Speed& speed, double place) {
  if (!speed.tok_per_s) return 0;
  const Interval& rate = *speed.tok_per_s;
  return rate.is_bounded() ? *rate.low + place * (*rate.high - *rate.low) : rate.value;
}

bool is_bounded(const Sku& sku) {
  const auto bounded = [](const Speed& speed) { return !speed.tok_per_s || speed.tok_per_s->is_bounded(); };
  return bounded(sku.at_slo) && bounded(sku.batch_speed());
}

/// The speeds of one SKU at the position `place` in their intervals: 0 is the lower end, 1 the upper.
Assumed::Rates rates_at(const Sku& sku, double place) {
  return {.batch_tok_per_s = at(sku.batch_speed(), place), .interactive_tok_per_s = at(sku.at_slo, place)};
}

double share_of(const std::vector<Share>& shares, const std::string& id) {
  for (const Share& share : shares) {
    if (share.sku == id) return share.percent;
  }
  return 0;
}

/// True if both speeds are those of the same cells, on machines that may have different prices.
bool is_measured_together(const Sku& a, const Sku& b) {
  return a.run != nullptr && a.run == b.run && a.cells == b.cells;
}

constexpr double kHoursPerYear = 8760;
constexpr double kDaysPerMonth = 365.0 / 12;

}  // namespace

/// A part with the load and the fleet that its cost follows from.
struct OptionCosts::Part {
  OptionPart part{};
  FleetLoad served{};
};

std::optional<double> rented_hours(const Fallback& fallback, const Sku& sku) {
  return sku.pays_for_peak() ? std::nullopt : fallback.hours_per_year;
}

Assumed assume_as_known(std::span<const Sku> skus) {
  Assumed assumed;
  for (const Sku& sku : skus) {
    const auto value = [](const Speed& speed) { return speed.tok_per_s ? speed.tok_per_s->value : 0; };
    assumed.rates.push_back({.batch_tok_per_s = value(sku.batch_speed()), .interactive_tok_per_s = value(sku.at_slo)});
    assumed.usd_per_hour.push_back(sku.price.usd_per_hour);
  }
  return assumed;
}

OptionCosts::OptionCosts(const Demand& demand, std::span<const Sku> skus, std::string_view date)
    : demand_(demand), skus_(skus) {
  for (const Sku& sku : skus) {
    const std::optional<CommittedMachines>& committed = sku.spec.committed;
    const std::int64_t days = committed ? *days_since_1970(committed->until) - *days_since_1970(date) + 1 : 0;
    committed_months_.push_back(static_cast<double>(days) / kDaysPerMonth);
  }
}

std::size_t OptionCosts::index_of(std::string_view id) const {
  return static_cast<std::size_t>(&find_sku(skus_, id) - skus_.data());
}

std::vector<std::size_t> OptionCosts::skus_of(const OptionSpec& option) const {
  std::vector<std::size_t> result;
  const auto add = [&](const std::string& id) {
    const std::size_t index = index_of(id);
    if (std::find(result.begin(), result.end(), index) == result.end()) result.push_back(index);
  };
  for (const Share& share : option.interactive) add(share.sku);
  if (demand_.batch_percent > 0) {
    for (const Share& share : option.batch) add(share.sku);
  }
  if (option.fallback) add(option.fallback->sku);
  return result;
}

std::string OptionCosts::outside_limits(const OptionSpec& option) const {
  if (option.kind == OptionKind::kStay) return "";
  for (const std::size_t index : skus_of(option)) {
    const Sku& sku = skus_[index];
    if (sku.outside_limits.empty()) continue;
    return fmt::format("{}: no option: {} is outside the limits of its quality: {}", sku.spec.id, sku.precision,
                       sku.outside_limits);
  }
  return "";
}

std::string OptionCosts::why_not(const OptionSpec& option) const {
  const auto missing = [](const Sku& sku, const Speed& speed, std::string_view what) {
    return speed.tok_per_s ? std::string() : fmt::format("{}: no speed {}: {}", sku.spec.id, what, speed.why_not);
  };
  std::vector<std::string> reasons = {outside_limits(option)};
  if (demand_.batch_percent < 100) {
    for (const Share& share : option.interactive) {
      const Sku& sku = find_sku(skus_, share.sku);
      reasons.push_back(missing(sku, sku.at_slo, "at the SLO"));
    }
  }
  if (demand_.batch_percent > 0) {
    for (const Share& share : option.batch) {
      const Sku& sku = find_sku(skus_, share.sku);
      reasons.push_back(missing(sku, sku.batch_speed(), "at full load"));
    }
  }
  if (option.fallback) {
    const Sku& sku = find_sku(skus_, option.fallback->sku);
    reasons.push_back(missing(sku, sku.at_slo, "at the SLO"));
  }
  for (const std::string& reason : reasons) {
    if (!reason.empty()) return reason;
  }
  return "";
}

std::vector<OptionCosts::Part> OptionCosts::parts_of(const OptionSpec& option, const Assumed& assumed) const {
  const double tokens_per_day = demand_.output_tokens_per_day() * assumed.volume;
  const double batch_share = demand_.batch_percent / 100;
  std::vector<Part> parts;
  const auto add = [&](std::size_t index, bool is_fallback, double interactive_percent, double batch_percent) {
    const Sku& sku = skus_[index];
    Part part{.part = {.sku = index,
                       .role = is_fallback ? PartRole::kFallback : PartRole::kServes,
                       .interactive_percent = interactive_percent,
                       .batch_percent = batch_percent}};
    part.served.load = {.interactive_tokens_per_day = tokens_per_day * (1 - batch_share) * interactive_percent / 100,
                        .profile = demand_.profile,
                        .batch_tokens_per_day = tokens_per_day * batch_share * batch_percent / 100};
    part.served.fleet = {.interactive_tok_per_s = assumed.rates[index].interactive_tok_per_s,
                         .batch_tok_per_s = assumed.rates[index].batch_tok_per_s,
                         .instances_per_replica = sku.instances_per_replica,
                         .usd_per_instance_hour = assumed.usd_per_hour[index],
                         .pays_for_peak = sku.pays_for_peak() || is_fallback};
    // The fallback is rented only when needed: the number of machines for the peak, for that share of the year.
    if (is_fallback)
      part.served.fleet.usd_per_instance_hour *=
          rented_hours(*option.fallback, sku).value_or(kHoursPerYear) / kHoursPerYear;
    parts.push_back(part);
  };
  for (std::size_t index = 0; index < skus_.size(); ++index) {
    const double interactive = share_of(option.interactive, skus_[index].spec.id);
    const double batch = share_of(option.batch, skus_[index].spec.id);
    if (interactive * (1 - batch_share) + batch * batch_share > 0) add(index, false, interactive, batch);
  }
  if (option.fallback) add(index_of(option.fallback->sku), true, option.fallback->percent, 0);
  return parts;
}

double OptionCosts::months_until_moved(const OptionSpec& option) const {
  constexpr double kDaysPerWeek = 7;
  const double weeks = option.weeks_until_moved();
  if (weeks == 0 || !why_not(demand_.stay()).empty()) return 0;
  return weeks * kDaysPerWeek / kDaysPerMonth;
}

double OptionCosts::outage_usd_per_year(const OptionSpec& option) const {
  if (!demand_.outage) return 0;
  const Outage& outage = *demand_.outage;
  const std::vector<Share>& shares = demand_.batch_percent < 100 ? option.interactive : option.batch;
  std::map<std::string, double> by_vendor;
  for (const Share& share : shares) by_vendor[find_sku(skus_, share.sku).spec.vendor] += share.percent;
  const auto main = std::max_element(by_vendor.begin(), by_vendor.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  // Of several vendors with the largest share, the one whose outage costs most is taken.
  double dearest = 0;
  for (const auto& [vendor, percent] : by_vendor) {
    if (percent < main->second - 1e-9) continue;
    double percent_hours = percent * outage.hours_per_year;
    // An outage stops a fallback of the same vendor, too. A fallback is sized for interactive work, so that it carries
    // nothing where all work is batch.
    if (option.fallback && demand_.batch_percent < 100) {
      const Sku& sku = find_sku(skus_, option.fallback->sku);
      const double ready = std::min(outage.hours_per_year, rented_hours(*option.fallback, sku).value_or(kHoursPerYear));
      if (sku.spec.vendor != vendor) percent_hours -= std::min(percent, option.fallback->percent) * ready;
    }
    dearest = std::max(dearest, percent_hours / 100 * outage.usd_per_hour);
  }
  return dearest;
}

std::vector<OptionPart> OptionCosts::owed_parts(const OptionSpec& option, double moved, double months,
                                                const Assumed& assumed) const {
  std::vector<OptionPart> result;
  for (std::size_t index = 0; index < skus_.size(); ++index) {
    if (!skus_[index].spec.committed) continue;
    const CommittedInstances committed{.instances = skus_[index].spec.committed->machines,
                                       .until_month = committed_months_[index],
                                       .usd_per_instance_hour = assumed.usd_per_hour[index]};
    const auto owed_beside = [&](const OptionSpec& serving, const MonthSpan& span) {
      std::vector<FleetLoad> served;
      for (const Part& part : parts_of(serving, assumed)) {
        if (part.part.sku == index) served.push_back(part.served);
      }
      return owed_over_horizon(committed, served, demand_.sizing, demand_.growth_percent_per_year, span);
    };
    const HorizonCost cost = joined(moved > 0 ? owed_beside(demand_.stay(), {0, moved}) : HorizonCost(),
                                    owed_beside(option, {moved, months}));
    if (cost.instance_hours > 0) result.push_back({.sku = index, .role = PartRole::kOwed, .cost = cost});
  }
  return result;
}

OptionCost OptionCosts::over_years(const OptionSpec& option, std::int64_t years, const Assumed& assumed) const {
  constexpr double kMonthsPerYear = 12;
  const double months = kMonthsPerYear * static_cast<double>(years);
  const double moved = std::min(months, months_until_moved(option));
  OptionCost total;
  const auto add_parts = [&](const OptionSpec& serving, const MonthSpan& span, bool until_moved) {
    if (!(span.from < span.until)) return;
    for (Part& part : parts_of(serving, assumed)) {
      part.part.cost =
          cost_of_horizon(part.served.load, part.served.fleet, demand_.sizing, demand_.growth_percent_per_year, span);
      total.machines_usd += part.part.cost.usd;
      if (part.part.role != PartRole::kFallback) total.output_tokens += part.part.cost.output_tokens;
      if (until_moved) part.part.role = PartRole::kUntilMoved;
      total.parts.push_back(part.part);
    }
  };
  add_parts(demand_.stay(), {0, moved}, true);
  add_parts(option, {moved, months}, false);
  for (const OptionPart& owed : owed_parts(option, moved, months, assumed)) {
    total.machines_usd += owed.cost.usd;
    total.parts.push_back(owed);
  }
  total.migration_usd = option.migration.usd();
  total.outage_usd =
      (outage_usd_per_year(demand_.stay()) * moved + outage_usd_per_year(option) * (months - moved)) / kMonthsPerYear;
  return total;
}

std::vector<std::size_t> OptionCosts::skus_of_either(const OptionSpec& first, const OptionSpec& second) const {
  std::vector<std::size_t> result = skus_of(first);
  for (const std::size_t index : skus_of(second)) {
    if (std::find(result.begin(), result.end(), index) == result.end()) result.push_back(index);
  }
  return result;
}

std::vector<std::size_t> OptionCosts::skus_costed(const OptionSpec& option) const {
  return months_until_moved(option) > 0 ? skus_of_either(option, demand_.stay()) : skus_of(option);
}

std::vector<std::size_t> OptionCosts::skus_owed_unstated(const OptionSpec& option) const {
  const auto percent_of_load = [&](const OptionSpec& one, const std::string& id) {
    return share_of(one.interactive, id) * (100 - demand_.batch_percent) / 100 +
           share_of(one.batch, id) * demand_.batch_percent / 100;
  };
  std::vector<std::size_t> result;
  for (const std::size_t index : skus_of(demand_.stay())) {
    const Sku& sku = skus_[index];
    const double less = percent_of_load(demand_.stay(), sku.spec.id) - percent_of_load(option, sku.spec.id);
    if (sku.pays_for_peak() && !sku.spec.committed && less > 1e-9) result.push_back(index);
  }
  return result;
}

double OptionCosts::usd_of_day(const OptionSpec& option, const Assumed& assumed) const {
  double usd = 0;
  for (const Part& part : parts_of(option, assumed))
    usd += cost_of_day(part.served.load, part.served.fleet, demand_.sizing).usd;
  return usd;
}

Interval OptionCosts::total_usd(const OptionSpec& option, std::int64_t years) const {
  Assumed assumed = assume_as_known(skus_);
  Interval total{.value = over_years(option, years, assumed).total_usd()};
  const std::vector<std::size_t> used = skus_costed(option);
  if (!std::all_of(used.begin(), used.end(), [&](std::size_t index) { return is_bounded(skus_[index]); })) return total;
  const auto total_at = [&](double place) {
    for (const std::size_t index : used) assumed.rates[index] = rates_at(skus_[index], place);
    return over_years(option, years, assumed).total_usd();
  };
  total.low = total_at(1);
  total.high = total_at(0);
  return total;
}

Saving OptionCosts::saving(const OptionSpec& option, const OptionSpec& stay, std::int64_t years) const {
  constexpr std::size_t kPlaces = 9;
  Assumed assumed = assume_as_known(skus_);
  const OptionCost stay_known = over_years(stay, years, assumed);
  const OptionCost option_known = over_years(option, years, assumed);
  const CostPair known{.stay = stay_known.total_usd(), .option = option_known.total_usd()};
  const std::vector<std::size_t> used = skus_of_either(option, stay);
  if (!std::all_of(used.begin(), used.end(), [&](std::size_t index) { return is_bounded(skus_[index]); }))
    return {.usd = {.value = saved_usd(known)}, .percent = {.value = saved_percent(known)}};
  // The input of a SKU is the first of those that were measured together.
  const auto input_of = [&](std::size_t sku) {
    const auto first = std::find_if(used.begin(), used.end(), [&](std::size_t other) {
      return other == sku || is_measured_together(skus_[other], skus_[sku]);
    });
    return static_cast<std::size_t>(first - used.begin());
  };
  // The cost of each part depends on the speeds of its own SKU alone, so that the speeds of all SKUs can be moved at once. The cost of
  // machines that are owed, and whose SKU serves in neither option, depends on no speed.
  const auto depends_on_speed = [&](const OptionPart& part) {
    return std::find(used.begin(), used.end(), part.sku) != used.end();
  };
  const auto fixed_usd = [&](const OptionCost& cost) {
    double usd = cost.migration_usd + cost.outage_usd;
    for (const OptionPart& part : cost.parts) {
      if (!depends_on_speed(part)) usd += part.cost.usd;
    }
    return usd;
  };
  std::vector<CostsByPlace> inputs(used.size(), CostsByPlace(kPlaces));
  for (std::size_t place = 0; place < kPlaces; ++place) {
    for (const std::size_t index : used)
      assumed.rates[index] = rates_at(skus_[index], static_cast<double>(place) / (kPlaces - 1));
    for (const OptionPart& part : over_years(stay, years, assumed).parts) {
      if (depends_on_speed(part)) inputs[input_of(part.sku)][place].stay += part.cost.usd;
    }
    for (const OptionPart& part : over_years(option, years, assumed).parts) {
      if (depends_on_speed(part)) inputs[input_of(part.sku)][place].option += part.cost.usd;
    }
  }
  const CostPair fixed{.stay = fixed_usd(stay_known), .option = fixed_usd(option_known)};
  return saving_interval(known, fixed, inputs);
}

std::optional<double> OptionCosts::break_even_usd_per_hour(const OptionSpec& option, const OptionSpec& stay,
                                                           std::size_t sku, std::int64_t years) const {
  Assumed assumed = assume_as_known(skus_);
  const double target = over_years(stay, years, assumed).total_usd();
  const double as_known = over_years(option, years, assumed).total_usd();
  assumed.usd_per_hour[sku] = 0;
  const double other = over_years(option, years, assumed).total_usd();
  const double hours = (as_known - other) / skus_[sku].price.usd_per_hour;
  return break_even_price(target, other, hours);
}

LoadBreakEven OptionCosts::break_even_volume(const OptionSpec& option, const OptionSpec& stay,
                                             std::int64_t years) const {
  Assumed assumed = assume_as_known(skus_);
  const auto cost_at = [&](const OptionSpec& one) {
    return [&](double volume) {
      assumed.volume = volume;
      return over_years(one, years, assumed).total_usd();
    };
  };
  return break_even_load(cost_at(option), cost_at(stay), 0.01, 100);
}

}  // namespace secondsource

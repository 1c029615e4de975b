#include "brief/sku_evaluation.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/beside_limit.h"
#include "cost/load_cost.h"
#include "cost/saving_interval.h"
#include "cost/token_cost.h"

namespace secondsource {
namespace {

Figure figure_of(const std::optional<Interval>& interval, std::string unit, const Evidence& evidence,
                 std::string why_not) {
  return interval ? Figure::of(*interval, std::move(unit), evidence)
                  : Figure::absent(std::move(unit), std::move(why_not));
}

/// One day of the whole demand on one SKU in USD and unit-hours, with the interval that follows from its speeds.
struct DayOnSku {
  Interval usd{};
  Interval unit_hours{};
};

class SkuEvaluation {
 public:
  SkuEvaluation(const Demand& demand, const Sku& sku) : demand_(demand), sku_(sku) {
    if (demand_.batch_percent < 100 && !sku_.at_slo.tok_per_s) {
      why_no_day_ = "no speed at the SLO: " + sku_.at_slo.why_not;
    } else if (!sku_.batch_speed().tok_per_s) {
      why_no_day_ = "no speed at full load: " + sku_.full_load.why_not;
    } else {
      day_ = day_on_sku();
    }
  }

  [[nodiscard]] const std::optional<DayOnSku>& day() const { return day_; }

  BriefSku row() const {
    const std::string price_mark = sku_.price.commitment == Commitment::kOwn ? "own cost" : "list price";
    BriefSku row{.id = sku_.spec.id,
                 .description = sku_.spec.description,
                 .vendor = sku_.spec.vendor,
                 .model = sku_.model,
                 .precision = sku_.precision,
                 .speed_from = speed_from(),
                 .price_key = sku_.price.key(),
                 .price_date = sku_.price.dated(),
                 .usd_per_hour = Figure::stated(sku_.price.usd_per_hour, "USD/h", price_mark),
                 .rated_units = sku_.rated_units,
                 .units_per_replica = sku_.n_units,
                 .instances_per_replica = sku_.instances_per_replica};
    row.usd_per_hour.basis = {price_reference()};
    row.output_tok_per_s = speed_figure(sku_.full_load);
    row.output_tok_per_s_at_slo = speed_figure(sku_.at_slo);
    const Evidence& latency_evidence = (sku_.at_slo.tok_per_s ? sku_.at_slo : sku_.full_load).evidence;
    row.ttft_p50_ms = figure_of(sku_.ttft_p50.ms, "ms", latency_evidence, sku_.ttft_p50.why_not);
    row.ttft_p95_ms = figure_of(sku_.ttft_p95.ms, "ms", latency_evidence, sku_.ttft_p95.why_not);
    const std::optional<Interval> headroom =
        sku_.memory_headroom_percent ? std::optional(Interval{.value = *sku_.memory_headroom_percent}) : std::nullopt;
    row.memory_headroom_percent = figure_of(headroom, "%", sku_.full_load.evidence.as_derived(), sku_.why_no_memory);
    row.costs = {cost_at("full load", sku_.full_load, true), cost_at("at the SLO", sku_.at_slo, false),
                 cost_at_your_load()};
    return row;
  }

  /// The evidence behind the figures at the buyer's load.
  [[nodiscard]] Evidence load_evidence() const {
    Evidence evidence = with_price(sku_.at_slo.evidence.combined(sku_.batch_speed().evidence));
    if (!sku_.load_assumptions.empty()) evidence = evidence.as_projected();
    return evidence;
  }

 private:
  [[nodiscard]] std::string price_reference() const { return "price " + sku_.price.key(); }

  [[nodiscard]] Evidence with_price(const Evidence& speed) const {
    Evidence evidence = speed.combined({.basis = {price_reference()}}).as_derived();
    return sku_.price_assumptions.empty() ? evidence : evidence.as_projected();
  }

  [[nodiscard]] std::string speed_from() const {
    std::string text = sku_.full_load.from;
    if (!sku_.at_slo.from.empty() && sku_.at_slo.from != text) text += (text.empty() ? "" : ", ") + sku_.at_slo.from;
    return text;
  }

  static Figure speed_figure(const Speed& speed) {
    return figure_of(speed.tok_per_s, "tok/s", speed.evidence, speed.why_not);
  }

  [[nodiscard]] double input_per_output() const { return demand_.mean_input_tokens() / demand_.mean_output_tokens(); }

  /// The cost of a replica that is busy all the time.
  [[nodiscard]] BriefCost cost_at(std::string load, const Speed& speed, bool with_energy) const {
    if (!speed.tok_per_s) return absent_cost(std::move(load), speed.why_not);
    const double usd_per_hour = sku_.price.usd_per_hour * sku_.instances_per_replica;
    const TokenCosts costs = token_costs(usd_per_hour, *speed.tok_per_s, input_per_output(), demand_.weights);
    const Evidence evidence = with_price(speed.evidence);
    BriefCost cost{.load = std::move(load)};
    cost.usd_per_1k_output = Figure::of(costs.output_only, "USD/1K", evidence);
    cost.usd_per_1k_output_split = Figure::of(*costs.output, "USD/1K", evidence);
    cost.usd_per_1k_input_split = Figure::of(*costs.input, "USD/1K", evidence);
    cost.usd_per_1k_blended = Figure::of(*costs.blended, "USD/1K", evidence);
    cost.device_hours_per_million =
        Figure::of(device_hours_per_million(sku_.n_units, *speed.tok_per_s), "h", speed.evidence.as_derived());
    if (!with_energy) {
      cost.joules_per_token = Figure::absent("J", "power was read at full load only");
    } else if (!sku_.power_w) {
      cost.joules_per_token = Figure::absent("J", sku_.why_no_power);
    } else {
      cost.joules_per_token =
          Figure::of(joules_per_token(*sku_.power_w, *speed.tok_per_s), "J", speed.evidence.as_derived());
    }
    return cost;
  }

  static BriefCost absent_cost(std::string load, const std::string& why_not) {
    const Figure absent = Figure::absent("USD/1K", why_not);
    return {.load = std::move(load),
            .usd_per_1k_output = absent,
            .usd_per_1k_output_split = absent,
            .usd_per_1k_input_split = absent,
            .usd_per_1k_blended = absent,
            .device_hours_per_million = Figure::absent("h", why_not),
            .joules_per_token = Figure::absent("J", why_not)};
  }

  [[nodiscard]] DayOnSku day_on_sku() const {
    const double tokens = demand_.output_tokens_per_day();
    const ServedLoad load{.interactive_tokens_per_day = tokens * (1 - demand_.batch_percent / 100),
                          .profile = demand_.profile,
                          .batch_tokens_per_day = tokens * demand_.batch_percent / 100};
    const auto day_at = [&](auto choose) {
      const Fleet fleet{.interactive_tok_per_s = sku_.at_slo.tok_per_s ? choose(*sku_.at_slo.tok_per_s) : 0,
                        .batch_tok_per_s = choose(*sku_.batch_speed().tok_per_s),
                        .instances_per_replica = sku_.instances_per_replica,
                        .usd_per_instance_hour = sku_.price.usd_per_hour,
                        .pays_for_peak = sku_.pays_for_peak()};
      return cost_of_day(load, fleet, demand_.sizing);
    };
    const auto unit_hours = [&](const DayCost& day) {
      return static_cast<double>(day.instance_hours) * sku_.price.n_units();
    };
    const DayCost middle = day_at([](const Interval& rate) { return rate.value; });
    DayOnSku result{.usd = {.value = middle.usd}, .unit_hours = {.value = unit_hours(middle)}};
    const bool bounded =
        sku_.batch_speed().tok_per_s->is_bounded() && (!sku_.at_slo.tok_per_s || sku_.at_slo.tok_per_s->is_bounded());
    if (!bounded) return result;
    const DayCost dearest = day_at([](const Interval& rate) { return *rate.low; });
    const DayCost cheapest = day_at([](const Interval& rate) { return *rate.high; });
    result.usd.low = cheapest.usd;
    result.usd.high = dearest.usd;
    result.unit_hours.low = unit_hours(cheapest);
    result.unit_hours.high = unit_hours(dearest);
    return result;
  }

  [[nodiscard]] BriefCost cost_at_your_load() const {
    const std::string load = "your load";
    if (!day_) return absent_cost(load, why_no_day_);
    const double tokens_per_day = demand_.output_tokens_per_day();
    const Interval tok_per_s{.value = tokens_per_day / 86400};
    // Token costs increase with the cost of a day, so that its bounds give theirs.
    const auto costs_at = [&](double usd_per_day) {
      return token_costs(usd_per_day / 24, tok_per_s, input_per_output(), demand_.weights);
    };
    const Evidence evidence = load_evidence();
    const auto figure = [&](auto pick) {
      return Figure::of(map_rising(day_->usd, [&](double usd) { return pick(costs_at(usd)).value; }), "USD/1K",
                        evidence);
    };
    BriefCost cost{.load = load};
    cost.usd_per_1k_output = figure([](const TokenCosts& costs) { return costs.output_only; });
    cost.usd_per_1k_output_split = figure([](const TokenCosts& costs) { return *costs.output; });
    cost.usd_per_1k_input_split = figure([](const TokenCosts& costs) { return *costs.input; });
    cost.usd_per_1k_blended = figure([](const TokenCosts& costs) { return *costs.blended; });
    cost.device_hours_per_million = Figure::of(
        map_rising(day_->unit_hours, [&](double hours) { return hours * 1e6 / tokens_per_day; }), "h", evidence);
    cost.joules_per_token = Figure::absent("J", "the power of idle machines was not read");
    return cost;
  }

  const Demand& demand_;
  const Sku& sku_;
  std::optional<DayOnSku> day_{};
  std::string why_no_day_{};
};

/// The SKU that serves most of the load today.
std::string incumbent_of(const Demand& demand) {
  const std::vector<Share>& shares = demand.batch_percent < 100 ? demand.stay().interactive : demand.stay().batch;
  return std::max_element(shares.begin(), shares.end(),
                          [](const Share& a, const Share& b) { return a.percent < b.percent; })
      ->sku;
}

bool serves(const OptionSpec& option, const std::string& sku, const Demand& demand) {
  const auto has = [&](const std::vector<Share>& shares) {
    return std::any_of(shares.begin(), shares.end(), [&](const Share& share) { return share.sku == sku; });
  };
  return (demand.batch_percent < 100 && has(option.interactive)) || (demand.batch_percent > 0 && has(option.batch));
}

/// 1 - fresh / incumbent in percent. If both have bounds, the interval reaches from the worst to the best combination
/// for `fresh`.
Interval saving_percent(const Interval& fresh, const Interval& incumbent) {
  const auto percent = [](double now, double then) { return saved_percent({.stay = then, .option = now}); };
  Interval saving{.value = percent(fresh.value, incumbent.value)};
  if (fresh.is_bounded() && incumbent.is_bounded()) {
    saving.low = percent(*fresh.high, *incumbent.low);
    saving.high = percent(*fresh.low, *incumbent.high);
  }
  return saving;
}

/// True if the SKU serves in the option or is its fallback, even if the load moves after the years of the decision.
bool uses(const BriefOption& option, const std::string& sku, const Demand& demand) {
  const auto spec = std::ranges::find(demand.options, option.name, &OptionSpec::name);
  return serves(*spec, sku, demand) || (spec->fallback && spec->fallback->sku == sku);
}

const Figure& saving_of(const BriefOption& option, const Demand& demand) {
  return demand.decision_years == 1 ? option.saving_percent_1_year : option.saving_percent_3_years;
}

/// Sets the saving of the best option that contains the SKU, which may differ from what the SKU saves alone.
void set_best_option(BriefSku& row, const std::vector<BriefOption>& options, const Demand& demand) {
  row.best_option_saving_percent = Figure::absent("%", "no option with it that can be compared with staying");
  for (const BriefOption& option : options) {
    const Figure& saving = saving_of(option, demand);
    if (option.kind == OptionKind::kStay || !saving.value || !uses(option, row.id, demand)) continue;
    if (!row.best_option.empty() && *saving.value <= *row.best_option_saving_percent.value) continue;
    row.best_option = option.name;
    row.best_option_saving_percent = saving;
  }
}

void judge(BriefSku& row, const Sku& sku, const Demand& demand, const std::vector<BriefOption>& options,
           const BriefDecision& decision) {
  const bool is_decided = decision.status == DecisionStatus::kDecided;
  const bool is_used = std::any_of(options.begin(), options.end(), [&](const BriefOption& option) {
    return option.name == decision.option && uses(option, row.id, demand);
  });
  if (is_decided && is_used) {
    row.verdict = SkuVerdict::kBuy;
    row.reasons = {fmt::format("the decision, {}, uses it", decision.option)};
    return;
  }
  for (const std::string& fault : sku.faults) row.reasons.push_back(fault);
  if (sku.model != demand.model) row.reasons.push_back(fmt::format("serves {}, not {}", sku.model, demand.model));
  if (!sku.at_slo.tok_per_s) row.reasons.push_back("the SLO is not shown to be kept: " + sku.at_slo.why_not);
  if (!sku.is_measured()) row.reasons.push_back("quoted, not measured: rent one and run the harness on it");
  if (!sku.price_assumptions.empty())
    row.reasons.push_back("measured on another machine than the one that is priced: measure it there");
  if (sku.price.commitment == Commitment::kSpot && demand.limits.max_spot_percent.value_or(100) < 100) {
    row.reasons.push_back(
        fmt::format("spot machines, which may serve {:g} % of your load at most", *demand.limits.max_spot_percent));
  }
  const Figure& saving = row.saving_percent;
  if (saving.value) {
    const double sure = saving.low.value_or(*saving.value);
    if (sku.is_measured() && !saving.low) row.reasons.push_back("no interval: it needs at least three repetitions");
    if (!(sure > demand.limits.min_saving_percent)) {
      const double least = demand.limits.min_saving_percent;
      const std::string surely =
          saving.low ? fmt::format(" (at least {} %)", text_beside_limit(*saving.low, least, 1)) : "";
      row.reasons.push_back(fmt::format("saves {} %{}, not more than your {:g} %",
                                        text_beside_limit(*saving.value, least, 1), surely, least));
    }
  }
  const bool is_any_costed = std::any_of(options.begin(), options.end(), [](const BriefOption& option) {
    return option.kind != OptionKind::kUnasked && option.not_costed.empty();
  });
  row.reasons.push_back(is_decided ? fmt::format("the decision is {}, without it", decision.option)
                        : decision.status == DecisionStatus::kProvisional ? "the decision is provisional"
                        : is_any_costed                                   ? "no option is within your limits"
                                                                          : "no option could be costed");
  row.verdict = SkuVerdict::kNoBuy;
}

}  // namespace

std::vector<BriefSku> evaluate_skus(const Demand& demand, std::span<const Sku> skus,
                                    const std::vector<BriefOption>& options, const BriefDecision& decision) {
  const Sku& incumbent = find_sku(skus, incumbent_of(demand));
  const SkuEvaluation incumbent_evaluation(demand, incumbent);
  std::vector<BriefSku> rows;
  for (const Sku& sku : skus) {
    const SkuEvaluation evaluation(demand, sku);
    BriefSku row = evaluation.row();
    if (!evaluation.day() || !incumbent_evaluation.day()) {
      row.saving_percent = Figure::absent("%", "one of the two cannot be costed at your load");
    } else if (sku.model != incumbent.model) {
      row.saving_percent = Figure::absent("%", fmt::format("{} against {}: not one model", sku.model, incumbent.model));
    } else {
      row.saving_percent = Figure::of(saving_percent(evaluation.day()->usd, incumbent_evaluation.day()->usd), "%",
                                      evaluation.load_evidence().combined(incumbent_evaluation.load_evidence()));
    }
    set_best_option(row, options, demand);
    if (serves(demand.stay(), sku.spec.id, demand)) {
      row.verdict = SkuVerdict::kInUse;
    } else {
      judge(row, sku, demand, options, decision);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace secondsource

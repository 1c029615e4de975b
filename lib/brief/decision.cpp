#include "brief/decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "brief/brief_text.h"

namespace secondsource {
namespace {

class Decider {
 public:
  Decider(const Demand& demand, const std::vector<BriefOption>& options, const std::vector<BriefRisk>& risks,
          std::span<const Sku> skus)
      : demand_(demand), options_(options), risks_(risks), skus_(skus) {}

  BriefDecision decide() {
    const BriefOption& stay = options_.front();
    const BriefOption* best = best_alternative();
    const bool is_worth_it = best != nullptr && surely_saved(*best) > demand_.limits.min_saving_percent;
    if (stay.is_eligible && !is_worth_it) return stay_put(stay, best);
    if (best == nullptr) return nothing();
    return change(*best, stay);
  }

 private:
  [[nodiscard]] const Figure& saving(const BriefOption& option) const {
    return demand_.decision_years == 1 ? option.saving_percent_1_year : option.saving_percent_3_years;
  }
  /// The lower end of the saving's interval, on which the decision is based.
  [[nodiscard]] double surely_saved(const BriefOption& option) const {
    const Figure& percent = saving(option);
    return percent.low.value_or(percent.value.value_or(-1e9));
  }
  [[nodiscard]] std::string over() const {
    return demand_.decision_years == 1 ? "over one year" : fmt::format("over {} years", demand_.decision_years);
  }

  [[nodiscard]] const BriefOption* best_alternative() const {
    const BriefOption* best = nullptr;
    for (const BriefOption& option : options_) {
      if (option.kind == OptionKind::kStay || !option.is_eligible) continue;
      if (best == nullptr || surely_saved(option) > surely_saved(*best)) best = &option;
    }
    return best;
  }

  /// For example "is projected to cost 12 % (10 to 14 %) less than staying over 3 years and saves $1.2 M".
  [[nodiscard]] std::string comparison(const BriefOption& option) const {
    const Figure& percent = saving(option);
    if (!percent.value) return "cannot be compared with staying";
    const bool less = *percent.value >= 0;
    std::string text = fmt::format("costs {}{} {} than staying {}", format_percent(std::abs(*percent.value)),
                                   interval_text(percent, less), less ? "less" : "more", over());
    if (option.saving_usd.value && less) text += fmt::format(", a saving of {}", format_usd(*option.saving_usd.value));
    return text;
  }

  static std::string interval_text(const Figure& percent, bool less) {
    if (!percent.low || !percent.high) return "";
    const double sign = less ? 1 : -1;
    const auto [low, high] = std::minmax({sign * *percent.low, sign * *percent.high});
    return fmt::format(" ({} to {})", format_percent(low), format_percent(high));
  }

  BriefDecision stay_put(const BriefOption& stay, const BriefOption* best) const {
    BriefDecision decision{.option = stay.name, .status = status_of(stay)};
    decision.line = fmt::format("{}. No other option within your limits is sure to save more than {:g} % {}.",
                                stay.name, demand_.limits.min_saving_percent, over());
    if (best != nullptr) decision.reasons.push_back(fmt::format("The nearest, {}, {}.", best->name, comparison(*best)));
    add_excluded(decision);
    add_evidence(decision, stay);
    return decision;
  }

  BriefDecision nothing() const {
    BriefDecision decision{
        .option = "", .line = "No option is within your risk limits.", .status = DecisionStatus::kNoEligibleOption};
    add_excluded(decision);
    return decision;
  }

  BriefDecision change(const BriefOption& option, const BriefOption& stay) const {
    BriefDecision decision{.option = option.name, .status = status_of(option)};
    decision.line = fmt::format("{}: it {}.", option.name, comparison(option));
    if (!stay.is_eligible) decision.reasons.push_back("Staying is not within your limits: " + limits_of(stay.name));
    if (!saving(option).low) decision.reasons.push_back("The saving has no interval: " + why_no_interval(option));
    for (const BriefBreakEven& price : option.break_even_prices) {
      if (!price.usd_per_hour.value) continue;
      decision.reasons.push_back(fmt::format("It pays while an hour of {} costs less than {} (now {}).", price.sku,
                                             format_usd(*price.usd_per_hour.value),
                                             format_usd(price.usd_per_hour_now.value.value_or(0))));
    }
    add_excluded(decision);
    add_evidence(decision, option);
    return decision;
  }

  /// True if `holds` for any SKU of the option.
  template <typename Holds>
  [[nodiscard]] bool any_sku(const BriefOption& option, Holds holds) const {
    return std::any_of(option.parts.begin(), option.parts.end(),
                       [&](const BriefPart& part) { return holds(find_sku(skus_, part.sku)); });
  }
  [[nodiscard]] bool rests_on_quotes(const BriefOption& option) const {
    return any_sku(option, [](const Sku& sku) { return !sku.is_measured(); });
  }
  [[nodiscard]] bool rests_on_another_machine(const BriefOption& option) const {
    return any_sku(option, [](const Sku& sku) { return !sku.price_assumptions.empty(); });
  }
  [[nodiscard]] std::string why_no_interval(const BriefOption& option) const {
    return rests_on_quotes(option) || rests_on_quotes(options_.front()) ? "quoted speeds are published without one."
                                                                        : "a speed was measured fewer than five times.";
  }

  /// Figures over years are projected in any case. A decision is provisional only if a speed was not measured on the
  /// machine that is priced.
  [[nodiscard]] DecisionStatus status_of(const BriefOption& option) const {
    return rests_on_quotes(option) || rests_on_another_machine(option) ? DecisionStatus::kProvisional
                                                                       : DecisionStatus::kDecided;
  }

  void add_evidence(BriefDecision& decision, const BriefOption& option) const {
    if (rests_on_quotes(option)) {
      decision.reasons.push_back(
          "Provisional: it rests on quoted speeds. Rent one of each, run the harness, and make this brief again before "
          "you sign.");
    } else if (rests_on_another_machine(option)) {
      decision.reasons.push_back(
          "Provisional: a speed was measured on another machine than the one that is priced. Measure it there before "
          "you sign.");
    }
  }

  [[nodiscard]] std::string limits_of(const std::string& name) const {
    std::string text;
    for (const BriefRisk& risk : risks_) {
      const bool concerns = std::find(risk.options.begin(), risk.options.end(), name) != risk.options.end();
      if (risk.level == RiskLevel::kLimit && concerns) text += (text.empty() ? "" : "; ") + risk.text;
    }
    return text + ".";
  }

  void add_excluded(BriefDecision& decision) const {
    for (const BriefOption& option : options_) {
      if (!option.is_eligible && option.kind != OptionKind::kStay) {
        decision.reasons.push_back(fmt::format("{} is out: {}", option.name, limits_of(option.name)));
      }
    }
  }

  const Demand& demand_;
  const std::vector<BriefOption>& options_;
  const std::vector<BriefRisk>& risks_;
  std::span<const Sku> skus_;
};

}  // namespace

BriefDecision decide(const Demand& demand, const std::vector<BriefOption>& options, const std::vector<BriefRisk>& risks,
                     std::span<const Sku> skus) {
  return Decider(demand, options, risks, skus).decide();
}

}  // namespace secondsource

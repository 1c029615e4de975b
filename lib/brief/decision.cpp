#include "brief/decision.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "brief/brief_text.h"

namespace secondsource {
namespace {

constexpr double kNothingSaved = -1e9;  ///< below every saving

class Decider {
 public:
  Decider(const Demand& demand, const std::vector<BriefOption>& options, const std::vector<BriefRisk>& risks,
          std::span<const Sku> skus)
      : demand_(demand), options_(options), risks_(risks), skus_(skus) {}

  BriefDecision decide() {
    const BriefOption& stay = options_.front();
    const BriefOption* best = best_of(false);
    const double least = demand_.limits.min_saving_percent;
    const bool is_worth_it = best != nullptr && surely_saved(*best) > least;
    const bool stays = stay.is_eligible && !is_worth_it;
    // An option that nobody asked for is named if the rule would choose it, had the buyer stated it.
    const BriefOption* unasked = best_of(true);
    const double to_beat = stays ? least : best != nullptr ? surely_saved(*best) : kNothingSaved;
    if (unasked != nullptr && !(surely_saved(*unasked) > to_beat)) unasked = nullptr;
    BriefDecision decision = stays ? stay_put(stay, best) : best == nullptr ? nothing() : change(*best, stay);
    if (unasked != nullptr) {
      decision.unasked = unasked->name;
      decision.line = fmt::format("{} {}. Of your own options: {}", unasked->name, comparison(*unasked), decision.line);
    }
    add_evidence(decision, unasked);
    return decision;
  }

 private:
  [[nodiscard]] const Figure& saving(const BriefOption& option) const {
    return demand_.decision_years == 1 ? option.saving_percent_1_year : option.saving_percent_3_years;
  }
  /// The lower end of the saving's interval, on which the decision is based.
  [[nodiscard]] double surely_saved(const BriefOption& option) const {
    const Figure& percent = saving(option);
    return percent.low.value_or(percent.value.value_or(kNothingSaved));
  }
  [[nodiscard]] std::string over() const {
    return demand_.decision_years == 1 ? "over one year" : fmt::format("over {} years", demand_.decision_years);
  }

  /// The option other than staying with the largest certain saving, among the options that nobody asked for (`unasked`)
  /// or among those that the buyer stated.
  [[nodiscard]] const BriefOption* best_of(bool unasked) const {
    const BriefOption* best = nullptr;
    for (const BriefOption& option : options_) {
      if (option.kind == OptionKind::kStay || !option.is_eligible) continue;
      if ((option.kind == OptionKind::kUnasked) != unasked) continue;
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
    BriefDecision decision{.option = stay.name};
    decision.line = fmt::format(
        "{}. No other option that you asked for is within your limits and sure to save more than {:g} % {}.", stay.name,
        demand_.limits.min_saving_percent, over());
    if (best != nullptr) decision.reasons.push_back(fmt::format("The nearest, {}, {}.", best->name, comparison(*best)));
    add_excluded(decision);
    return decision;
  }

  BriefDecision nothing() const {
    BriefDecision decision{.option = "", .status = DecisionStatus::kNoEligibleOption};
    const BriefOption& stay = options_.front();
    decision.reasons.push_back(fmt::format("{} is out: {}", stay.name, limits_of(stay.name)));
    add_excluded(decision);
    const auto is_costed = [](const BriefOption& option) {
      return option.kind != OptionKind::kUnasked && option.not_costed.empty();
    };
    if (std::any_of(options_.begin(), options_.end(), is_costed)) {
      decision.line = "No option is within your risk limits.";
    } else {
      decision.line = fmt::format("No option could be costed: {}; {}.", stay.not_costed, how_to_cost(stay));
    }
    return decision;
  }

  /// What gives an option the first speed that it lacks.
  [[nodiscard]] std::string how_to_cost(const BriefOption& option) const {
    for (const Sku& sku : skus_) {
      if (!option.not_costed.starts_with(sku.spec.id + ": ")) continue;
      if (sku.is_measured()) return fmt::format("run `{}`, and give that run", sku.command);
    }
    return "quote a speed under limits that cover yours, or measure it";
  }

  BriefDecision change(const BriefOption& option, const BriefOption& stay) const {
    BriefDecision decision{.option = option.name};
    decision.line = fmt::format("{} {}.", option.name, comparison(option));
    if (!stay.is_eligible) decision.reasons.push_back("Staying is not within your limits: " + limits_of(stay.name));
    if (!saving(option).low) decision.reasons.push_back("The saving has no interval: " + why_no_interval(option));
    for (const BriefBreakEven& price : option.break_even_prices) {
      if (!price.usd_per_hour.value) continue;
      decision.reasons.push_back(fmt::format("{} pays while an hour of {} costs less than {} (now {}).", option.name,
                                             price.sku, format_usd(*price.usd_per_hour.value),
                                             format_usd(price.usd_per_hour_now.value.value_or(0))));
    }
    add_excluded(decision);
    return decision;
  }

  [[nodiscard]] bool rests_on_quotes(const BriefOption& option) const {
    return std::any_of(option.parts.begin(), option.parts.end(),
                       [&](const BriefPart& part) { return !find_sku(skus_, part.sku).is_measured(); });
  }
  [[nodiscard]] std::string why_no_interval(const BriefOption& option) const {
    return rests_on_quotes(option) || rests_on_quotes(options_.front())
               ? "quoted speeds are published without one."
               : "a speed was measured fewer than three times.";
  }

  /// The ids of the SKUs for which `holds`, of all options that are compared: staying, those within the limits, and the
  /// one that nobody asked for.
  template <typename Holds>
  [[nodiscard]] std::string compared_skus(const BriefOption* unasked, Holds holds) const {
    std::vector<std::string> ids;
    for (const Sku& sku : skus_) {
      const bool is_compared = std::any_of(options_.begin(), options_.end(), [&](const BriefOption& option) {
        if (option.kind == OptionKind::kUnasked ? &option != unasked
                                                : option.kind != OptionKind::kStay && !option.is_eligible) {
          return false;
        }
        return std::any_of(option.parts.begin(), option.parts.end(),
                           [&](const BriefPart& part) { return part.sku == sku.spec.id; });
      });
      if (is_compared && holds(sku)) ids.push_back(sku.spec.id);
    }
    return fmt::format("{}", fmt::join(ids, ", "));
  }

  /// Figures over years are projected in any case. A decision is provisional only if a speed that it compares was not
  /// measured on the machine that is priced, or if an option that nobody asked for saves more.
  void add_evidence(BriefDecision& decision, const BriefOption* unasked) const {
    if (decision.status == DecisionStatus::kNoEligibleOption) return;
    const std::size_t n_reasons = decision.reasons.size();
    if (unasked != nullptr) {
      decision.reasons.push_back(fmt::format(
          "Provisional: {} saves more than what you asked for. Add it to the options, or set the limit that "
          "rules it out, and make this brief again.",
          unasked->name));
    }
    if (const std::string ids = compared_skus(unasked, [](const Sku& sku) { return !sku.is_measured(); });
        !ids.empty()) {
      decision.reasons.push_back(
          fmt::format("Provisional: quoted speeds are compared ({}). Rent one of each, run the harness, and make this "
                      "brief again before you sign.",
                      ids));
    }
    if (const std::string ids = compared_skus(unasked, [](const Sku& sku) { return !sku.price_assumptions.empty(); });
        !ids.empty()) {
      decision.reasons.push_back(
          fmt::format("Provisional: speeds are compared that were measured on another machine than the one that is "
                      "priced ({}). Measure them there before you sign.",
                      ids));
    }
    if (decision.reasons.size() > n_reasons) decision.status = DecisionStatus::kProvisional;
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
      if (!option.is_eligible && option.kind != OptionKind::kStay && option.kind != OptionKind::kUnasked) {
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

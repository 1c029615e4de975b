#pragma once
// Computes what an option costs over the years, the interval that follows from the measured speeds, and the break-even
// points.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brief/brief_states.h"
#include "brief/demand.h"
#include "brief/sku.h"
#include "cost/break_even.h"
#include "cost/interval.h"
#include "cost/load_cost.h"
#include "cost/saving_interval.h"

namespace secondsource {

/// The inputs of a costing with one entry per SKU. For intervals and sensitivities they are changed one at a time.
struct Assumed {
  struct Rates {
    double batch_tok_per_s = 0;  ///< speed of one replica; 0: not known
    double interactive_tok_per_s = 0;
  };
  std::vector<Rates> rates{};
  std::vector<double> usd_per_hour{};  ///< price of one instance
  double volume = 1;                   ///< factor on the stated demand
};

/// Uses the middle of every measured interval, the prices of the price book, and the demand as stated.
[[nodiscard]] Assumed assume_as_known(std::span<const Sku> skus);

/// The part of one SKU in an option.
struct OptionPart {
  std::size_t sku = 0;  ///< index in the list of SKUs
  PartRole role = PartRole::kServes;
  double interactive_percent = 0;
  double batch_percent = 0;
  HorizonCost cost{};
};

struct OptionCost {
  std::vector<OptionPart> parts{};
  double machines_usd = 0;
  double migration_usd = 0;
  double outage_usd = 0;  ///< expected loss: hours per year x USD per hour x the share of users that nothing serves
  double output_tokens = 0;

  [[nodiscard]] double total_usd() const { return machines_usd + migration_usd + outage_usd; }
};

/// The hours a year for which a fallback on `sku` is rented; nullopt where it is paid around the clock, as committed and
/// owned machines always are.
[[nodiscard]] std::optional<double> rented_hours(const Fallback& fallback, const Sku& sku);

/// Costs the options of one demand.
class OptionCosts {
 public:
  /// `demand` and `skus` must outlive this object. `date` is today, a valid YYYY-MM-DD.
  OptionCosts(const Demand& demand, std::span<const Sku> skus, std::string_view date);

  /// If the option needs a SKU whose variant is outside the limits of its quality, that SKU with the figures; otherwise
  /// empty. Always empty for what serves today.
  [[nodiscard]] std::string outside_limits(const OptionSpec& option) const;
  /// The reason why the option cannot be costed, which is outside_limits() or a speed that is not known; empty when it
  /// can.
  [[nodiscard]] std::string why_not(const OptionSpec& option) const;

  /// In this function and those below, why_not(option) must be empty. Until the load has moved, today's machines
  /// serve; where staying cannot be costed, the option counts from the first day.
  [[nodiscard]] OptionCost over_years(const OptionSpec& option, std::int64_t years, const Assumed& assumed) const;
  /// The cost of one day with the load as stated, without growth, migration and outage.
  [[nodiscard]] double usd_of_day(const OptionSpec& option, const Assumed& assumed) const;

  /// The total with its interval. It has bounds only if every speed in it has bounds, because an interval from some of
  /// the uncertainties would be too narrow.
  [[nodiscard]] Interval total_usd(const OptionSpec& option, std::int64_t years) const;
  /// What the option saves compared with `stay`, in USD and in percent of the cost of staying. The interval comes from
  /// nine places in the interval of each measured speed, because a speed that both options use changes the cost of both.
  /// SKUs of the same measured cells are at the same place.
  [[nodiscard]] Saving saving(const OptionSpec& option, const OptionSpec& stay, std::int64_t years) const;

  /// The highest price per instance-hour of a SKU, which `stay` must not use, at which the option costs no more than
  /// `stay`.
  [[nodiscard]] std::optional<double> break_even_usd_per_hour(const OptionSpec& option, const OptionSpec& stay,
                                                              std::size_t sku, std::int64_t years) const;
  /// The multiple of the stated volume (1/100 to 100) above which the option costs no more than `stay`.
  [[nodiscard]] LoadBreakEven break_even_volume(const OptionSpec& option, const OptionSpec& stay,
                                                std::int64_t years) const;

  /// Indices of the SKUs that serve in the option, without duplicates.
  [[nodiscard]] std::vector<std::size_t> skus_of(const OptionSpec& option) const;
  /// The SKUs that serve in at least one of two options, those of the first in front.
  [[nodiscard]] std::vector<std::size_t> skus_of_either(const OptionSpec& first, const OptionSpec& second) const;
  /// The SKUs of skus_of() and, if the load takes time to move, those that serve until it has moved.
  [[nodiscard]] std::vector<std::size_t> skus_costed(const OptionSpec& option) const;
  /// The SKUs that serve today on committed or owned machines, and less or none of the load in the option, and of which the
  /// demand does not say until when they are committed. They are paid no longer than they serve, whatever is still owed.
  [[nodiscard]] std::vector<std::size_t> skus_owed_unstated(const OptionSpec& option) const;

 private:
  struct Part;
  [[nodiscard]] std::vector<Part> parts_of(const OptionSpec& option, const Assumed& assumed) const;
  /// What is paid for committed machines of each SKU beyond those that the load needs; empty where nothing is.
  [[nodiscard]] std::vector<OptionPart> owed_parts(const OptionSpec& option, double moved, double months,
                                                   const Assumed& assumed) const;
  [[nodiscard]] double months_until_moved(const OptionSpec& option) const;
  /// The expected loss in a year: hours of the main capacity's outage x the share of users that is left unserved x USD an
  /// hour.
  [[nodiscard]] double outage_usd_per_year(const OptionSpec& option) const;
  [[nodiscard]] std::size_t index_of(std::string_view id) const;

  const Demand& demand_;
  std::span<const Sku> skus_;
  /// Months from today to the end of the last day of the committed machines, by SKU; 0 where there are none.
  std::vector<double> committed_months_{};
};

}  // namespace secondsource

#pragma once
// What an option costs over its years, with the interval that the measured speeds leave, and where the answer turns.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brief/demand.h"
#include "brief/sku.h"
#include "cost/break_even.h"
#include "cost/interval.h"
#include "cost/load_cost.h"

namespace secondsource {

/// What a costing takes for granted, one entry a SKU: changed one at a time for intervals and sensitivities.
struct Assumed {
  struct Rates {
    double batch_tok_per_s = 0;  ///< of one replica; 0: not known
    double interactive_tok_per_s = 0;
  };
  std::vector<Rates> rates{};
  std::vector<double> usd_per_hour{};  ///< of one instance
  double volume = 1;                   ///< times the demand
};

/// The middle of every measured interval, the prices of the book, the demand as stated.
[[nodiscard]] Assumed assume_as_known(std::span<const Sku> skus);

/// What one SKU does in an option.
struct OptionPart {
  std::size_t sku = 0;  ///< its place in the list
  bool is_fallback = false;
  double interactive_percent = 0;
  double batch_percent = 0;
  HorizonCost cost{};
};

struct OptionCost {
  std::vector<OptionPart> parts{};
  double machines_usd = 0;
  double migration_usd = 0;
  double outage_usd = 0;  ///< expected: hours a year x USD an hour x the share that no fallback carries
  double output_tokens = 0;

  [[nodiscard]] double total_usd() const { return machines_usd + migration_usd + outage_usd; }
};

/// Costs the options of one demand.
class OptionCosts {
 public:
  /// Both must outlive this.
  OptionCosts(const Demand& demand, std::span<const Sku> skus) : demand_(demand), skus_(skus) {}

  /// Why the option cannot be costed (a speed that it needs is not known); empty when it can.
  [[nodiscard]] std::string why_not(const OptionSpec& option) const;

  /// The option must be one that can be costed, here and below.
  [[nodiscard]] OptionCost over_years(const OptionSpec& option, std::int64_t years, const Assumed& assumed) const;
  /// A day of the load as stated, without growth, migration and outage.
  [[nodiscard]] double usd_of_day(const OptionSpec& option, const Assumed& assumed) const;

  /// The total with its interval: no bounds unless every speed in it has them, since part of an uncertainty is none.
  [[nodiscard]] Interval total_usd(const OptionSpec& option, std::int64_t years) const;
  /// What the option saves against `stay`, in USD and in percent of the cost of staying: by a grid over the measured
  /// intervals, since a speed that both use moves both.
  struct Saving {
    Interval usd{};
    Interval percent{};
  };
  [[nodiscard]] Saving saving(const OptionSpec& option, const OptionSpec& stay, std::int64_t years) const;

  /// What an hour of the instance of this SKU, which `stay` does not use, may cost so that the option costs no more.
  [[nodiscard]] std::optional<double> break_even_usd_per_hour(const OptionSpec& option, const OptionSpec& stay,
                                                              std::size_t sku, std::int64_t years) const;
  /// From which multiple of the stated volume (1/100 to 100) on the option costs no more than `stay`.
  [[nodiscard]] LoadBreakEven break_even_volume(const OptionSpec& option, const OptionSpec& stay,
                                                std::int64_t years) const;

  /// Places of the SKUs that serve in the option, without repetition.
  [[nodiscard]] std::vector<std::size_t> skus_of(const OptionSpec& option) const;

 private:
  struct Part;
  [[nodiscard]] std::vector<Part> parts_of(const OptionSpec& option, const Assumed& assumed) const;
  [[nodiscard]] std::size_t index_of(std::string_view id) const;

  const Demand& demand_;
  std::span<const Sku> skus_;
};

}  // namespace secondsource

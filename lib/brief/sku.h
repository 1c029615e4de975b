#pragma once
// Collects the data about something that can be bought: its price, its speed at full load and under the buyer's SLO,
// and everything that weakens either.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brief/brief_run.h"
#include "brief/demand.h"
#include "brief/figure.h"
#include "brief/quoted.h"
#include "core/result.h"
#include "cost/interval.h"
#include "cost/price_book.h"

namespace secondsource {

/// The output speed of one replica, in tokens/s. A replica is one machine, or the machines that serve only together.
struct Speed {
  std::optional<Interval> tok_per_s{};
  std::string why_not{};
  std::string from{};  ///< id of the cell or of the quoted row
  Evidence evidence{};
};

/// A latency, in ms, of the cell that the speed comes from.
struct Latency {
  std::optional<Interval> ms{};
  std::string why_not{};
};

struct Sku {
  SkuSpec spec{};
  PriceRow price{};
  std::string model{};      ///< the model that it serves
  std::string precision{};  ///< variant, or the quoted precision
  double rated_units = 0;   ///< number of accelerators (vCPUs if the machine has none) that were measured or quoted
  bool are_units_unknown = false;  ///< nobody stated how many were measured: the system counts as one replica
  double n_units = 0;              ///< the same for one replica: whole machines, as they are priced
  double instances_per_replica = 0;
  Speed full_load{};
  Speed at_slo{};
  Latency ttft_p50{}, ttft_p95{};
  std::optional<double> power_w{};  ///< at full load
  std::string why_no_power{};
  std::optional<double> memory_headroom_percent{};
  std::string why_no_memory{};
  std::vector<std::string> price_assumptions{};  ///< assumptions behind every combination of speed and price
  std::string scaling{};  ///< how the speed of what was measured became that of one replica; empty: it is the same
  std::vector<std::string> load_assumptions{};  ///< further assumptions behind figures at the buyer's load
  std::string outside_limits{};                 ///< the limits of its variant's quality that it misses; empty: none
  std::vector<std::string> faults{};            ///< reasons why its figures cannot be used at all
  const BriefRun* run = nullptr;                ///< for measured SKUs only; not owned
  std::string command{};                        ///< of measured SKUs: what measures both of its speeds
  std::vector<const CellSummary*> cells{};      ///< the run's cells of the SKU's bundle, backend and variant

  /// Batch work runs at the full-load speed; if that is not known, the speed under the SLO is used.
  [[nodiscard]] const Speed& batch_speed() const { return full_load.tok_per_s ? full_load : at_slo; }
  [[nodiscard]] bool is_measured() const { return spec.measured.has_value(); }
  /// On-demand and spot instances are paid by the hour. Committed or owned capacity is paid around the clock, therefore
  /// for the peak.
  [[nodiscard]] bool pays_for_peak() const {
    return price.commitment != Commitment::kOnDemand && price.commitment != Commitment::kSpot;
  }
};

/// Returns the SKUs in the order of `demand.skus`. `runs` must outlive the result. Errors: kInvalidInput for a price, a
/// cell or a quoted row that is missing or ambiguous, for a speed of one accelerator with the price of another, and for
/// committed machines with a price by the hour.
Result<std::vector<Sku>> resolve_skus(const Demand& demand, std::span<const BriefRun> runs,
                                      const std::vector<QuotedRow>& quoted, const std::vector<PriceRow>& prices);

[[nodiscard]] const Sku& find_sku(std::span<const Sku> skus, std::string_view id);

}  // namespace secondsource

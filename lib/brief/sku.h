#pragma once
// What is known of something that can be bought: its price, its speed at full load and under the buyer's SLO, and
// everything that weakens either.

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

/// Output tokens/s of one replica.
struct Speed {
  std::optional<Interval> tok_per_s{};
  std::string why_not{};
  std::string from{};  ///< id of the cell or the quoted row
  Evidence evidence{};
};

/// A latency of the cell that the speed is from, in ms.
struct Latency {
  std::optional<Interval> ms{};
  std::string why_not{};
};

struct Sku {
  SkuSpec spec{};
  PriceRow price{};
  std::string model{};      ///< what it serves
  std::string precision{};  ///< variant, or the quoted precision
  double n_units = 0;       ///< accelerators (vCPUs of a machine without) of one replica
  double instances_per_replica = 0;
  Speed full_load{};
  Speed at_slo{};
  Latency ttft_p50{}, ttft_p95{};
  std::optional<double> power_w{};  ///< at full load
  std::string why_no_power{};
  std::optional<double> memory_headroom_percent{};
  std::string why_no_memory{};
  std::vector<std::string> price_assumptions{};  ///< what is taken to hold whenever speed and price are put together
  std::vector<std::string> load_assumptions{};   ///< and when the buyer's load is put on it
  std::vector<std::string> faults{};             ///< why its figures cannot be built on at all
  const BriefRun* run = nullptr;                 ///< measured SKUs only; borrowed
  std::vector<const CellSummary*> cells{};       ///< of that bundle, backend and variant

  /// Work that may wait runs at full load; where that is not known, no faster than under the SLO.
  [[nodiscard]] const Speed& batch_speed() const { return full_load.tok_per_s ? full_load : at_slo; }
  [[nodiscard]] bool is_measured() const { return spec.measured.has_value(); }
  /// On demand and spot are paid by the hour; what is promised or owned is paid around the clock.
  [[nodiscard]] bool pays_for_peak() const {
    return price.commitment != Commitment::kOnDemand && price.commitment != Commitment::kSpot;
  }
};

/// In the order of `demand.skus`. `runs` must outlive the result. Errors: kInvalidInput for a price, a cell or a quoted
/// row that is not there or not the only one, and for a speed of one accelerator priced as another.
Result<std::vector<Sku>> resolve_skus(const Demand& demand, std::span<const BriefRun> runs,
                                      const std::vector<QuotedRow>& quoted, const std::vector<PriceRow>& prices);

[[nodiscard]] const Sku& find_sku(std::span<const Sku> skus, std::string_view id);

}  // namespace secondsource

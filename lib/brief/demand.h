#pragma once
// demand.yaml: what the buyer needs, may risk and can choose from (reports/schemas/demand.schema.json,
// reports/templates/demand.yaml, docs/brief.md).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "cost/load_cost.h"
#include "cost/token_cost.h"
#include "report/slo.h"

namespace secondsource {

/// A kind of request; the means over kinds are what costs are computed with.
struct RequestKind {
  std::string name{};
  double percent = 0;  ///< of all requests
  double input_tokens = 0;
  double output_tokens = 0;
};

/// A cell of a run.
struct MeasuredSpeed {
  std::string run{};  ///< id of the run, or its beginning; empty: the only one that has the cell
  std::string bundle{}, backend{}, variant{};
  bool same_hardware = false;  ///< the buyer says that the price is for the machine that was measured
};

/// Ids of rows of the quoted file; empty: not known.
struct QuotedSpeed {
  std::string full_load{};
  std::string slo{};
};

/// Something that can be bought, and where its speed is known from: a cell of a run, or quoted rows.
struct SkuSpec {
  std::string id{};
  std::string description{};
  std::string vendor{};                     ///< of the silicon: what "single supplier" counts
  std::string price{};                      ///< key of the price book
  std::optional<MeasuredSpeed> measured{};  ///< exactly one of the two
  std::optional<QuotedSpeed> quoted{};
};

struct Migration {
  double person_days = 0;
  double usd_per_day = 0;
  std::int64_t people = 1;
  std::int64_t certify_weeks = 0;  ///< rent, run the harness, compare tokens and speed
  std::int64_t ramp_weeks = 0;     ///< move traffic step by step

  [[nodiscard]] double usd() const { return person_days * usd_per_day; }
};

enum class OptionKind : std::uint8_t { kStay, kShift, kFallback, kMoveBatch, kOwn };

/// "stay", "shift", "fallback", "move-batch", "own"
[[nodiscard]] std::string_view to_string(OptionKind kind);

struct Share {
  std::string sku{};
  double percent = 0;
};

/// Capacity that waits for the day on which the main one is gone.
struct Fallback {
  std::string sku{};
  double percent = 0;         ///< of the interactive load, at its peak
  double hours_per_year = 0;  ///< rented when needed; 0: kept running around the clock
};

struct OptionSpec {
  OptionKind kind = OptionKind::kStay;
  std::string name{};
  std::vector<Share> interactive{};  ///< sums to 100
  std::vector<Share> batch{};        ///< sums to 100
  std::optional<Fallback> fallback{};
  Migration migration{};
};

/// What the buyer will not accept. A breach takes an option out of the decision, and is shown.
struct RiskLimits {
  std::optional<double> max_single_vendor_percent{};
  std::optional<double> max_spot_percent{};
  std::optional<double> max_speed_uncertainty_percent{};  ///< half of the interval / the value
  std::optional<double> min_memory_headroom_percent{};
  std::optional<double> max_price_age_days{};
  bool require_passed_golden = true;  ///< of measured SKUs; false: unverified tokens are a warning
  bool require_measured = false;      ///< an option on quoted speeds cannot be decided for
  double min_saving_percent = 0;      ///< below it the buyer stays
};

/// A company that sells tokens instead of machines: what one's own are held against.
struct ApiPrice {
  std::string name{};
  double usd_per_million_input = 0;
  double usd_per_million_output = 0;
  std::string source{};
  std::string date{};
};

struct Outage {
  double hours_per_year = 0;
  double usd_per_hour = 0;  ///< lost while nothing is served
};

struct Demand {
  std::string title{};
  std::string model{};  ///< what is served: the name of a bundle, or of a model of the quoted file
  double requests_per_day = 0;
  double growth_percent_per_year = 0;
  double batch_percent = 0;  ///< of the requests; they may wait, and run anywhere
  DayProfile profile = flat_profile();
  std::vector<RequestKind> context_mix{};
  Slo slo{};
  TokenWeights weights{};
  SizingRule sizing{};
  std::int64_t decision_years = 3;
  std::vector<SkuSpec> skus{};
  std::vector<OptionSpec> options{};  ///< the first is the one of kind kStay
  RiskLimits limits{};
  std::optional<ApiPrice> api{};
  std::optional<Outage> outage{};

  [[nodiscard]] double mean_input_tokens() const;
  [[nodiscard]] double mean_output_tokens() const;
  [[nodiscard]] double output_tokens_per_day() const { return requests_per_day * mean_output_tokens(); }
  [[nodiscard]] const OptionSpec& stay() const { return options.front(); }
};

/// Strict: unknown or missing keys, shares that do not sum to 100, a SKU that no list knows, or two stays are
/// kInvalidInput with the line.
Result<Demand> parse_demand(std::string_view yaml, std::string_view name);
Result<Demand> read_demand(const std::filesystem::path& path);

}  // namespace secondsource

#pragma once
// Reads demand.yaml, which states the buyer's needs, risk limits and options (reports/schemas/demand.schema.json,
// reports/templates/demand.yaml, docs/brief.md).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brief/brief_states.h"
#include "core/result.h"
#include "cost/load_cost.h"
#include "cost/token_cost.h"
#include "record/slo.h"

namespace secondsource {

/// A kind of request. Costs are computed with the means over all kinds.
struct RequestKind {
  std::string name{};
  double percent = 0;  ///< share of all requests
  double input_tokens = 0;
  double output_tokens = 0;
};

/// A speed that was measured: the bundle, backend and variant of a run.
struct MeasuredSpeed {
  std::string run{};  ///< id of the run or its beginning; empty: the only run with such cells
  std::string bundle{}, backend{}, variant{};
  bool same_hardware = false;  ///< the buyer states that the price is for the measured machine
};

/// A speed that was published: ids of rows in the file of quotes; empty: not known.
struct QuotedSpeed {
  std::string full_load{};
  std::string slo{};
};

/// Machines that are paid until the end of a day, whether or not they serve.
struct CommittedMachines {
  std::int64_t machines = 0;
  std::string until{};  ///< YYYY-MM-DD, the last day
};

/// Something that can be bought, and the source of its speed: cells of a run, or quoted rows.
struct SkuSpec {
  std::string id{};
  std::string description{};
  std::string vendor{};                   ///< vendor of the chip, as counted for "single supplier"
  std::string price{};                    ///< key of the price book
  std::int64_t machines_per_replica = 1;  ///< machines that serve only together
  std::optional<CommittedMachines> committed{};
  std::optional<MeasuredSpeed> measured{};  ///< exactly one of `measured` and `quoted` is set
  std::optional<QuotedSpeed> quoted{};
};

struct Migration {
  double person_days = 0;
  double usd_per_day = 0;
  std::int64_t people = 1;
  std::int64_t certify_weeks = 0;  ///< to rent the SKU, run the harness, and compare tokens and speed
  std::int64_t ramp_weeks = 0;     ///< to move the traffic step by step

  [[nodiscard]] double usd() const { return person_days * usd_per_day; }
  /// Whole weeks of five working days.
  [[nodiscard]] std::int64_t work_weeks() const;
  /// Weeks until the load has moved: certify, migrate and ramp, one after the other.
  [[nodiscard]] std::int64_t weeks() const { return certify_weeks + work_weeks() + ramp_weeks; }
};

struct Share {
  std::string sku{};
  double percent = 0;
};

/// Capacity that is held in reserve for an outage of the main SKU.
struct Fallback {
  std::string sku{};
  double percent = 0;                      ///< share of the interactive load at its peak
  std::optional<double> hours_per_year{};  ///< hours for which it is rented when needed; none: it runs around the clock
};

struct OptionSpec {
  OptionKind kind = OptionKind::kStay;
  std::string name{};
  std::vector<Share> interactive{};  ///< sums to 100
  std::vector<Share> batch{};        ///< sums to 100
  std::optional<Fallback> fallback{};
  Migration migration{};

  /// Weeks for which today's machines serve all of the load: up to the middle of the ramp, over which the load moves step
  /// by step.
  [[nodiscard]] double weeks_until_moved() const {
    if (kind == OptionKind::kStay) return 0;
    return static_cast<double>(migration.weeks()) - 0.5 * static_cast<double>(migration.ramp_weeks);
  }
};

/// The risks that the buyer does not accept. An option that exceeds a limit is excluded from the decision, and the
/// brief shows why.
struct RiskLimits {
  std::optional<double> max_single_vendor_percent{};
  std::optional<double> max_spot_percent{};
  std::optional<double> max_speed_uncertainty_percent{};  ///< wider side of the interval / the value
  std::optional<double> min_memory_headroom_percent{};
  std::optional<double> max_price_age_days{};
  bool require_passed_golden = true;  ///< for measured SKUs; false: unverified tokens give a warning only
  bool require_measured = false;      ///< an option with quoted speeds cannot be chosen
  double min_saving_percent = 0;      ///< the buyer stays if an option saves less
};

/// The price of a provider that sells tokens, for comparison with running machines.
struct ApiPrice {
  std::string name{};
  double usd_per_million_input = 0;
  double usd_per_million_output = 0;
  std::string source{};
  std::string date{};  ///< YYYY-MM-DD, YYYY-MM, YYYY-Qn, YYYY or "undated"
};

struct Outage {
  double hours_per_year = 0;  ///< without the main capacity: the machines of the vendor that serves most users
  double usd_per_hour = 0;    ///< loss while nothing is served
};

struct Demand {
  std::string title{};
  std::string model{};  ///< the served model: the name of a bundle or of a model in the file of quotes
  double requests_per_day = 0;
  double growth_percent_per_year = 0;
  double batch_percent = 0;  ///< share of requests that may wait and run anywhere
  DayProfile profile = flat_profile();
  std::vector<RequestKind> context_mix{};
  Slo slo{};
  TokenWeights weights{};
  SizingRule sizing{};
  std::int64_t decision_years = 3;
  std::vector<SkuSpec> skus{};
  std::vector<OptionSpec> options{};           ///< the first one has kind kStay
  std::optional<Migration> usual_migration{};  ///< of an option that states none
  RiskLimits limits{};
  std::optional<ApiPrice> api{};
  std::optional<Outage> outage{};

  [[nodiscard]] double mean_input_tokens() const;
  [[nodiscard]] double mean_output_tokens() const;
  [[nodiscard]] double output_tokens_per_day() const { return requests_per_day * mean_output_tokens(); }
  [[nodiscard]] const OptionSpec& stay() const { return options.front(); }
};

/// Parsing is strict. Unknown or missing keys, shares that do not sum to 100, an undefined SKU, and two "stay" options
/// give kInvalidInput with the line.
Result<Demand> parse_demand(std::string_view yaml, std::string_view name);
Result<Demand> read_demand(const std::filesystem::path& path);

}  // namespace secondsource

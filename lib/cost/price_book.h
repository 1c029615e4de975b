#pragma once
// The dated price book: what an hour of a machine costs, where that was read and when. reports/prices.yaml is the one
// that comes with the project; a company's own has the same form (docs/cost.md, reports/schemas/prices.schema.json).
//
// A row is found by its key, PROVIDER/REGION/INSTANCE/COMMITMENT. The price is that of the whole instance; a row with
// several accelerators also states the price of one, and the two must agree, so that neither is taken for the other.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "cost/own_hardware.h"
#include "cost/price.h"

namespace secondsource {

/// What the buyer promises for the price. kOwn: hardware of one's own, with a cost that is computed.
enum class Commitment : std::uint8_t { kOnDemand, kSpot, kOneYear, kThreeYears, kOwn };

/// "on-demand", "spot", "1-year", "3-years", "own"
[[nodiscard]] std::string_view to_string(Commitment commitment);
/// nullopt for any other text.
[[nodiscard]] std::optional<Commitment> commitment_from(std::string_view text);

struct PriceRow {
  std::string provider{};
  std::string region{};  ///< "unspecified" where the source names none
  std::string instance{};
  Commitment commitment = Commitment::kOnDemand;
  std::string accelerator{};      ///< "h100-sxm"; "cpu" for machines without
  std::int64_t accelerators = 0;  ///< 0 for machines without
  std::int64_t vcpus = 0;         ///< 0: not in the source
  double usd_per_hour = 0;        ///< of the whole instance
  /// The cheapest and dearest zone of the region, where the source lists zones.
  std::optional<double> usd_per_hour_low{}, usd_per_hour_high{};
  std::string date{};     ///< when the source says that it was valid: a day, month, quarter or year; or "undated"
  std::string read_on{};  ///< the day on which it was read
  std::string source{};
  std::string note{};
  std::optional<OwnHardware> own{};  ///< what an own machine's price is made of

  /// "aws/us-east-1/p5.48xlarge/on-demand"
  [[nodiscard]] std::string key() const;
  /// What a price is divided by: accelerators, or vCPUs of a machine without.
  [[nodiscard]] double n_units() const { return static_cast<double>(accelerators > 0 ? accelerators : vcpus); }
  /// "2026-05-18", or "undated, read 2026-11-20"
  [[nodiscard]] std::string dated() const;
};

/// Strict, as every reader of ours: unknown keys, blank texts and placeholders, a price that is no positive number, an
/// instance's price that disagrees with that of its accelerators, and keys that stand twice are refused with the line.
Result<std::vector<PriceRow>> parse_price_book(std::string_view yaml, std::string_view name);
Result<std::vector<PriceRow>> read_price_book(const std::filesystem::path& path);

/// Why this cannot be the price of this machine; empty when it can. The bands are wide (from an old card on the spot
/// market to a rack of next year): what lies outside is the price of something else.
[[nodiscard]] std::string why_implausible(const PriceRow& row);

/// The book as YAML that parse_price_book() reads; own machines are left out, since their price is computed.
/// `read_on`: YYYY-MM-DD.
[[nodiscard]] std::string write_price_book(const std::vector<PriceRow>& rows, std::string_view read_on);

/// The row of this key; a key without its commitment means on demand. Errors: kInvalidInput, naming rows that are near.
Result<PriceRow> find_price(std::string_view key, const std::vector<PriceRow>& book);

/// What --price means: a number is USD per hour of all that the run uses; anything else is the key of a row.
Result<Price> resolve_price(std::string_view text, const std::vector<PriceRow>& book);

/// Rows whose date, or where they have none the day on which they were read, is more than `max_age_days` before `today`
/// (YYYY-MM-DD). A month, quarter or year counts from its first day.
[[nodiscard]] std::vector<PriceRow> stale_rows(const std::vector<PriceRow>& book, std::string_view today,
                                               std::int64_t max_age_days);

}  // namespace secondsource

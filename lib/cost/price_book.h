#pragma once
// The dated price book: the price per hour of machines, with source and date. reports/prices.yaml is the project's own
// book; a company's own book has the same form (docs/cost.md, reports/schemas/prices.schema.json).
//
// A row is found by its key, PROVIDER/REGION/INSTANCE/COMMITMENT. The price is that of the whole instance. A row with
// several accelerators also states the price of one, and the two must agree, so that neither is mistaken for the other.

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

/// The commitment that the buyer makes for the price. kOwn is the buyer's own hardware, whose cost is computed.
enum class Commitment : std::uint8_t { kOnDemand, kSpot, kOneYear, kThreeYears, kOwn };

/// "on-demand", "spot", "1-year", "3-years" or "own".
[[nodiscard]] std::string_view to_string(Commitment commitment);
/// The commitment of that name; nullopt for any other text.
[[nodiscard]] std::optional<Commitment> commitment_from(std::string_view text);

struct PriceRow {
  std::string provider{};
  std::string region{};  ///< "unspecified" if the source names none
  std::string instance{};
  Commitment commitment = Commitment::kOnDemand;
  std::string accelerator{};      ///< such as "h100-sxm"; "cpu" for machines without accelerators
  std::int64_t accelerators = 0;  ///< 0 for machines without accelerators
  std::int64_t vcpus = 0;         ///< 0 if the source does not state it
  double usd_per_hour = 0;        ///< price of the whole instance
  /// The prices of the cheapest and the dearest zone of the region, if the source lists zones.
  std::optional<double> usd_per_hour_low{}, usd_per_hour_high{};
  /// When the price was valid according to the source: a day, month, quarter or year; or "undated".
  std::string date{};
  std::string read_on{};  ///< the day on which the source was read
  std::string source{};
  std::string note{};
  std::optional<OwnHardware> own{};  ///< the components of an own machine's price

  /// The row's key, such as "aws/us-east-1/p5.48xlarge/on-demand".
  [[nodiscard]] std::string key() const;
  /// The number of devices by which a price is divided: accelerators, or vCPUs of a machine without accelerators.
  [[nodiscard]] double n_units() const { return static_cast<double>(accelerators > 0 ? accelerators : vcpus); }
  /// The row's date for readers: "2026-05-18", or "undated, read 2026-11-20".
  [[nodiscard]] std::string dated() const;
};

/// Parses a price book strictly: unknown keys, blank texts, placeholders, a price that is not a positive number, an
/// instance's price that disagrees with that of its accelerators, and duplicate keys are refused with the line.
Result<std::vector<PriceRow>> parse_price_book(std::string_view yaml, std::string_view name);
Result<std::vector<PriceRow>> read_price_book(const std::filesystem::path& path);

/// Why this cannot be the price of this machine; empty if it can. The accepted ranges are wide (from an old card on the
/// spot market to a rack of the next generation), so a price outside them belongs to something else.
[[nodiscard]] std::string why_implausible(const PriceRow& row);

/// Writes the book as YAML that parse_price_book() reads. Own machines are left out, because their price is computed.
/// `read_on`: YYYY-MM-DD.
[[nodiscard]] std::string write_price_book(const std::vector<PriceRow>& rows, std::string_view read_on);

/// The row with this key; a key without a commitment means on demand. Errors: kInvalidInput, listing similar rows.
Result<PriceRow> find_price(std::string_view key, const std::vector<PriceRow>& book);

/// Interprets --price: a number is USD per hour of an instance; anything else is the key of a row.
Result<PricedInstance> resolve_price(std::string_view text, const std::vector<PriceRow>& book);

/// Days from the row's date to `today` (YYYY-MM-DD). An undated row counts from the day on which it was read; a month,
/// quarter or year counts from its first day.
[[nodiscard]] std::int64_t age_days(const PriceRow& row, std::string_view today);

/// Rows whose date is more than `max_age_days` before `today` (YYYY-MM-DD), as age_days() counts.
[[nodiscard]] std::vector<PriceRow> stale_rows(const std::vector<PriceRow>& book, std::string_view today,
                                               std::int64_t max_age_days);

/// Rows whose price is dated, or whose source was read, after `today` (YYYY-MM-DD).
[[nodiscard]] std::vector<PriceRow> rows_after(const std::vector<PriceRow>& book, std::string_view today);

}  // namespace secondsource

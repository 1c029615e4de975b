#pragma once
// The cost per hour of a machine that the company owns. Pure arithmetic; docs/cost.md has a worked example.

namespace secondsource {

struct OwnHardware {
  double purchase_usd = 0;      ///< price of the whole machine, with its share of rack and network
  double residual_percent = 0;  ///< resale value at the end, in percent of the purchase price
  double depreciation_years = 0;
  double power_w = 0;  ///< average draw while it serves
  double pue = 1;      ///< power of the data centre / power of its machines, at least 1
  double usd_per_kwh = 0;
  double hosting_usd_per_month = 0;         ///< space, remote hands, network
  double maintenance_percent_per_year = 0;  ///< in percent of the purchase price: support contracts, spare parts
  double utilisation_percent = 100;         ///< share of all hours in which it can serve, after repairs

  /// Depreciation per hour: purchase x (1 - residual) / (years x 8760).
  [[nodiscard]] double depreciation_usd_per_hour() const;
  /// Energy per hour: power x PUE x tariff.
  [[nodiscard]] double energy_usd_per_hour() const;
  /// Fixed running costs per hour: hosting x 12 / 8760 + purchase x maintenance / 8760.
  [[nodiscard]] double running_usd_per_hour() const;
  /// The whole cost of an hour in which the machine serves. Costs that do not depend on use are spread over those hours
  /// alone.
  [[nodiscard]] double usd_per_hour() const;
};

}  // namespace secondsource

#include "cost/own_hardware.h"

namespace secondsource {
namespace {
constexpr double kHoursPerYear = 8760;
}

double OwnHardware::depreciation_usd_per_hour() const {
  return purchase_usd * (1 - residual_percent / 100) / (depreciation_years * kHoursPerYear);
}

double OwnHardware::energy_usd_per_hour() const {
  return power_w / 1000 * pue * usd_per_kwh;
}

double OwnHardware::running_usd_per_hour() const {
  return (12 * hosting_usd_per_month + purchase_usd * maintenance_percent_per_year / 100) / kHoursPerYear;
}

double OwnHardware::usd_per_hour() const {
  return (depreciation_usd_per_hour() + running_usd_per_hour()) / (utilisation_percent / 100) + energy_usd_per_hour();
}

}  // namespace secondsource

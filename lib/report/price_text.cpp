#include "report/price_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/counted.h"

namespace secondsource {
namespace {

std::string charged_text(double usd_per_hour, const PriceShare& share) {
  const double charged = usd_per_hour * share.n_used / share.n_of;
  const std::string_view unit = to_string(share.unit);
  if (share.unit == PriceUnit::kInstance) return fmt::format("{:.4g} USD/h (the whole instance)", charged);
  if (share.n_of == 1) {
    return fmt::format("{:.4g} USD/h ({} at {:g} USD/h)", charged, counted(share.n_used, unit), usd_per_hour);
  }
  if (share.n_used == share.n_of) {
    return fmt::format("{:.4g} USD/h (all {})", charged, counted(share.n_of, unit));
  }
  if (share.n_used > share.n_of) {
    return fmt::format("{:.4g} USD/h ({}, of which {:g} are {:g} USD/h)", charged, counted(share.n_used, unit),
                       share.n_of, usd_per_hour);
  }
  return fmt::format("{:.4g} of {:g} USD/h ({:g} of {})", charged, usd_per_hour, share.n_used,
                     counted(share.n_of, unit));
}

}  // namespace

std::vector<std::pair<std::string, std::string>> price_lines(const RunRecord& record) {
  std::vector<std::pair<std::string, std::string>> lines;
  if (!record.price) return lines;
  const Price& price = *record.price;
  lines.emplace_back("price", fmt::format("{:g} USD/h, {}{}", price.usd_per_hour, price.source,
                                          price.date.empty() ? "" : " (" + price.date + ")"));
  for (const BackendRecord& backend : record.backends) {
    const std::optional<PriceShare> share = price_share_of(record, backend.name);
    if (!backend.unavailable.empty() || !share) continue;
    std::string text = charged_text(price.usd_per_hour, *share);
    const auto same =
        std::find_if(lines.begin() + 1, lines.end(), [&](const auto& line) { return line.second == text; });
    if (same != lines.end()) {
      same->first += ", " + backend.name;
    } else {
      lines.emplace_back("charged for " + backend.name, std::move(text));
    }
  }
  return lines;
}

}  // namespace secondsource

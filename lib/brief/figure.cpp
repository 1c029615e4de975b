#include "brief/figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace secondsource {
namespace {

double six_digits(double value) {
  return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

std::optional<double> six_digits(const std::optional<double>& value) {
  return value ? std::optional<double>(six_digits(*value)) : std::nullopt;
}

}  // namespace

Evidence Evidence::combined(const Evidence& other) const {
  Evidence both = *this;
  both.measured |= other.measured;
  both.quoted |= other.quoted;
  both.derived |= other.derived;
  both.projected |= other.projected;
  for (const std::string& reference : other.basis) {
    if (std::find(both.basis.begin(), both.basis.end(), reference) == both.basis.end()) both.basis.push_back(reference);
  }
  return both;
}

Evidence Evidence::as_derived() const {
  Evidence result = *this;
  result.derived = true;
  return result;
}

Evidence Evidence::as_projected() const {
  Evidence result = *this;
  result.projected = true;
  return result;
}

std::string Evidence::mark() const {
  const std::string source = measured && quoted ? "measured and quoted"
                             : measured         ? "measured"
                             : quoted           ? "quoted"
                                                : "";
  const std::string step = projected ? "projected" : derived ? "derived" : "";
  if (step.empty() || source.empty()) return source + step;
  return step + " from " + source;
}

Figure Figure::of(const Interval& interval, std::string unit, const Evidence& evidence) {
  return {.value = six_digits(interval.value),
          .low = six_digits(interval.low),
          .high = six_digits(interval.high),
          .unit = std::move(unit),
          .mark = evidence.mark(),
          .basis = evidence.basis};
}

Figure Figure::stated(double value, std::string unit, std::string mark) {
  return {.value = six_digits(value), .unit = std::move(unit), .mark = std::move(mark)};
}

Figure Figure::absent(std::string unit, std::string why_not) {
  return {.unit = std::move(unit), .why_not = std::move(why_not)};
}

}  // namespace secondsource

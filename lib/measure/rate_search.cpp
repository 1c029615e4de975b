#include "measure/rate_search.h"

#include <algorithm>
#include <cmath>

namespace secondsource {

std::optional<double> RateSearch::next() const {
  if (n_probes_ >= options_.max_probes) return std::nullopt;
  if (!kept_ && !missed_) return options_.first;
  if (!kept_) return *missed_ / 2 < options_.lowest ? std::nullopt : std::optional(*missed_ / 2);
  if (!missed_) return *kept_ * 2 > options_.highest ? std::nullopt : std::optional(*kept_ * 2);
  if (*missed_ < *kept_ * options_.resolution) return std::nullopt;
  return std::sqrt(*kept_ * *missed_);
}

void RateSearch::tell(double rate, bool kept) {
  ++n_probes_;
  if (kept) {
    kept_ = std::max(rate, kept_.value_or(0));
  } else {
    missed_ = std::min(rate, missed_.value_or(rate));
  }
}

}  // namespace secondsource

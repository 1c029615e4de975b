#pragma once
// From runs, prices, quotes and the buyer's demand to the brief. A pure function of its inputs, so that a brief can be
// made again and compared byte for byte.

#include <string>
#include <utility>
#include <vector>

#include "brief/brief.h"
#include "brief/brief_run.h"
#include "brief/demand.h"
#include "brief/quoted.h"
#include "core/result.h"
#include "cost/price_book.h"
#include "gate/waiver.h"

namespace secondsource {

struct BriefInputs {
  Demand demand{};
  std::vector<BriefRun> runs{};
  std::vector<QuotedRow> quoted{};
  std::vector<PriceRow> prices{};
  std::vector<Waiver> waivers{};
  std::string date{};  ///< YYYY-MM-DD: what is stale, expired, and when phases begin
  std::vector<std::pair<std::string, std::string>> files{};  ///< every input file but the runs', with its SHA-256
  std::string command{};
};

/// Errors: those of resolve_skus().
Result<Brief> build_brief(const BriefInputs& inputs);

}  // namespace secondsource

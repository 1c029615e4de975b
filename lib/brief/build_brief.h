#pragma once
// Builds the brief from runs, prices, quotes and the buyer's demand. The brief is a pure function of these inputs, so
// that it can be built again and compared byte for byte.

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
  std::string date{};  ///< YYYY-MM-DD; decides what is stale or expired and when phases begin
  std::vector<std::pair<std::string, std::string>> files{};  ///< every input file except those of runs, with its
                                                             ///< SHA-256
  std::string command{};
};

/// Errors: as for resolve_skus() and check_dates().
Result<Brief> build_brief(const BriefInputs& inputs);

}  // namespace secondsource

#pragma once
// The dated price book: what an hour of a machine costs, where that was read and when. reports/prices.yaml is the one
// that comes with the project; a company's own has the same form.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "cost/price.h"

namespace secondsource {

struct PriceRow {
  std::string id{};  ///< "nebius-cpu-d3-128vcpu"
  std::string provider{};
  std::string instance{};
  std::string accelerator{};  ///< "h100-sxm"; "cpu" for machines without
  double n_units = 1;         ///< accelerators, or vCPUs where there is none
  double usd_per_hour = 0;    ///< on demand, for the whole instance
  std::string region{};
  std::string date{};  ///< when the source says that it was valid, or when it was read
  std::string source{};
  std::string note{};
};

/// Strict, as every reader of ours: unknown keys, ids that stand twice and prices that are not positive are refused.
Result<std::vector<PriceRow>> parse_price_book(std::string_view yaml, std::string_view name);
Result<std::vector<PriceRow>> read_price_book(const std::filesystem::path& path);

/// What --price means: a number is USD per hour of all that the run uses; anything else is the id of a row.
/// Errors: kInvalidInput, naming the rows that there are.
Result<Price> resolve_price(std::string_view text, const std::vector<PriceRow>& book);

}  // namespace secondsource

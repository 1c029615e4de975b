#include "record/swap.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>

namespace secondsource {

std::vector<double> mix_shares(const SwapPlan& plan) {
  std::vector<double> shares = plan.shares;
  for (std::size_t rank = 1; plan.shares.empty() && rank <= plan.models.size(); ++rank) {
    shares.push_back(std::pow(static_cast<double>(rank), -plan.zipf));
  }
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share /= sum;
  return shares;
}

std::string budget_text(const SwapPlan& plan) {
  if (plan.budget_models > 0) return fmt::format("{}model{}", plan.budget_models, plan.budget_models == 1 ? "" : "s");
  const std::int64_t bytes = plan.memory_budget_bytes;
  constexpr std::array<std::pair<std::int64_t, std::string_view>, 3> kUnits = {
      {{std::int64_t{1} << 30, "GiB"}, {std::int64_t{1} << 20, "MiB"}, {std::int64_t{1} << 10, "KiB"}}};
  for (const auto& [size, unit] : kUnits) {
    if (bytes > 0 && bytes % size == 0) return fmt::format("{}{}", bytes / size, unit);
  }
  return fmt::format("{}", bytes);
}

}  // namespace secondsource

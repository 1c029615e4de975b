#include "systems/request_mix.h"

#include <utility>

#include "core/check.h"
#include "core/random.h"

namespace secondsource {
namespace {

// Makes these draws independent of those of prompts and arrivals, which use the same seed.
constexpr std::uint64_t kMixStream = 0x6d6978;

}  // namespace

std::vector<std::int32_t> draw_models(std::span<const double> shares, std::int32_t n_requests, std::uint64_t seed) {
  std::vector<std::int32_t> models;
  const std::uint64_t stream = random_bits(seed, kMixStream);
  for (std::int32_t request = 0; request < n_requests; ++request) {
    double left = random_unit(stream, static_cast<std::uint64_t>(request));
    std::size_t model = 0;
    while (model + 1 < shares.size() && left >= shares[model]) left -= shares[model++];
    models.push_back(static_cast<std::int32_t>(model));
  }
  return models;
}

std::vector<WorkItem> mixed_items(std::vector<std::vector<WorkItem>> items_of, std::span<const std::int32_t> turns) {
  std::vector<std::size_t> n_taken(items_of.size(), 0);
  std::vector<WorkItem> mixed;
  for (const std::int32_t model : turns) {
    const auto index = static_cast<std::size_t>(model);
    SS_CHECK(n_taken[index] < items_of[index].size(), "a request for each turn of a model");
    WorkItem item = std::move(items_of[index][n_taken[index]++]);
    item.request.model = model;
    item.request.tag = static_cast<std::int64_t>(mixed.size());
    mixed.push_back(std::move(item));
  }
  return mixed;
}

}  // namespace secondsource

#pragma once
// Which model each request of a mix goes to.

#include <cstdint>
#include <span>
#include <vector>

#include "measure/repetition.h"

namespace secondsource {

/// Draws a model for each of `n_requests` requests: model i with probability shares[i], which sum to 1. The result depends
/// on the arguments alone.
[[nodiscard]] std::vector<std::int32_t> draw_models(std::span<const double> shares, std::int32_t n_requests,
                                                    std::uint64_t seed);

/// The requests of a mix: `turns` gives the model of each, and each model's own requests are taken in their order.
/// `items_of[model]` must have at least as many as the model has turns; the tags are the indexes in the mix.
[[nodiscard]] std::vector<WorkItem> mixed_items(std::vector<std::vector<WorkItem>> items_of,
                                                std::span<const std::int32_t> turns);

}  // namespace secondsource

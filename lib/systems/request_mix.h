#pragma once
// Which model each request of a mix goes to.

#include <cstdint>
#include <span>
#include <vector>

namespace secondsource {

/// Draws a model for each of `n_requests` requests: model i with probability shares[i], which sum to 1. The result depends
/// on the arguments alone.
[[nodiscard]] std::vector<std::int32_t> draw_models(std::span<const double> shares, std::int32_t n_requests,
                                                    std::uint64_t seed);

}  // namespace secondsource

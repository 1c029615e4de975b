#include "systems/request_mix.h"

#include "core/random.h"

namespace secondsource {
namespace {

// Keeps the draws apart from those of prompts and arrivals, which the same seed decides.
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

}  // namespace secondsource

#pragma once

#include <cstdlib>
#include <string_view>

namespace secondsource::gpu {

/// Whether the planted bug of this name is the one that runs: the environment variable SECONDSOURCE_PLANTED_BUG names it.
/// Changed kernel files ask once, when their module is loaded (plant.cmake).
inline bool is_planted(std::string_view name) {
  const char* const chosen = std::getenv("SECONDSOURCE_PLANTED_BUG");
  return chosen != nullptr && name == chosen;
}

}  // namespace secondsource::gpu

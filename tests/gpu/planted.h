#pragma once

#include <cstdlib>
#include <string_view>

namespace secondsource::gpu {

/// Whether the planted bug of this name is active, that is, named by the environment variable SECONDSOURCE_PLANTED_BUG.
/// Kernel files with planted bugs call this once, when their module is loaded (plant.cmake).
inline bool is_planted(std::string_view name) {
  const char* const chosen = std::getenv("SECONDSOURCE_PLANTED_BUG");
  return chosen != nullptr && name == chosen;
}

}  // namespace secondsource::gpu

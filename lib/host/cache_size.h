#pragma once
// The size of the CPU's last-level cache, and of buffers that are too large for it.

#include <cstdint>
#include <optional>

#include "host/host_files.h"

namespace secondsource {

/// Size of the largest cache of the first CPU; nullopt when the system does not tell.
[[nodiscard]] std::optional<std::int64_t> last_level_cache_bytes(const HostFiles& files);

/// Sizes of the buffers from which read rates are measured; powers of two.
struct ReadBufferSizes {
  std::int64_t probe =
      std::int64_t{128} << 20;  ///< beside each repetition: twice the last-level cache or more, up to 256 MiB
  std::int64_t largest = std::int64_t{256}
                         << 20;  ///< of the limits: four times the last-level cache or more, up to 512 MiB
};

/// The sizes for this host. Server CPUs with hundreds of MiB of cache get larger buffers, up to 256 and 512 MiB and up
/// to an eighth of the available memory. With more than 128 MiB of cache a part of what is read may come from the
/// cache.
[[nodiscard]] ReadBufferSizes read_buffer_sizes(const HostFiles& files);

}  // namespace secondsource

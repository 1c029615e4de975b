#include "core/units.h"

#include <fmt/format.h>

namespace secondsource {

std::string format_bytes(std::int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

std::string format_duration_ns(std::int64_t duration_ns) {
  const auto ns = static_cast<double>(duration_ns);
  if (duration_ns < 1'000) return fmt::format("{} ns", duration_ns);
  if (duration_ns < 1'000'000) return fmt::format("{:.1f} us", ns / 1e3);
  if (duration_ns < 1'000'000'000) return fmt::format("{:.2f} ms", ns / 1e6);
  const std::int64_t seconds = duration_ns / 1'000'000'000;
  if (seconds < 60) return fmt::format("{:.2f} s", ns / 1e9);
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
}

}  // namespace secondsource

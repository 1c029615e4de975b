#include "host/proc_stat.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace secondsource {
namespace {

constexpr std::size_t kMostCpus = 65'536;

/// Parses the numbers of one line: user nice system idle iowait irq softirq steal.
CpuTicks parse_line(std::string_view numbers) {
  std::array<std::int64_t, 8> ticks{};
  const char* at = numbers.data();
  const char* const end = at + numbers.size();
  for (std::int64_t& value : ticks) {
    while (at < end && *at == ' ') ++at;
    at = std::from_chars(at, end, value).ptr;
  }
  CpuTicks cpu;
  for (const std::int64_t value : ticks) cpu.total += value;
  cpu.busy = cpu.total - ticks[3] - ticks[4];
  cpu.steal = ticks[7];
  return cpu;
}

}  // namespace

CpuTicks& CpuTicks::operator+=(const CpuTicks& other) {
  total += other.total;
  busy += other.busy;
  steal += other.steal;
  return *this;
}

Result<std::vector<CpuTicks>> read_cpu_ticks(const HostFiles& files) {
  SS_TRY(const std::string text, files.read("proc/stat"));
  std::vector<CpuTicks> all;
  std::string_view rest = text;
  while (rest.starts_with("cpu")) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    std::size_t cpu = 0;
    const auto number = std::from_chars(line.data() + 3, line.data() + line.size(), cpu);
    if (number.ec != std::errc() || cpu > kMostCpus) continue;  // "cpu " is the sum over all CPUs
    all.resize(std::max(all.size(), cpu + 1));
    all[cpu] = parse_line(line.substr(static_cast<std::size_t>(number.ptr - line.data())));
  }
  if (all.empty()) return Error{ErrorCode::kUnavailable, "/proc/stat: no line of a CPU"};
  return all;
}

CpuTicks sum_of(std::span<const CpuTicks> all, std::span<const std::int32_t> cpus) {
  CpuTicks sum;
  for (std::size_t cpu = 0; cpu < all.size(); ++cpu) {
    if (cpus.empty() || std::ranges::find(cpus, static_cast<std::int32_t>(cpu)) != cpus.end()) sum += all[cpu];
  }
  return sum;
}

double ticks_to_s(std::int64_t ticks) {
  return static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace secondsource

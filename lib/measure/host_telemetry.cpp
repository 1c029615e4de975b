#include "measure/host_telemetry.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/clock.h"

namespace secondsource {
namespace {

constexpr std::string_view kNotAvailable = "not available: ";

TelemetryReading absent(std::string name, const std::string& why) {
  return {std::move(name), std::nullopt, std::string(kNotAvailable) + why};
}

std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace

HostTelemetry::HostTelemetry(HostFiles files) : files_(std::move(files)) {
  last_ns_ = now_ns();
  last_usage_ = read_host_usage(files_);
  last_ticks_ = read_cpu_ticks();
  (void)power(0.0);
}

std::vector<TelemetryReading> HostTelemetry::read() {
  const std::int64_t now = now_ns();
  const double elapsed_s = std::max(1e-9, 1e-9 * static_cast<double>(now - last_ns_));
  const HostUsage usage = read_host_usage(files_);
  const std::vector<CpuTicks> ticks = read_cpu_ticks();
  std::vector<TelemetryReading> readings;
  const auto add = [&](const char* name, std::optional<double> value, const char* why) {
    readings.push_back(value ? TelemetryReading{name, value, ""} : absent(name, why));
  };

  std::optional<double> mean;
  std::optional<double> busiest;
  CpuTicks sum;
  for (std::size_t cpu = 0; cpu < std::min(ticks.size(), last_ticks_.size()); ++cpu) {
    const std::int64_t total = ticks[cpu].total - last_ticks_[cpu].total;
    const std::int64_t busy = ticks[cpu].busy - last_ticks_[cpu].busy;
    sum.total += total;
    sum.busy += busy;
    if (total <= 0) continue;
    busiest = std::max(busiest.value_or(0.0), static_cast<double>(busy) / static_cast<double>(total));
  }
  if (sum.total > 0) mean = static_cast<double>(sum.busy) / static_cast<double>(sum.total);
  add("host_cpu_utilisation", mean, "/proc/stat did not advance");
  add("host_cpu_utilisation_max", busiest, "/proc/stat did not advance");
  add("host_other_cpu_share", others_cpu_share(last_usage_, usage), "the interval is too short for /proc/stat");
  add("process_cpu_utilisation", (usage.process_cpu_s - last_usage_.process_cpu_s) / elapsed_s, "");
  const Result<std::int64_t> rss = rss_bytes(files_);
  readings.push_back(rss ? TelemetryReading{"process_rss_bytes", static_cast<double>(*rss), ""}
                         : absent("process_rss_bytes", rss.error().message));
  const auto per_second = [&](std::int64_t now_count, std::int64_t last_count) {
    return static_cast<double>(now_count - last_count) / elapsed_s;
  };
  add("process_faults_per_s",
      per_second(usage.minor_faults + usage.major_faults, last_usage_.minor_faults + last_usage_.major_faults), "");
  add("process_switches_per_s",
      per_second(usage.voluntary_switches + usage.involuntary_switches,
                 last_usage_.voluntary_switches + last_usage_.involuntary_switches),
      "");
  readings.push_back(frequency());
  readings.push_back(power(elapsed_s));
  last_ns_ = now;
  last_usage_ = usage;
  last_ticks_ = ticks;
  return readings;
}

std::vector<HostTelemetry::CpuTicks> HostTelemetry::read_cpu_ticks() const {
  std::vector<CpuTicks> all;
  const Result<std::string> text = files_.read("proc/stat");
  if (!text) return all;
  std::string_view rest = *text;
  while (rest.starts_with("cpu")) {
    const auto end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.size() < 4 || line[3] == ' ') continue;  // the sum over all CPUs
    const char* at = line.data() + std::min(line.find(' '), line.size());
    std::array<std::int64_t, 8> ticks{};
    for (std::int64_t& value : ticks) {
      while (at < line.data() + line.size() && *at == ' ') ++at;
      at = std::from_chars(at, line.data() + line.size(), value).ptr;
    }
    CpuTicks cpu;
    for (const std::int64_t value : ticks) cpu.total += value;
    cpu.busy = cpu.total - ticks[3] - ticks[4];
    all.push_back(cpu);
  }
  return all;
}

TelemetryReading HostTelemetry::frequency() const {
  const char* const name = "host_frequency_hz";
  double sum_hz = 0;
  int count = 0;
  std::string why = "no CPU in /sys";
  for (std::size_t cpu = 0; cpu < last_ticks_.size(); ++cpu) {
    const Result<std::string> text =
        files_.read("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/scaling_cur_freq");
    if (!text) {
      why = text.error().message;
      break;
    }
    if (const auto khz = to_integer(*text)) {
      sum_hz += 1e3 * static_cast<double>(*khz);
      ++count;
    }
  }
  if (count == 0) return absent(name, why);
  return {name, sum_hz / count, ""};
}

TelemetryReading HostTelemetry::power(double elapsed_s) {
  const char* const name = "host_power_w";
  const std::string base = "sys/class/powercap/";
  std::int64_t energy_uj = 0;
  bool any = false;
  std::string why = "no RAPL package in /sys/class/powercap";
  for (const std::string& zone : files_.list(base)) {
    // "intel-rapl:0" is a package, "intel-rapl:0:1" a part of it.
    if (!zone.starts_with("intel-rapl:") || std::count(zone.begin(), zone.end(), ':') != 1) continue;
    const Result<std::string> text = files_.read(base + zone + "/energy_uj");
    if (!text) {
      why = text.error().message;
      continue;
    }
    energy_uj += to_integer(*text).value_or(0);
    any = true;
  }
  if (!any) return absent(name, why);
  const std::optional<std::int64_t> before = std::exchange(last_energy_uj_, energy_uj);
  // The counter wraps every few minutes; that one interval is left out.
  if (!before || energy_uj < *before || elapsed_s <= 0.0)
    return absent(name, "the energy counter wrapped or just began");
  return {name, 1e-6 * static_cast<double>(energy_uj - *before) / elapsed_s, ""};
}

}  // namespace secondsource

#include "host/host_telemetry.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/clock.h"
#include "core/number.h"

namespace secondsource {
namespace {

TelemetryReading absent(std::string name, const std::string& why) {
  return {std::move(name), std::nullopt, "not available: " + why};
}

std::optional<std::int64_t> to_integer(std::string_view text) {
  const auto number = parse_number_prefix<std::int64_t>(text);
  return number ? std::optional(number->value) : std::nullopt;
}

std::vector<CpuTicks> cpu_ticks_or_none(const HostFiles& files) {
  auto ticks = read_cpu_ticks(files);
  return ticks ? *std::move(ticks) : std::vector<CpuTicks>();
}

}  // namespace

HostTelemetry::HostTelemetry(HostFiles files, std::vector<std::int32_t> cpus)
    : files_(std::move(files)), cpus_(std::move(cpus)) {
  last_ns_ = now_ns();
  last_usage_ = read_host_usage(files_);
  last_ticks_ = cpu_ticks_or_none(files_);
  (void)power(0.0);
}

std::vector<TelemetryReading> HostTelemetry::read() {
  const std::int64_t now = now_ns();
  const double elapsed_s = std::max(1e-9, 1e-9 * static_cast<double>(now - last_ns_));
  const HostUsage usage = read_host_usage(files_);
  const std::vector<CpuTicks> ticks = cpu_ticks_or_none(files_);
  std::vector<TelemetryReading> readings;
  const auto add = [&](const char* name, std::optional<double> value, const char* why) {
    readings.push_back(value ? TelemetryReading{name, value, ""} : absent(name, why));
  };

  const auto share_between = [](const CpuTicks& before, const CpuTicks& after) -> std::optional<double> {
    const std::int64_t total = after.total - before.total;
    if (total <= 0) return std::nullopt;
    return static_cast<double>(after.busy - before.busy) / static_cast<double>(total);
  };
  const auto share_of = [&](std::size_t cpu) -> std::optional<double> {
    if (cpu >= std::min(ticks.size(), last_ticks_.size())) return std::nullopt;
    return share_between(last_ticks_[cpu], ticks[cpu]);
  };
  std::optional<double> busiest;
  for (std::size_t cpu = 0; cpu < ticks.size(); ++cpu) {
    if (const auto share = share_of(cpu)) busiest = std::max(busiest.value_or(0.0), *share);
  }
  const std::optional<double> mean = share_between(sum_of(last_ticks_, {}), sum_of(ticks, {}));
  add("host_cpu_utilisation", mean, "/proc/stat did not advance");
  add("host_cpu_utilisation_max", busiest, "/proc/stat did not advance");
  for (const std::int32_t cpu : cpus_) {
    add(fmt::format("cpu{}_utilisation", cpu).c_str(), share_of(static_cast<std::size_t>(cpu)),
        "/proc/stat did not advance");
  }
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
  add_frequency(readings);
  readings.push_back(power(elapsed_s));
  last_ns_ = now;
  last_usage_ = usage;
  last_ticks_ = ticks;
  return readings;
}

void HostTelemetry::add_frequency(std::vector<TelemetryReading>& readings) const {
  double sum_hz = 0;
  double max_hz = 0;
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
      max_hz = std::max(max_hz, 1e3 * static_cast<double>(*khz));
      ++count;
    }
  }
  for (const auto& [name, value] :
       {std::pair("host_frequency_hz", sum_hz / std::max(count, 1)), std::pair("host_frequency_hz_max", max_hz)}) {
    readings.push_back(count > 0 ? TelemetryReading{name, value, ""} : absent(name, why));
  }
}

TelemetryReading HostTelemetry::power(double elapsed_s) {
  const char* const name = "host_power_w";
  const std::string base = "sys/class/powercap/";
  std::int64_t energy_uj = 0;
  bool any = false;
  std::string why = "no RAPL package in /sys/class/powercap";
  for (const std::string& zone : files_.list(base)) {
    // "intel-rapl:0" is a package, and "intel-rapl:0:1" is a part of it.
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
  // The counter wraps every few minutes; an interval in which it does is left out.
  if (!before || energy_uj < *before || elapsed_s <= 0.0)
    return absent(name, "the energy counter wrapped or just began");
  return {name, 1e-6 * static_cast<double>(energy_uj - *before) / elapsed_s, ""};
}

}  // namespace secondsource

#include "host/host_state.h"

#include <fmt/format.h>
#include <sched.h>

#include <optional>

#include "core/number.h"
#include "host/cgroup.h"

namespace secondsource {
namespace {

Error unavailable(std::string why) {
  return Error{ErrorCode::kUnavailable, std::move(why)};
}

/// The integer at the beginning of `text`, after white space.
std::optional<std::int64_t> leading_integer(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  const auto number = parse_number_prefix<std::int64_t>(text);
  return number ? std::optional(number->value) : std::nullopt;
}

/// The integer after "KEY " at the beginning of a line.
std::optional<std::int64_t> integer_after(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(key) && line.substr(key.size()).starts_with(" ")) {
      return leading_integer(line.substr(key.size()));
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

Result<CpuTicks> read_cpu(const HostFiles& files, const std::vector<std::int32_t>& cpus) {
  SS_TRY(const std::vector<CpuTicks> ticks, read_cpu_ticks(files));
  return sum_of(ticks, cpus);
}

Result<HostState::Scheduling> read_scheduling(const HostFiles& files) {
  HostState::Scheduling sum;
  bool any = false;
  for (const std::string& thread : files.list("proc/self/task")) {
    // Each file holds "time on the CPU, time waiting for it, both in ns; time slices"
    // (Documentation/scheduler/sched-stats).
    const Result<std::string> text = files.read("proc/self/task/" + thread + "/schedstat");
    if (!text) continue;  // the thread has ended in the meantime
    const auto ran_ns = leading_integer(*text);
    const auto waited_ns = leading_integer(std::string_view(*text).substr(std::min(text->find(' '), text->size())));
    if (!ran_ns || !waited_ns) continue;
    sum.ran_s += 1e-9 * static_cast<double>(*ran_ns);
    sum.waited_s += 1e-9 * static_cast<double>(*waited_ns);
    sum.waited_s_of_thread[thread] = 1e-9 * static_cast<double>(*waited_ns);
    any = true;
  }
  if (!any) return unavailable("no /proc/self/task/*/schedstat");
  return sum;
}

Result<std::int64_t> read_major_faults(const HostFiles& files) {
  SS_TRY(const std::string text, files.read("proc/self/stat"));
  // The process name in parentheses may contain any character; majflt is the tenth field after it.
  std::string_view rest = std::string_view(text).substr(std::min(text.rfind(')') + 1, text.size()));
  for (int field = 0; field < 9; ++field) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    rest.remove_prefix(std::min(rest.find(' '), rest.size()));
  }
  const auto faults = leading_integer(rest);
  if (!faults) return unavailable("/proc/self/stat: expected at least 12 fields");
  return *faults;
}

Result<std::int64_t> read_swapped_pages(const HostFiles& files) {
  SS_TRY(const std::string text, files.read("proc/vmstat"));
  const auto in = integer_after(text, "pswpin");
  const auto out = integer_after(text, "pswpout");
  if (!in || !out) return unavailable("/proc/vmstat: no lines pswpin and pswpout");
  return *in + *out;
}

Result<std::int64_t> read_swapped_bytes(const HostFiles& files) {
  SS_TRY(const std::string text, files.read("proc/self/status"));
  const auto kibibytes = leading_integer(value_of_line(text, "VmSwap"));
  if (!kibibytes) return unavailable("/proc/self/status: no line VmSwap");
  return *kibibytes * 1024;
}

Result<std::int64_t> read_throttle_events(const HostFiles& files, const std::vector<std::int32_t>& cpus) {
  std::int64_t sum = 0;
  for (const std::int32_t cpu : cpus) {
    for (const char* counter : {"core_throttle_count", "package_throttle_count"}) {
      SS_TRY(const std::string text,
             files.read(fmt::format("sys/devices/system/cpu/cpu{}/thermal_throttle/{}", cpu, counter)));
      sum += leading_integer(text).value_or(0);
    }
  }
  if (cpus.empty()) return unavailable("no CPU is known");
  return sum;
}

Result<double> read_quota_waited(const HostFiles& files) {
  SS_TRY(const std::string text, read_cgroup_file(files, "cpu", "cpu.stat", "cpu.stat"));
  if (const auto us = integer_after(text, "throttled_usec")) return 1e-6 * static_cast<double>(*us);
  if (const auto ns = integer_after(text, "throttled_time")) return 1e-9 * static_cast<double>(*ns);
  return unavailable("cpu.stat of the control group has no throttled time");
}

Result<std::vector<std::pair<std::string, std::string>>> read_clock_settings(const HostFiles& files,
                                                                             const std::vector<std::int32_t>& cpus) {
  std::vector<std::pair<std::string, std::string>> settings;
  const auto add = [&](std::string name, const std::string& path) {
    if (auto value = files.read(path)) settings.emplace_back(std::move(name), *std::move(value));
  };
  const std::string base = "sys/devices/system/cpu/";
  for (const std::int32_t cpu : cpus) {
    for (const char* name : {"scaling_governor", "scaling_min_freq", "scaling_max_freq"}) {
      add(fmt::format("cpu{} {}", cpu, name), fmt::format("{}cpu{}/cpufreq/{}", base, cpu, name));
    }
  }
  add("no_turbo", base + "intel_pstate/no_turbo");
  add("boost", base + "cpufreq/boost");
  for (const std::string& supply : files.list("sys/class/power_supply")) {
    add(supply + " online", "sys/class/power_supply/" + supply + "/online");
  }
  if (settings.empty()) return unavailable("no cpufreq and no power supply in /sys");
  return settings;
}

}  // namespace

HostState read_host_state(const HostFiles& files, const std::vector<std::int32_t>& cpus) {
  return {.cpu = read_cpu(files, cpus),
          .scheduling = read_scheduling(files),
          .major_faults = read_major_faults(files),
          .swapped_pages = read_swapped_pages(files),
          .swapped_bytes = read_swapped_bytes(files),
          .throttle_events = read_throttle_events(files, cpus),
          .quota_waited_s = read_quota_waited(files),
          .clock_settings = read_clock_settings(files, cpus)};
}

std::vector<std::int32_t> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<std::int32_t> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (std::int32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace secondsource

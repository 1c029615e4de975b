#include "host/fingerprint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gnu/libc-version.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string>
#include <string_view>

#include "core/number.h"
#include "core/utf8.h"
#include "host/cgroup.h"
#include "host/host_state.h"

namespace secondsource {
namespace {

constexpr std::string_view kNotAvailable = "not available: ";

HostFact known(std::string name, std::string value) {
  return {std::move(name), std::move(value), ""};
}

HostFact unknown(std::string name, std::string_view why) {
  return {std::move(name), std::nullopt, std::string(kNotAvailable) + std::string(why)};
}

HostFact whole_file(const HostFiles& files, std::string name, const char* path) {
  Result<std::string> text = files.read(path);
  if (!text) return unknown(std::move(name), text.error().message);
  return known(std::move(name), *std::move(text));
}

std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find_first_of(" \t\n"));
}

/// Converts a line such as "MemTotal:  24689 kB" to bytes.
HostFact meminfo_bytes(const Result<std::string>& meminfo, std::string name, std::string_view key) {
  if (!meminfo) return unknown(std::move(name), meminfo.error().message);
  const auto kibibytes = parse_number_prefix<std::int64_t>(value_of_line(*meminfo, key));
  if (!kibibytes) return unknown(std::move(name), "/proc/meminfo has no such line");
  return known(std::move(name), std::to_string(kibibytes->value * 1024));
}

/// Looks up the first of several keys that /proc/cpuinfo has, because architectures name things differently.
HostFact cpuinfo_line(const Result<std::string>& cpuinfo, std::string name,
                      std::initializer_list<std::string_view> keys) {
  if (!cpuinfo) return unknown(std::move(name), cpuinfo.error().message);
  for (const std::string_view key : keys) {
    const std::string_view value = value_of_line(*cpuinfo, key);
    if (!value.empty()) return known(std::move(name), std::string(value));
  }
  return unknown(std::move(name), "/proc/cpuinfo has no such line");
}

struct CpuCounts {
  std::int64_t logical = 0;
  std::int64_t cores = 0;
  std::int64_t sockets = 0;
};

/// Counts distinct (package, core) pairs in /sys/devices/system/cpu/cpu<N>/topology.
CpuCounts count_cpus(const HostFiles& files) {
  CpuCounts counts;
  std::set<std::string> packages;
  std::set<std::string> cores;
  const std::string base = "sys/devices/system/cpu/";
  for (const std::string& name : files.list(base)) {
    if (name.size() < 4 || !name.starts_with("cpu") || name[3] < '0' || name[3] > '9') continue;
    ++counts.logical;
    const Result<std::string> package = files.read(base + name + "/topology/physical_package_id");
    const Result<std::string> core = files.read(base + name + "/topology/core_id");
    if (!package || !core) continue;
    packages.insert(*package);
    cores.insert(*package + "/" + *core);
  }
  counts.cores = static_cast<std::int64_t>(cores.size());
  counts.sockets = static_cast<std::int64_t>(packages.size());
  return counts;
}

void add_cpu_counts(const HostFiles& files, std::vector<HostFact>& facts) {
  const CpuCounts counts = count_cpus(files);
  const auto add = [&](const char* name, std::int64_t count) {
    facts.push_back(count > 0 ? known(name, std::to_string(count)) : unknown(name, "/sys has no CPU topology"));
  };
  add("logical_cpus", counts.logical);
  add("physical_cores", counts.cores);
  add("sockets", counts.sockets);
}

/// The choice in brackets: "always [madvise] never" -> "madvise".
HostFact bracketed_choice(const HostFiles& files, std::string name, const char* path) {
  const Result<std::string> text = files.read(path);
  if (!text) return unknown(std::move(name), text.error().message);
  const auto open = text->find('[');
  const auto close = text->find(']', open);
  if (open == std::string::npos || close == std::string::npos) return known(std::move(name), *text);
  return known(std::move(name), text->substr(open + 1, close - open - 1));
}

HostFact turbo(const HostFiles& files) {
  if (const Result<std::string> no_turbo = files.read("sys/devices/system/cpu/intel_pstate/no_turbo")) {
    return known("turbo", *no_turbo == "0" ? "on" : "off");
  }
  const Result<std::string> boost = files.read("sys/devices/system/cpu/cpufreq/boost");
  if (!boost) return unknown("turbo", boost.error().message);
  return known("turbo", *boost == "1" ? "on" : "off");
}

HostFact virtualization(const Result<std::string>& cpuinfo, const HostFiles& files) {
  if (const Result<std::string> vendor = files.read("sys/class/dmi/id/sys_vendor")) {
    return known("virtualization", *vendor);
  }
  if (!cpuinfo) return unknown("virtualization", cpuinfo.error().message);
  const std::string_view flags = value_of_line(*cpuinfo, "flags");
  return known("virtualization", flags.find("hypervisor") != std::string_view::npos ? "a hypervisor" : "none seen");
}

HostFact cgroup_memory_limit(const HostFiles& files) {
  const char* const name = "cgroup_memory_limit_bytes";
  const Result<std::string> limit = read_cgroup_file(files, "memory", "memory.limit_in_bytes", "memory.max");
  if (!limit) return unknown(name, limit.error().message);
  // Version 1 writes "no limit" as the largest multiple of the page size.
  const bool unlimited = *limit == "max" || limit->size() >= 19;
  return known(name, unlimited ? "none" : *limit);
}

/// The number of CPUs that the group may use, such as "1.50", or "none".
HostFact cgroup_cpu_limit(const HostFiles& files) {
  const char* const name = "cgroup_cpu_limit";
  std::int64_t quota = 0;
  std::int64_t period = 0;
  const auto parse = [](std::string_view text, std::int64_t& value) {
    return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
  };
  const Result<std::string> quota_text = read_cgroup_file(files, "cpu", "cpu.cfs_quota_us", "cpu.max");
  if (!quota_text) return unknown(name, quota_text.error().message);
  if (quota_text->starts_with("max") || quota_text->starts_with("-1")) return known(name, "none");
  const auto space = quota_text->find(' ');
  std::string period_text = space == std::string::npos ? "" : quota_text->substr(space + 1);
  if (period_text.empty()) {
    const Result<std::string> file = read_cgroup_file(files, "cpu", "cpu.cfs_period_us", "cpu.cfs_period_us");
    if (!file) return unknown(name, file.error().message);
    period_text = *file;
  }
  if (!parse(first_word(*quota_text), quota) || !parse(period_text, period) || period <= 0) {
    return unknown(name, fmt::format("cannot understand {}", in_quotes(*quota_text)));
  }
  return known(name, fmt::format("{:.2f}", static_cast<double>(quota) / static_cast<double>(period)));
}

HostFact affinity() {
  const std::vector<std::int32_t> cpus = usable_cpus();
  if (cpus.empty()) return unknown("affinity_cpus", "sched_getaffinity failed");
  return known("affinity_cpus", fmt::format("{}", fmt::join(cpus, ",")));
}

HostFact operating_system(const HostFiles& files) {
  const Result<std::string> text = files.read("etc/os-release");
  if (!text) return unknown("os", text.error().message);
  const auto key = text->find("PRETTY_NAME=\"");
  if (key == std::string::npos) return unknown("os", "/etc/os-release has no PRETTY_NAME");
  const auto begin = key + std::string_view("PRETTY_NAME=\"").size();
  return known("os", text->substr(begin, text->find('"', begin) - begin));
}

HostFact numa_nodes(const HostFiles& files) {
  const auto names = files.list("sys/devices/system/node");
  const auto count = std::count_if(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("node") && name.size() > 4 && name[4] >= '0' && name[4] <= '9';
  });
  if (count == 0) return unknown("numa_nodes", "/sys/devices/system/node has none");
  return known("numa_nodes", std::to_string(count));
}

HostFact first_word_of(const HostFiles& files, std::string name, const char* path) {
  const Result<std::string> text = files.read(path);
  if (!text) return unknown(std::move(name), text.error().message);
  return known(std::move(name), std::string(first_word(*text)));
}

}  // namespace

std::vector<HostFact> host_fingerprint(const HostFiles& files) {
  const Result<std::string> cpuinfo = files.read("proc/cpuinfo");
  const Result<std::string> meminfo = files.read("proc/meminfo");
  std::vector<HostFact> facts;
  facts.push_back(cpuinfo_line(cpuinfo, "cpu_model", {"model name", "Model", "CPU part", "cpu model"}));
  facts.push_back(cpuinfo_line(cpuinfo, "cpu_flags", {"flags", "Features"}));
  add_cpu_counts(files, facts);
  facts.push_back(meminfo_bytes(meminfo, "memory_bytes", "MemTotal"));
  facts.push_back(meminfo_bytes(meminfo, "swap_bytes", "SwapTotal"));
  facts.push_back(known("page_bytes", std::to_string(::sysconf(_SC_PAGESIZE))));
  facts.push_back(bracketed_choice(files, "thp_mode", "sys/kernel/mm/transparent_hugepage/enabled"));
  facts.push_back(numa_nodes(files));
  facts.push_back(whole_file(files, "kernel", "proc/sys/kernel/osrelease"));
  facts.push_back(whole_file(files, "governor", "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
  facts.push_back(turbo(files));
  facts.push_back(whole_file(files, "smt", "sys/devices/system/cpu/smt/control"));
  facts.push_back(virtualization(cpuinfo, files));
  facts.push_back(first_word_of(files, "load_1min", "proc/loadavg"));
  facts.push_back(cgroup_cpu_limit(files));
  facts.push_back(cgroup_memory_limit(files));
  facts.push_back(affinity());
  facts.push_back(operating_system(files));
  facts.push_back(known("libc", std::string("glibc ") + ::gnu_get_libc_version()));
  facts.push_back(known("libraries", fmt::format("fmt {}.{}.{}, libstdc++ {}", FMT_VERSION / 10000,
                                                 FMT_VERSION / 100 % 100, FMT_VERSION % 100, __GLIBCXX__)));
  facts.push_back(known("compiler", "g++ or compatible " __VERSION__));
  facts.push_back(first_word_of(files, "uptime_s", "proc/uptime"));
  return facts;
}

}  // namespace secondsource

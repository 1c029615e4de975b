#include "host/process_tree.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "core/clock.h"
#include "core/number.h"
#include "host/proc_stat.h"
#include "host/process_memory.h"

namespace secondsource {
namespace {

TelemetryReading not_available(std::string name, const std::string& why) {
  return {std::move(name), std::nullopt, "not available: " + why};
}

TelemetryReading reading_of(std::string name, double value) {
  return {std::move(name), value, ""};
}

/// The number behind `key` and a blank on one of the lines, as of cpu.stat.
std::optional<std::int64_t> number_of_line(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(key) && line.substr(key.size()).starts_with(' ')) {
      return parse_number<std::int64_t>(line.substr(key.size() + 1));
    }
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return std::nullopt;
}

}  // namespace

Result<ProcessStat> read_process_stat(const HostFiles& files, std::int64_t pid) {
  SS_TRY(const std::string text, files.read(fmt::format("proc/{}/stat", pid)));
  // proc(5): the name is in parentheses and may hold any sign; the fields behind it are counted from 3.
  const std::size_t name_end = text.rfind(')');
  const std::size_t name_begin = text.find('(');
  std::array<std::int64_t, 25> fields{};
  char state = '\0';
  std::string_view rest =
      name_end == std::string::npos ? std::string_view() : std::string_view(text).substr(name_end + 1);
  for (std::size_t number = 3; number < fields.size(); ++number) {
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
    if (number == 3) {  // a letter
      if (!word.empty()) state = word.front();
      continue;
    }
    const auto value = parse_number<std::int64_t>(word);
    if (!value) return Error{ErrorCode::kUnavailable, fmt::format("/proc/{}/stat: field {} is no number", pid, number)};
    fields[number] = *value;
  }
  constexpr std::size_t kParent = 4;
  constexpr std::size_t kSession = 6;
  constexpr std::size_t kFirstTime = 14;  // utime, stime, cutime, cstime
  constexpr std::size_t kStarted = 22;
  constexpr std::size_t kResident = 24;
  ProcessStat stat{.pid = pid,
                   .name = text.substr(name_begin + 1, name_end - name_begin - 1),
                   .is_ended = state == 'Z' || state == 'X',
                   .parent = fields[kParent],
                   .session = fields[kSession],
                   .started_ticks = fields[kStarted],
                   .resident_pages = fields[kResident]};
  for (std::size_t number = kFirstTime; number < kFirstTime + 4; ++number) stat.cpu_ticks += fields[number];
  return stat;
}

std::vector<ProcessStat> all_processes(const HostFiles& files) {
  std::vector<ProcessStat> all;
  for (const std::string& name : files.list("proc")) {
    const auto pid = parse_number<std::int64_t>(name);
    if (!pid) continue;
    auto stat = read_process_stat(files, *pid);
    if (stat) all.push_back(*std::move(stat));
  }
  return all;
}

std::vector<std::int64_t> process_tree(const HostFiles& files, std::int64_t root) {
  std::multimap<std::int64_t, std::int64_t> children;
  for (const ProcessStat& stat : all_processes(files)) children.emplace(stat.parent, stat.pid);
  if (!read_process_stat(files, root)) return {};
  std::vector<std::int64_t> tree = {root};
  for (std::size_t index = 0; index < tree.size(); ++index) {
    const auto [first, last] = children.equal_range(tree[index]);
    for (auto child = first; child != last; ++child) {
      // Processes that start and end while /proc is read could make the data contain a cycle.
      if (std::ranges::find(tree, child->second) == tree.end()) tree.push_back(child->second);
    }
  }
  return tree;
}

ProcessTreeTelemetry::ProcessTreeTelemetry(HostFiles files, std::int64_t root, bool is_container)
    : files_(std::move(files)), root_(root), is_container_(is_container), processes_(process_tree(files_, root)) {
  std::vector<TelemetryReading> first;
  last_ns_ = now_ns();
  add_memory_and_cpu(first, 0);
  if (is_container_) add_container(first, 0);
}

void ProcessTreeTelemetry::refresh() {
  std::vector<std::int64_t> processes = process_tree(files_, root_);
  const std::lock_guard lock(mutex_);
  processes_ = std::move(processes);
  fresh_pss_ = proportional_memory();
}

std::vector<TelemetryReading> ProcessTreeTelemetry::read() {
  const std::lock_guard lock(mutex_);
  const std::int64_t now = now_ns();
  const double elapsed_s = 1e-9 * static_cast<double>(now - std::exchange(last_ns_, now));
  std::vector<TelemetryReading> readings;
  add_memory_and_cpu(readings, elapsed_s);
  if (auto pss = std::exchange(fresh_pss_, std::nullopt)) readings.push_back(*std::move(pss));
  if (is_container_) add_container(readings, elapsed_s);
  return readings;
}

void ProcessTreeTelemetry::add_memory_and_cpu(std::vector<TelemetryReading>& readings, double elapsed_s) {
  std::int64_t ticks = 0;
  std::int64_t pages = 0;
  std::int64_t n_alive = 0;
  for (const std::int64_t pid : processes_) {
    const auto stat = read_process_stat(files_, pid);
    if (!stat) continue;
    ticks += stat->cpu_ticks;
    pages += stat->resident_pages;
    ++n_alive;
  }
  if (n_alive == 0) {
    readings.push_back(not_available("server_rss_bytes", fmt::format("process {} is gone", root_)));
    return;
  }
  static const double page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  const double bytes = page_bytes * static_cast<double>(pages);
  readings.push_back(reading_of("server_processes", static_cast<double>(n_alive)));
  readings.push_back(reading_of("server_rss_bytes", bytes));
  readings.push_back(reading_of("server_rss_bytes_max", bytes));
  const std::optional<std::int64_t> before = std::exchange(last_ticks_, ticks);
  // The sum may fall, because the time of an ended process that nobody waited for is lost.
  if (before && ticks >= *before && elapsed_s > 0) {
    readings.push_back(reading_of("server_cpus_busy", ticks_to_s(ticks - *before) / elapsed_s));
  }
}

TelemetryReading ProcessTreeTelemetry::proportional_memory() const {
  double sum = 0;
  std::string why = "no process is left";
  bool any = false;
  for (const std::int64_t pid : processes_) {
    const auto bytes = proportional_bytes(files_, pid);
    if (!bytes) {
      why = bytes.error().message;
      continue;
    }
    sum += static_cast<double>(*bytes);
    any = true;
  }
  return any ? reading_of("server_pss_bytes", sum) : not_available("server_pss_bytes", why);
}

Result<std::string> ProcessTreeTelemetry::group_file(const char* name) const {
  SS_TRY(const std::string groups, files_.read(fmt::format("proc/{}/cgroup", root_)));
  // Version 2 has one line, "0::/machine.slice/libpod-...".
  const std::size_t begin = groups.rfind("0::/");
  if (begin == std::string::npos || (begin != 0 && groups[begin - 1] != '\n')) {
    return Error{ErrorCode::kUnavailable, "control groups of version 1"};
  }
  const std::string path = groups.substr(begin + 4, groups.find('\n', begin) - begin - 4);
  return files_.read(fmt::format("sys/fs/cgroup/{}/{}", path, name));
}

void ProcessTreeTelemetry::add_container(std::vector<TelemetryReading>& readings, double elapsed_s) {
  const Result<std::string> memory = group_file("memory.current");
  const auto bytes = memory ? parse_number<std::int64_t>(*memory) : std::nullopt;
  readings.push_back(bytes ? reading_of("container_memory_bytes", static_cast<double>(*bytes))
                           : not_available("container_memory_bytes", memory ? "no number" : memory.error().message));
  const Result<std::string> times = group_file("cpu.stat");
  const auto us = times ? number_of_line(*times, "usage_usec") : std::nullopt;
  if (!us) {
    readings.push_back(not_available("container_cpus_busy", times ? "no usage_usec" : times.error().message));
    return;
  }
  const std::optional<std::int64_t> before = std::exchange(last_group_us_, us);
  if (before && *us >= *before && elapsed_s > 0) {
    readings.push_back(reading_of("container_cpus_busy", 1e-6 * static_cast<double>(*us - *before) / elapsed_s));
  }
}

}  // namespace secondsource

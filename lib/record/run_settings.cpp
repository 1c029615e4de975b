#include "record/run_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kMaxCpus = 4096;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> to_pairs(const RunSettings& settings) {
  if (!settings.is_recorded) return {};
  return {{"cell_budget_s", fmt::format("{}", settings.cell_budget_s)},
          {"cell_deadline_s", fmt::format("{}", settings.cell_deadline_s)},
          {"cpus", format_cpu_list(settings.cpus)},
          {"golden", settings.golden ? "true" : "false"},
          {"max_time_s", fmt::format("{}", settings.max_time_s)},
          {"memory_max_bytes", std::to_string(settings.memory_max_bytes)},
          {"named_backends", fmt::format("{}", fmt::join(settings.named_backends, ","))},
          {"noise_limit", fmt::format("{}", settings.noise_limit)},
          {"oracle", settings.oracle},
          {"step_deadline_s", fmt::format("{}", settings.step_deadline_s)},
          {"strict", settings.strict ? "true" : "false"},
          {"threads", std::to_string(settings.threads)},
          {"trace_file", settings.trace_file}};
}

Result<void> assign_pairs(RunSettings& settings, const std::vector<std::pair<std::string, std::string>>& pairs,
                          std::string_view where) {
  settings = RunSettings();
  settings.is_recorded = !pairs.empty();
  for (const auto& [key, value] : pairs) {
    bool good = true;
    if (key == "threads") {
      good = read_number(value, settings.threads);
    } else if (key == "cpus") {
      if (value.empty()) continue;
      SS_TRY(settings.cpus, parse_cpu_list(value));
    } else if (key == "memory_max_bytes") {
      good = read_number(value, settings.memory_max_bytes);
    } else if (key == "max_time_s") {
      good = read_number(value, settings.max_time_s);
    } else if (key == "step_deadline_s") {
      good = read_number(value, settings.step_deadline_s);
    } else if (key == "cell_deadline_s") {
      good = read_number(value, settings.cell_deadline_s);
    } else if (key == "cell_budget_s") {
      good = read_number(value, settings.cell_budget_s);
    } else if (key == "noise_limit") {
      good = read_number(value, settings.noise_limit);
    } else if (key == "trace_file") {
      settings.trace_file = value;
    } else if (key == "oracle") {
      settings.oracle = value;
    } else if (key == "named_backends") {
      for (const std::string_view backend : split(value, ',')) settings.named_backends.emplace_back(backend);
    } else if (key == "strict") {
      settings.strict = value == "true";
    } else if (key == "golden") {
      settings.golden = value == "true";
    } else {
      good = false;
    }
    if (!good) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: {}: expected what this version writes, found {}", where, key, in_quotes(value))};
    }
  }
  return {};
}

Result<std::vector<std::int32_t>> parse_cpu_list(std::string_view text) {
  const Error bad{ErrorCode::kInvalidInput,
                  fmt::format("CPUs: expected a list such as 0,2-3, found {}", in_quotes(text))};
  std::vector<std::int32_t> cpus;
  for (const std::string_view part : split(text, ',')) {
    const auto dash = part.find('-');
    std::int32_t first = 0;
    if (!read_number(part.substr(0, dash), first)) return bad;
    std::int32_t last = first;
    if (dash != std::string_view::npos && !read_number(part.substr(dash + 1), last)) return bad;
    if (first < 0 || last < first || last >= static_cast<std::int32_t>(kMaxCpus)) return bad;
    // A short text may name very many CPUs, and a run directory is untrusted.
    if (cpus.size() + static_cast<std::size_t>(last - first) >= kMaxCpus) return bad;
    for (std::int32_t cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  if (cpus.empty()) return bad;
  return cpus;
}

std::string format_cpu_list(const std::vector<std::int32_t>& cpus) {
  return fmt::format("{}", fmt::join(cpus, ","));
}

}  // namespace secondsource

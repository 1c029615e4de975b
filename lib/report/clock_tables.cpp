#include "report/clock_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/counted.h"

namespace secondsource {
namespace {

double in_ms(std::int64_t ns) {
  return 1e-6 * static_cast<double>(ns);
}

std::string clock_line(const std::string& backend, const ServerClock& clock) {
  if (!clock.ahead_low_ns || !clock.ahead_high_ns) {
    return fmt::format("{}: its clock is not known: {}", backend, clock.why_not);
  }
  return fmt::format("{}: its clock is between {:.1f} and {:.1f} ms ahead of this machine's, by {} {}", backend,
                     in_ms(*clock.ahead_low_ns), in_ms(*clock.ahead_high_ns),
                     clock.source == ServerTime::kDate ? "the Dates of" : "the times in the answers of",
                     counted(clock.n_responses, "response"));
}

/// True if `one` says more than `other`.
bool is_closer(const ServerClock& one, const ServerClock& other) {
  if (!one.ahead_low_ns || !one.ahead_high_ns) return false;
  if (!other.ahead_low_ns || !other.ahead_high_ns) return true;
  return in_ms(*one.ahead_high_ns) - in_ms(*one.ahead_low_ns) <
         in_ms(*other.ahead_high_ns) - in_ms(*other.ahead_low_ns);
}

}  // namespace

TextTable client_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  table.columns = {"cell", "repetition", "client", "its repetition", "moved by ms", "± ms", "turns", "in common"};
  table.right_aligned = {false, true, true, true, true, true, true, true};
  for (const SummarizedRun& run : runs) {
    for (const RepetitionClock& clock : run.clocks) {
      for (const ClientShift& client : clock.clients) {
        const std::int64_t own_ns = client.window_end_ns - client.window_start_ns;
        const double share = own_ns > 0 ? static_cast<double>(clock.window_ns) / static_cast<double>(own_ns) : 0;
        const std::string name = runs.size() > 1 ? run.summary.run_id.substr(0, 8) + " " : "";
        table.rows.push_back({name + clock.key.id(), fmt::to_string(clock.repetition), fmt::to_string(client.client),
                              fmt::to_string(client.repetition), fmt::format("{:.1f}", in_ms(client.offset_ns)),
                              fmt::format("{:.2f}", in_ms(client.bound_ns)), fmt::to_string(client.n_turns),
                              fmt::format("{:.0f} %", 100 * share)});
      }
    }
  }
  return table;
}

std::vector<std::string> clock_lines(const SummarizedRun& run) {
  std::vector<std::pair<std::string, const ServerClock*>> best;
  for (const RepetitionClock& clock : run.clocks) {
    if (!clock.server) continue;
    const auto known = std::ranges::find(best, clock.key.backend, &std::pair<std::string, const ServerClock*>::first);
    if (known == best.end()) {
      best.emplace_back(clock.key.backend, &*clock.server);
    } else if (is_closer(*clock.server, *known->second)) {
      known->second = &*clock.server;
    }
  }
  std::vector<std::string> lines;
  for (const auto& [backend, clock] : best) lines.push_back(clock_line(backend, *clock));
  return lines;
}

std::vector<std::string> client_lines(const RunRecord& record) {
  std::vector<std::string> lines;
  if (record.client) {
    lines.push_back(
        fmt::format("client {} of {}: a part of the load; `secondsource merge` makes one run of all clients'",
                    record.client->index, record.client->count));
  }
  if (record.clients.empty()) return lines;
  lines.push_back(
      fmt::format("merged: the load of {} clients, whose requests are counted together", record.clients.size()));
  for (const MergedClient& client : record.clients) {
    lines.push_back(fmt::format("client {}: run {} of {}, {}, {} CPUs", client.client, client.run_id,
                                client.started_utc, fact(client.host, "cpu_model").value_or("an unknown CPU"),
                                fact(client.host, "logical_cpus").value_or("?")));
  }
  return lines;
}

}  // namespace secondsource

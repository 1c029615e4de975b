#include "clients/merge_clients.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "clients/merged_repetition.h"
#include "clients/same_plan.h"
#include "core/utf8.h"
#include "record/ranges.h"
#include "summary/cell_lines.h"
#include "summary/summarize.h"

namespace secondsource {
namespace {

/// The lines of one cell of one client, by repetition; only repetitions that have ended.
struct CellOfClient {
  LoadClient client;
  std::vector<ClientRepetition> repetitions;
  std::set<std::int32_t> used;  ///< that are part of a merged one
};

CellOfClient cell_of_client(const LoadClient& client, const CellLines* lines) {
  CellOfClient cell{.client = client, .repetitions = {}, .used = {}};
  if (lines == nullptr) return cell;
  for (const Repetition* repetition : lines->repetitions) {
    ClientRepetition one{.client = client, .repetition = repetition, .samples = {}, .offset = {}};
    for (const RequestSample* sample : lines->samples) {
      if (sample->repetition == repetition->repetition) one.samples.push_back(sample);
    }
    cell.repetitions.push_back(std::move(one));
  }
  return cell;
}

/// Refuses times that no clock shows: they could overflow when they are shifted.
Result<void> check_times(const StoredRun& run) {
  constexpr std::int64_t kMost = INT64_MAX / 8;
  const auto is_time = [](std::int64_t ns) { return ns > -kMost && ns < kMost; };
  const auto all_are = [&](std::initializer_list<std::optional<std::int64_t>> times) {
    return std::ranges::all_of(times, [&](const auto& time) { return !time || is_time(*time); });
  };
  for (std::size_t index = 0; index < run.journal.lines.size(); ++index) {
    bool is_good = true;
    if (const auto* sample = std::get_if<RequestSample>(&run.journal.lines[index])) {
      is_good = all_are({sample->scheduled_ns, sample->sent_ns, sample->first_token_ns, sample->first_visible_ns,
                         sample->last_token_ns, sample->first_received_ns, sample->last_received_ns}) &&
                sample->request >= 0 && sample->request < kRequestsRange.max;
      std::int64_t after_first_ns = 0;
      for (const std::int64_t gap_ns : sample->itl_ns) {
        is_good = is_good && gap_ns >= 0 && is_time(gap_ns) && is_time(after_first_ns += gap_ns);
        if (!is_good) break;
      }
    } else if (const auto* end = std::get_if<Repetition>(&run.journal.lines[index])) {
      is_good = all_are({end->window_start_ns, end->window_end_ns}) && end->window_start_ns <= end->window_end_ns;
      if (end->server_clock) {
        for (const DateTurn& turn : end->server_clock->turns) {
          is_good = is_good && all_are({turn.after_ns, turn.until_ns}) && turn.after_ns <= turn.until_ns;
        }
      }
    }
    if (is_good) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}:{}: expected times that a clock shows, and requests of the plan",
                             (run.folder / "samples.jsonl").string(), index + 1)};
  }
  return {};
}

/// The repetition of another client that overlaps most with one of the first client, with its clock offset.
struct Match {
  std::optional<ClientRepetition> repetition{};  ///< nullopt if none overlaps
  double share = 0;                              ///< of the longer of the two windows that they have in common
  /// The repetitions of one client do not overlap, so a repetition can share more than half of its window with one
  /// repetition of another client only. The matching with the largest total overlap therefore has the same pairs.
  [[nodiscard]] bool was_measured_together() const { return repetition && share >= kLeastCommonShare; }
};

Result<Match> match_of(const ClientRepetition& first, const CellOfClient& other) {
  Match best;
  for (const ClientRepetition& candidate : other.repetitions) {
    if (other.used.contains(candidate.repetition->repetition)) continue;
    const auto offset = clock_offset(*first.repetition, *candidate.repetition);
    if (!offset) {
      return Error{offset.error().code,
                   fmt::format("client {}, repetition {}, and client {}, repetition {}: {}", first.client.index,
                               first.repetition->repetition, other.client.index, candidate.repetition->repetition,
                               offset.error().message)};
    }
    if (!*offset) continue;
    std::array<ClientRepetition, 2> both = {first, candidate};
    both[1].offset = **offset;
    const CommonWindow window = common_window(both);
    if (window.is_empty() || window.share() <= best.share) continue;
    best = {.repetition = std::move(both[1]), .share = window.share()};
  }
  return best;
}

/// Why a repetition of the first client found no partner; `nearest` is the best that there was.
std::string why_alone(const ClientRepetition& first, const CellOfClient& other, const Match& nearest) {
  if (nearest.repetition) {
    return fmt::format(
        "it was measured together with repetition {} of client {} in {:.0f} % of the longer of their windows, where at "
        "least {:.0f} % are expected",
        nearest.repetition->repetition->repetition, other.client.index, 100 * nearest.share, 100 * kLeastCommonShare);
  }
  if (other.repetitions.empty()) return fmt::format("client {} has none", other.client.index);
  const auto has_turns = [](const ClientRepetition& one) {
    return one.repetition->server_clock && !one.repetition->server_clock->turns.empty();
  };
  for (const ClientRepetition* one : {&first, &other.repetitions.front()}) {
    if (has_turns(*one)) continue;
    return one->repetition->server_clock
               ? fmt::format("client {} saw no second of the server's clock turn, by which clocks are related",
                             one->client.index)
               : fmt::format(
                     "client {} was told no time by the server, by which clocks are related: neither a Date in its "
                     "responses nor created in its answers",
                     one->client.index);
  }
  return fmt::format("none of client {} was measured at the same time", other.client.index);
}

class Merger {
 public:
  explicit Merger(std::span<const StoredRun> runs) : runs_(runs) {
    for (const StoredRun& run : runs_) lines_.push_back(lines_by_cell(run.journal));
  }

  Result<MergedRun> merge() {
    set_record();
    add_golden();
    for (std::size_t index = 0; index < merged_.record.cells.size(); ++index) SS_TRY_VOID(add_cell(index));
    if (n_merged_cells_ == 0 && !why_no_cell_.empty()) return Error{ErrorCode::kInvalidInput, why_no_cell_};
    add_failures();
    return std::move(merged_);
  }

 private:
  void set_record() {
    RunRecord& record = merged_.record;
    record = runs_.front().record;
    record.run_id.clear();
    record.command.clear();
    record.resumed_utc.clear();
    record.client.reset();
    const auto count = static_cast<std::int32_t>(runs_.size());
    for (const StoredRun& run : runs_) {
      const RunRecord& one = run.record;
      record.started_utc = std::min(record.started_utc, one.started_utc);
      record.clients.push_back({.client = one.client->index,
                                .run_id = one.run_id,
                                .started_utc = one.started_utc,
                                .command = one.command,
                                .host = one.host});
    }
    for (PlannedCell& cell : record.cells) {
      cell.scenario.batch *= count;
      cell.scenario.rate_per_s *= count;
      cell.scenario.n_requests *= count;
      const std::string id = cell.key.id();
      cell.key.scenario = cell.scenario.name();
      merged_id_[id] = cell.key.id();
    }
  }

  /// All clients judged the tokens of the same server, so the worst of their verdicts counts.
  void add_golden() {
    const auto badness = [](GoldenVerdict verdict) {
      constexpr std::array kOrder = {GoldenVerdict::kPassed, GoldenVerdict::kUnverified, GoldenVerdict::kUnavailable,
                                     GoldenVerdict::kNotRun, GoldenVerdict::kFailed};
      return std::ranges::find(kOrder, verdict) - kOrder.begin();
    };
    std::map<std::tuple<std::string, std::string, std::string>, GoldenRecord> worst;
    for (const StoredRun& run : runs_) {
      for (GoldenRecord& golden : summarize(run.record, run.journal).golden) {
        const auto [known, is_new] = worst.try_emplace({golden.bundle, golden.backend, golden.variant}, golden);
        if (!is_new && badness(golden.verdict) > badness(known->second.verdict)) known->second = std::move(golden);
      }
    }
    for (auto& [of, golden] : worst) merged_.lines.emplace_back(std::move(golden));
  }

  Result<void> add_cell(std::size_t index) {
    const std::string id = runs_.front().record.cells[index].key.id();
    const PlannedCell& planned = merged_.record.cells[index];
    std::vector<CellOfClient> clients;
    for (std::size_t run = 0; run < runs_.size(); ++run) {
      const auto found = lines_[run].find(id);
      clients.push_back(
          cell_of_client(*runs_[run].record.client, found == lines_[run].end() ? nullptr : &found->second));
    }
    std::string why_none;
    std::int32_t n_merged = 0;
    for (const ClientRepetition& first : clients.front().repetitions) {
      std::vector<ClientRepetition> together = {first};
      std::string why;
      for (std::size_t other = 1; other < clients.size() && why.empty(); ++other) {
        Result<Match> match = match_of(first, clients[other]);
        if (!match) return Error{match.error().code, fmt::format("cell {}: {}", shown(id), match.error().message)};
        if (match->was_measured_together()) {
          together.push_back(*std::move(match->repetition));
        } else {
          why = why_alone(first, clients[other], *match);
        }
      }
      if (why.empty() && common_window(together).is_empty())
        why = "there is no moment at which all clients were measuring";
      if (!why.empty()) {
        why_none = fmt::format("repetition {} of client {}: {}", first.repetition->repetition, first.client.index, why);
        merged_.notes.push_back(fmt::format("cell {}: {}; it is left out", shown(id), why_none));
        continue;
      }
      SS_TRY(std::vector<JournalLine> lines, merge_repetition(together, planned.key.id(), planned.scenario.turns));
      merged_.lines.insert(merged_.lines.end(), std::make_move_iterator(lines.begin()),
                           std::make_move_iterator(lines.end()));
      for (std::size_t client = 0; client < clients.size(); ++client) {
        clients[client].used.insert(together[client].repetition->repetition);
      }
      ++n_merged;
    }
    n_merged_cells_ += n_merged > 0 ? 1 : 0;
    const bool any = std::ranges::any_of(clients, [](const CellOfClient& one) { return !one.repetitions.empty(); });
    if (n_merged > 0 || !any) return {};  // without a repetition, the cell failed on all clients
    if (why_none.empty()) {
      why_none = fmt::format("client {} has no repetition", clients.front().client.index);
      merged_.notes.push_back(fmt::format("cell {}: {}; the cell is left out", shown(id), why_none));
    }
    const std::string why = why_none + ": expected repetitions that all clients measured at the same time";
    merged_.lines.emplace_back(FailureRecord{planned.key.backend, planned.key.id(), FailureKind::kError, why});
    if (why_no_cell_.empty()) why_no_cell_ = fmt::format("cell {}: {}", shown(id), why);
    return {};
  }

  /// Copies the failures of every client to the merged run.
  void add_failures() {
    for (const StoredRun& run : runs_) {
      for (FailureRecord failure : summarize(run.record, run.journal).failures) {
        failure.message = fmt::format("client {}: {}", run.record.client->index, failure.message);
        if (const auto merged = merged_id_.find(failure.cell); merged != merged_id_.end())
          failure.cell = merged->second;
        merged_.lines.emplace_back(std::move(failure));
      }
    }
  }

  std::span<const StoredRun> runs_;
  std::vector<std::map<std::string, CellLines, std::less<>>> lines_;
  std::map<std::string, std::string> merged_id_;  ///< of a cell, by the clients' own
  MergedRun merged_;
  std::int32_t n_merged_cells_ = 0;
  std::string why_no_cell_;  ///< why the first cell without a merged repetition has none
};

}  // namespace

Result<MergedRun> merge_clients(std::vector<StoredRun> runs) {
  if (runs.empty()) return Error{ErrorCode::kInvalidInput, "expected the runs of all clients, found none"};
  SS_TRY_VOID(check_same_plan(runs));
  for (const StoredRun& run : runs) SS_TRY_VOID(check_times(run));
  std::ranges::sort(runs, {}, [](const StoredRun& run) { return run.record.client->index; });
  return Merger(runs).merge();
}

}  // namespace secondsource

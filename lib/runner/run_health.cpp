#include "runner/run_health.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>

#include "core/enum_format.h"
#include "summary/summarize.h"

namespace secondsource {
namespace {

class RunJudge {
 public:
  RunJudge(const RunRecord& record, const RunSummary& summary, bool opportunistic_counts)
      : record_(record), summary_(summary), opportunistic_counts_(opportunistic_counts) {}

  void judge_backends() {
    for (const BackendRecord& backend : record_.backends) {
      if (backend.unavailable.empty()) continue;
      (is_named(record_, backend.name) ? health_.failures : health_.unavailable)
          .push_back(fmt::format("{}: unavailable: {}", backend.name, backend.unavailable));
    }
  }

  void judge_failures() {
    for (const FailureRecord& failure : summary_.failures) {
      std::vector<std::string>& lines = failure.kind == FailureKind::kBadInput ? health_.refused
                                        : !counts_as_failure(record_, failure) ? health_.unavailable
                                        : counts_at(failure.cell)              ? health_.failures
                                                                               : health_.without_effect;
      lines.push_back(fmt::format("{}: {}: {}", failure.cell.empty() ? failure.backend : failure.cell, failure.kind,
                                  failure.message));
    }
  }

  void judge_golden_passes() {
    for (const GoldenRecord& golden : summary_.golden) {
      const std::string place = golden.bundle + "/" + golden.backend + "/" + golden.variant;
      if (golden.verdict == GoldenVerdict::kFailed && counts_at(place)) health_.wrong_tokens = true;
      if (golden.verdict == GoldenVerdict::kUnverified) {
        health_.unverified.push_back(place + (golden.reasons.empty() ? "" : ": " + golden.reasons.front()));
      }
    }
    for (const CellSummary& cell : summary_.cells) {
      if (cell.golden != GoldenVerdict::kFailed || counts_at(cell.key.id())) continue;
      health_.without_effect.push_back(cell.key.id() + ": wrong tokens");
    }
  }

  void judge_samples(const std::vector<JournalLine>& lines) {
    for (const JournalLine& line : lines) {
      if (const auto* sample = std::get_if<RequestSample>(&line)) {
        if (sample->wrong_at && counts_at(sample->cell)) health_.wrong_tokens = true;
      } else if (const auto* repetition = std::get_if<Repetition>(&line)) {
        judge_repetition(*repetition);
      }
    }
  }

  [[nodiscard]] RunHealth health() && { return std::move(health_); }

 private:
  /// `place` is the id of a cell, or the part of it that all cells of a variant share.
  [[nodiscard]] bool counts_at(std::string_view place) const {
    if (opportunistic_counts_) return true;
    return std::ranges::none_of(summary_.cells, [&](const CellSummary& cell) {
      const std::string variant = cell.key.bundle + "/" + cell.key.backend + "/" + cell.key.variant;
      return cell.tier == Tier::kOpportunistic && (place == variant || place.starts_with(variant + "/"));
    });
  }

  void judge_repetition(const Repetition& repetition) {
    for (const CheckRecord& check : repetition.checks) {
      if (check.outcome != CheckOutcome::kInvalid) continue;
      (counts_at(repetition.cell) ? health_.invalid : health_.without_effect)
          .push_back(fmt::format("{} repetition {}: {}: {}", repetition.cell, repetition.repetition, check.name,
                                 check.detail));
    }
  }

  const RunRecord& record_;
  const RunSummary& summary_;
  bool opportunistic_counts_;
  RunHealth health_;
};

}  // namespace

RunHealth judge_run(const RunRecord& record, const std::vector<JournalLine>& lines, const RunSummary& summary,
                    bool opportunistic_counts) {
  RunJudge judge(record, summary, opportunistic_counts);
  judge.judge_backends();
  judge.judge_failures();
  judge.judge_golden_passes();
  judge.judge_samples(lines);
  return std::move(judge).health();
}

}  // namespace secondsource

#include "ab/ab_verdict.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "ab/ab_session.h"
#include "ab/pair_series.h"
#include "core/counted.h"
#include "core/enum_format.h"
#include "gate/apply_waivers.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// The golden verdicts of both sides for one backend and variant; either may be missing.
struct GoldenPair {
  const AbGolden* base = nullptr;
  const AbGolden* candidate = nullptr;
};

GoldenPair find_golden(const std::vector<AbGolden>& golden, const std::string& backend, const std::string& variant) {
  GoldenPair pair;
  for (const AbGolden& one : golden) {
    if (one.backend != backend || one.variant != variant) continue;
    (one.arm == Arm::kBase ? pair.base : pair.candidate) = &one;
  }
  return pair;
}

bool is_measurable(const AbGolden* golden) {
  return golden != nullptr &&
         (golden->verdict == GoldenVerdict::kPassed || golden->verdict == GoldenVerdict::kUnverified);
}

/// True if the side ran the golden prompts to their end, whatever the verdict.
bool is_judged(const AbGolden* golden) {
  return is_measurable(golden) || (golden != nullptr && golden->verdict == GoldenVerdict::kFailed);
}

/// Adds what a side could not do: a backend that it does not have, or that failed before its tokens were judged.
void add_absence(const std::string& id, const GoldenPair& pair, const AbRecord& record, bool decides,
                 GateReport& report) {
  const auto [base, candidate] = pair;
  const auto add = [&](std::vector<std::string>& findings, std::string_view why) {
    report.list_for(findings, decides).push_back(fmt::format("{}: {}", id, why));
  };
  if (candidate != nullptr && !is_judged(candidate) && (!candidate->left_out || is_judged(base))) {
    add(report.failed, candidate->reason);
  } else if (candidate == nullptr && is_judged(base)) {
    if (!record.golden_cut_short) add(report.failed, "the candidate has no such backend");
  } else if (base != nullptr && !is_judged(base) && !base->left_out) {
    const bool is_unavailable = base->verdict == GoldenVerdict::kUnavailable;
    add(is_unavailable ? report.failed : report.not_comparable, "base: " + base->reason);
  }
}

/// Adds the findings of the golden checks for backends and variants that are not timed.
void add_golden_findings(const AbRecord& record, GateReport& report) {
  for (const AbGolden& one : record.golden) {
    const GoldenPair pair = find_golden(record.golden, one.backend, one.variant);
    const auto [base, candidate] = pair;
    if (one.arm == Arm::kBase && candidate != nullptr) continue;  // report it only once, for the candidate
    const std::string id = one.backend + "/" + one.variant;
    const bool decides = record.decides(one.variant);
    if (candidate != nullptr && candidate->verdict == GoldenVerdict::kFailed) {
      report.list_for(report.wrong_tokens, decides)
          .push_back(fmt::format("{}: {}{}", id, decides ? "" : "wrong tokens: ", candidate->reason));
    } else if (!is_judged(base) || !is_judged(candidate)) {
      add_absence(id, pair, record, decides, report);
    } else if (base->verdict == GoldenVerdict::kFailed) {
      report.list_for(report.not_comparable, decides)
          .push_back(fmt::format("{}: the base's tokens are wrong: {}", id, base->reason));
    } else if (!record.allow_unverified &&
               (base->verdict == GoldenVerdict::kUnverified || candidate->verdict == GoldenVerdict::kUnverified)) {
      report.list_for(report.not_comparable, decides)
          .push_back(fmt::format("{}: the bundle is unverified (--allow-unverified judges it all the same)", id));
    }
  }
}

/// Adds the failures of a stint that ended early.
void add_process_failures(const AbStint& stint, std::span<const ProcessLine> lines, bool decides, GateReport& report) {
  const ProcessLine* last = nullptr;
  for (const ProcessLine& line : lines) {
    if (line.stint == stint.id() && !line.failure.empty()) last = &line;
  }
  if (last == nullptr) return;
  const std::string why = fmt::format("{}: {}: {}", stint.id(), last->arm, last->failure);
  const bool is_candidates = last->arm == Arm::kCandidate && !last->failure.starts_with("INVALID");
  report.list_for(is_candidates ? report.failed : report.not_comparable, decides).push_back(why);
}

/// Says that the time ended the golden prompts, and what was judged until then.
void add_cut_short(const AbRecord& record, GateReport& report) {
  if (!record.golden_cut_short) return;
  std::vector<std::string> judged;
  for (const AbGolden& one : record.golden) {
    if (is_judged(&one)) judged.push_back(fmt::format("{} {}/{} {}", one.arm, one.backend, one.variant, one.verdict));
  }
  report.cannot_decide = fmt::format(
      "cannot decide here: the {:g} s of --max-time were used up before the golden prompts of the {} ended; judged until "
      "then: {}",
      record.max_time_s, *record.golden_cut_short,
      judged.empty() ? "none" : fmt::format("{}", fmt::join(judged, ", ")));
}

/// Adds the stints of which no pair began, because the time was used up before.
void add_untimed(const AbRecord& record, std::span<const ProcessLine> lines, GateReport& report) {
  if (!is_time_up(record, lines)) return;
  std::vector<std::string> deciding;
  for (const AbStint& stint : record.stints) {
    if (std::ranges::find(lines, stint.id(), &ProcessLine::stint) != lines.end()) continue;
    if (record.decides(stint.variant)) {
      deciding.push_back(stint.id());
    } else {
      report.without_effect.push_back(fmt::format("{}: the {:g} s of --max-time were used up before its first pair",
                                                  stint.id(), record.max_time_s));
    }
  }
  if (deciding.empty()) return;
  report.cannot_decide = fmt::format(
      "cannot decide here: the {:g} s of --max-time were used up before the first pair of {}; what goes before the "
      "pairs, with the golden prompts, took {:.0f} s",
      record.max_time_s, fmt::join(deciding, ", "), record.prepared_s);
}

GateVerdict verdict_of(const PairSeries& series, const PairedGate& gate) {
  GateVerdict verdict;
  verdict.cell = series.cell;
  verdict.metric = series.metric;
  verdict.base_s = median(series.base_s);
  verdict.candidate_s = median(series.candidate_s);
  const auto found = gate.run(series.differences());
  if (!found) {
    verdict.n_pairs = static_cast<std::int64_t>(series.base_s.size());
    verdict.why = fmt::format("only {} of the {} pairs that the next look needs", series.base_s.size(),
                              *std::upper_bound(gate.plan().looks.begin(), gate.plan().looks.end() - 1,
                                                static_cast<std::int64_t>(series.base_s.size())));
    return verdict;
  }
  verdict.decision = found->decision;
  verdict.improved = found->improved;
  verdict.change_percent = to_percent(found->estimate);
  verdict.n_pairs = found->n_pairs;
  const bool is_bounded = std::isfinite(found->low) && std::isfinite(found->high);
  if (is_bounded) {
    verdict.low_percent = to_percent(found->low);
    verdict.high_percent = to_percent(found->high);
  }
  const std::string interval =
      is_bounded ? fmt::format("95 % within {:+.1f} to {:+.1f} %", *verdict.low_percent, *verdict.high_percent)
                 : "too few pairs for an interval";
  verdict.why = fmt::format("{:+.1f} % ({}), {}, {}", *verdict.change_percent, interval, threshold_text(gate.rule()),
                            counted(found->n_pairs, "pair"));
  if (found->decision == Decision::kInconclusive) {
    verdict.n_more_pairs = found->n_more_pairs;
    verdict.why += fmt::format("; about {} would decide it", counted(found->n_more_pairs, "more pair"));
  }
  return verdict;
}

}  // namespace

std::vector<AbStint> stints_of(const std::vector<AbGolden>& golden, bool allow_unverified) {
  std::vector<AbStint> stints;
  for (const AbGolden& one : golden) {
    if (one.arm != Arm::kBase) continue;
    const auto [base, candidate] = find_golden(golden, one.backend, one.variant);
    if (!is_measurable(base) || !is_measurable(candidate)) continue;
    const bool is_verified = base->verdict == GoldenVerdict::kPassed && candidate->verdict == GoldenVerdict::kPassed;
    if (is_verified || allow_unverified) stints.push_back({one.backend, one.variant});
  }
  return stints;
}

GateReport report_of(const AbRecord& record, std::span<const ProcessLine> lines, std::span<const Waiver> waivers,
                     std::string_view today) {
  GateReport report;
  report.base_run_id = record.ab_id + "/base";
  report.candidate_run_id = record.ab_id + "/candidate";
  report.method = GateMethod::kInterleavedPairs;
  report.threshold_percent = record.threshold_percent;
  add_golden_findings(record, report);
  add_cut_short(record, report);
  for (const AbStint& stint : record.stints) {
    bool any_open = false;
    const PairedGate gate = gate_of(record, lines, stint);
    const bool ended_early = gate.plan().looks != record.looks;
    const std::vector<PairSeries> all = series_of(lines, stint.id());
    for (const PairSeries& series : all) {
      report.verdicts.push_back(verdict_of(series, gate));
      GateVerdict& verdict = report.verdicts.back();
      verdict.decides = record.decides(stint.variant);
      if (ended_early && verdict.decision == Decision::kInconclusive) {
        verdict.why += fmt::format("; the comparison used up its {:.0f} s (--max-time)", record.max_time_s);
      }
      any_open = any_open || !report.verdicts.back().change_percent;
    }
    if (any_open || all.empty()) add_process_failures(stint, lines, record.decides(stint.variant), report);
  }
  add_untimed(record, lines, report);
  if (record.stints.empty() && report.cannot_decide.empty() && report.wrong_tokens.empty() && report.failed.empty() &&
      report.not_comparable.empty() && report.without_effect.empty()) {
    report.not_comparable.emplace_back("base and candidate have no backend and variant in common");
  }
  apply_waivers(waivers, today, report);
  return report;
}

}  // namespace secondsource

#include "report/notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/enum_format.h"
#include "core/units.h"
#include "record/roofline.h"
#include "report/disturbances.h"
#include "report/shared_notes.h"

namespace secondsource {
namespace {

/// What a reader must know about a variant, beside its figures; empty for a blessed one.
std::string tier_note(const CellSummary& cell) {
  const std::string variant = fmt::format("{}, {}", cell.key.bundle, cell.key.variant);
  if (!cell.outside_limits.empty()) {
    return fmt::format("{}: outside the limits of its quality ({}): it decides no gate and is no option of a brief",
                       variant, cell.outside_limits);
  }
  return cell.tier == Tier::kOpportunistic ? fmt::format("{}: opportunistic: it decides no gate", variant) : "";
}

/// How many of the weights' bytes are in huge pages; a part of a page may be left over.
std::string huge_pages_text(double huge_bytes, double weights_bytes) {
  if (huge_bytes >= 0.99 * weights_bytes) return "all weights in huge pages";
  return fmt::format("{:.0f} of {:.0f} MiB of weights in huge pages", huge_bytes / kMebibyte,
                     weights_bytes / kMebibyte);
}

/// True if a reader who divides the two medians of the row gets another change, by a percentage point or more.
bool is_unlike_medians(const GateVerdict& verdict) {
  if (!verdict.change_percent || !verdict.base_s || !verdict.candidate_s || !(*verdict.base_s > 0)) return false;
  const double of_medians = 100 * (*verdict.candidate_s / *verdict.base_s - 1);
  return std::abs(of_medians - *verdict.change_percent) >= 1;
}

/// Notes in the order in which they were added first, each once.
class DistinctNotes {
 public:
  void add(std::string note) {
    if (seen_.insert(note).second) notes_.push_back(std::move(note));
  }
  void add_all(std::vector<std::string> notes) {
    for (std::string& note : notes) add(std::move(note));
  }
  [[nodiscard]] std::vector<std::string> take() && { return std::move(notes_); }

 private:
  std::vector<std::string> notes_;
  std::unordered_set<std::string> seen_;
};

void add_notes_of_files(const SummarizedRun& run, DistinctNotes& notes) {
  if (!run.has_samples) notes.add(summary_only_note(run));
  if (!run.has_checksums) {
    notes.add(
        fmt::format("run {}: written by an earlier version without checksums, so damage to its files would not "
                    "be noticed",
                    run.record.run_id));
  }
}

void add_notes_of_bundles(const RunRecord& record, DistinctNotes& notes) {
  for (const BundleRecord& bundle : record.bundles) {
    if (bundle.verified) continue;
    notes.add(fmt::format("{}: unverified: no independent expected outputs, so nothing proves these tokens right",
                          bundle.name));
  }
}

void add_notes_of_backends(const RunRecord& record, DistinctNotes& notes) {
  for (const BackendRecord& backend : record.backends) {
    if (!backend.unavailable.empty()) {
      notes.add(fmt::format("{}: not run: {}", backend.name, backend.unavailable));
    } else if (backend.served && backend.served->features) {
      notes.add(fmt::format("{}: {}", backend.name, features_text(*backend.served->features)));
    }
    for (const auto& [key, value] : backend.options) {
      if (key == "fault") notes.add(fmt::format("{}: a fault was planted on purpose: {}", backend.name, value));
    }
  }
}

void add_notes_of_golden_passes(const RunSummary& summary, DistinctNotes& notes) {
  SharedNotes shared;
  for (const GoldenRecord& golden : summary.golden) {
    const std::string row = fmt::format("{}/{}/{}", golden.bundle, golden.backend, golden.variant);
    if (golden.level) {
      shared.add(row, fmt::format("tokens {} at level {}, which cannot show {}", golden.verdict, *golden.level,
                                  blind_spot(*golden.level)));
    }
    for (const std::string& reason : golden.reasons) shared.add(row, reason);
  }
  notes.add_all(shared.lines());
}

void add_notes_of_failures(const RunSummary& summary, DistinctNotes& notes) {
  for (const FailureRecord& failure : summary.failures) {
    notes.add(fmt::format("{}: {}: {}", failure.cell.empty() ? failure.backend : failure.cell, failure.kind,
                          failure.message));
  }
}

void add_notes_of_cells(const RunSummary& summary, DistinctNotes& notes) {
  SharedNotes shared;
  for (const CellSummary& cell : summary.cells) {
    for (const std::string& note : other_notes(cell)) shared.add(cell.key.id(), note);
  }
  notes.add_all(shared.lines());
}

/// Which variants have their weights in huge pages, in all runs together.
std::vector<std::string> huge_page_notes(std::span<const SummarizedRun> runs) {
  SharedNotes shared;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      if (!cell.memory || !cell.memory->huge_weights_bytes) continue;
      shared.add(fmt::format("{}/{}/{}", cell.key.bundle, cell.key.backend, cell.key.variant),
                 huge_pages_text(static_cast<double>(*cell.memory->huge_weights_bytes),
                                 static_cast<double>(cell.memory->weights_bytes)));
    }
  }
  return shared.lines();
}

}  // namespace

std::vector<std::string> result_notes(std::span<const SummarizedRun> runs) {
  DistinctNotes notes;
  for (const SummarizedRun& run : runs) {
    add_notes_of_files(run, notes);
    add_notes_of_bundles(run.record, notes);
    add_notes_of_backends(run.record, notes);
    for (const CellSummary& cell : run.summary.cells) {
      if (std::string note = tier_note(cell); !note.empty()) notes.add(std::move(note));
    }
    add_notes_of_golden_passes(run.summary, notes);
    add_notes_of_failures(run.summary, notes);
    add_notes_of_cells(run.summary, notes);
    const bool uses_host = std::ranges::any_of(run.record.backends, [](const auto& one) { return one.device.is_host; });
    if (const std::string caveat = limits_caveat(run.record.limits); uses_host && !caveat.empty()) notes.add(caveat);
    if (!run.record.price) notes.add("$/1M and $/1K: no price was given (--price)");
  }
  notes.add_all(huge_page_notes(runs));
  notes.add_all(disturbance_lines(runs));
  return std::move(notes).take();
}

std::vector<std::string> gate_notes(const GateReport& gate) {
  std::vector<std::string> notes;
  if (!gate.cannot_decide.empty()) notes.push_back(gate.cannot_decide);
  for (const std::string& cell : gate.wrong_tokens) notes.push_back("wrong tokens: " + cell);
  for (const std::string& cell : gate.failed) notes.push_back("not measured: " + cell);
  for (const std::string& reason : gate.not_comparable) notes.push_back("not comparable: " + reason);
  for (const std::string& cell : gate.not_judged) notes.push_back("not judged: " + cell);
  for (const std::string& error : gate.waiver_errors) notes.push_back(error);
  for (const std::string& note : gate.waiver_notes) notes.push_back(note);
  const std::string without_effect = "opportunistic, so without effect: ";
  for (const std::string& finding : gate.without_effect) notes.push_back(without_effect + finding);
  for (const GateVerdict& verdict : gate.verdicts) {
    if (verdict.decision == Decision::kPass && !verdict.improved) continue;
    notes.push_back(fmt::format("{}{}: {} {}: {}", verdict.decides ? "" : without_effect, to_string(verdict.decision),
                                verdict.cell.id(), verdict.metric, verdict.why));
  }
  if (std::ranges::any_of(gate.verdicts, is_unlike_medians)) {
    notes.emplace_back(
        "base and candidate are medians; the change is the Hodges-Lehmann estimate from all repetitions or pairs, and "
        "may differ from the ratio of the medians");
  }
  const bool any_decides = std::ranges::any_of(gate.verdicts, &GateVerdict::decides) || !gate.wrong_tokens.empty() ||
                           !gate.failed.empty() || !gate.not_comparable.empty();
  const bool any_opportunistic = !gate.verdicts.empty() || !gate.without_effect.empty();
  if (any_opportunistic && !any_decides) {
    notes.emplace_back("nothing here can fail: all variants are opportunistic (--gate-opportunistic judges them)");
  }
  return notes;
}

std::string summary_only_note(const SummarizedRun& run) {
  return fmt::format(
      "run {}: its figures are those of summary.json and were not derived again, because samples.jsonl is "
      "missing or has no complete line",
      run.record.run_id);
}

}  // namespace secondsource

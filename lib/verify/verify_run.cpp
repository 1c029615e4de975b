#include "verify/verify_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "verify/derive.h"

namespace secondsource::verify {
namespace {

/// Members that are sentences for readers; their figures are in other members.
constexpr std::array<std::string_view, 4> kSentences = {"notes", "why_not", "bound_why", "detail"};

/// Members that summaries of earlier versions lack (docs/results-format.md).
constexpr std::array<std::string_view, 46> kAddedLater = {"time_lost",
                                                          "throughput_basis",
                                                          "tpot_p50_ns_by_repetition",
                                                          "lost",
                                                          "tier",
                                                          "outside_limits",
                                                          "source_quantization",
                                                          "ttft_queue_p50_ns",
                                                          "ttft_tokenize_p50_ns",
                                                          "ttft_transfer_p50_ns",
                                                          "ttft_prefill_p50_ns",
                                                          "ttft_sample_p50_ns",
                                                          "busy_vcpus",
                                                          "telemetry",
                                                          "tpot_mean_ns",
                                                          "tpot_p90_ns",
                                                          "tpot_p95_ns",
                                                          "itl_mean_ns",
                                                          "itl_p90_ns",
                                                          "itl_p95_ns",
                                                          "n_answers",
                                                          "n_answers_right",
                                                          "n_reference_answers_right",
                                                          "n_streamed",
                                                          "golden_level",
                                                          "level",
                                                          "n_repeated",
                                                          "n_same_twice",
                                                          "n_same_in_batch",
                                                          "swap",
                                                          "late_send_share",
                                                          "latest_send_ns",
                                                          "n_cancelled",
                                                          "freed_tok_per_s",
                                                          "unwanted_tokens",
                                                          "budget_models",
                                                          "memory_why_not",
                                                          "trace_context",
                                                          "n_too_long",
                                                          "cancel_share",
                                                          "cancel_after",
                                                          "turns",
                                                          "think_s",
                                                          "think",
                                                          "turn",
                                                          "conversation"};

bool was_added_later(std::string_view member) {
  return std::ranges::find(kAddedLater, member) != kAddedLater.end();
}

bool is_same_number(const Json& expected, const Json& found) {
  if (expected.is_number_integer() && found.is_number_integer()) return expected == found;
  const auto a = expected.get<double>();
  const auto b = found.get<double>();
  // The two sides round in a different order; printed figures have four digits.
  return std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b));
}

class Comparison {
 public:
  Comparison(Verification& verification, std::string name) : verification_(verification), name_(std::move(name)) {}

  void compare(const Json& expected, const Json& found, const std::string& where) {
    if (expected.is_object() && found.is_object()) return compare_objects(expected, found, where);
    if (expected.is_array() && found.is_array() && expected.size() == found.size()) {
      for (std::size_t i = 0; i < found.size(); ++i) {
        compare(expected[i], found[i], fmt::format("{}[{}]", where, i));
      }
      return;
    }
    ++verification_.n_figures;
    const bool is_same =
        expected.is_number() && found.is_number() ? is_same_number(expected, found) : expected == found;
    if (!is_same) fault(where, fmt::format("the samples give {}, and it says {}", expected.dump(), found.dump()));
  }

 private:
  void compare_objects(const Json& expected, const Json& found, const std::string& where) {
    const auto place_of = [&](const std::string& key) { return fmt::format("{}: {}", where, key); };
    for (const auto& [key, value] : found.items()) {
      if (std::ranges::find(kSentences, key) != kSentences.end()) continue;
      const auto derived = expected.find(key);
      if (derived == expected.end()) {
        if (value.is_null() && was_added_later(key)) continue;  // samples of an earlier version, summarized again
        fault(place_of(key), "nothing in the samples gives this figure");
      } else {
        compare(*derived, value, place_of(key));
      }
    }
    for (const auto& [key, value] : expected.items()) {
      if (found.contains(key) || was_added_later(key)) continue;
      fault(place_of(key), fmt::format("the samples give {}, and it is missing", value.dump()));
    }
  }

  void fault(const std::string& where, const std::string& what) {
    verification_.faults.push_back(fmt::format("{}: {}: {}", name_, where, what));
  }

  Verification& verification_;
  std::string name_;
};

/// The lines of one type without their type and checksum.
std::vector<Json> lines_of_type(const RawRun& run, std::string_view type) {
  std::vector<Json> lines;
  for (const RawLine& line : run.lines) {
    if (line.tree.at("type") != type) continue;
    Json tree = line.tree;
    tree.erase("type");
    tree.erase("checksum");
    lines.push_back(std::move(tree));
  }
  return lines;
}

/// Earlier versions, whose cells have no mean of the gaps, took intervals from the spread of samples.
bool has_earlier_intervals(const Json& cell) {
  return cell.is_object() && cell.contains("itl_p50_ns") && !cell.contains("itl_mean_ns");
}

/// Leaves out the intervals of a rerun.
void drop_intervals(Json& cell) {
  for (auto& [name, figure] : cell.items()) {
    if (!figure.is_object() || name == "slo_attainment") continue;
    figure.erase("low");
    figure.erase("high");
  }
}

/// The last verdict on each bundle, backend and variant, in their order.
Json golden_verdicts(const RawRun& run) {
  std::map<std::string, Json> verdicts;
  for (Json& line : lines_of_type(run, "golden")) {
    std::string of;
    for (const char* part : {"bundle", "backend", "variant"})
      of += (of.empty() ? "" : "/") + line.at(part).get<std::string>();
    verdicts[of] = std::move(line);
  }
  Json array = Json::array();
  for (auto& [of, verdict] : verdicts) array.push_back(std::move(verdict));
  return array;
}

Result<Verification> verify_trees(std::string_view record, std::string_view samples,
                                  std::span<const NamedSummary> summaries) {
  SS_TRY(const RawRun run, read_raw_run(record, samples));
  Verification verification{.faults = run.faults, .notes = run.notes};
  const std::vector<CellLines> cells = lines_by_cell(run, verification.faults);
  Json expected = {{"schema_version", run.record.at("schema_version")},
                   {"run_id", run.record.at("run_id")},
                   {"cells", Json::array()},
                   {"golden", golden_verdicts(run)},
                   {"failures", standing_failures(run)}};
  for (const CellLines& cell : cells) {
    ++verification.n_cells;
    verification.n_samples += static_cast<std::int64_t>(cell.samples.size());
    expected["cells"].push_back(derive_cell(run, cell));
    for (std::string& fault : contradictions(cell)) verification.faults.push_back(std::move(fault));
  }
  for (const NamedSummary& summary : summaries) {
    SS_TRY(Json found, read_raw_summary(summary.text, summary.name, verification.faults));
    found.erase("checksum");
    Json rest = expected;
    Comparison comparison(verification, summary.name);
    // Messages name cells by their id, because an index would say little.
    if (found.contains("cells") && found["cells"].is_array() && found["cells"].size() == cells.size()) {
      for (std::size_t i = 0; i < cells.size(); ++i) {
        Json expected_cell = expected["cells"][i];
        if (has_earlier_intervals(found["cells"][i])) {
          drop_intervals(expected_cell);
          drop_intervals(found["cells"][i]);
          verification.notes.push_back(
              fmt::format("{}: {}: its intervals are those of an earlier version, and were not compared", summary.name,
                          cells[i].id));
        }
        comparison.compare(expected_cell, found["cells"][i], cells[i].id);
      }
      rest.erase("cells");
      found.erase("cells");
    }
    comparison.compare(rest, found, "the run");
  }
  return verification;
}

}  // namespace

Result<Verification> verify_run(std::string_view record, std::string_view samples,
                                std::span<const NamedSummary> summaries) {
  try {
    return verify_trees(record, samples, summaries);
  } catch (const Json::exception& error) {
    return Error{ErrorCode::kInvalidInput, fmt::format("expected the records of a run: {}", error.what())};
  }
}

}  // namespace secondsource::verify

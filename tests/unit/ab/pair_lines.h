#pragma once
// Hand-made lines of a pairs.jsonl with one stint, one cell and two metrics.

#include <cmath>
#include <vector>

#include "ab/ab_record.h"

namespace secondsource::test {

inline CellKey tiny_cell() {
  return {"tiny", "cpu", "bf16", "single-stream"};
}

inline ProcessLine process_line(std::int64_t pair, Arm arm, double cost_s, double ttft_s) {
  ProcessLine line;
  line.pair = pair;
  line.stint = "cpu/bf16";
  line.arm = arm;
  line.run = "processes/x";
  line.started_utc = "2026-11-20T08:00:00Z";
  line.wall_s = 2.5;
  line.others_cpu_share = 0.01;
  line.values = {{tiny_cell(), "cost", cost_s}, {tiny_cell(), "ttft", ttft_s}};
  return line;
}

/// Returns `n` pairs in which the candidate is slower by `change`, with a spread of +-1 %.
inline std::vector<ProcessLine> pair_lines(std::int64_t n, double change) {
  std::vector<ProcessLine> lines;
  for (std::int64_t pair = 0; pair < n; ++pair) {
    const double spread = 1 + 0.01 * std::sin(static_cast<double>(pair));
    lines.push_back(process_line(pair, Arm::kBase, 0.010, 0.2));
    lines.push_back(process_line(pair, Arm::kCandidate, 0.010 * spread * (1 + change), 0.2 * spread));
  }
  return lines;
}

/// A comparison with two cells (one scenario, cost and ttft) whose tokens are right on both sides.
inline AbRecord tiny_record(std::vector<std::int64_t> looks) {
  AbRecord record;
  record.ab_id = "0123456789abcdef";
  record.started_utc = "2026-11-20T08:00:00Z";
  record.base.name = Arm::kBase;
  record.candidate.name = Arm::kCandidate;
  record.scenarios = {"single-stream@128/16"};
  record.looks = std::move(looks);
  record.threshold_percent = 10;
  record.stints = {{"cpu", "bf16"}};
  record.golden = {{Arm::kBase, "cpu", "bf16", GoldenVerdict::kPassed, "", {}},
                   {Arm::kCandidate, "cpu", "bf16", GoldenVerdict::kPassed, "", {}}};
  return record;
}

}  // namespace secondsource::test

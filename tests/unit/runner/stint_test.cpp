#include "runner/stint.h"

#include "support/result.h"

namespace secondsource {
namespace {

PlannedCell cell_of(const std::string& variant, ScenarioKind kind, std::int32_t repetitions) {
  PlannedCell cell;
  cell.scenario.kind = kind;
  cell.scenario.batch = 4;
  cell.scenario.rate_per_s = 1;
  cell.key = {"b", "cpu", variant, cell.scenario.name()};
  cell.repetitions = repetitions;
  return cell;
}

RunRecord record_of(std::vector<PlannedCell> cells) {
  RunRecord record;
  record.bundles.emplace_back().name = "b";
  record.backends.emplace_back().name = "cpu";
  record.cells = std::move(cells);
  return record;
}

/// "single-stream 0" for each turn, in order.
std::vector<std::string> turns_text(const std::vector<Turn>& turns) {
  std::vector<std::string> text;
  for (const Turn& turn : turns) {
    text.push_back(turn.cell->key.variant + " " + turn.cell->key.scenario + " " + std::to_string(turn.repetition));
  }
  return text;
}

Repetition finished_repetition(const PlannedCell& cell, std::int32_t repetition) {
  Repetition end;
  end.cell = cell.key.id();
  end.repetition = repetition;
  return end;
}

TEST_CASE("a stint has the cells of one bundle, backend and variant, in the order of the plan") {
  const RunRecord record =
      record_of({cell_of("bf16", ScenarioKind::kSingleStream, 1), cell_of("int8", ScenarioKind::kSingleStream, 1),
                 cell_of("bf16", ScenarioKind::kOffline, 1)});
  const std::vector<Stint> stints = stints_of(record).value();
  REQUIRE(stints.size() == 2);
  CHECK(stints[0].id == "b/cpu/bf16");
  CHECK(stints[0].cells == std::vector{&record.cells[0], &record.cells[2]});
  CHECK(stints[1].id == "b/cpu/int8");
  RunRecord without_backend = record;
  without_backend.backends.clear();
  CHECK_ERROR(stints_of(without_backend), ErrorCode::kInvalidInput, "expected its bundle and backend");
}

TEST_CASE("the cells of a stint take turns, repetition by repetition") {
  const RunRecord record =
      record_of({cell_of("bf16", ScenarioKind::kSingleStream, 3), cell_of("bf16", ScenarioKind::kOffline, 2)});
  const std::vector<Stint> stints = stints_of(record).value();
  CHECK(turns_text(turns_of(stints[0], FinishedWork({}))) ==
        std::vector<std::string>{"bf16 single-stream 0", "bf16 offline-b4 0", "bf16 single-stream 1",
                                 "bf16 offline-b4 1", "bf16 single-stream 2"});
  const FinishedWork some({finished_repetition(record.cells[0], 0), finished_repetition(record.cells[1], 0),
                           finished_repetition(record.cells[0], 1)});
  CHECK(turns_text(turns_of(stints[0], some)) == std::vector<std::string>{"bf16 offline-b4 1", "bf16 single-stream 2"});
  const FinishedWork failed({FailureRecord{"cpu", record.cells[1].key.id(), FailureKind::kCrash, "boom"}});
  CHECK(turns_text(turns_of(stints[0], failed)) ==
        std::vector<std::string>{"bf16 single-stream 0", "bf16 single-stream 1", "bf16 single-stream 2"});
}

TEST_CASE("a cell that seeks a rate has one turn, in which it is measured to its end") {
  RunRecord record =
      record_of({cell_of("bf16", ScenarioKind::kServer, 3), cell_of("bf16", ScenarioKind::kSingleStream, 2)});
  record.cells[0].scenario.seeks_slo_rate = true;
  const std::vector<Stint> stints = stints_of(record).value();
  const std::vector<Turn> turns = turns_of(stints[0], FinishedWork({}));
  REQUIRE(turns.size() == 3);
  CHECK(turns[0].cell == &record.cells[0]);
  CHECK(turns[1].cell == &record.cells[1]);
  CHECK(turns[2].cell == &record.cells[1]);
}

}  // namespace
}  // namespace secondsource

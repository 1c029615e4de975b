// The expected values were computed by hand from the limits and times below.

#include "summary/portability.h"

#include <string_view>

#include "core/file.h"
#include "report/markdown.h"
#include "report/portability_table.h"
#include "support/result.h"
#include "support/source_path.h"
#include "unit/summary/sample_run.h"

namespace secondsource {
namespace {

using test::hand_made_journal;
using test::hand_made_record;

/// The cells of cpu and onednn on a machine with 10 GB/s and 100 Gflop/s.
SummarizedRun traced_run() {
  RunRecord record = hand_made_record(1);
  record.limits.emplace();
  record.limits->reads = {{1 << 20, 10e9}};
  record.limits->f32_flops = 100e9;
  for (BackendRecord& backend : record.backends) {
    backend.device.name = "Test CPU";
    backend.module_sha256 = backend.name + "-hash";
  }
  Journal journal = hand_made_journal(1, 3);
  journal.lines.pop_back();  // onednn does not crash here
  SummarizedRun run{record, summarize(record, journal)};
  run.summary.cells[1].golden = GoldenVerdict::kPassed;
  return run;
}

OperationTime product(std::int64_t ns, double flops, double bytes) {
  return {.operation = "rms_norm+matmul",
          .label = "mlp.down",
          .shape_class = "decode, 1 token",
          .shape = "8 -> 4",
          .kernel = "gemv",
          .fallback = "",
          .n_calls = 10,
          .ns = ns,
          .flops = flops,
          .bytes = bytes};
}

OperationTimes pass(const SummarizedRun& run, std::size_t cell, std::vector<OperationTime> operations) {
  OperationTimes times;
  times.cell = run.summary.cells[cell].key.id();
  times.n_steps = 10;
  times.operations = std::move(operations);
  return times;
}

const PortabilityRow& row_of(const PortabilityMatrix& matrix, std::string_view operation) {
  for (const PortabilityRow& row : matrix.rows) {
    if (row.operation == operation) return row;
  }
  FAIL("no row for " << operation);
  return matrix.rows.front();
}

TEST_CASE(
    "the share of the roofline is the time at the limits over the time taken; portability is their harmonic mean") {
  SummarizedRun run = traced_run();
  // 5 MB at 10 GB/s take 0.5 ms and 20 Mflop at 100 Gflop/s 0.2 ms, so that reading is the limit. The measured times
  // are 1 ms and 2 ms.
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)}), pass(run, 1, {product(2'000'000, 2e7, 5e6)})};
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  REQUIRE(matrix.platforms.size() == 2);
  const PortabilityRow& row = row_of(matrix, "matmul");
  CHECK(row.type == "bf16");
  CHECK(row.shape_class == "decode, 1 token");
  CHECK(row.parts[0].roofline_share.value_or(0) == Approx(0.5));
  CHECK(row.parts[1].roofline_share.value_or(0) == Approx(0.25));
  CHECK(row.parts[0].conformance == ConformanceVerdict::kNotJudged);
  CHECK(row.portability.value_or(0) == Approx(2 / (1 / 0.5 + 1 / 0.25)));
  // 60 Mflop take 0.6 ms, which is longer than reading 5 MB.
  run.operations = {pass(run, 0, {product(1'000'000, 6e7, 5e6)})};
  CHECK(row_of(portability_matrix({&run, 1}, {}), "matmul").parts[0].roofline_share.value_or(0) == Approx(0.6));
}

TEST_CASE("time of operations without counted work lowers the share of all, and has none of its own") {
  SummarizedRun run = traced_run();
  OperationTime norm = product(1'000'000, 0, 1000);
  norm.operation = "rms_norm";
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6), norm})};
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  const PortabilityPart& part = row_of(matrix, "rms_norm").parts[0];
  CHECK_FALSE(part.roofline_share);
  CHECK(part.time_share.value_or(0) == Approx(0.5));
  CHECK(row_of(matrix, "rms_norm").shape_class == "all");
  CHECK_FALSE(row_of(matrix, "rms_norm").portability);
  CHECK(row_of(matrix, "all").parts[0].roofline_share.value_or(0) == Approx(0.25005));
}

TEST_CASE(
    "a platform that cannot run an operation makes its portability zero; one that was not measured leaves it open") {
  SummarizedRun run = traced_run();
  OperationTimes without = pass(run, 1, {});
  OperationTime other = product(1'000'000, 2e7, 5e6);
  other.operation = "attention";
  without.operations = {other};
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)}), without};
  CHECK(row_of(portability_matrix({&run, 1}, {}), "matmul").parts[1].state == PartState::kNotMeasured);
  CHECK_FALSE(row_of(portability_matrix({&run, 1}, {}), "matmul").portability);

  run.operations[1].refusals = {{"matmul", "", "no products here"}, {"matmul", "int4", "no int4"}};
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  CHECK(row_of(matrix, "matmul").parts[1].state == PartState::kUnsupported);
  CHECK(row_of(matrix, "matmul").parts[1].why == "no products here");
  CHECK(row_of(matrix, "matmul").portability == 0.0);
  CHECK(matrix.notes.size() == 2);
  // A refusal of other weights is not a refusal of this operation.
  run.operations[1].refusals = {{"matmul", "int4", "no int4"}};
  CHECK(row_of(portability_matrix({&run, 1}, {}), "matmul").parts[1].state == PartState::kNotMeasured);
}

TEST_CASE("a backend that does not have a variant at all is unsupported in all of it") {
  SummarizedRun run = traced_run();
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)})};
  run.summary.failures = {{"onednn", "tiny/onednn/bf16", FailureKind::kUnsupported, "no bf16"}};
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  CHECK(row_of(matrix, "matmul").parts[1].why == "no bf16");
  CHECK(row_of(matrix, "matmul").portability == 0.0);
}

TEST_CASE("a backend that broke down is a platform without a measurement, and the portability is unknown") {
  SummarizedRun run = traced_run();
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)})};
  REQUIRE(portability_matrix({&run, 1}, {}).platforms.size() == 1);
  run.summary.failures = {{"onednn", "tiny/onednn/bf16", FailureKind::kCrash, "signal 11"}};
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  REQUIRE(matrix.platforms.size() == 2);
  CHECK(row_of(matrix, "matmul").parts[1].state == PartState::kNotMeasured);
  CHECK(row_of(matrix, "matmul").parts[1].why == "crash: signal 11");
  CHECK_FALSE(row_of(matrix, "matmul").portability);
  CHECK(matrix.notes == std::vector<std::string>{"onednn: not measured with bf16: crash: signal 11"});
}

TEST_CASE("wrong tokens and a failed conformance suite get no share") {
  SummarizedRun run = traced_run();
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)})};
  const ConformanceRecord failed{
      .backend = "cpu", .module_sha256 = "cpu-hash", .device = "", .families = {{"matmul", 119, 1, 0, {"off by one"}}}};
  const PortabilityRow judged = row_of(portability_matrix({&run, 1}, {&failed, 1}), "matmul");
  CHECK(judged.parts[0].conformance == ConformanceVerdict::kFailed);
  CHECK(judged.parts[0].state == PartState::kWrong);
  CHECK_FALSE(judged.parts[0].roofline_share);
  CHECK(judged.portability == 0.0);

  run.summary.cells[0].golden = GoldenVerdict::kFailed;
  CHECK(row_of(portability_matrix({&run, 1}, {}), "matmul").parts[0].state == PartState::kWrong);
}

TEST_CASE("the suite judges the operation and type that its family is about, of the very module that ran") {
  SummarizedRun run = traced_run();
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)})};
  ConformanceRecord record{
      .backend = "cpu",
      .module_sha256 = "cpu-hash",
      .device = "",
      .families = {{"matmul", 120, 0, 0, {}}, {"matmul_w8a8", 0, 3, 0, {"x"}}, {"route", 0, 9, 0, {}}}};
  CHECK(row_of(portability_matrix({&run, 1}, {&record, 1}), "matmul").parts[0].conformance ==
        ConformanceVerdict::kPassed);
  record.module_sha256 = "of another build";
  CHECK(row_of(portability_matrix({&run, 1}, {&record, 1}), "matmul").parts[0].conformance ==
        ConformanceVerdict::kNotJudged);
}

TEST_CASE("the oracle has its column, and no part in the mean") {
  SummarizedRun run = traced_run();
  run.record.settings.oracle = "onednn";
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)}), pass(run, 1, {product(50'000'000, 2e7, 5e6)})};
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  CHECK(row_of(matrix, "matmul").portability.value_or(0) == Approx(0.5));
  CHECK(portability_table(matrix).columns ==
        std::vector<std::string>{"operation", "type", "shapes", "cpu", "onednn (oracle)", "portability"});
}

TEST_CASE("fallbacks are marked in the table and explained below it") {
  SummarizedRun run = traced_run();
  OperationTime slow = product(1'000'000, 2e7, 5e6);
  slow.fallback = "no fast path for one row";
  run.operations = {pass(run, 0, {slow})};
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  CHECK(portability_table(matrix).rows.back()[3] == "50 %, fallback");
  CHECK(matrix.notes == std::vector<std::string>{"cpu: fallback with bf16: no fast path for one row"});
  CHECK(write_markdown(matrix).find("| matmul | bf16 | decode, 1 token | 50 %, fallback | 50 % |") !=
        std::string::npos);
}

TEST_CASE(
    "a variant outside the limits of its quality is marked in the rows of its type, and the figures are in a note") {
  SummarizedRun run = traced_run();
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)})};
  CHECK(portability_matrix({&run, 1}, {}).rows.back().outside_limits.empty());
  run.summary.cells[0].outside_limits = "mean KL 0.07, at most 0.05 allowed";
  const PortabilityMatrix matrix = portability_matrix({&run, 1}, {});
  CHECK(row_of(matrix, "matmul").type == "bf16");
  CHECK(row_of(matrix, "matmul").outside_limits == "tiny (mean KL 0.07, at most 0.05 allowed)");
  CHECK(matrix.notes == std::vector<std::string>{
                            "bf16: outside the limits of its quality in tiny (mean KL 0.07, at most 0.05 allowed)"});
  CHECK(portability_table(matrix).rows.back()[1] == "bf16, outside its limits");
}

TEST_CASE("shares of limits that were measured on a busy machine are said to be upper bounds") {
  SummarizedRun run = traced_run();
  run.operations = {pass(run, 0, {product(1'000'000, 2e7, 5e6)})};
  CHECK(portability_matrix({&run, 1}, {}).notes.empty());
  run.record.limits->disturbed = 0.36;
  REQUIRE(portability_matrix({&run, 1}, {}).notes.size() == 1);
  CHECK(portability_matrix({&run, 1}, {}).notes[0].find("36 % of the time, so the shares of these limits may be too") !=
        std::string::npos);
}

TEST_CASE("a run that was not traced has no matrix") {
  const SummarizedRun run = traced_run();
  CHECK(portability_matrix({&run, 1}, {}).rows.empty());
}

TEST_CASE("harmonic means") {
  using Shares = std::vector<std::optional<double>>;
  CHECK(harmonic_mean(Shares{0.5, 0.25}) == Approx(1.0 / 3));
  CHECK(harmonic_mean(Shares{0.5, std::nullopt}) == 0);
  CHECK(harmonic_mean(Shares{0.5, 0.0}) == 0);
  CHECK(harmonic_mean(Shares{}) == 0);
}

TEST_CASE("the published schema of the matrix is the one that its record gives") {
  const auto published = read_file(test::source_path("reports/schemas/portability.schema.json"));
  REQUIRE_OK(published);
  CHECK(*published == portability_schema());
}

}  // namespace
}  // namespace secondsource

#include "fault/fault.h"

#include "core/clock.h"
#include "fault/faulty_backend.h"
#include "reference/backend.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// Eight floats per row: row r has its largest value at position r.
class TableSource final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float>) const override {
    auto* const floats = reinterpret_cast<float*>(values.data());
    for (std::int64_t i = 0; i < n_rows * 8; ++i) floats[i] = first_row + i / 8 == i % 8 ? 4.0F : 0.0F;
    return {};
  }
};

struct Fixture {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Step> step;
  std::vector<std::int32_t> zero = {0};
  std::vector<std::int32_t> starts = {0, 1};
  std::vector<std::int32_t> one = {1};
  std::vector<std::int32_t> id = {2};
  std::vector<SamplingParams> sampling = std::vector<SamplingParams>(1);

  explicit Fixture(const char* fault, GroupTiming group_timing = GroupTiming::kOff) {
    auto inner = reference::create({});
    auto spec = parse_fault(fault);
    REQUIRE_OK(inner);
    REQUIRE_OK(spec);
    backend = make_faulty_backend(std::move(inner).value(), *spec);
    const auto table = prepare();
    const auto pool = make_pool();
    if (!table || !pool) return;
    StepGraph graph;
    graph.values = {{.cols = 8}, {.rows = Rows::kLogits, .cols = 8}};
    graph.ops = {Embed{.table = *table, .out = ValueId{0}}, SelectRows{.x = ValueId{0}, .out = ValueId{1}},
                 Sample{.logits = ValueId{1}, .n_top = 2, .keep_logits = true}};
    auto compiled = backend->compile(graph, {1, 1, 1, 1}, *pool, group_timing);
    REQUIRE_OK(compiled);
    step = std::move(compiled).value();
  }
  Result<WeightId> prepare() const {
    WeightSpec spec;
    spec.name = "table";
    spec.n_rows = spec.n_cols = 8;
    spec.encoding = WeightEncoding::kF32;
    spec.parts = {{8, std::make_shared<TableSource>()}};
    return backend->prepare_weight(spec);
  }
  Result<KvPoolId> make_pool() const {
    return backend->create_kv_pool({.n_layers = 1, .n_kv_heads = 1, .head_dim = 4, .dtype = DType::kF32}, 1);
  }
  Result<StepResult> run() {
    const Batch batch{.token_ids = id,
                      .positions = zero,
                      .kv_slots = zero,
                      .q_starts = starts,
                      .kv_lengths = one,
                      .block_table = zero,
                      .seq_slots = zero,
                      .logit_rows = zero,
                      .sampling = sampling,
                      .max_pages_per_seq = 1};
    SS_TRY(const Ticket ticket, step->submit(batch));
    return backend->wait(ticket, {});
  }
};

TEST_CASE("a fault is parsed, or refused with the kinds there are") {
  const auto slow = parse_fault("slow:80:matmul");
  REQUIRE_OK(slow);
  CHECK(slow->kind == FaultKind::kSlow);
  CHECK(slow->argument == 80);
  CHECK(slow->operation == "matmul");
  CHECK(parse_fault("slow")->argument == 50);
  CHECK(parse_fault("fail")->argument == 1);
  for (const char* const bad :
       {"", "melt", "fail:0", "fail:x", "fail:1:matmul", "slow:50:nothing", "fail:99999999999"}) {
    INFO(bad);
    CHECK_ERROR(parse_fault(bad), ErrorCode::kInvalidInput, "fault \"");
  }
}

TEST_CASE("the Nth submit fails, once and for all") {
  Fixture f("fail:3");
  REQUIRE_OK(f.run());
  REQUIRE_OK(f.run());
  CHECK_ERROR(f.run(), ErrorCode::kDeviceLost, "planted fault fail:3");
  CHECK_ERROR(f.run(), ErrorCode::kDeviceLost, "the backend failed before: planted fault fail:3");
  CHECK_ERROR(f.prepare(), ErrorCode::kDeviceLost, "planted fault");
}

TEST_CASE("a stalled step is a deadline that passed") {
  Fixture f("stall:2");
  REQUIRE_OK(f.run());
  CHECK_ERROR(f.run(), ErrorCode::kDeadline, "planted fault stall:2");
}

TEST_CASE("memory runs out where it was told to, and that is recoverable") {
  Fixture weights("oom:2");
  CHECK_ERROR(weights.prepare(), ErrorCode::kOutOfMemory, "no memory for weight table");
  REQUIRE_OK(weights.prepare());
  Fixture pools("oom-kv:2");
  CHECK_ERROR(pools.make_pool(), ErrorCode::kOutOfMemory, "no memory for a cache");
}

TEST_CASE("garbage is finite, plausible and wrong from the Nth step on") {
  Fixture f("garbage:2");
  CHECK(f.run()->tokens[0].id == 2);
  const auto wrong = f.run();
  CHECK(wrong->tokens[0].id == 3);
  CHECK(wrong->tokens[0].top[0].id == 3);
  CHECK(wrong->logits[3] == 4.0F);
  CHECK(wrong->logits[2] == 0.0F);
}

TEST_CASE("a planted slowdown adds its share to the step's time") {
  Fixture f("slow:10000");
  const std::int64_t started_at_ns = now_ns();
  const auto result = f.run();
  REQUIRE_OK(result);
  // The step takes 101 times as long, so almost all of the elapsed time is the slowdown.
  CHECK(result->device_ns * 100 / 101 <= now_ns() - started_at_ns);
  CHECK(result->device_ns > 101);
}

TEST_CASE("a slowdown of one operation needs no trace and shows none") {
  Fixture f("slow:1000:embed");
  const auto result = f.run();
  REQUIRE_OK(result);
  CHECK(result->groups.empty());
  Fixture traced("slow:1000:embed", GroupTiming::kOn);
  const auto with_groups = traced.run();
  REQUIRE_OK(with_groups);
  REQUIRE(with_groups->groups.size() == 3);
  std::int64_t sum = 0;
  for (const GroupTime& group : with_groups->groups) sum += group.ns;
  CHECK(sum <= with_groups->device_ns);
}

TEST_CASE("the fault is in the fingerprint") {
  const Fixture f("slow:50");
  CHECK(f.backend->device().properties.back().second == "slow:50");
}

}  // namespace
}  // namespace secondsource

#include "backend_kit/eager_step.h"

#include <fmt/format.h>

#include "backend/batch_storage.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

constexpr std::int32_t kVocab = 5;

/// A toy model: Embed writes a scaled one-hot row of the next id (the id plus 1, modulo 5), and RmsNorm doubles its input.
/// A planted bug writes past the output.
class CountingKernels final : public HostKernels {
 public:
  Result<void> run(const Embed& op, const HostFrame& frame) override {
    ++n_calls;
    const MatrixView<float> out = frame.value(op.out);
    for (std::int64_t t = 0; t < out.rows(); ++t) {
      std::ranges::fill(out.row(t), 0.0F);
      out(t, (frame.token_ids[static_cast<std::size_t>(t)] + 1) % kVocab) = op.scale;
    }
    if (writes_past_end) out.data()[out.rows() * out.cols()] = 1.0F;
    return {};
  }
  Result<void> run(const RmsNorm& op, const HostFrame& frame) override {
    const MatrixView<float> x = frame.value(op.x);
    const MatrixView<float> out = frame.value(op.out);
    for (std::int64_t i = 0; i < x.rows() * x.cols(); ++i) out.data()[i] = 2.0F * x.data()[i];
    return {};
  }
  Result<void> run(const Matmul&, const HostFrame&) override { return Error{ErrorCode::kInternal, "planted"}; }
  Result<void> run(const RopeAppend&, const HostFrame&) override { return {}; }
  Result<void> run(const Attention&, const HostFrame&) override { return {}; }
  Result<void> run(const SelectColumns&, const HostFrame&) override { return {}; }
  Result<void> run(const Route&, const HostFrame&) override { return {}; }
  Result<void> run(const LatentAppend&, const HostFrame&) override { return {}; }
  Result<void> run(const HeadMatmul&, const HostFrame&) override { return {}; }
  Result<void> run(const GroupedMatmul&, const HostFrame&) override { return {}; }
  [[nodiscard]] OpGroup describe(const Op& op, std::int32_t index, std::int64_t n_rows) const override {
    return {{index}, fmt::format("{} of {}", op_name(op), n_rows), ""};
  }
  int n_calls = 0;
  bool writes_past_end = false;
};

StepGraph counting_graph() {
  StepGraph graph;
  graph.values = {
      {.cols = kVocab, .observed = true}, {.cols = kVocab}, {.rows = Rows::kLogits, .cols = kVocab, .observed = true}};
  graph.ops = {Embed{.table = WeightId{0}, .out = ValueId{0}, .scale = 3.0F},
               RmsNorm{.x = ValueId{0}, .weight = WeightId{0}, .out = ValueId{1}},
               SelectRows{.x = ValueId{1}, .out = ValueId{2}},
               Sample{.logits = ValueId{2}, .n_top = 1, .keep_logits = true}};
  return graph;
}

/// A batch of one token for each of `slots`, each in a sequence of its own and with logits.
BatchStorage decode_batch(std::vector<std::int32_t> ids, std::vector<std::int32_t> slots) {
  BatchStorage batch;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    batch.positions.push_back(0);
    batch.kv_slots.push_back(index);
    batch.q_starts.push_back(index + 1);
    batch.kv_lengths.push_back(1);
    batch.block_table.push_back(index);
    batch.logit_rows.push_back(index);
  }
  batch.sampling.resize(ids.size());
  batch.token_ids = std::move(ids);
  batch.seq_slots = std::move(slots);
  return batch;
}

constexpr Bucket kBucket{4, 4, 4, 1};

struct Fixture {
  MemoryAccount account;
  CountingKernels kernels;
  EagerQueue queue{4, &account};
  std::unique_ptr<Step> step;
  explicit Fixture(GroupTiming group_timing = GroupTiming::kOff, EagerOptions options = {}) {
    auto made = make_eager_step(counting_graph(), kBucket, KvPoolId{0}, group_timing, kernels, queue, options);
    REQUIRE_OK(made);
    step = std::move(made).value();
  }
};

TEST_CASE("a step runs its operations, selects rows, samples, and keeps observed values") {
  Fixture f;
  const BatchStorage batch = decode_batch({0, 3}, {1, 2});
  const auto ticket = f.step->submit(batch.view());
  REQUIRE_OK(ticket);
  const auto result = f.queue.take(*ticket, {});
  REQUIRE_OK(result);
  REQUIRE(result->tokens.size() == 2);
  CHECK(result->tokens[0].id == 1);
  CHECK(result->tokens[1].id == 4);
  CHECK(result->logits == std::vector<float>{0, 6, 0, 0, 0, 0, 0, 0, 0, 6});
  CHECK(result->groups.empty());
  const auto value = f.step->read_value(ValueId{0});
  REQUIRE_OK(value);
  CHECK(*value == std::vector<float>{0, 3, 0, 0, 0, 0, 0, 0, 0, 3});
  CHECK_ERROR(f.step->read_value(ValueId{1}), ErrorCode::kInvalidInput, "not observed");
  CHECK(f.account.use().workspace_bytes > 0);
  CHECK(f.account.use().peak_bytes == f.account.use().workspace_bytes);
}

TEST_CASE("token id -1 is the last sampled id of the sequence's slot, with two steps in flight and in any order") {
  Fixture f;
  const BatchStorage first = decode_batch({0, 3}, {1, 2});
  const BatchStorage second = decode_batch({-1, -1}, {2, 1});
  const auto a = f.step->submit(first.view());
  const auto b = f.step->submit(second.view());
  REQUIRE_OK(a);
  REQUIRE_OK(b);
  REQUIRE_OK(f.queue.take(*a, {}));
  const auto result = f.queue.take(*b, {});
  REQUIRE_OK(result);
  CHECK(result->tokens[0].id == 0);  // slot 2 held 4
  CHECK(result->tokens[1].id == 2);  // slot 1 held 1
}

TEST_CASE("token id -1 before anything was sampled fails and poisons") {
  Fixture f;
  CHECK_ERROR(f.step->submit(decode_batch({-1}, {3}).view()), ErrorCode::kInvalidInput,
              "nothing was sampled for device slot 3");
  CHECK_ERROR(f.step->submit(decode_batch({0}, {3}).view()), ErrorCode::kDeviceLost,
              "nothing was sampled for device slot 3");
}

TEST_CASE("a third step in flight is refused") {
  Fixture f;
  const BatchStorage batch = decode_batch({0}, {0});
  REQUIRE_OK(f.step->submit(batch.view()));
  REQUIRE_OK(f.step->submit(batch.view()));
  CHECK_ERROR(f.step->submit(batch.view()), ErrorCode::kInvalidInput, "at most 2 steps in flight");
}

TEST_CASE("a deadline before the step finished poisons, and the cause is kept") {
  Fixture f;
  const auto ticket = f.step->submit(decode_batch({0}, {0}).view());
  REQUIRE_OK(ticket);
  CHECK_ERROR(f.queue.take(*ticket, {.at_ns = 0}), ErrorCode::kDeadline, "after its deadline");
  CHECK_ERROR(f.queue.healthy(), ErrorCode::kDeviceLost, "after its deadline");
}

TEST_CASE("a kernel's failure comes out of wait with the operation's name, later calls say device-lost") {
  Fixture f;
  StepGraph graph = counting_graph();
  graph.ops[1] = Matmul{.x = ValueId{0}, .weight = WeightId{0}, .out = ValueId{1}};
  graph.labels = {"a", "b", "c", "d"};
  auto step = make_eager_step(graph, kBucket, KvPoolId{0}, GroupTiming::kOff, f.kernels, f.queue);
  REQUIRE_OK(step);
  const auto ticket = (*step)->submit(decode_batch({0}, {0}).view());
  REQUIRE_OK(ticket);
  CHECK_ERROR(f.queue.take(*ticket, {}), ErrorCode::kInternal, "b (matmul): planted");
  CHECK_ERROR((*step)->submit(decode_batch({0}, {0}).view()), ErrorCode::kDeviceLost, "planted");
}

TEST_CASE("guards name the operation that wrote outside its output") {
  Fixture f(GroupTiming::kOff, {.guards = true});
  const auto good = f.step->submit(decode_batch({0}, {0}).view());
  REQUIRE_OK(f.queue.take(*good, {}));
  f.kernels.writes_past_end = true;
  const auto bad = f.step->submit(decode_batch({0}, {0}).view());
  CHECK_ERROR(f.queue.take(*bad, {}), ErrorCode::kInternal, "operation 0 (embed): wrote byte");
}

TEST_CASE("a traced step has a time for every operation") {
  Fixture f(GroupTiming::kOn);
  const auto ticket = f.step->submit(decode_batch({0}, {0}).view());
  const auto result = f.queue.take(*ticket, {});
  REQUIRE_OK(result);
  REQUIRE(result->groups.size() == 4);
  std::int64_t sum = 0;
  for (const GroupTime& group : result->groups) sum += group.ns;
  CHECK(sum <= result->device_ns);
  CHECK(f.step->groups().size() == 4);
}

TEST_CASE("kernels are named for the bucket's rows, and in a traced step for those of the last batch") {
  for (const GroupTiming group_timing : {GroupTiming::kOff, GroupTiming::kOn}) {
    Fixture f(group_timing);
    CHECK(f.step->groups()[0].kernel == "embed of 4");
    CHECK(f.step->groups()[1].kernel == "rms_norm of 4");
    REQUIRE_OK(f.step->submit(decode_batch({0, 3}, {1, 2}).view()));
    CHECK(f.step->groups()[0].kernel == (group_timing == GroupTiming::kOff ? "embed of 4" : "embed of 2"));
    REQUIRE_OK(f.step->submit(decode_batch({0}, {1}).view()));
    CHECK(f.step->groups()[1].kernel == (group_timing == GroupTiming::kOff ? "rms_norm of 4" : "rms_norm of 1"));
    CHECK(f.step->groups().size() == 4);
  }
}

TEST_CASE("steps of several buckets share one workspace") {
  Fixture f;
  const std::int64_t before = f.account.use().workspace_bytes;
  auto large = make_eager_step(counting_graph(), {4096, 4, 4, 1}, KvPoolId{0}, GroupTiming::kOff, f.kernels, f.queue);
  REQUIRE_OK(large);
  CHECK(f.account.use().workspace_bytes > before);
  CHECK(f.account.use().workspace_bytes < static_cast<std::int64_t>((*large)->workspace_bytes()) + 4096);
  const auto ticket = f.step->submit(decode_batch({2}, {0}).view());
  const auto result = f.queue.take(*ticket, {});
  REQUIRE_OK(result);
  CHECK(result->tokens[0].id == 3);
  CHECK_ERROR((*large)->read_value(ValueId{0}), ErrorCode::kInvalidInput, "not the last to run");
}

TEST_CASE("host memory is zeroed, aligned, counted, and given back") {
  MemoryAccount account;
  {
    auto buffer = HostBuffer::allocate(account, MemoryPurpose::kKv, 1000, HugePages::kAdvise);
    REQUIRE_OK(buffer);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64 == 0);
    for (const std::byte byte : buffer->as<std::byte>()) REQUIRE(byte == std::byte{0});
    HostBuffer moved = std::move(*buffer);
    CHECK(moved.size_bytes() == 1000);
    CHECK(account.use().kv_bytes >= 1000);
  }
  CHECK(account.use().kv_bytes == 0);
  CHECK(account.use().peak_bytes >= 1000);
  CHECK_ERROR(HostBuffer::allocate(account, MemoryPurpose::kKv, std::size_t{1} << 62), ErrorCode::kOutOfMemory,
              "host memory");
}

}  // namespace
}  // namespace secondsource

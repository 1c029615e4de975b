#include <cmath>
#include <map>

#include "axes.h"
#include "bench_case.h"
#include "case_cache.h"
#include "core/file.h"
#include "limits_file.h"
#include "row_counters.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::kernel_bench;

namespace {

class StubStep final : public Step {
 public:
  [[nodiscard]] std::size_t workspace_bytes() const override { return 0; }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return {}; }
  Result<Ticket> submit(const Batch&) override { return Ticket{1}; }
  Result<std::vector<float>> read_value(ValueId) const override { return std::vector<float>(); }
};

/// A backend that compiles any graph and reports a given number of bytes as its memory.
class StubBackend final : public Backend {
 public:
  explicit StubBackend(std::int64_t bytes) : bytes_(bytes) {}
  [[nodiscard]] const DeviceInfo& device() const noexcept override { return device_; }
  [[nodiscard]] Support supports(const Op&, std::span<const ValueDesc>) const override { return Support::yes(); }
  [[nodiscard]] Support supports_weight(WeightEncoding, ActQuant) const override { return Support::yes(); }
  Result<WeightId> prepare_weight(const WeightSpec&) override { return WeightId{0}; }
  Result<std::vector<float>> unprepare_weight(WeightId) const override { return std::vector<float>(); }
  Result<KvPoolId> create_kv_pool(const KvSpec&, std::int64_t) override { return KvPoolId{0}; }
  Result<void> kv_copy_pages(KvPoolId, std::span<const PageCopy>) override { return {}; }
  Result<void> kv_export(KvPoolId, const KvRange&, std::span<float>) const override { return {}; }
  Result<std::unique_ptr<Step>> compile(const StepGraph&, const Bucket&, KvPoolId, GroupTiming) override {
    return std::unique_ptr<Step>(std::make_unique<StubStep>());
  }
  Result<StepResult> wait(Ticket, Deadline) override { return StepResult(); }
  [[nodiscard]] MemoryUse memory() const override { return {.weights_bytes = bytes_}; }

 private:
  DeviceInfo device_;
  std::int64_t bytes_;
};

/// A cache with stub cases, counting how often each was prepared.
struct CountedCache {
  explicit CountedCache(std::int64_t budget_bytes) : cache(budget_bytes) {}

  Result<PreparedCase*> use(const std::string& name, const std::shared_ptr<Backend>& backend) {
    return cache.find_or_prepare(name, [&]() -> Result<std::unique_ptr<PreparedCase>> {
      ++n_prepared[name];
      SS_TRY(TimedStep step, TimedStep::prepare(*backend, {}, 0, rows_batch({0}), KvPoolId{0}));
      return std::make_unique<PreparedCase>(backend, std::move(step), OperationWork{});
    });
  }
  Result<PreparedCase*> use(const std::string& name, std::int64_t bytes) {
    return use(name, std::make_shared<StubBackend>(bytes));
  }

  CaseCache cache;
  std::map<std::string, int> n_prepared;
};

std::optional<double> counter(const RowCounters& row, const std::string& name) {
  for (const auto& [counter_name, value] : row.counters) {
    if (counter_name == name) return value;
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("rows are the cross product of axes, and names carry target, dtype and sizes") {
  const BenchAxes axes{.operation = "matmul",
                       .target = "cpu",
                       .dtypes = {"bf16", "int8-w8a8"},
                       .axes = {{{{"k", 64}, {"n", 32}}, {{"k", 32}, {"n", 64}}}, {{{"m", 1}}, {{"m", 16}}}},
                       .named_sizes = {"m", "k", "n"}};
  const std::vector<BenchCase> rows = cases_of(axes);
  REQUIRE(rows.size() == 8);
  CHECK(rows[0].name == "BM_matmul/cpu/bf16/m:1/k:64/n:32");
  CHECK(rows[1].name == "BM_matmul/cpu/bf16/m:16/k:64/n:32");
  CHECK(rows[2].name == "BM_matmul/cpu/bf16/m:1/k:32/n:64");
  CHECK(rows[7].name == "BM_matmul/cpu/int8-w8a8/m:16/k:32/n:64");
  CHECK(rows[7].dtype == "int8-w8a8");
  CHECK(rows[7].size("n") == 64);
}

TEST_CASE("points that give one name are one row, and an axis without points gives none") {
  BenchAxes axes{.operation = "attention",
                 .target = "cuda",
                 .dtypes = {"bf16"},
                 .axes = {{{{"heads", 8}}, {{"heads", 8}}}},
                 .named_sizes = {"heads"}};
  CHECK(cases_of(axes).size() == 1);
  axes.axes.emplace_back();
  CHECK(cases_of(axes).empty());
}

TEST_CASE("models become axes, and rows become shapes again") {
  auto axes = matmul_axes({"Llama-3.2-1B"}, {1, 4}, false);
  REQUIRE_OK(axes);
  axes->target = "cpu";
  axes->dtypes = {"int4"};
  const std::vector<BenchCase> rows = cases_of(*axes);
  REQUIRE(rows.size() == 8);  // four products, two row counts
  CHECK(rows[1].name == "BM_matmul/cpu/int4/m:4/k:2048/n:3072");
  CHECK(row_count(rows[1]) == 4);
  CHECK(matmul_shape(rows[1]).n == 3072);
  CHECK(variant_named(rows[1].dtype).encoding == WeightEncoding::kInt4Group32);

  auto attention = attention_axes({"Llama-3.2-1B"});
  REQUIRE_OK(attention);
  attention->target = "cpu";
  attention->dtypes = {"bf16"};
  CHECK(cases_of(*attention).front().name == "BM_attention/cpu/bf16/seqs:1/q:1/kv:1024/heads:32/kv_heads:8/dim:64");

  REQUIRE_OK(mixture_axes({"Llama-3.2-1B"}, {1}));
  CHECK_ERROR(matmul_axes({"no-such-model"}, {1}, false), ErrorCode::kInvalidInput, "no-such-model");
}

TEST_CASE("a case is prepared once in any order of uses while all fit into the budget") {
  CountedCache counted(300);
  for (const char* name : {"a", "b", "a", "c", "b", "c", "a"}) REQUIRE_OK(counted.use(name, 100));
  CHECK(counted.n_prepared == std::map<std::string, int>{{"a", 1}, {"b", 1}, {"c", 1}});
  CHECK(counted.cache.n_prepared_again() == 0);
}

TEST_CASE("beyond the budget the least recently used backend is dropped with its cases") {
  CountedCache counted(250);
  const auto shared = std::make_shared<StubBackend>(100);
  REQUIRE_OK(counted.use("a1", shared));
  REQUIRE_OK(counted.use("a2", shared));  // its memory is counted once, with a1
  REQUIRE_OK(counted.use("b", 100));
  REQUIRE_OK(counted.use("a1", shared));
  REQUIRE_OK(counted.use("c", 100));  // drops b, which was used before a1
  REQUIRE_OK(counted.use("a1", shared));
  REQUIRE_OK(counted.use("a2", shared));
  REQUIRE_OK(counted.use("b", 100));  // drops c
  CHECK(counted.n_prepared == std::map<std::string, int>{{"a1", 1}, {"a2", 1}, {"b", 2}, {"c", 1}});
  CHECK(counted.cache.n_prepared_again() == 1);
}

TEST_CASE("a case larger than the budget is kept while it is the only one") {
  CountedCache counted(10);
  REQUIRE_OK(counted.use("a", 100));
  REQUIRE_OK(counted.use("b", 100));
  REQUIRE_OK(counted.use("b", 100));
  CHECK(counted.n_prepared == std::map<std::string, int>{{"a", 1}, {"b", 1}});
}

TEST_CASE("a failure is kept, counted once, and not tried again") {
  CaseCache cache(100);
  int n_tries = 0;
  for (int use = 0; use < 3; ++use) {
    CHECK_ERROR(cache.find_or_prepare("a",
                                      [&]() -> Result<std::unique_ptr<PreparedCase>> {
                                        ++n_tries;
                                        return Error{ErrorCode::kInternal, "WRONG product"};
                                      }),
                ErrorCode::kInternal, "WRONG product");
  }
  CHECK(n_tries == 1);
  CHECK(cache.n_wrong() == 1);
}

TEST_CASE("the default budget is half of what the device, the host or its control group has") {
  DeviceInfo device{.backend = "stub", .id = "0", .name = "stub", .memory_bytes = 1000, .is_host = false};
  const HostFiles nothing("/nonexistent");
  CHECK(default_case_budget(device, nothing) == 500);
  device.is_host = true;
  CHECK(default_case_budget(device, nothing) == 500);
  CHECK(default_case_budget(device, HostFiles()) > 0);
}

TEST_CASE("the noise is the relative median absolute deviation, and nothing below five samples") {
  // Median 10; deviations 2, 1, 0, 1, 90, whose median is 1.
  CHECK(relative_mad(std::vector{8.0, 9.0, 10.0, 11.0, 100.0}) == 0.1);
  CHECK_FALSE(relative_mad(std::vector{8.0, 9.0, 10.0, 11.0}));
  CHECK_FALSE(relative_mad(std::vector{0.0, 0.0, 0.0, 0.0, 0.0}));
}

TEST_CASE("a row has both rates, their shares of both limits, and the limit that is nearer") {
  const std::vector<double> ns{900, 1000, 1000, 1000, 1200};
  const OperationWork work{.bytes = 1000, .flops = 8000};  // in a microsecond: 1 GB/s, 8 GFLOP/s
  const RowCounters row =
      row_counters(ns, work, {.read_bytes_per_s = 4e9, .operations_per_s = 16e9}, "matmul_bf16_avx512");
  CHECK(counter(row, "GB/s") == Approx(1));
  CHECK(counter(row, "GFLOP/s") == Approx(8));
  CHECK(counter(row, "us") == Approx(1));
  CHECK(counter(row, "n") == 5);
  CHECK(counter(row, "noise") == 0);
  CHECK(counter(row, "of_read") == Approx(0.25));
  CHECK(counter(row, "of_compute") == Approx(0.5));
  CHECK(counter(row, "best") == Approx(0.5 / 0.9));
  CHECK(row.label == "matmul_bf16_avx512; limit: compute");

  const RowCounters device = row_counters(ns, work, {.read_bytes_per_s = 4e9, .operations_per_s = {}}, "matvec");
  CHECK(counter(device, "of_read") == Approx(0.25));
  CHECK_FALSE(counter(device, "of_compute"));
  CHECK(device.label == "matvec");
}

TEST_CASE("the limits beside a row are the better of two looks, and the peak is that of its dtype") {
  MachineLimits limits;
  limits.f32_flops = 100;
  limits.bf16_flops = 200;
  limits.int8_ops = 600;
  const MachineMoment before{.read_bytes_per_s = 5, .f32_flops = 40, .buffer_bytes = 128 << 20};
  const MachineMoment after{.read_bytes_per_s = 4, .f32_flops = 50, .buffer_bytes = 128 << 20};
  limits.reads = {{1 << 20, 20}, {256 << 20, 6}};
  const OperationWork large{.working_set_bytes = 128 << 20};
  const OperationWork small{.working_set_bytes = 2 << 20};
  const auto peak = [&](const char* dtype) {
    return host_rate_limits(limits, before, after, large, dtype).operations_per_s;
  };
  CHECK(host_rate_limits(limits, before, after, large, "bf16").read_bytes_per_s == 5);
  CHECK(host_rate_limits(limits, before, after, small, "bf16").read_bytes_per_s == 20);  // from a cache
  CHECK(peak("bf16") == Approx(100));  // half of the limit, because f32 now reaches half of its limit
  CHECK(peak("int4") == Approx(100));
  CHECK(peak("int8-w8a8") == Approx(300));
  CHECK(peak("i8") == Approx(150));  // two digits of eight bits
  limits.int4_ops = 800;
  CHECK(peak("int8-w8a8") == Approx(300));
  CHECK(peak("int4-w8a8") == Approx(400));
  CHECK(peak("i8") == Approx(300));  // by vpmaddwd
  CHECK(peak("f16") == Approx(50));
  CHECK(peak("f32") == Approx(50));
  limits.bf16_flops = 1500;  // as with AMX, where three BF16 matmuls are faster than one in f32
  CHECK(peak("f16") == Approx(250));
  CHECK(peak("f32") == Approx(50));
  limits.bf16_flops = 60;  // vdpbf16ps may be slower than f32
  CHECK(peak("bf16") == Approx(50));
  limits.unmeasured = "AMX";
  CHECK_FALSE(peak("bf16"));
}

TEST_CASE("saved limits are read back, and other files are refused") {
  const test::ScratchFolder folder;
  MachineLimits limits;
  limits.n_threads = 2;
  limits.instruction_set = "avx2";
  limits.reads = {{1024, 5e9}};
  limits.f32_flops = 1e11;
  REQUIRE_OK(write_file(folder.path() / "limits.json", limits_to_json(limits)));
  const auto again = read_limits(folder.path() / "limits.json");
  REQUIRE_OK(again);
  CHECK(again->reads.at(0).bytes_per_s == 5e9);
  CHECK_FALSE(again->bf16_flops);
  REQUIRE_OK(write_file(folder.path() / "other.json", "{\"schema\": \"another\"}"));
  CHECK_ERROR(read_limits(folder.path() / "other.json"), ErrorCode::kInvalidInput, "expected machine limits");
}

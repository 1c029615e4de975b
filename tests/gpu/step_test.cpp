// What a step of the GPU backends reports about itself, on the shim's device.

#include <cmath>
#include <map>

#include "conformance/build.h"
#include "gpu/host/backend.h"
#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "gpu/step_case.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::gpu;
using conformance::StepCase;

namespace {

constexpr std::int64_t kCopyNs = 1000;
constexpr std::int64_t kWorkNs = 1;  ///< duration of a kernel or of a graph

/// The device memory that the process holds, and whether the device's kernels may overlap.
struct Held {
  std::int64_t allocated_bytes = 0;
  std::optional<std::int64_t> runtime_bytes;  ///< empty: unknown
  bool overlaps_kernels = false;
};

/// The shim's device with a clock that only enqueued work advances.
class CountingDevice final : public Device {
 public:
  CountingDevice() = default;
  /// `held` outlives the device.
  explicit CountingDevice(Held& held, const char* target = "sm_80")
      : shim_(shim::make_shim_device({.target = target})), held_(&held) {}
  [[nodiscard]] const DeviceProperties& properties() const override { return shim_->properties(); }
  Result<void*> allocate(std::size_t bytes) override {
    SS_TRY(void* const memory, shim_->allocate(bytes));
    sizes_[memory] = static_cast<std::int64_t>(bytes);
    if (held_ != nullptr) held_->allocated_bytes += sizes_[memory];
    return memory;
  }
  void free(void* memory) override {
    if (held_ != nullptr) held_->allocated_bytes -= sizes_[memory];
    shim_->free(memory);
  }
  [[nodiscard]] std::optional<std::int64_t> process_bytes() const override {
    if (held_ == nullptr || !held_->runtime_bytes) return std::nullopt;
    return held_->allocated_bytes + *held_->runtime_bytes;
  }
  Result<void*> allocate_pinned(std::size_t bytes) override { return shim_->allocate_pinned(bytes); }
  void free_pinned(void* memory) override { shim_->free_pinned(memory); }
  Result<std::unique_ptr<Stream>> create_stream() override {
    return std::unique_ptr<Stream>(std::make_unique<CountingStream>(shim_->create_stream().value(), held_));
  }
  Result<std::unique_ptr<Event>> create_event() override {
    auto event = std::make_unique<CountingEvent>();
    event->shim = shim_->create_event().value();
    return std::unique_ptr<Event>(std::move(event));
  }
  Result<bool> is_done(Event& event) override { return shim_->is_done(*static_cast<CountingEvent&>(event).shim); }
  Result<std::int64_t> elapsed_ns(Event& from, Event& to) override {
    return static_cast<CountingEvent&>(to).at_ns - static_cast<CountingEvent&>(from).at_ns;
  }

 private:
  struct CountingEvent final : Event {
    std::unique_ptr<Event> shim;
    std::int64_t at_ns = 0;
  };
  class CountingStream final : public Stream {
   public:
    CountingStream(std::unique_ptr<Stream> shim, Held* held) : shim_(std::move(shim)), held_(held) {}
    void overlap_kernels() override {
      if (held_ != nullptr) held_->overlaps_kernels = true;
    }
    Result<void> launch(const KernelCall& call) override {
      now_ns_ += is_capturing_ ? 0 : kWorkNs;
      return shim_->launch(call);
    }
    Result<void> call(const LibraryCall& call) override { return shim_->call(call); }
    Result<void> copy(void* to, const void* from, std::size_t bytes) override {
      now_ns_ += kCopyNs;
      return shim_->copy(to, from, bytes);
    }
    Result<void> fill(void* to, std::uint8_t byte, std::size_t bytes) override { return shim_->fill(to, byte, bytes); }
    Result<void> record(Event& event) override {
      auto& own = static_cast<CountingEvent&>(event);
      own.at_ns = now_ns_;
      return shim_->record(*own.shim);
    }
    Result<void> begin_capture() override {
      is_capturing_ = true;
      return shim_->begin_capture();
    }
    Result<std::unique_ptr<Graph>> end_capture() override {
      is_capturing_ = false;
      return shim_->end_capture();
    }
    Result<void> replay(Graph& graph) override {
      now_ns_ += kWorkNs;
      return shim_->replay(graph);
    }
    Result<void> synchronize() override { return shim_->synchronize(); }

   private:
    std::unique_ptr<Stream> shim_;
    Held* held_;
    std::int64_t now_ns_ = 0;
    bool is_capturing_ = false;
  };

  std::unique_ptr<Device> shim_ = shim::make_shim_device({});
  Held* held_ = nullptr;
  std::map<void*, std::int64_t> sizes_;
};

Result<std::unique_ptr<Backend>> backend_on(std::unique_ptr<Device> device, bool use_graphs, bool fuse = true) {
  return make_backend(std::move(device), shim_sm_80::kernel_table(),
                      {.backend = "gpu-shim", .use_graphs = use_graphs, .fuse = fuse, .matmul = MatmulBy::kOwn});
}

bool made_ready(StepCase& model) {
  const Result<StepResult> result = model.run();
  REQUIRE_OK(result);
  return result->made_ready;
}

/// A decode step of a Llama with `n_layers` layers, `n_rows` sequences and weights in this encoding. If `observed`, the result of
/// the first norm can be read as well.
conformance::Case decoding_model(std::int32_t n_layers, std::int32_t n_rows, WeightEncoding encoding,
                                 bool observed = false) {
  constexpr std::int32_t kDim = 96;
  const std::int32_t ffn_dim = has_blocks(encoding) ? 192 : 200;  // whole blocks, or a shorter last group
  constexpr std::int32_t kVocab = 97;
  constexpr HeadShape kHeads{.n_heads = 4, .n_kv_heads = 2, .head_dim = 32};
  constexpr std::int32_t kQueries = 4 * 32;
  constexpr std::int32_t kKeys = 2 * 32;
  conformance::CaseBuilder b("decode", 7);
  b.result.kv = {.n_layers = n_layers, .n_kv_heads = 2, .head_dim = 32, .page_tokens = 16};
  b.result.n_pages = 40;
  const ValueId hidden = b.input(kDim, kVocab, 5.0F);
  std::vector<ValueId> kept;
  const auto norm = [&] {
    const ValueId out = b.value(kDim);
    b.add(RmsNorm{.x = hidden, .add = {}, .weight = b.vector(kDim, 1.0F, 0.2F), .sum_out = {}, .out = out}, "norm");
    return out;
  };
  const auto product = [&](ValueId x, ValueId out, WeightId weight, Epilogue epilogue) {
    Matmul op{.x = x, .weight = weight, .out = out, .epilogue = epilogue, .aux = {}, .bias = {}};
    if (epilogue == Epilogue::kAddResidual) op.aux = hidden;
    b.add(op, "product");
  };
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    const ValueId qkv = b.value(kQueries + 2 * kKeys);
    const ValueId normed = norm();
    if (observed && layer == 0) kept.push_back(normed);
    product(normed, qkv, b.matrix(kQueries + 2 * kKeys, kDim, encoding, {kQueries, kKeys, kKeys}, Join::kConcatRows),
            Epilogue::kNone);
    const ValueId q = b.value(kQueries);
    b.add(
        RopeAppend{
            .qkv = qkv, .q_out = q, .layer = layer, .heads = kHeads, .rope = b.rope(32), .q_norm = {}, .k_norm = {}},
        "rope");
    b.add(Attention{.q = q, .out = q, .layer = layer, .heads = kHeads, .scale = 0.2F}, "attention");
    product(q, hidden, b.matrix(kDim, kQueries, encoding), Epilogue::kAddResidual);
    const ValueId activated = b.value(ffn_dim);
    product(norm(), activated, b.matrix(2 * ffn_dim, kDim, encoding, {ffn_dim, ffn_dim}, Join::kInterleaveGateUp),
            Epilogue::kGatedSilu);
    product(activated, hidden, b.matrix(kDim, ffn_dim, encoding), Epilogue::kAddResidual);
  }
  const ValueId logits = b.value(kVocab);
  product(norm(), logits, b.matrix(kVocab, kDim, encoding), Epilogue::kNone);
  kept.push_back(logits);
  b.observe_only(kept);
  conformance::Sequences sequences(b.dice, 40, 16, 2);
  BatchStorage batch;
  for (std::int32_t row = 0; row < n_rows; ++row) sequences.append(batch, sequences.add(), 1, kVocab);
  sequences.finish(batch, 0);
  b.submit(std::move(batch));
  return std::move(b.result);
}

struct Decoded {
  std::vector<float> logits = {};
  std::int64_t n_launches = 0;
  std::vector<std::string> kernels = {};
};

Decoded decoded(const conformance::Case& c, bool fuse) {
  const auto backend = backend_on(std::make_unique<CountingDevice>(), false, fuse);
  REQUIRE_OK(backend);
  auto model = StepCase::make(**backend, c);
  REQUIRE_OK(model);
  const Result<StepResult> result = model->run();
  REQUIRE_OK(result);
  Decoded found{.n_launches = result->device_ns / kWorkNs};
  for (const OpGroup& group : model->step().groups()) found.kernels.push_back(group.kernel);
  const StepGraph graph = model->graph();
  for (std::size_t v = graph.values.size(); v-- > 0;) {
    if (!graph.values[v].observed) continue;
    const auto values = model->step().read_value(ValueId{static_cast<std::int32_t>(v)});
    REQUIRE_OK(values);
    found.logits = *values;
    break;
  }
  return found;
}

}  // namespace

TEST_CASE("a step that has to capture its graph says so, and one that was made ready does not") {
  const auto backend = backend_on(shim::make_shim_device({}), true);
  REQUIRE_OK(backend);
  auto model = StepCase::make(**backend, conformance::make_model_case(3));
  REQUIRE_OK(model);
  CHECK(made_ready(*model));
  CHECK_FALSE(made_ready(*model));

  // A larger step moves the workspace and so invalidates the addresses in the graph.
  const auto larger = model->compile(4096);
  REQUIRE_OK(larger);
  CHECK(made_ready(*model));
  const auto largest = model->compile(8192);
  REQUIRE_OK(largest);
  REQUIRE_OK((*largest)->make_ready());
  REQUIRE_OK(model->step().make_ready());
  CHECK_FALSE(made_ready(*model));
}

TEST_CASE("a step's copies are its transfer, and its operations the rest, with and without graphs and traced") {
  for (const bool use_graphs : {true, false}) {
    const auto backend = backend_on(std::make_unique<CountingDevice>(), use_graphs);
    REQUIRE_OK(backend);
    for (const GroupTiming group_timing : {GroupTiming::kOff, GroupTiming::kOn}) {
      auto model = StepCase::make(**backend, conformance::make_model_case(3), group_timing);
      REQUIRE_OK(model);
      const auto n_operations = static_cast<std::int64_t>(model->step().groups().size());
      const Result<StepResult> result = model->run();
      REQUIRE_OK(result);
      CAPTURE(use_graphs, group_timing);
      // Three copies: the batch, the sampled rows and the logits.
      REQUIRE_FALSE(result->logits.empty());
      CHECK(result->transfer_ns == 3 * kCopyNs);
      if (use_graphs && group_timing == GroupTiming::kOff) {
        CHECK(result->device_ns == kWorkNs);
      } else {
        CHECK(result->device_ns >= n_operations * kWorkNs);  // some operations are several kernels
        CHECK(result->device_ns < kCopyNs);
      }
    }
  }
}

TEST_CASE("memory adds up by purpose to what the process holds, whenever it is asked") {
  Held held{.runtime_bytes = 300'000'000};
  const auto backend = backend_on(std::make_unique<CountingDevice>(held), true);
  REQUIRE_OK(backend);
  const auto check = [&] {
    const MemoryUse use = (*backend)->memory();
    CHECK(use.runtime_bytes == held.runtime_bytes);
    CHECK(use.weights_bytes + use.kv_bytes + use.workspace_bytes == held.allocated_bytes);
    CHECK(use.peak_bytes >= use.total_bytes());
    return use;
  };
  CHECK(check().weights_bytes == 0);
  auto model = StepCase::make(**backend, conformance::make_model_case(3));
  REQUIRE_OK(model);
  held.runtime_bytes = 350'000'000;  // kernels, graphs and libraries
  REQUIRE_OK(model->run());
  const MemoryUse loaded = check();
  CHECK(loaded.weights_bytes > 0);
  CHECK(loaded.kv_bytes > 0);
  CHECK(loaded.workspace_bytes > 0);
  CHECK(loaded.peak_bytes == loaded.total_bytes());
  held.runtime_bytes = 320'000'000;
  CHECK(check().peak_bytes == loaded.peak_bytes);
}

TEST_CASE("memory of the runtime is 0 where the device cannot tell") {
  Held held;
  const auto backend = backend_on(std::make_unique<CountingDevice>(held), true);
  REQUIRE_OK(backend);
  CHECK((*backend)->memory().runtime_bytes == 0);
  CHECK((*backend)->memory().total_bytes() == held.allocated_bytes);
}

TEST_CASE("kernels overlap where that is asked for, and a device that cannot do so refuses") {
  const auto overlaps = [](const std::string& value, const char* target) -> Result<bool> {
    GpuOptions options{.backend = "gpu-shim"};
    SS_TRY(const bool is_known, read_option("dependent_launch", value, options));
    CHECK(is_known);
    Held held;
    SS_TRY_VOID(make_backend(std::make_unique<CountingDevice>(held, target), shim_sm_80::kernel_table(), options));
    return held.overlaps_kernels;
  };
  CHECK(overlaps("1", "sm_90a").value());
  CHECK_FALSE(overlaps("0", "sm_90a").value());
  CHECK_FALSE(overlaps("0", "sm_80").value());
  CHECK_ERROR(overlaps("1", "sm_80"), ErrorCode::kUnavailable, "dependent_launch=1: sm_80 cannot begin a kernel");
  CHECK_ERROR(overlaps("yes", "sm_90a"), ErrorCode::kInvalidInput,
              "option dependent_launch: expected 0 or 1, found yes");
}

TEST_CASE("without graphs there is nothing to make ready") {
  const auto backend = backend_on(shim::make_shim_device({}), false);
  REQUIRE_OK(backend);
  auto model = StepCase::make(**backend, conformance::make_model_case(3));
  REQUIRE_OK(model);
  CHECK_FALSE(made_ready(*model));
}

TEST_CASE("a layer of decode takes six launches, and eight where products do not normalize their x") {
  const auto launches_of_layer = [](bool fuse) {
    const auto of = [fuse](std::int32_t n_layers) {
      return decoded(decoding_model(n_layers, 2, WeightEncoding::kBf16), fuse).n_launches;
    };
    return of(3) - of(2);
  };
  CHECK(launches_of_layer(false) == 8);
  CHECK(launches_of_layer(true) == 6);
}

TEST_CASE("products that normalize their x give what a norm and a product give") {
  for (const WeightEncoding encoding :
       {WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow,
        WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32, WeightEncoding::kFp8PerRow,
        WeightEncoding::kInt4Group32Zero, WeightEncoding::kFp8Group128, WeightEncoding::kMxfp4Group32,
        WeightEncoding::kNvfp4Group16, WeightEncoding::kQ41, WeightEncoding::kQ50, WeightEncoding::kIq4Nl}) {
    for (std::int32_t n_rows = 1; n_rows <= kMatvecRows; ++n_rows) {
      CAPTURE(encoding, n_rows);
      const conformance::Case c = decoding_model(1, n_rows, encoding);
      const Decoded apart = decoded(c, false);
      const Decoded together = decoded(c, true);
      REQUIRE(apart.logits.size() == together.logits.size());
      REQUIRE(apart.logits.size() == static_cast<std::size_t>(n_rows) * 97);
      double squares = 0;
      double differences = 0;
      for (std::size_t i = 0; i < apart.logits.size(); ++i) {
        const auto difference = static_cast<double>(apart.logits[i]) - static_cast<double>(together.logits[i]);
        differences += difference * difference;
        squares += static_cast<double>(apart.logits[i]) * static_cast<double>(apart.logits[i]);
      }
      CHECK(squares > 0);
      // The two differ in the order of f32 sums, and this may change how a key or a value is rounded to BF16.
      CHECK(std::sqrt(differences / squares) < 2e-3);
      CHECK(together.kernels[1].starts_with("rms_norm_matvec_"));
    }
  }
}

TEST_CASE("a norm that something else needs, or of too many rows, is a launch of its own") {
  const Decoded observed = decoded(decoding_model(1, 1, WeightEncoding::kBf16, true), true);
  CHECK(observed.kernels[1] == "rms_norm");
  CHECK(observed.kernels[2].starts_with("matvec_"));
  const Decoded many = decoded(decoding_model(1, kMatvecRows + 1, WeightEncoding::kBf16), true);
  CHECK(many.kernels[1] == "rms_norm");
}

#include "fault/faulty_backend.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>

#include "backend/op_access.h"
#include "backend_kit/poison.h"
#include "core/clock.h"
#include "core/units.h"

namespace secondsource {
namespace {

/// What wait() needs to know about the step that a ticket belongs to.
struct InFlight {
  std::int32_t vocab_size = 0;
  bool hide_groups = false;               ///< the engine asked for no group timing, but the fault needs it
  std::vector<std::int32_t> slow_groups;  ///< groups that run the slow operation
};

/// State shared by the backend and its steps.
struct FaultState {
  FaultSpec spec;
  Poison poison;
  std::map<Ticket, InFlight> in_flight;
  std::int64_t n_submits = 0;
  std::int64_t n_waits = 0;
  std::int64_t n_weights = 0;
  std::int64_t n_pools = 0;

  [[nodiscard]] bool strikes(FaultKind kind, std::int64_t call) const {
    return spec.kind == kind && call == spec.argument;
  }
  [[nodiscard]] Error planted(ErrorCode code, std::string_view what) const {
    return Error{code, fmt::format("planted fault {}: {}", spec.text, what)};
  }
};

/// Allocates and touches `n_gib` GiB and never frees them. With a cgroup limit, the process is killed here.
void eat_memory(std::int64_t n_gib) {
  constexpr std::size_t kPiece = std::size_t{64} << 20;
  for (std::int64_t i = 0; i < n_gib * 16; ++i) {
    void* const piece = std::malloc(kPiece);  // NOLINT(cppcoreguidelines-no-malloc): the block is lost on purpose
    if (piece == nullptr) return;
    std::memset(piece, 1, kPiece);
    // Keeps the optimizer from removing a block that is never read.
    asm volatile("" : : "r"(piece) : "memory");
  }
}

[[noreturn]] void sleep_for_ever() {
  for (;;) sleep(3600);
}

/// A real write to an unmapped address, so that the signal carries the same data as a real crash.
void crash() {
  volatile int* address = nullptr;
  asm volatile("" : "+r"(address));
  *address = 1;
}

class FaultyStep final : public Step {
 public:
  FaultyStep(std::unique_ptr<Step> inner, FaultState& state, InFlight info)
      : inner_(std::move(inner)), state_(state), info_(std::move(info)) {}

  [[nodiscard]] std::size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return inner_->groups(); }
  Result<void> make_ready() override { return inner_->make_ready(); }
  Result<std::vector<float>> read_value(ValueId id) const override { return inner_->read_value(id); }

  Result<Ticket> submit(const Batch& batch) override {
    SS_TRY_VOID(state_.poison.healthy());
    const std::int64_t call = ++state_.n_submits;
    if (state_.strikes(FaultKind::kFail, call)) {
      return state_.poison.fail(state_.planted(ErrorCode::kDeviceLost, "submit failed"));
    }
    if (state_.strikes(FaultKind::kCrash, call)) crash();
    if (state_.strikes(FaultKind::kAbort, call)) std::abort();
    if (state_.spec.kind == FaultKind::kEatMemory) {
      eat_memory(state_.spec.argument);
      return state_.poison.fail(state_.planted(ErrorCode::kOutOfMemory, "the memory is used up"));
    }
    SS_TRY(const Ticket ticket, inner_->submit(batch));
    state_.in_flight[ticket] = info_;
    return ticket;
  }

 private:
  std::unique_ptr<Step> inner_;
  FaultState& state_;
  InFlight info_;
};

/// Replaces each token id of the correct result by the next id: plausible, finite, and wrong.
void replace_by_garbage(StepResult& result, std::int32_t vocab_size) {
  const auto next = [&](std::int32_t id) { return id < 0 || vocab_size < 2 ? id : (id + 1) % vocab_size; };
  for (SampledToken& token : result.tokens) {
    token.id = next(token.id);
    for (TokenLogprob& top : token.top) top.id = next(top.id);
  }
  const auto row = static_cast<std::ptrdiff_t>(vocab_size);
  if (row == 0) return;
  for (auto begin = result.logits.begin(); result.logits.end() - begin >= row; begin += row) {
    std::rotate(begin, begin + row - 1, begin + row);
  }
}

class FaultyBackend final : public Backend {
 public:
  FaultyBackend(std::unique_ptr<Backend> inner, const FaultSpec& spec)
      : inner_(std::move(inner)), device_(inner_->device()) {
    state_.spec = spec;
    device_.properties.emplace_back("fault", spec.text);
  }

  [[nodiscard]] const DeviceInfo& device() const noexcept override { return device_; }
  [[nodiscard]] Support supports(const Op& op, std::span<const ValueDesc> values) const override {
    return inner_->supports(op, values);
  }
  [[nodiscard]] Support supports_weight(WeightEncoding encoding, ActQuant act) const override {
    return inner_->supports_weight(encoding, act);
  }
  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    SS_TRY_VOID(state_.poison.healthy());
    if (state_.strikes(FaultKind::kOutOfMemory, ++state_.n_weights)) {
      return state_.planted(ErrorCode::kOutOfMemory, fmt::format("no memory for weight {}", spec.name));
    }
    return inner_->prepare_weight(spec);
  }
  Result<std::vector<float>> unprepare_weight(WeightId id) const override { return inner_->unprepare_weight(id); }
  Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) override {
    SS_TRY_VOID(state_.poison.healthy());
    if (state_.strikes(FaultKind::kOutOfMemoryKv, ++state_.n_pools)) {
      return state_.planted(ErrorCode::kOutOfMemory,
                            fmt::format("no memory for a cache of {}", format_bytes(kv_page_bytes(spec) * n_pages)));
    }
    return inner_->create_kv_pool(spec, n_pages);
  }
  Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) override {
    SS_TRY_VOID(state_.poison.healthy());
    return inner_->kv_copy_pages(pool, copies);
  }
  Result<void> kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const override {
    SS_TRY_VOID(state_.poison.healthy());
    return inner_->kv_export(pool, range, out);
  }
  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                        GroupTiming group_timing) override {
    SS_TRY_VOID(state_.poison.healthy());
    // Only a traced step gives the time of one kind of operation.
    const bool needs_trace = !state_.spec.operation.empty();
    SS_TRY(auto step, inner_->compile(graph, bucket, pool, needs_trace ? GroupTiming::kOn : group_timing));
    InFlight info;
    info.hide_groups = needs_trace && group_timing == GroupTiming::kOff;
    for (const Op& op : graph.ops) {
      if (const auto* const sample = std::get_if<Sample>(&op)) {
        info.vocab_size = graph.values[static_cast<std::size_t>(index_of(sample->logits))].cols;
      }
    }
    const std::span<const OpGroup> groups = step->groups();
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const bool slow = std::ranges::any_of(groups[g].ops, [&](std::int32_t op) {
        return op_name(graph.ops[static_cast<std::size_t>(op)]) == state_.spec.operation;
      });
      if (slow) info.slow_groups.push_back(static_cast<std::int32_t>(g));
    }
    return std::unique_ptr<Step>(std::make_unique<FaultyStep>(std::move(step), state_, std::move(info)));
  }
  Result<StepResult> wait(Ticket ticket, Deadline deadline) override {
    SS_TRY_VOID(state_.poison.healthy());
    const std::int64_t call = ++state_.n_waits;
    if (state_.strikes(FaultKind::kHang, call)) sleep_for_ever();
    if (state_.strikes(FaultKind::kStall, call)) {
      return state_.poison.fail(state_.planted(ErrorCode::kDeadline, "the step did not finish in time"));
    }
    SS_TRY(StepResult result, inner_->wait(ticket, deadline));
    InFlight info;
    if (const auto found = state_.in_flight.find(ticket); found != state_.in_flight.end()) {
      info = std::move(found->second);
      state_.in_flight.erase(found);
    }
    if (state_.spec.kind == FaultKind::kSlow) slow_down(result, info);
    if (state_.spec.kind == FaultKind::kGarbage && call >= state_.spec.argument) {
      replace_by_garbage(result, info.vocab_size);
    }
    if (info.hide_groups) result.groups.clear();
    return result;
  }
  [[nodiscard]] MemoryUse memory() const override { return inner_->memory(); }
  Result<DeviceRates> measure_rates(RateEffort effort) override { return inner_->measure_rates(effort); }
  [[nodiscard]] std::vector<TelemetryReading> read_telemetry() const override { return inner_->read_telemetry(); }

 private:
  /// Spins for the given percentage of the time of the step, or of its slow operation.
  void slow_down(StepResult& result, const InFlight& info) const {
    std::int64_t basis_ns = state_.spec.operation.empty() ? result.device_ns : 0;
    for (GroupTime& group : result.groups) {
      const bool slow =
          state_.spec.operation.empty() || std::ranges::find(info.slow_groups, group.group) != info.slow_groups.end();
      if (!slow) continue;
      if (!state_.spec.operation.empty()) basis_ns += group.ns;
      group.ns += group.ns * state_.spec.argument / 100;
    }
    const std::int64_t added_ns = basis_ns * state_.spec.argument / 100;
    const std::int64_t until_ns = now_ns() + added_ns;
    while (now_ns() < until_ns) {
    }
    result.device_ns += added_ns;
  }

  // Declared in this order so that the state outlives the inner backend.
  FaultState state_;
  std::unique_ptr<Backend> inner_;
  DeviceInfo device_;
};

}  // namespace

std::unique_ptr<Backend> make_faulty_backend(std::unique_ptr<Backend> inner, const FaultSpec& spec) {
  return std::make_unique<FaultyBackend>(std::move(inner), spec);
}

Result<std::unique_ptr<Backend>> load_backend_with_fault(const std::vector<std::filesystem::path>& folders,
                                                         std::string_view name, const BackendOptions& options) {
  BackendOptions own_options = options;
  std::optional<FaultSpec> fault;
  for (const auto& [key, value] : options.extra) {
    if (key != "fault") continue;
    SS_TRY(fault, parse_fault(value));
  }
  std::erase_if(own_options.extra, [](const auto& option) { return option.first == "fault"; });
  SS_TRY(std::unique_ptr<Backend> backend, load_backend(folders, name, own_options));
  if (!fault) return backend;
  return make_faulty_backend(std::move(backend), *fault);
}

}  // namespace secondsource

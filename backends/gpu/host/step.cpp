#include "gpu/host/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/op_access.h"
#include "core/checked.h"
#include "core/clock.h"

namespace secondsource::gpu {
namespace {

constexpr std::size_t kGuardBytes = 256;
constexpr std::uint8_t kGuardByte = 0xA5;
/// Positions of one split of the decode attention, at least; and how many splits there are at most.
constexpr std::int32_t kMinSplitTokens = 256;
constexpr std::int32_t kMaxSplits = 64;

}  // namespace

/// One submitted batch until its result is taken.
struct GpuStep::Flight {
  bool busy = false;
  bool made_ready = false;
  Ticket ticket{};
  std::int32_t n_logit_rows = 0;
  std::array<std::int32_t, 3> rows{};
  DeviceBuffer results;          ///< pinned: what sampled_ is, then logits
  std::unique_ptr<Event> sent;   ///< the batch goes to the device
  std::unique_ptr<Event> begin;  ///< of the first operation
  std::unique_ptr<Event> end;    ///< of the last, and the result goes to the host
  std::unique_ptr<Event> done;
  std::vector<std::unique_ptr<Event>> after_group;  ///< traced steps
};

GpuStep::GpuStep(Shared& shared, const Weights& weights, const KvPool& pool, const StepGraph& graph,
                 const Bucket& bucket, GroupTiming group_timing)
    : shared_(shared),
      weights_(weights),
      pool_(pool),
      graph_(graph),
      bucket_(bucket),
      group_timing_(group_timing),
      plan_(plan_workspace(graph, bucket, kWorkspaceAlignment, shared.options.guards ? kGuardBytes : 0)) {}

GpuStep::~GpuStep() {
  // What is under way reads this step's buffers.
  for (const auto& flight : flights_) {
    if (flight && flight->busy) (void)shared_.memory->stream().synchronize();
  }
  if (shared_.workspace_owner == this) shared_.workspace_owner = nullptr;
}

Result<std::unique_ptr<GpuStep>> GpuStep::create(Shared& shared, const Weights& weights, const KvPool& pool,
                                                 std::vector<std::shared_ptr<DeviceBuffer>> inv_freqs,
                                                 const StepGraph& graph, const Bucket& bucket,
                                                 GroupTiming group_timing) {
  auto step = std::unique_ptr<GpuStep>(new GpuStep(shared, weights, pool, graph, bucket, group_timing));
  SS_TRY_VOID(step->set_up(std::move(inv_freqs)));
  return step;
}

Result<void> GpuStep::set_up(std::vector<std::shared_ptr<DeviceBuffer>> inv_freqs) {
  inv_freqs_ = std::move(inv_freqs);
  limits_.page_tokens = pool_.spec().page_tokens;
  limits_.n_pages = pool_.n_pages();
  bool unlimited = false;
  for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
    const Op& op = graph_.ops[i];
    if (const auto* const embed = std::get_if<Embed>(&op)) {
      const std::int32_t n_ids = weights_.view(embed->table).n_rows;
      limits_.vocab_size = limits_.vocab_size == 0 ? n_ids : std::min(limits_.vocab_size, n_ids);
    } else if (const auto* const attention = std::get_if<Attention>(&op)) {
      limits_.attends = true;
      unlimited |= attention->window <= 0;
      limits_.max_window = std::max(limits_.max_window, attention->window);
    } else if (const auto* const sample = std::get_if<Sample>(&op)) {
      if (sample_ != nullptr) return Error{ErrorCode::kUnsupported, "more than one sample operation in a step"};
      sample_ = sample;
      limits_.n_logits = desc(sample->logits).cols;
    }
    OpGroup group{.ops = {}, .kernel = std::string(op_name(op)), .fallback = ""};
    if (const auto* const matmul = std::get_if<Matmul>(&op)) {
      SS_TRY(group, choose_matmul(*matmul));
    } else if (const auto* const grouped = std::get_if<GroupedMatmul>(&op)) {
      group = describe_grouped(*grouped);
    } else if (limits_.attends && std::holds_alternative<Attention>(op)) {
      group.kernel = prefill() == PrefillBy::kWarpgroups ? "attention_wgmma_bf16_f32acc" : "attention_bf16_f32acc";
    }
    group.ops = {static_cast<std::int32_t>(i)};
    groups_.push_back(std::move(group));
  }
  if (unlimited) limits_.max_window = 0;
  SS_TRY(upload_, BatchUpload::create(*shared_.memory, bucket_));
  plan_scratch();
  SS_TRY_VOID(prepare_results());
  SS_TRY_VOID(shared_.reserve_workspace(workspace_bytes_));
  return warm_library();
}

PrefillBy GpuStep::prefill() const {
  const bool has_warpgroups = shared_.memory->device().properties().has_warpgroups;
  return shared_.options.prefill.value_or(has_warpgroups ? PrefillBy::kWarpgroups : PrefillBy::kWarps);
}

void GpuStep::plan_scratch() {
  const std::int64_t length = std::int64_t{bucket_.max_pages_per_seq} * pool_.spec().page_tokens;
  n_splits_ = static_cast<std::int32_t>(
      std::clamp<std::int64_t>(ceil_divide<std::int64_t>(length, kMinSplitTokens), 1, kMaxSplits));
  split_tokens_ = static_cast<std::int32_t>(ceil_divide<std::int64_t>(length, n_splits_));
  std::size_t scratch_bytes = 0;
  for (const Op& op : graph_.ops) {
    if (const auto* const matmul = std::get_if<Matmul>(&op)) {
      const auto use = library_uses_.find(matmul);
      const ProductScratch product =
          use == library_uses_.end() ? own_scratch(*matmul) : library_scratch(*matmul, use->second);
      scratch_bytes = std::max(scratch_bytes, product.bytes);
    } else if (const auto* const grouped = std::get_if<GroupedMatmul>(&op)) {
      scratch_bytes = std::max(scratch_bytes, grouped_scratch(*grouped).bytes);
    } else if (const auto* const attention = std::get_if<Attention>(&op)) {
      const std::int64_t floats =
          std::int64_t{upload_.max_decodes()} * attention->heads.n_heads * n_splits_ * (attention->heads.head_dim + 2);
      scratch_bytes = std::max(scratch_bytes, static_cast<std::size_t>(floats) * sizeof(float));
    } else if (std::holds_alternative<Sample>(op)) {
      const std::int64_t pieces =
          std::int64_t{bucket_.max_logit_rows} * ceil_divide(limits_.n_logits, kSamplePieceLogits);
      scratch_bytes = std::max(scratch_bytes, static_cast<std::size_t>(pieces) * sizeof(SamplePiece));
    }
  }
  workspace_bytes_ = round_up(plan_.total_bytes, kWorkspaceAlignment) + scratch_bytes;
}

Result<void> GpuStep::prepare_results() {
  std::size_t result_bytes = 0;
  if (sample_ != nullptr) {
    const auto n = static_cast<std::size_t>(bucket_.max_logit_rows);
    const auto n_top = static_cast<std::size_t>(std::min(sample_->n_top, limits_.n_logits));
    sampled_bytes_ = n * (sizeof(SampledRow) + n_top * sizeof(TokenLogprob));
    SS_TRY(sampled_, shared_.memory->allocate(MemoryPurpose::kWorkspace, sampled_bytes_));
    // All of it is copied to the host: rows that a step does not have, and what follows a row that is not finite, too.
    if (sampled_bytes_ > 0) SS_TRY_VOID(shared_.memory->stream().fill(sampled_.data(), 0, sampled_bytes_));
    result_bytes = sampled_bytes_;
    if (sample_->keep_logits) result_bytes += n * static_cast<std::size_t>(limits_.n_logits) * sizeof(float);
  }
  Device& device = shared_.memory->device();
  for (auto& flight : flights_) {
    flight = std::make_unique<Flight>();
    SS_TRY(flight->results, DeviceBuffer::allocate_pinned(device, result_bytes));
    for (auto* const event : {&flight->sent, &flight->begin, &flight->end, &flight->done}) {
      SS_TRY(*event, device.create_event());
    }
    if (group_timing_ != GroupTiming::kOn) continue;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      SS_TRY(auto event, device.create_event());
      flight->after_group.push_back(std::move(event));
    }
  }
  return {};
}

float* GpuStep::place(ValueId id) const {
  return reinterpret_cast<float*>(shared_.workspace.data() + plan_.offsets[static_cast<std::size_t>(index_of(id))]);
}

std::byte* GpuStep::scratch() const {
  return shared_.workspace.data() + round_up(plan_.total_bytes, kWorkspaceAlignment);
}

const std::int32_t* GpuStep::n_rows(Rows rows) const {
  switch (rows) {
    case Rows::kSeqs:
      return upload_.n_seqs();
    case Rows::kLogits:
      return upload_.view().n_logit_rows;
    case Rows::kTokens:
      break;
  }
  return upload_.view().n_tokens;
}

void GpuStep::bind() {
  launches_.clear();
  for (const Op& op : graph_.ops) launches_.push_back(bind_op(op));
  for (auto& graph : graphs_) graph.reset();
  bound_generation_ = shared_.workspace_generation;
}

Result<void> GpuStep::capture(const BatchUpload::Work& work) {
  Stream& stream = shared_.memory->stream();
  SS_TRY_VOID(stream.begin_capture());
  auto launched = launch_all(work, nullptr);
  auto captured = stream.end_capture();
  SS_TRY_VOID(launched);
  SS_TRY(graph_for(work), std::move(captured));
  return {};
}

Result<void> GpuStep::make_ready() {
  SS_TRY_VOID(shared_.poison.healthy());
  if (!by_graph()) return {};
  if (bound_generation_ != shared_.workspace_generation) bind();
  // What batches have: prompts or padding, sequences that decode, or both.
  for (const BatchUpload::Work work : {BatchUpload::Work{1, 0}, BatchUpload::Work{0, 1}, BatchUpload::Work{1, 1}}) {
    if (!graph_for(work)) SS_TRY_VOID(capture(work));
  }
  return {};
}

Result<Ticket> GpuStep::submit(const Batch& batch) {
  SS_TRY_VOID(shared_.poison.healthy());
  const auto free = std::ranges::find_if(flights_, [](const auto& flight) { return !flight->busy; });
  if (free == flights_.end()) {
    return shared_.poison.fail(Error{
        ErrorCode::kInvalidInput, fmt::format("submit: expected at most {} steps in flight", BatchUpload::kInFlight)});
  }
  Flight& flight = **free;
  auto work = upload_.send(shared_.memory->stream(), batch, limits_, shared_.sampled,
                           static_cast<int>(free - flights_.begin()), *flight.sent);
  if (!work) return shared_.poison.fail(work.error());
  flight.n_logit_rows = batch.n_logit_rows();
  flight.rows = {batch.n_tokens(), batch.n_seqs(), batch.n_logit_rows()};
  if (auto ran = run(*work, flight); !ran) return shared_.poison.fail(ran.error());
  shared_.workspace_owner = this;
  last_rows_ = flight.rows;
  flight.busy = true;
  flight.ticket = Ticket{shared_.next_ticket++};
  return flight.ticket;
}

Result<void> GpuStep::run(const BatchUpload::Work& work, Flight& flight) {
  Stream& stream = shared_.memory->stream();
  if (bound_generation_ != shared_.workspace_generation) bind();
  if (shared_.options.guards) SS_TRY_VOID(stream.fill(shared_.workspace.data(), kGuardByte, plan_.total_bytes));
  flight.made_ready = by_graph() && !graph_for(work);
  if (flight.made_ready) SS_TRY_VOID(capture(work));
  SS_TRY_VOID(stream.record(*flight.begin));
  if (by_graph()) {
    SS_TRY_VOID(stream.replay(*graph_for(work)));
  } else {
    SS_TRY_VOID(launch_all(work, group_timing_ == GroupTiming::kOn ? &flight : nullptr));
  }
  SS_TRY_VOID(stream.record(*flight.end));
  if (sample_ != nullptr && flight.n_logit_rows > 0) {
    SS_TRY_VOID(stream.copy(flight.results.data(), sampled_.data(), sampled_bytes_));
    if (sample_->keep_logits) {
      SS_TRY_VOID(stream.copy(
          flight.results.data() + sampled_bytes_, place(sample_->logits),
          static_cast<std::size_t>(flight.n_logit_rows) * static_cast<std::size_t>(limits_.n_logits) * sizeof(float)));
    }
  }
  return stream.record(*flight.done);
}

Result<void> GpuStep::launch_all(const BatchUpload::Work& work, Flight* timed) {
  launching_ = work;
  const LaunchContext context = shared_.context();
  for (std::size_t i = 0; i < launches_.size(); ++i) {
    if (auto launched = launches_[i](context); !launched) return launched.error().with_context(op_label(graph_, i));
    if (timed != nullptr) SS_TRY_VOID(context.stream.record(*timed->after_group[i]));
  }
  return {};
}

bool GpuStep::has(Ticket ticket) const {
  return std::ranges::any_of(flights_, [&](const auto& flight) { return flight->busy && flight->ticket == ticket; });
}

Result<StepResult> GpuStep::finish(Ticket ticket, Deadline deadline) {
  Flight& flight =
      **std::ranges::find_if(flights_, [&](const auto& one) { return one->busy && one->ticket == ticket; });
  flight.busy = false;
  for (bool done = false; !done;) {
    auto asked = shared_.memory->device().is_done(*flight.done);
    if (!asked) return shared_.poison.fail(asked.error());
    done = *asked;
    const std::int64_t late_ns = now_ns() - deadline.at_ns;
    if (late_ns > 0) {
      return shared_.poison.fail(Error{
          ErrorCode::kDeadline, fmt::format("step {}: {} {} ms after its deadline", static_cast<std::int64_t>(ticket),
                                            done ? "finished" : "not finished", late_ns / 1'000'000)});
    }
  }
  if (shared_.options.guards) {
    if (auto checked = check_guards(flight); !checked) return shared_.poison.fail(checked.error());
  }
  auto result = collect(flight);
  if (!result) return shared_.poison.fail(result.error());
  return result;
}

Result<StepResult> GpuStep::collect(Flight& flight) {
  StepResult result;
  result.made_ready = flight.made_ready;
  Device& device = shared_.memory->device();
  SS_TRY(result.device_ns, device.elapsed_ns(*flight.begin, *flight.end));
  SS_TRY(const std::int64_t up_ns, device.elapsed_ns(*flight.sent, *flight.begin));
  SS_TRY(const std::int64_t down_ns, device.elapsed_ns(*flight.end, *flight.done));
  result.transfer_ns = up_ns + down_ns;
  Event* before = flight.begin.get();
  for (std::size_t i = 0; i < flight.after_group.size(); ++i) {
    SS_TRY(const std::int64_t ns, device.elapsed_ns(*before, *flight.after_group[i]));
    result.groups.push_back({static_cast<std::int32_t>(i), ns});
    before = flight.after_group[i].get();
  }
  if (sample_ == nullptr) return result;
  const auto* const rows = flight.results.as<const SampledRow>();
  const auto* const top = reinterpret_cast<const TokenLogprob*>(rows + bucket_.max_logit_rows);
  const auto n_top = static_cast<std::size_t>(std::min(sample_->n_top, limits_.n_logits));
  for (std::size_t row = 0; row < static_cast<std::size_t>(flight.n_logit_rows); ++row) {
    SampledToken token{.id = rows[row].id, .logprob = rows[row].logprob, .finite = rows[row].finite != 0, .top = {}};
    if (token.finite) token.top.assign(top + row * n_top, top + (row + 1) * n_top);
    result.tokens.push_back(std::move(token));
  }
  if (sample_->keep_logits) {
    const auto* const logits = reinterpret_cast<const float*>(flight.results.data() + sampled_bytes_);
    result.logits.assign(
        logits, logits + static_cast<std::size_t>(flight.n_logit_rows) * static_cast<std::size_t>(limits_.n_logits));
  }
  return result;
}

/// Nothing but the values' own rows may have been written. Only with guards, where no place is used twice.
Result<void> GpuStep::check_guards(const Flight& flight) const {
  if (shared_.workspace_owner != this) return {};  // a later step has used the workspace since
  std::vector<std::uint8_t> bytes(plan_.total_bytes);
  SS_TRY_VOID(shared_.memory->download(bytes.data(), shared_.workspace.data(), bytes.size()));
  for (std::size_t v = 0; v < graph_.values.size(); ++v) {
    const ValueDesc& value = graph_.values[v];
    if (plan_.sizes[v] == 0) continue;
    const std::size_t used = static_cast<std::size_t>(flight.rows[static_cast<std::size_t>(value.rows)]) *
                             static_cast<std::size_t>(value.cols) * size_of(value.dtype);
    const std::size_t end = std::min(plan_.offsets[v] + plan_.sizes[v] + kGuardBytes, bytes.size());
    for (std::size_t i = plan_.offsets[v] + used; i < end; ++i) {
      if (bytes[i] == kGuardByte) continue;
      return Error{ErrorCode::kInternal, fmt::format("a step wrote byte {} past the {} bytes of value {}",
                                                     i - plan_.offsets[v] - used, used, v)};
    }
  }
  return {};
}

Result<std::vector<float>> GpuStep::read_value(ValueId id) const {
  const auto index = static_cast<std::size_t>(index_of(id));
  if (index_of(id) < 0 || index >= graph_.values.size() || !graph_.values[index].observed) {
    return Error{ErrorCode::kInvalidInput, fmt::format("value {} is not observed", index_of(id))};
  }
  if (shared_.workspace_owner != this) {
    return Error{ErrorCode::kInvalidInput, "read_value: this step was not the last to run"};
  }
  const ValueDesc& value = graph_.values[index];
  std::vector<float> out(static_cast<std::size_t>(last_rows_[static_cast<std::size_t>(value.rows)]) *
                         static_cast<std::size_t>(value.cols));
  SS_TRY_VOID(shared_.memory->download(out.data(), place(id), out.size() * sizeof(float)));
  if (value.dtype == DType::kI32) {
    for (float& element : out) {
      std::int32_t integer = 0;
      std::memcpy(&integer, &element, sizeof(integer));
      element = static_cast<float>(integer);
    }
  }
  return out;
}

}  // namespace secondsource::gpu

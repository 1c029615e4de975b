#include "gpu/host/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/op_access.h"
#include "backend/op_visit.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/overloaded.h"

namespace secondsource::gpu {
namespace {

constexpr std::size_t kGuardBytes = 256;
constexpr std::uint8_t kGuardByte = 0xA5;

}  // namespace

GpuStep::GpuStep(Shared& shared, const Weights& weights, const KvPool& pool, const StepGraph& graph,
                 const Bucket& bucket, GroupTiming group_timing)
    : shared_(shared),
      weights_(weights),
      pool_(pool),
      graph_(graph),
      bucket_(bucket),
      group_timing_(group_timing),
      values_(shared, graph_, bucket, shared.options.guards ? kGuardBytes : 0),
      products_(shared, weights, values_) {}

GpuStep::~GpuStep() {
  // Batches in flight read this step's buffers.
  if (flights_.any_busy()) (void)shared_.memory->stream().synchronize();
  if (shared_.workspace_owner == this) shared_.workspace_owner = nullptr;
}

Result<std::unique_ptr<GpuStep>> GpuStep::create(Shared& shared, const Weights& weights, const KvPool& pool,
                                                 StepTables tables, const StepGraph& graph, const Bucket& bucket,
                                                 GroupTiming group_timing) {
  auto step = std::unique_ptr<GpuStep>(new GpuStep(shared, weights, pool, graph, bucket, group_timing));
  SS_TRY_VOID(step->set_up(std::move(tables)));
  return step;
}

Result<void> GpuStep::set_up(StepTables tables) {
  tables_ = std::move(tables);
  const DeviceProperties& device = shared_.memory->device().properties();
  prefill_ = shared_.options.prefill.value_or(device.has_warpgroups ? PrefillBy::kWarpgroups : PrefillBy::kWarps);
  SS_TRY_VOID(plan_ops());
  SS_TRY(upload_, BatchUpload::create(*shared_.memory, bucket_, plan_decode_splits()));
  SS_TRY_VOID(create_block_counters());
  workspace_bytes_ = values_.values_bytes() + plan_scratch();
  if (sample_ != nullptr) {
    SS_TRY(samples_, SampleResults::create(*shared_.memory, *sample_, bucket_, limits_.n_logits));
  }
  SS_TRY_VOID(flights_.create(shared_.memory->device(), samples_.pinned_bytes(),
                              group_timing_ == GroupTiming::kOn ? groups_.size() : 0));
  SS_TRY_VOID(shared_.reserve_workspace(workspace_bytes_));
  return products_.warm_library();
}

Result<void> GpuStep::plan_ops() {
  limits_.page_tokens = pool_.spec().page_tokens;
  limits_.n_pages = pool_.n_pages();
  bool has_unlimited_window = false;
  const auto named = [](const auto& op) {
    return OpGroup{.ops = {}, .kernel = std::string(op_name(Op(op))), .fallback = ""};
  };
  const Overloaded plan{
      [&](const Embed& op) -> Result<OpGroup> {
        const std::int32_t n_ids = weights_.view(op.table).n_rows;
        limits_.vocab_size = limits_.vocab_size == 0 ? n_ids : std::min(limits_.vocab_size, n_ids);
        return named(op);
      },
      [&](const RmsNorm& op) -> Result<OpGroup> { return named(op); },
      [&](const Matmul& op) -> Result<OpGroup> {
        SS_TRY(OpGroup group, products_.choose(op));
        most_block_counters_ = std::max(most_block_counters_, products_.n_block_counters(op));
        return group;
      },
      [&](const RopeAppend& op) -> Result<OpGroup> { return named(op); },
      [&](const LatentAppend& op) -> Result<OpGroup> { return named(op); },
      [&](const HeadMatmul& op) -> Result<OpGroup> { return products_.describe(op); },
      [&](const Attention& op) -> Result<OpGroup> {
        limits_.attends = true;
        has_unlimited_window |= op.window <= 0;
        limits_.max_window = std::max(limits_.max_window, op.window);
        OpGroup group = named(op);
        const bool has_latents = op.heads.latent_dim > 0;
        group.kernel = has_latents                          ? "latent_attention_bf16_f32acc"
                       : prefill_ == PrefillBy::kWarpgroups ? "attention_wgmma_bf16_f32acc"
                                                            : "attention_bf16_f32acc";
        const DecodeBlocks blocks = decode_blocks(op.heads);
        // A separate kernel adds the shares of latents, so that these need no block counters.
        if (!has_latents) most_blocks_per_split_ = std::max(most_blocks_per_split_, blocks.per_split);
        if (has_latents && shared_.options.prefill == PrefillBy::kWarpgroups) {
          group.fallback = "attention=wgmma: attention over latents has no kernel by warpgroups";
        }
        if (!fewest_decode_blocks_ || blocks.per_split < fewest_decode_blocks_->per_split)
          fewest_decode_blocks_ = blocks;
        return group;
      },
      [&](const SelectRows& op) -> Result<OpGroup> { return named(op); },
      [&](const SelectColumns& op) -> Result<OpGroup> { return named(op); },
      [&](const Sample& op) -> Result<OpGroup> {
        if (sample_ != nullptr) return Error{ErrorCode::kUnsupported, "more than one sample operation in a step"};
        sample_ = &op;
        limits_.n_logits = values_.desc(op.logits).cols;
        return named(op);
      },
      [&](const Route& op) -> Result<OpGroup> {
        most_block_counters_ = std::max(most_block_counters_, values_.max_rows_of(op.x));
        return named(op);
      },
      [&](const GroupedMatmul& op) -> Result<OpGroup> { return products_.describe(op); },
  };
  for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
    SS_TRY(OpGroup group, visit_op(graph_.ops[i], plan));
    group.ops = {static_cast<std::int32_t>(i)};
    if (normalizes_itself(i)) {
      group.ops = {static_cast<std::int32_t>(i) - 1, static_cast<std::int32_t>(i)};
      group.kernel = "rms_norm_" + group.kernel;
      groups_.pop_back();
    }
    groups_.push_back(std::move(group));
  }
  if (has_unlimited_window) limits_.max_window = 0;
  return {};
}

bool GpuStep::normalizes_itself(std::size_t op) const {
  if (!shared_.options.fuse || op == 0) return false;
  const auto* const norm = std::get_if<RmsNorm>(&graph_.ops[op - 1]);
  const auto* const product = std::get_if<Matmul>(&graph_.ops[op]);
  if (norm == nullptr || product == nullptr || product->x != norm->out) return false;
  if (graph_.values[static_cast<std::size_t>(index_of(norm->out))].observed) return false;
  const auto reads_it = [&](const Op& other) {
    const OpAccess access = op_access(other);
    return std::ranges::find(access.reads, norm->out) != access.reads.end();
  };
  return std::ranges::count_if(graph_.ops, reads_it) == 1 && products_.may_normalize(*norm, *product);
}

DecodeSplitPlan GpuStep::plan_decode_splits() const {
  if (!fewest_decode_blocks_) return {};
  const std::int64_t length = std::int64_t{bucket_.max_pages_per_seq} * pool_.spec().page_tokens;
  return DecodeSplitPlan::make(shared_.memory->device().properties().n_processors, *fewest_decode_blocks_,
                               BatchUpload::max_decodes(bucket_), length);
}

Result<void> GpuStep::create_block_counters() {
  const std::size_t n_of_attention =
      static_cast<std::size_t>(upload_.max_decode_splits()) * static_cast<std::size_t>(most_blocks_per_split_);
  const std::size_t bytes =
      std::max(n_of_attention, static_cast<std::size_t>(most_block_counters_)) * sizeof(std::uint32_t);
  SS_TRY(block_counters_, shared_.memory->allocate(MemoryPurpose::kWorkspace, bytes));
  if (bytes == 0) return {};
  return shared_.memory->stream().fill(block_counters_.data(), 0, bytes);
}

std::size_t GpuStep::plan_scratch() const {
  const Overloaded scratch_of{
      [](const Embed&) -> std::size_t { return 0; },
      [](const RmsNorm&) -> std::size_t { return 0; },
      [&](const Matmul& op) -> std::size_t { return products_.scratch_bytes(op); },
      [](const RopeAppend&) -> std::size_t { return 0; },
      [](const LatentAppend&) -> std::size_t { return 0; },
      [&](const HeadMatmul& op) -> std::size_t { return products_.scratch_bytes(op); },
      [&](const Attention& op) -> std::size_t {
        return partial_attention_bytes(upload_.max_decode_splits(), op.heads);
      },
      [](const SelectRows&) -> std::size_t { return 0; },
      [](const SelectColumns&) -> std::size_t { return 0; },
      [&](const Sample&) -> std::size_t { return sample_scratch_bytes(bucket_.max_logit_rows, limits_.n_logits); },
      [&](const Route& op) -> std::size_t {
        return route_scratch_bytes(values_.max_rows_of(op.x), weights_.view(op.gate).n_rows);
      },
      [&](const GroupedMatmul& op) -> std::size_t { return products_.scratch_bytes(op); },
  };
  std::size_t bytes = 0;
  for (const Op& op : graph_.ops) bytes = std::max(bytes, visit_op(op, scratch_of));
  return bytes;
}

void GpuStep::bind() {
  const LaunchBinder binder{.shared = shared_,
                            .weights = weights_,
                            .pool = pool_,
                            .graph = graph_,
                            .values = values_,
                            .products = products_,
                            .upload = upload_,
                            .inv_freqs = tables_.inv_freqs,
                            .column_lists = tables_.column_lists,
                            .samples = samples_,
                            .prefill = prefill_,
                            .block_counters = block_counters_,
                            .n_logits = limits_.n_logits,
                            .max_logit_rows = bucket_.max_logit_rows};
  launches_.clear();
  for (const OpGroup& group : groups_) {
    const Op& op = graph_.ops[static_cast<std::size_t>(group.ops.back())];
    if (group.ops.size() == 1) {
      launches_.push_back(visit_op(op, binder));
    } else {
      const Op& norm = graph_.ops[static_cast<std::size_t>(group.ops.front())];
      launches_.push_back(products_.bind(std::get<RmsNorm>(norm), std::get<Matmul>(op), upload_));
    }
  }
  graphs_.reset();
  bound_generation_ = shared_.workspace_generation;
}

Result<void> GpuStep::capture(const BatchUpload::Work& work) {
  Stream& stream = shared_.memory->stream();
  SS_TRY_VOID(stream.begin_capture());
  auto launched = launch_all(work, {});
  auto captured = stream.end_capture();
  SS_TRY_VOID(launched);
  SS_TRY(graphs_.of(work), std::move(captured));
  return {};
}

Result<void> GpuStep::make_ready() {
  SS_TRY_VOID(shared_.poison.healthy());
  if (!uses_graphs()) return {};
  if (bound_generation_ != shared_.workspace_generation) bind();
  // The kinds of batches: prompts or padding, sequences that decode, or both.
  for (const BatchUpload::Work work : {BatchUpload::Work{1, 0}, BatchUpload::Work{0, 1}, BatchUpload::Work{1, 1}}) {
    if (!graphs_.of(work)) SS_TRY_VOID(capture(work));
  }
  return {};
}

Result<Ticket> GpuStep::submit(const Batch& batch) {
  SS_TRY_VOID(shared_.poison.healthy());
  const auto [flight, index] = flights_.find_free();
  if (flight == nullptr) {
    return shared_.poison.fail(Error{
        ErrorCode::kInvalidInput, fmt::format("submit: expected at most {} steps in flight", BatchUpload::kInFlight)});
  }
  auto work = upload_.send(shared_.memory->stream(), batch, limits_, shared_.sampled, index, *flight->sent);
  if (!work) return shared_.poison.fail(work.error());
  flight->rows = {batch.n_tokens(), batch.n_seqs(), batch.n_logit_rows()};
  if (auto ran = run(*work, *flight); !ran) return shared_.poison.fail(ran.error());
  shared_.workspace_owner = this;
  last_rows_ = flight->rows;
  flight->busy = true;
  flight->ticket = Ticket{shared_.next_ticket++};
  return flight->ticket;
}

Result<void> GpuStep::run(const BatchUpload::Work& work, Flight& flight) {
  Stream& stream = shared_.memory->stream();
  if (bound_generation_ != shared_.workspace_generation) bind();
  if (shared_.options.guards) {
    SS_TRY_VOID(stream.fill(shared_.workspace.data(), kGuardByte, values_.plan().total_bytes));
  }
  flight.made_ready = uses_graphs() && !graphs_.of(work);
  if (flight.made_ready) SS_TRY_VOID(capture(work));
  SS_TRY_VOID(stream.record(*flight.begin));
  if (uses_graphs()) {
    SS_TRY_VOID(stream.replay(*graphs_.of(work)));
  } else {
    SS_TRY_VOID(launch_all(work, flight.after_group));
  }
  SS_TRY_VOID(stream.record(*flight.end));
  if (sample_ != nullptr) {
    SS_TRY_VOID(samples_.pull(stream, values_.address(sample_->logits), flight.n_logit_rows(), flight.results));
  }
  SS_TRY_VOID(stream.record(*flight.done));
  return stream.flush();
}

Result<void> GpuStep::launch_all(const BatchUpload::Work& work, std::span<const std::unique_ptr<Event>> after_group) {
  const LaunchContext context = shared_.context();
  for (std::size_t i = 0; i < launches_.size(); ++i) {
    if (auto launched = launches_[i](context, work); !launched) {
      return launched.error().with_context(op_label(graph_, static_cast<std::size_t>(groups_[i].ops.back())));
    }
    if (!after_group.empty()) SS_TRY_VOID(context.stream.record(*after_group[i]));
  }
  return {};
}

Result<StepResult> GpuStep::finish(Ticket ticket, Deadline deadline) {
  Flight& flight = *flights_.find(ticket);
  flight.busy = false;
  if (auto done = wait_until_done(flight, ticket, deadline); !done) return shared_.poison.fail(done.error());
  if (shared_.options.guards) {
    if (auto checked = check_guards(flight); !checked) return shared_.poison.fail(checked.error());
  }
  auto result = collect(flight);
  if (!result) return shared_.poison.fail(result.error());
  return result;
}

Result<void> GpuStep::wait_until_done(const Flight& flight, Ticket ticket, Deadline deadline) {
  for (bool done = false; !done;) {
    SS_TRY(done, shared_.memory->device().is_done(*flight.done));
    const std::int64_t late_ns = now_ns() - deadline.at_ns;
    if (late_ns > 0) {
      return Error{ErrorCode::kDeadline,
                   fmt::format("step {}: {} {} ms after its deadline", static_cast<std::int64_t>(ticket),
                               done ? "finished" : "not finished", late_ns / 1'000'000)};
    }
  }
  return {};
}

Result<StepResult> GpuStep::collect(const Flight& flight) {
  StepResult result;
  result.made_ready = flight.made_ready;
  SS_TRY_VOID(flight.read_times(shared_.memory->device(), result));
  samples_.read(flight.results, flight.n_logit_rows(), result);
  return result;
}

Result<void> GpuStep::check_guards(const Flight& flight) const {
  if (shared_.workspace_owner != this) return {};  // a later step has used the workspace since
  const WorkspacePlan& plan = values_.plan();      // without reuse: each value has a place of its own
  std::vector<std::uint8_t> bytes(plan.total_bytes);
  SS_TRY_VOID(shared_.memory->download(bytes.data(), shared_.workspace.data(), bytes.size()));
  for (std::size_t v = 0; v < graph_.values.size(); ++v) {
    const ValueDesc& value = graph_.values[v];
    if (plan.sizes[v] == 0) continue;
    const std::size_t used = static_cast<std::size_t>(flight.rows[static_cast<std::size_t>(value.rows)]) *
                             static_cast<std::size_t>(value.cols) * size_of(value.dtype);
    const std::size_t end = std::min(plan.offsets[v] + plan.sizes[v] + kGuardBytes, bytes.size());
    for (std::size_t i = plan.offsets[v] + used; i < end; ++i) {
      if (bytes[i] == kGuardByte) continue;
      return Error{ErrorCode::kInternal, fmt::format("a step wrote byte {} past the {} bytes of value {}",
                                                     i - plan.offsets[v] - used, used, v)};
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
  SS_TRY_VOID(shared_.memory->download(out.data(), values_.address(id), out.size() * sizeof(float)));
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

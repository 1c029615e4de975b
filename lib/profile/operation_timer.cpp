#include "profile/operation_timer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <string_view>

#include "backend/op_access.h"

namespace secondsource {
namespace {

// Tracks in the trace viewer.
constexpr std::int64_t kSteps = 1;
constexpr std::int64_t kHost = 2;
constexpr std::int64_t kDevice = 3;

/// A label split into its parts: "layers.3.attention.qkv" is "attention.qkv" in layer 3; "head" is in no layer.
struct Place {
  std::string_view label;
  std::int64_t layer = -1;
};

Place place_of(std::string_view label) {
  constexpr std::string_view kLayers = "layers.";
  if (!label.starts_with(kLayers)) return {label};
  Place place;
  const std::string_view rest = label.substr(kLayers.size());
  const auto number = std::from_chars(rest.data(), rest.data() + rest.size(), place.layer);
  place.label = rest.substr(std::min(static_cast<std::size_t>(number.ptr - rest.data()) + 1, rest.size()));
  return place;
}

const char* phase_of(const StepStats& step) {
  return step.n_decode_tokens == 0 ? "prefill" : step.n_prefill_tokens == 0 ? "decode" : "mixed";
}

/// Such as "decode, 1 token" or "prefill, 65-128 tokens": the number of tokens is given as a range between two powers
/// of two.
std::string shape_class_of(const StepStats& step) {
  const char* const phase = phase_of(step);
  const std::int64_t n_tokens = step.n_prefill_tokens + step.n_decode_tokens;
  if (n_tokens == 1) return fmt::format("{}, 1 token", phase);
  if (n_tokens == 2) return fmt::format("{}, 2 tokens", phase);
  const auto upper = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n_tokens)));
  return fmt::format("{}, {}-{} tokens", phase, upper / 2 + 1, upper);
}

/// Such as "1024 -> 3072": the columns that the first operation reads and the last one writes.
std::string shape_of(const StepGraph& graph, const OpGroup& group) {
  const auto columns = [&](std::int32_t op, bool written) -> std::int32_t {
    const OpAccess access = op_access(graph.ops[static_cast<std::size_t>(op)]);
    const std::vector<ValueId>& values = written ? access.writes : access.reads;
    return values.empty() ? 0 : graph.values[static_cast<std::size_t>(index_of(values.front()))].cols;
  };
  return fmt::format("{} -> {}", columns(group.ops.front(), false), columns(group.ops.back(), true));
}

std::string joined(const std::string& so_far, std::string_view next) {
  return so_far.empty() ? std::string(next) : fmt::format("{}+{}", so_far, next);
}

}  // namespace

OperationTimer::OperationTimer(TraceEventFile* trace) : trace_(trace) {
  if (trace_ == nullptr) return;
  trace_->name_track(kSteps, "steps");
  trace_->name_track(kHost, "host");
  trace_->name_track(kDevice, "operations");
}

void OperationTimer::add(const Engine& engine) {
  const StepStats& step = engine.last_step();
  if (step.n_seqs == 0) return;
  if (!graph_) graph_ = engine.graph();
  ++n_steps_;
  device_ns_ += step.device_ns;
  add_spans(step);
  // The device begins when the step is submitted and runs the groups one after the other.
  std::int64_t start_ns = step.finished_ns - step.wait_ns - step.submit_ns;
  for (const GroupTime& time : step.groups) {
    add_group(engine, step, time, start_ns);
    start_ns += time.ns;
  }
}

void OperationTimer::add_spans(const StepStats& step) {
  if (trace_ == nullptr || trace_->n_spans() >= kMostSpans) return;
  const std::int64_t submitted_ns = step.finished_ns - step.wait_ns - step.submit_ns;
  trace_->span(kSteps, phase_of(step), step.started_ns, step.finished_ns + step.apply_ns - step.started_ns,
               {{"sequences", std::int64_t{step.n_seqs}},
                {"prefill_tokens", std::int64_t{step.n_prefill_tokens}},
                {"decode_tokens", std::int64_t{step.n_decode_tokens}},
                {"bucket_tokens", std::int64_t{step.bucket_tokens}}});
  trace_->span(kHost, "plan", step.started_ns, step.plan_ns);
  trace_->span(kHost, "submit", submitted_ns, step.submit_ns);
  trace_->span(kHost, "wait", submitted_ns + step.submit_ns, step.wait_ns);
  trace_->span(kHost, "apply", step.finished_ns, step.apply_ns);
}

void OperationTimer::add_group(const Engine& engine, const StepStats& step, const GroupTime& time,
                               std::int64_t start_ns) {
  const OpGroup& group = engine.groups()[static_cast<std::size_t>(time.group)];
  if (group.ops.empty()) return;
  OperationTime one;
  one.kernel = group.kernel;
  one.fallback = group.fallback;
  one.shape_class = shape_class_of(step);
  one.shape = shape_of(*graph_, group);
  OpWork work;
  std::int64_t layer = -1;
  for (const std::int32_t op : group.ops) {
    const auto index = static_cast<std::size_t>(op);
    const Place place = place_of(graph_->labels[index]);
    one.operation = joined(one.operation, op_name(graph_->ops[index]));
    one.label = joined(one.label, place.label);
    layer = place.layer;
    work += engine.work_of(graph_->ops[index], *graph_, step.counts);
  }
  if (trace_ != nullptr && trace_->n_spans() < kMostSpans) {
    trace_->span(
        kDevice, graph_->labels[static_cast<std::size_t>(group.ops.front())], start_ns, time.ns,
        {{"operation", one.operation},
         {"shape", one.shape},
         {"kernel", one.kernel},
         {"gflops_per_s", time.ns > 0 ? work.flops / static_cast<double>(time.ns) : 0.0},
         {"gb_per_s", time.ns > 0 ? (work.weight_bytes + work.kv_bytes) / static_cast<double>(time.ns) : 0.0}});
  }
  OperationTime& sum =
      sums_.try_emplace({one.operation, one.label, one.shape_class, one.shape, one.kernel}, one).first->second;
  ++sum.n_calls;
  sum.ns += time.ns;
  sum.flops += work.flops;
  sum.bytes += work.weight_bytes + work.kv_bytes;
  if (layer < 0) return;
  sum.ns_by_layer.resize(std::max(sum.ns_by_layer.size(), static_cast<std::size_t>(layer) + 1));
  sum.ns_by_layer[static_cast<std::size_t>(layer)] += time.ns;
}

std::vector<OperationTime> OperationTimer::operations() const {
  std::vector<OperationTime> operations;
  for (const auto& [key, sum] : sums_) operations.push_back(sum);
  std::ranges::stable_sort(operations, std::ranges::greater(), &OperationTime::ns);
  return operations;
}

}  // namespace secondsource

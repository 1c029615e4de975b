#include "profile/operation_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "backend/op_access.h"
#include "core/clock.h"
#include "core/random.h"
#include "record/roofline.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// The shape as shown to the reader: inputs and outputs of a matmul, rows and columns of the output for other
/// operations.
std::string shape_of(const Op& op, const StepGraph& graph, const StepStats& step) {
  const auto value = [&](ValueId id) -> const ValueDesc& {
    return graph.values[static_cast<std::size_t>(index_of(id))];
  };
  const auto rows = [&](ValueId id) {
    switch (value(id).rows) {
      case Rows::kTokens:
        return step.n_prefill_tokens + step.n_decode_tokens;
      case Rows::kSeqs:
        return step.n_seqs;
      case Rows::kLogits:
        return step.n_logit_rows;
    }
    return 0;
  };
  if (const auto* matmul = std::get_if<Matmul>(&op)) {
    return fmt::format("{} x {} -> {}", rows(matmul->x), value(matmul->x).cols, value(matmul->out).cols);
  }
  if (const auto* attention = std::get_if<Attention>(&op)) {
    const HeadShape& heads = attention->heads;
    return fmt::format("{} x {} heads of {}, {} for keys and values", rows(attention->q), heads.n_heads, heads.head_dim,
                       heads.n_kv_heads);
  }
  const OpAccess access = op_access(op);
  const std::vector<ValueId>& values = access.writes.empty() ? access.reads : access.writes;
  return values.empty() ? "" : fmt::format("{} x {}", rows(values.front()), value(values.front()).cols);
}

/// "layers.3.attention.qkv" -> "layers.3", and "head" -> "head".
std::string layer_of(const std::string& label) {
  const std::size_t number = label.find('.');
  if (number == std::string::npos) return label;
  return label.substr(0, label.find('.', number + 1));
}

class Profiler {
 public:
  Profiler(ModelSession& session, const ProfilePlan& plan, Progress& progress)
      : session_(session), engine_(session.engine()), plan_(plan), progress_(progress) {}

  Result<OperationProfile> run() {
    SchedulerOptions options = engine_.scheduler().options();
    options.max_seqs = plan_.scenario.batch;
    SS_TRY_VOID(engine_.set_scheduler(options));
    engine_.set_group_timing(GroupTiming::kOn);
    SS_TRY([[maybe_unused]] const std::int64_t compile_ns, engine_.prepare({}));
    SS_TRY_VOID(run_batch(false));
    const std::int64_t started_ns = now_ns();
    constexpr int kFewestBatches = 2;
    for (int n_batches = 0; n_batches < kFewestBatches || now_ns() - started_ns < plan_.budget_ns; ++n_batches) {
      SS_TRY_VOID(run_batch(true));
      profile_.n_requests += plan_.scenario.batch;
    }
    if (calls_.empty()) {
      return Error{ErrorCode::kUnsupported, fmt::format("{}: the backend does not time the operations of a traced step",
                                                        session_.backend().device().backend)};
    }
    for (const auto& [key, calls] : calls_) {
      const auto& [phase, operation, shape, kernel] = key;
      profile_.operations.push_back({.phase = phase,
                                     .operation = operation,
                                     .shape = shape,
                                     .kernel = kernel,
                                     .n_calls = std::ssize(calls.ns),
                                     .ns = typical_total(calls.ns),
                                     .flops = calls.work.flops,
                                     .bytes_read = calls.work.weight_bytes + calls.work.kv_bytes});
    }
    profile_.limits = plan_.limits;
    for (const Phase* phase : {&prefill_, &decode_}) {
      hold_against_limits(*phase);
      add_layers(*phase);
      for (const auto& [part, times_ns] : phase->gaps_ns) {
        profile_.gaps.push_back({phase->name, part, typical_total(times_ns)});
      }
    }
    profile_.prefill_ns = typical_total(prefill_.steps_ns);
    profile_.decode_ns = typical_total(decode_.steps_ns);
    std::stable_sort(profile_.operations.begin(), profile_.operations.end(),
                     [](const ProfiledOperation& a, const ProfiledOperation& b) { return a.ns > b.ns; });
    return std::move(profile_);
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string, std::string>;  ///< phase, operation, shape, kernel

  struct Calls {
    std::vector<double> ns;
    OpWork work;
  };
  struct Phase {
    std::string name;
    std::vector<double> steps_ns{};
    std::vector<std::pair<std::string, std::vector<double>>> gaps_ns{};    ///< in the order of a step
    std::vector<std::pair<std::string, std::vector<double>>> labels_ns{};  ///< in the order of the graph
  };

  static std::int64_t typical_total(const std::vector<double>& times_ns) {
    return static_cast<std::int64_t>(median(times_ns).value_or(0) * static_cast<double>(times_ns.size()));
  }

  Result<void> run_batch(bool counts) {
    for (std::int32_t index = 0; index < plan_.scenario.batch; ++index) {
      Request request;
      const std::uint64_t stream = random_bits(plan_.seed, n_submitted_++);
      for (std::int32_t position = 0; position < plan_.scenario.n_prompt_tokens; ++position) {
        const std::uint64_t bits = random_bits(stream, static_cast<std::uint64_t>(position));
        request.prompt_ids.push_back(static_cast<std::int32_t>(bits % std::uint64_t(session_.config().vocab_size)));
      }
      request.max_new_tokens = plan_.scenario.n_output_tokens;
      request.stop_ids = session_.config().eos_ids;
      request.ignore_stop_ids = true;
      SS_TRY([[maybe_unused]] const RequestId id, engine_.submit(std::move(request)));
    }
    while (engine_.has_work()) {
      if (plan_.interrupt != nullptr) SS_TRY_VOID(plan_.interrupt->check());
      const std::int64_t started_ns = now_ns();
      SS_TRY(const std::vector<TokenEvent> events, engine_.step({started_ns + plan_.step_deadline_ns}));
      const std::int64_t text_started_ns = now_ns();
      if (plan_.on_token) {
        for (const TokenEvent& event : events) plan_.on_token(event.id);
      }
      const std::int64_t ended_ns = now_ns();
      if (counts) add(engine_.last_step(), ended_ns - started_ns, ended_ns - text_started_ns);
      progress_.update(++n_steps_);
    }
    return {};
  }

  static std::vector<double>& times_of(std::vector<std::pair<std::string, std::vector<double>>>& all,
                                       const std::string& name) {
    const auto found = std::ranges::find(all, name, &std::pair<std::string, std::vector<double>>::first);
    if (found != all.end()) return found->second;
    return all.emplace_back(name, std::vector<double>()).second;
  }

  void add(const StepStats& step, std::int64_t wall_ns, std::int64_t text_ns) {
    Phase& phase = step.n_prefill_tokens > 0 ? prefill_ : decode_;
    phase.steps_ns.push_back(static_cast<double>(wall_ns));
    const StepGraph graph = engine_.graph();
    const std::span<const OpGroup> groups = engine_.groups();
    std::int64_t groups_ns = 0;
    for (const GroupTime& time : step.groups) {
      const OpGroup& group = groups[static_cast<std::size_t>(time.group)];
      groups_ns += time.ns;
      if (group.ops.empty()) continue;
      const auto first = static_cast<std::size_t>(group.ops.front());
      const Op& op = graph.ops[first];
      Calls& calls = calls_[{phase.name, std::string(op_name(op)), shape_of(op, graph, step), group.kernel}];
      calls.ns.push_back(static_cast<double>(time.ns));
      for (const std::int32_t index : group.ops) {
        calls.work += engine_.work_of(graph.ops[static_cast<std::size_t>(index)], graph, step.counts);
      }
      times_of(phase.labels_ns, graph.labels[first]).push_back(static_cast<double>(time.ns));
    }
    const auto gap = [&](const char* part, std::int64_t ns) {
      times_of(phase.gaps_ns, part).push_back(static_cast<double>(ns));
    };
    gap("assemble the batch", step.plan_ns);
    gap("submit and wait", step.submit_ns + step.wait_ns - step.device_ns - step.transfer_ns.value_or(0));
    if (step.transfer_ns) gap("copies to and from the device", *step.transfer_ns);
    gap("between operations", step.device_ns - groups_ns);
    gap("results to events", step.apply_ns);
    if (plan_.on_token) gap("text", text_ns);
  }

  void hold_against_limits(const Phase& phase) {
    if (!plan_.limits || phase.steps_ns.empty()) return;
    const std::int64_t n_steps = std::ssize(phase.steps_ns);
    double bytes = 0;
    for (const ProfiledOperation& one : profile_.operations) bytes += one.phase == phase.name ? one.bytes_read : 0;
    for (ProfiledOperation& one : profile_.operations) {
      if (one.phase != phase.name) continue;
      const StepWork work{.n_steps = n_steps, .ns = one.ns, .flops = one.flops, .weight_bytes = one.bytes_read};
      // Between two calls, everything that a step reads passes through the caches.
      one.of_limit = nearer_limit(
          roofline_use(work, *plan_.limits, session_.variant().name, bytes / static_cast<double>(n_steps)));
    }
  }

  void add_layers(const Phase& phase) {
    for (const auto& [label, times_ns] : phase.labels_ns) {
      const std::string layer = layer_of(label);
      const bool is_new = profile_.layers.empty() || profile_.layers.back().phase != phase.name ||
                          profile_.layers.back().layer != layer;
      if (is_new) profile_.layers.push_back({.phase = phase.name, .layer = layer});
      profile_.layers.back().ns += typical_total(times_ns);
    }
  }

  ModelSession& session_;
  Engine& engine_;
  const ProfilePlan& plan_;
  Progress& progress_;
  OperationProfile profile_;
  std::map<Key, Calls> calls_;
  Phase prefill_{.name = "prefill"}, decode_{.name = "decode"};
  std::uint64_t n_submitted_ = 0;
  std::int64_t n_steps_ = 0;
};

}  // namespace

double engine_share_of_decode(const OperationProfile& profile) {
  std::int64_t ns = 0;
  for (const ProfiledGap& gap : profile.gaps) {
    if (gap.phase == "decode") ns += gap.ns;
  }
  for (const ProfiledOperation& time : profile.operations) {
    if (time.phase == "decode" && time.operation == "sample") ns += time.ns;
  }
  return profile.decode_ns > 0 ? static_cast<double>(ns) / static_cast<double>(profile.decode_ns) : 0;
}

Result<OperationProfile> profile_operations(ModelSession& session, const ProfilePlan& plan, Progress& progress) {
  return Profiler(session, plan, progress).run();
}

}  // namespace secondsource

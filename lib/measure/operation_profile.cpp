#include "measure/operation_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "backend/op_access.h"
#include "core/clock.h"
#include "core/random.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

/// Rows and columns as a person reads them: of a product its inputs and outputs, of the rest what is written.
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

class Profiler {
 public:
  Profiler(ModelSession& session, const ProfilePlan& plan, Progress& progress)
      : session_(session), engine_(session.engine()), plan_(plan), progress_(progress) {}

  Result<OperationProfile> run() {
    SchedulerOptions options = engine_.scheduler().options();
    options.max_seqs = plan_.scenario.batch;
    SS_TRY_VOID(engine_.set_scheduler(options));
    engine_.set_trace(Trace::kGroups);
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
    for (const auto& [key, calls_ns] : calls_) {
      const auto& [phase, operation, shape, kernel] = key;
      profile_.operations.push_back({.phase = phase,
                                     .operation = operation,
                                     .shape = shape,
                                     .kernel = kernel,
                                     .n_calls = std::ssize(calls_ns),
                                     .ns = typical_total(calls_ns)});
    }
    profile_.prefill_ns = typical_total(prefill_steps_ns_);
    profile_.decode_ns = typical_total(decode_steps_ns_);
    std::stable_sort(profile_.operations.begin(), profile_.operations.end(),
                     [](const ProfiledOperation& a, const ProfiledOperation& b) { return a.ns > b.ns; });
    return std::move(profile_);
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string, std::string>;  ///< phase, operation, shape, kernel

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
      const std::int64_t started_ns = now_ns();
      SS_TRY([[maybe_unused]] const auto events, engine_.step({started_ns + plan_.step_deadline_ns}));
      if (counts) add(engine_.last_step(), now_ns() - started_ns);
      progress_.update(++n_steps_);
    }
    return {};
  }

  void add(const StepStats& step, std::int64_t wall_ns) {
    const bool is_prefill = step.n_prefill_tokens > 0;
    (is_prefill ? prefill_steps_ns_ : decode_steps_ns_).push_back(static_cast<double>(wall_ns));
    const StepGraph graph = engine_.graph();
    const std::span<const OpGroup> groups = engine_.groups();
    for (const GroupTime& time : step.groups) {
      const OpGroup& group = groups[static_cast<std::size_t>(time.group)];
      if (group.ops.empty()) continue;
      const Op& op = graph.ops[static_cast<std::size_t>(group.ops.front())];
      const Key key{is_prefill ? "prefill" : "decode", std::string(op_name(op)), shape_of(op, graph, step),
                    group.kernel};
      calls_[key].push_back(static_cast<double>(time.ns));
    }
  }

  ModelSession& session_;
  Engine& engine_;
  const ProfilePlan& plan_;
  Progress& progress_;
  OperationProfile profile_;
  std::map<Key, std::vector<double>> calls_;
  std::vector<double> prefill_steps_ns_, decode_steps_ns_;
  std::uint64_t n_submitted_ = 0;
  std::int64_t n_steps_ = 0;
};

}  // namespace

Result<OperationProfile> profile_operations(ModelSession& session, const ProfilePlan& plan, Progress& progress) {
  return Profiler(session, plan, progress).run();
}

}  // namespace secondsource

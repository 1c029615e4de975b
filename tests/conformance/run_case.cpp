#include "conformance/run_case.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/op_access.h"
#include "core/clock.h"

namespace secondsource::conformance {
namespace {

struct Remap {
  std::span<const WeightId> ids;
  void operator()(WeightId& id) const { id = ids[static_cast<std::size_t>(index_of(id))]; }
  void operator()(std::optional<WeightId>& id) const {
    if (id) (*this)(*id);
  }
  void operator()(Embed& op) const { (*this)(op.table); }
  void operator()(RmsNorm& op) const { (*this)(op.weight); }
  void operator()(Matmul& op) const {
    (*this)(op.weight);
    (*this)(op.bias);
  }
  void operator()(RopeAppend& op) const {
    (*this)(op.q_norm);
    (*this)(op.k_norm);
  }
  void operator()(LatentAppend& op) const { (*this)(op.norm); }
  void operator()(HeadMatmul& op) const { (*this)(op.weights); }
  void operator()(Route& op) const {
    (*this)(op.gate);
    (*this)(op.choice_bias);
  }
  void operator()(GroupedMatmul& op) const { (*this)(op.weights); }
  void operator()(Attention&) const {}
  void operator()(SelectRows&) const {}
  void operator()(SelectColumns&) const {}
  void operator()(Sample&) const {}
};

Bucket bucket_of(const Case& c, std::int32_t graph) {
  Bucket bucket{1, 1, 1, 1};
  for (const Action& action : c.actions) {
    if (action.graph != graph) continue;
    const Batch batch = action.batch.view();
    bucket.max_tokens = std::max(bucket.max_tokens, batch.n_tokens());
    bucket.max_seqs = std::max(bucket.max_seqs, batch.n_seqs());
    bucket.max_logit_rows = std::max(bucket.max_logit_rows, batch.n_logit_rows());
    bucket.max_pages_per_seq = std::max(bucket.max_pages_per_seq, batch.max_pages_per_seq);
  }
  return bucket;
}

Deadline in_one_minute() {
  return {now_ns() + 60'000'000'000};
}

class Runner {
 public:
  Runner(Backend& backend, const Case& c) : backend_(backend), case_(c) {}

  Result<CaseOutputs> run() {
    SS_TRY_VOID(prepare());
    for (const Action& action : case_.actions) {
      if (action.graph < 0) {
        if (action.wait) SS_TRY_VOID(finish_pending());
        SS_TRY_VOID(backend_.kv_copy_pages(pool_, action.copies));
        continue;
      }
      Step& step = *steps_[static_cast<std::size_t>(action.graph)];
      SS_TRY(const Ticket ticket, step.submit(action.batch.view()));
      pending_.push_back({ticket, &action});
      if (action.wait) SS_TRY_VOID(finish_pending());
    }
    SS_TRY_VOID(finish_pending());
    SS_TRY_VOID(export_cache());
    return std::move(outputs_);
  }

 private:
  Result<void> prepare() {
    std::vector<WeightId> ids;
    for (const CaseWeight& weight : case_.weights) {
      SS_TRY(const WeightId id, backend_.prepare_weight(weight.spec));
      ids.push_back(id);
    }
    spec_ = case_.kv;
    spec_.dtype = backend_.device().kv_dtype;
    SS_TRY(pool_, backend_.create_kv_pool(spec_, case_.n_pages));
    for (std::size_t g = 0; g < case_.graphs.size(); ++g) {
      SS_TRY(auto step, backend_.compile(with_weights(case_.graphs[g], ids),
                                         bucket_of(case_, static_cast<std::int32_t>(g)), pool_, GroupTiming::kOff));
      steps_.push_back(std::move(step));
    }
    return {};
  }

  /// Waits for the tickets in order. Only the values of the last one are in memory afterwards.
  Result<void> finish_pending() {
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      const Action& action = *pending_[i].action;
      SS_TRY(StepResult result, backend_.wait(pending_[i].ticket, in_one_minute()));
      if (!action.compare) continue;
      StepOutputs step{.graph = action.graph,
                       .n_real_tokens = action.batch.q_starts.back(),
                       .values = {},
                       .tokens = std::move(result.tokens),
                       .logits = std::move(result.logits)};
      const StepGraph& graph = case_.graphs[static_cast<std::size_t>(action.graph)];
      step.values.resize(graph.values.size());
      for (std::size_t v = 0; v < graph.values.size() && i + 1 == pending_.size(); ++v) {
        if (!graph.values[v].observed) continue;
        SS_TRY(step.values[v],
               steps_[static_cast<std::size_t>(action.graph)]->read_value(ValueId{static_cast<std::int32_t>(v)}));
      }
      outputs_.steps.push_back(std::move(step));
    }
    pending_.clear();
    return {};
  }

  Result<void> export_cache() {
    const auto n_slots = static_cast<std::int32_t>(case_.n_pages * spec_.page_tokens);
    const std::size_t n_floats = static_cast<std::size_t>(n_slots) * static_cast<std::size_t>(spec_.n_kv_heads) *
                                 static_cast<std::size_t>(spec_.head_dim);
    for (std::int32_t layer = 0; layer < spec_.n_layers; ++layer) {
      for (const bool values : {false, true}) {
        if (values && spec_.latent_dim > 0) continue;
        outputs_.cache.emplace_back(n_floats);
        const KvRange range{.layer = layer, .values = values, .first_slot = 0, .n_slots = n_slots};
        SS_TRY_VOID(backend_.kv_export(pool_, range, outputs_.cache.back()));
      }
    }
    return {};
  }

  struct Pending {
    Ticket ticket;
    const Action* action;
  };

  Backend& backend_;
  const Case& case_;
  KvSpec spec_;
  KvPoolId pool_{};
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Pending> pending_;
  CaseOutputs outputs_;
};

}  // namespace

StepGraph with_weights(const StepGraph& graph, std::span<const WeightId> ids) {
  StepGraph mapped = graph;
  for (Op& op : mapped.ops) std::visit(Remap{ids}, op);
  return mapped;
}

std::optional<std::string> why_unsupported(const Backend& backend, const Case& c) {
  for (const StepGraph& graph : c.graphs) {
    for (const Op& op : graph.ops) {
      if (const Support support = backend.supports(op, graph.values); !support.supported) {
        return fmt::format("{}: {}", op_name(op), support.reason);
      }
      const auto* const matmul = std::get_if<Matmul>(&op);
      const auto* const grouped = std::get_if<GroupedMatmul>(&op);
      const ActQuant act = matmul != nullptr ? matmul->act : grouped != nullptr ? grouped->act : ActQuant::kNone;
      for (const WeightId id : op_access(op).weights) {
        const WeightSpec& spec = c.weights[static_cast<std::size_t>(index_of(id))].spec;
        const ActQuant own_act = spec.n_rows == 1 ? ActQuant::kNone : act;  // a bias is not an input of a matmul
        const WeightEncoding encoding = spec.encoding;
        if (const Support support = backend.supports_weight(encoding, own_act); !support.supported) {
          return fmt::format("{} weights: {}", to_string(encoding), support.reason);
        }
      }
    }
  }
  return std::nullopt;
}

Result<CaseOutputs> run_case(Backend& backend, const Case& c) {
  return Runner(backend, c).run();
}

}  // namespace secondsource::conformance

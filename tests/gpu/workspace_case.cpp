#include "gpu/workspace_case.h"

#include "conformance/build.h"
#include "conformance/cases.h"
#include "conformance/run_case.h"
#include "core/clock.h"

namespace secondsource::conformance {
namespace {

Result<std::vector<float>> run_twice(Backend& backend) {
  const Case c = make_matmul_case(7);
  std::vector<WeightId> ids;
  for (const CaseWeight& weight : c.weights) {
    SS_TRY(const WeightId id, backend.prepare_weight(weight.spec));
    ids.push_back(id);
  }
  KvSpec spec = c.kv;
  spec.dtype = backend.device().kv_dtype;
  SS_TRY(const KvPoolId pool, backend.create_kv_pool(spec, c.n_pages));
  const StepGraph graph = with_weights(c.graphs.back(), ids);
  const Batch batch = c.actions.back().batch.view();
  const Bucket bucket{batch.n_tokens(), batch.n_seqs(), batch.n_logit_rows(), batch.max_pages_per_seq};
  SS_TRY(const auto step, backend.compile(graph, bucket, pool, Trace::kOff));
  const auto run = [&]() -> Result<std::vector<float>> {
    SS_TRY(const Ticket ticket, step->submit(batch));
    SS_TRY(const StepResult result, backend.wait(ticket, Deadline{now_ns() + 60'000'000'000}));
    (void)result;
    return step->read_value(ValueId{static_cast<std::int32_t>(graph.values.size()) - 1});
  };
  SS_TRY(std::vector<float> first, run());
  Bucket large = bucket;
  large.max_tokens += 4096;
  SS_TRY(const auto larger_step, backend.compile(graph, large, pool, Trace::kOff));
  SS_TRY(const std::vector<float> second, run());
  if (first != second) return Error{ErrorCode::kInternal, "the step gave other values after the workspace had moved"};
  return first;
}

}  // namespace

std::optional<std::string> check_moved_workspace(const MakeBackend& make) {
  auto backend = make();
  if (!backend) return backend.error().message;
  const auto values = run_twice(**backend);
  if (!values) return values.error().message;
  return std::nullopt;
}

}  // namespace secondsource::conformance

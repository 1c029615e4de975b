#include "gpu/workspace_case.h"

#include "gpu/step_case.h"

namespace secondsource::conformance {
namespace {

Result<std::vector<float>> run_twice(Backend& backend) {
  SS_TRY(StepCase product, StepCase::make(backend, make_matmul_case(7)));
  const ValueId last{static_cast<std::int32_t>(product.graph().values.size()) - 1};
  const auto run = [&]() -> Result<std::vector<float>> {
    SS_TRY_VOID(product.run());
    return product.step().read_value(last);
  };
  SS_TRY(std::vector<float> first, run());
  SS_TRY(const auto larger_step, product.compile(4096));
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

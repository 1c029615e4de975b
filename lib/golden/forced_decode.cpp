#include "golden/forced_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/counted.h"
#include "core/number.h"

namespace secondsource {
namespace {

/// The device's own limit on the length of golden prompts; nullopt if it has none.
std::optional<std::int64_t> device_limit(const DeviceInfo& device) {
  for (const auto& [key, value] : device.properties) {
    if (key == kGoldenLimitProperty) return parse_number<std::int64_t>(value);
  }
  return std::nullopt;
}

/// Decodes cases that share a document, or have none, and increments `n_done` for each finished case.
Result<void> decode_group(Engine& engine, const std::vector<const GoldenCase*>& group, const GoldenPassOptions& options,
                          Progress& progress, const ForcedObserver& observe, std::int64_t& n_done) {
  std::optional<RequestId> parent;
  std::map<RequestId, const GoldenCase*> open;
  for (const GoldenCase* one : group) {
    Request request{.prompt_ids = one->prompt.ids,
                    .may_generate = static_cast<std::int32_t>(one->prompt.max_new_tokens),
                    .forced_ids = one->expected.ids,
                    .want_logits = true};
    request.hold = !parent && group.size() > 1 && !one->prompt.document.empty();
    if (parent) request.fork_of = parent;
    const bool holds = request.hold;
    auto id = engine.submit(std::move(request));
    if (!id) return id.error().with_context(fmt::format("prompt {}", one->prompt.id));
    if (holds) parent = *id;
    open[*id] = one;
  }
  while (engine.has_work()) {
    if (options.interrupt != nullptr) SS_TRY_VOID(options.interrupt->check());
    SS_TRY(const std::vector<TokenEvent> events, engine.step({now_ns() + options.step_deadline_ns}));
    for (const TokenEvent& event : events) {
      observe(*open.at(event.request), event);
      if (event.finish != FinishReason::kNone) ++n_done;
    }
    // Update after every step, also while a long prompt is computed, so that an observer sees that the pass advances.
    progress.update(n_done);
  }
  if (parent) engine.release(*parent);
  return {};
}

}  // namespace

RunnableCases runnable_cases(ModelSession& session, const GoldenInputs& inputs) {
  RunnableCases runnable;
  std::int64_t n_beyond_device = 0;
  std::int64_t n_beyond_cache = 0;
  const DeviceInfo& device = session.backend().device();
  const auto limit = device_limit(device);
  for (const GoldenCase& one : inputs.cases) {
    if (limit && static_cast<std::int64_t>(one.prompt.ids.size()) > *limit) {
      ++n_beyond_device;
    } else if (n_tokens(one) - 1 > session.engine().max_context()) {
      ++n_beyond_cache;
    } else {
      runnable.cases.push_back(&one);
    }
  }
  if (n_beyond_device > 0) {
    runnable.skipped.push_back(fmt::format("not run on {}: {} of more than {}", device.backend,
                                           counted(n_beyond_device, "prompt"), counted(*limit, "token")));
  }
  if (n_beyond_cache > 0) {
    runnable.skipped.push_back(fmt::format("{} not fit into a context of {}",
                                           counted(n_beyond_cache, "prompt does", "prompts do"),
                                           counted(session.engine().max_context(), "token")));
  }
  runnable.n_skipped = n_beyond_device + n_beyond_cache;
  return runnable;
}

Result<void> decode_forced(Engine& engine, std::vector<const GoldenCase*> cases, const GoldenPassOptions& options,
                           Progress& progress, const ForcedObserver& observe) {
  // Group the cases by document, so that the cache holds one document at a time. Cases without a document run together.
  std::ranges::stable_sort(cases, {}, [](const GoldenCase* one) -> const std::string& { return one->prompt.document; });
  std::int64_t n_done = 0;
  for (auto first = cases.begin(); first != cases.end();) {
    const auto last = std::find_if(
        first, cases.end(), [&](const GoldenCase* one) { return one->prompt.document != (*first)->prompt.document; });
    SS_TRY_VOID(decode_group(engine, {first, last}, options, progress, observe, n_done));
    first = last;
  }
  return {};
}

}  // namespace secondsource

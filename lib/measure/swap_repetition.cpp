#include "measure/swap_repetition.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/enum_format.h"
#include "measure/load_generator.h"
#include "measure/steady_window.h"

namespace secondsource {
namespace {

// A start counts as one from disk if no more than this share of the model's files was in the page cache: readers of the
// bundle may touch a page between the drop and the load.
constexpr double kMostCachedFromDisk = 0.01;

class SwapMeasurement {
 public:
  SwapMeasurement(ModelPool& pool, std::span<const WorkItem> items, const RepetitionPlan& plan,
                  const MeasurementContext& context)
      : pool_(pool),
        items_(items.first(static_cast<std::size_t>(plan.scenario.n_requests))),
        plan_(plan),
        context_(context) {}

  Result<void> run() {
    for (std::int32_t model = 0; model < n_models(); ++model) {
      SS_TRY_VOID(start_from_disk(model));
      SS_TRY_VOID(start_from_page_cache(model));
      SS_TRY_VOID(start_from_host_memory(model));
    }
    record_.memory_why_not = pool_.why_no_memory();
    for (std::int32_t model = 0; model < n_models(); ++model) SS_TRY_VOID(serve_alone(model));
    SS_TRY_VOID(fill_pool());
    return measure_mix();
  }

 private:
  [[nodiscard]] std::int32_t n_models() const { return static_cast<std::int32_t>(pool_.models().size()); }
  [[nodiscard]] const std::string& name_of(std::int32_t model) const {
    return pool_.models()[static_cast<std::size_t>(model)];
  }
  [[nodiscard]] std::vector<TimedRequest> requests_of(std::int32_t model) const {
    std::vector<TimedRequest> requests;
    for (const WorkItem& item : items_) {
      if (item.request.model == model) requests.push_back(item.request);
    }
    return requests;
  }

  Result<void> start_from_disk(std::int32_t model) {
    ModelStart start{.model = name_of(model), .source = StartSource::kDisk};
    SS_TRY_VOID(pool_.evict_all());
    const Result<void> dropped = pool_.drop_cached_files(model);
    const Result<double> cached = pool_.cached_share(model);
    if (!dropped || !cached) {
      start.why_not = (dropped ? cached.error() : dropped.error()).message;
    } else {
      start.cached_share = *cached;
      if (*cached > kMostCachedFromDisk) {
        start.why_not = fmt::format("{:.0f} % of its files stayed in the page cache", 100 * *cached);
      }
    }
    if (!start.why_not.empty()) {
      record_.starts.push_back(std::move(start));
      return {};
    }
    return time_start(model, std::move(start));
  }

  /// Runs right after a load, which filled the page cache. Files that no load reads need not be cached.
  Result<void> start_from_page_cache(std::int32_t model) {
    ModelStart start{.model = name_of(model), .source = StartSource::kPageCache};
    if (pool_.resident().empty()) SS_TRY_VOID(pool_.make_resident(model, -1));
    SS_TRY_VOID(pool_.evict_all());
    const Result<double> cached = pool_.cached_share(model);
    if (cached) start.cached_share = *cached;
    return time_start(model, std::move(start));
  }

  Result<void> start_from_host_memory(std::int32_t model) {
    ModelStart start{
        .model = name_of(model), .source = StartSource::kHostMemory, .why_not = pool_.why_no_host_memory()};
    if (!start.why_not.empty()) {
      record_.starts.push_back(std::move(start));
      return {};
    }
    SS_TRY_VOID(pool_.make_resident(model, -1));
    SS_TRY_VOID(pool_.evict_to_host_memory(model));
    return time_start(model, std::move(start));
  }

  Result<void> time_start(std::int32_t model, ModelStart start) {
    SS_TRY(TimedRequest request, short_request(model));
    const std::int64_t began_ns = now_ns();
    SS_TRY_VOID(pool_.make_resident(model, -1));
    start.load_ns = now_ns() - began_ns;
    const std::string part = fmt::format("start from {}", start.source);
    SS_TRY(const LoadResult load, generate(std::span(&request, 1), part));
    const std::vector<std::int64_t>& tokens = load.requests.front().token_ns;
    if (tokens.empty()) {
      return Error{ErrorCode::kUnavailable,
                   fmt::format("{}, {}: expected a token, found an answer without one", start.model, part)};
    }
    SS_TRY_VOID(pool_.check_resident());
    start.first_token_ns = tokens.front() - began_ns;
    record_.starts.push_back(std::move(start));
    return {};
  }

  /// The first request of the mix for this model, limited to a single token. Errors: kInvalidInput if the mix has none
  /// for it.
  Result<TimedRequest> short_request(std::int32_t model) const {
    const auto found = std::ranges::find(items_, model, [](const WorkItem& item) { return item.request.model; });
    if (found == items_.end()) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("scenario {}: model {} gets none of {} requests; expected more requests (+requests=COUNT) "
                      "or a larger share for it",
                      plan_.scenario.name(), name_of(model), items_.size())};
    }
    TimedRequest request = found->request;
    request.n_output_tokens = 1;
    return request;
  }

  Result<void> serve_alone(std::int32_t model) {
    SS_TRY_VOID(pool_.evict_all());
    SS_TRY_VOID(pool_.make_resident(model, -1));
    const std::vector<TimedRequest> requests = requests_of(model);
    // One request warms the model up. In the mix of models, too, only the first request after a load meets a cold
    // model.
    SS_TRY([[maybe_unused]] const LoadResult warm, generate(std::span(requests).first(1), "warm-up"));
    SS_TRY(const LoadResult load, generate(requests, "alone"));
    SS_TRY_VOID(pool_.check_resident());
    const SteadyWindow window = steady_window(ScenarioKind::kSwap, load);
    const ModelFootprint footprint = pool_.footprint(model);
    record_.models.push_back({.model = name_of(model),
                              .resident_bytes = footprint.resident_bytes,
                              .weights_bytes = footprint.weights_bytes,
                              .kv_bytes = footprint.kv_bytes,
                              .file_bytes = footprint.file_bytes,
                              .alone_tokens = window.n_output_tokens,
                              .alone_ns = window.end_ns - window.start_ns});
    return {};
  }

  /// Loads the models in the order of their last requests in the mix, so that the resident models are those that the
  /// mix leaves.
  Result<void> fill_pool() {
    SS_TRY_VOID(pool_.evict_all());
    std::vector<std::int32_t> by_last_use;
    for (const WorkItem& item : items_) {
      std::erase(by_last_use, item.request.model);
      by_last_use.push_back(item.request.model);
    }
    for (const std::int32_t model : by_last_use) SS_TRY_VOID(pool_.make_resident(model, -1));
    record_.resident_bytes_at_start = 0;
    for (const std::int32_t model : pool_.resident()) {
      record_.resident_at_start.push_back(name_of(model));
      const std::optional<std::int64_t> bytes = pool_.footprint(model).resident_bytes;
      if (bytes && record_.resident_bytes_at_start) {
        *record_.resident_bytes_at_start += *bytes;
      } else {
        record_.resident_bytes_at_start.reset();
      }
    }
    (void)pool_.take_events();
    return {};
  }

  /// Measures the mix like any other scenario; keep() adds what only this scenario has to the stored lines.
  Result<void> measure_mix() {
    RepetitionPlan plan = plan_;
    plan.warm_up.reset();  // the requests of each model alone were the warm-up
    MeasurementContext context{.interrupt = context_.interrupt,
                               .progress = context_.progress,
                               .telemetry = context_.telemetry,
                               .keep = [this](std::span<const JournalLine> lines) { return keep(lines); },
                               .host = context_.host};
    return measure_repetition(pool_, items_, plan, context);
  }

  Result<void> keep(std::span<const JournalLine> lines) {
    SS_TRY_VOID(pool_.check_resident());
    for (const PoolEvent& event : pool_.take_events()) {
      record_.events.push_back({.action = event.action,
                                .model = name_of(event.model),
                                .request = static_cast<std::int32_t>(event.tag),
                                .duration_ns = event.duration_ns,
                                .resident_bytes = event.resident_bytes});
    }
    std::vector<JournalLine> own(lines.begin(), lines.end());
    for (JournalLine& line : own) {
      if (auto* sample = std::get_if<RequestSample>(&line)) {
        sample->model = name_of(items_[static_cast<std::size_t>(sample->request)].request.model);
      }
      if (auto* repetition = std::get_if<Repetition>(&line)) repetition->swap = record_;
    }
    return context_.keep(own);
  }

  /// Sends the requests, all of one model, one after the other. `part` names the part of the repetition in messages.
  /// Errors: kUnavailable if one of them failed. A request of the mix that fails is a sample with its error instead;
  /// here there are no samples, and its time would be part of a figure.
  Result<LoadResult> generate(std::span<const TimedRequest> requests, std::string_view part) {
    SS_TRY(LoadResult load, generate_load(pool_, requests, {.in_flight = 1}, context_.interrupt, context_.progress));
    for (const ObservedRequest& request : load.requests) {
      if (request.end->error.empty()) continue;
      return Error{ErrorCode::kUnavailable, fmt::format("{}, {}: a request failed: {}", name_of(requests.front().model),
                                                        part, request.end->error)};
    }
    return load;
  }

  ModelPool& pool_;
  std::span<const WorkItem> items_;
  const RepetitionPlan& plan_;
  const MeasurementContext& context_;
  SwapRecord record_;
};

}  // namespace

Result<void> measure_swap_repetition(ModelPool& pool, std::span<const WorkItem> items, const RepetitionPlan& plan,
                                     const MeasurementContext& context) {
  return SwapMeasurement(pool, items, plan, context).run();
}

}  // namespace secondsource

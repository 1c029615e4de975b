#include "systems/served_pool.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "core/clock.h"
#include "core/units.h"
#include "host/page_cache.h"
#include "host/process_memory.h"
#include "systems/resident_set.h"
#include "systems/wait_until.h"

namespace secondsource {
namespace {

// Between two requests of a mix the clock runs, so the server is asked only when this many times the duration of the
// last question have passed: the questions take at most 1 % of the time.
constexpr std::int64_t kPausePerQuestion = 100;

class ServedPool final : public ModelPool {
 public:
  explicit ServedPool(ServedPoolParts parts) : parts_(std::move(parts)), resident_(parts_.models.size()) {}

  Result<void> open() {
    SS_TRY(const std::vector<LoadedModel> loaded, parts_.host->loaded());
    for (const LoadedModel& one : loaded) {
      resident_.add(one.model);
      note_bytes(one);
    }
    return {};
  }

  [[nodiscard]] std::string name() const override { return parts_.name; }
  [[nodiscard]] std::int32_t max_in_flight() const override { return 1; }
  [[nodiscard]] const std::vector<std::string>& models() const override { return parts_.models; }
  void set_budget(const SwapPlan& plan) override { resident_.set_budget(plan); }

  Result<void> submit(const TimedRequest& request) override {
    SS_TRY_VOID(make_resident(request.model, request.tag));
    serving_ = request.model;
    return endpoint_of(request.model).submit(request);
  }

  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override {
    if (!serving_) {
      wait_until(until_ns);
      return {};
    }
    const std::size_t n_before = events.ends.size();
    SS_TRY_VOID(endpoint_of(*serving_).poll(until_ns, events));
    const bool has_ended = events.ends.size() > n_before;
    return has_ended && now_ns() >= next_question_ns_ ? check_resident() : Result<void>();
  }

  Result<void> abandon() override {
    for (SystemUnderTest* endpoint : parts_.endpoints) SS_TRY_VOID(endpoint->abandon());
    return {};
  }

  [[nodiscard]] MemoryUse memory() const override { return {}; }
  [[nodiscard]] StepTotals step_totals() const override { return {}; }
  [[nodiscard]] bool computes_here() const override { return false; }

  Result<void> make_resident(std::int32_t model, std::int64_t tag) override {
    resident_.use(model);
    if (resident_.is_resident(model)) return {};
    const UnloadTo to = parts_.host->why_no_host_memory().empty() ? UnloadTo::kHostMemory : UnloadTo::kFiles;
    for (const std::int32_t victim : resident_.victims_for(model)) SS_TRY_VOID(evict(victim, tag, to));
    const std::int64_t began_ns = now_ns();
    SS_TRY_VOID(parts_.host->load(model));
    const std::int64_t duration_ns = now_ns() - began_ns;
    resident_.add(model);
    in_host_memory_.erase(model);
    SS_TRY_VOID(look_at_server());
    if (resident_.budget_bytes() > 0 && !resident_.bytes_of(model)) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("swap: expected a server that tells the size of each model, for a budget in bytes: {}: {}; "
                      "give the budget as a number of models, as in swap:2models",
                      name_of(model), why_no_bytes_.at(model))};
    }
    if (resident_.is_too_large(model)) {
      const std::int64_t bytes = *resident_.bytes_of(model);
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("swap: expected a memory budget that holds the largest model: the server says that {} takes {} "
                      "({} bytes), the budget is {}",
                      name_of(model), format_bytes(bytes), bytes, format_bytes(resident_.budget_bytes()))};
    }
    events_.push_back({SwapAction::kLoad, model, tag, duration_ns, resident_.resident_bytes()});
    return {};
  }

  [[nodiscard]] std::vector<std::int32_t> resident() const override { return resident_.resident(); }

  Result<void> check_resident() override {
    const std::int64_t began_ns = now_ns();
    SS_TRY(const std::vector<LoadedModel> loaded, parts_.host->loaded());
    const std::int64_t ended_ns = now_ns();
    next_question_ns_ = ended_ns + kPausePerQuestion * (ended_ns - began_ns);
    return check_that_none_is_gone(loaded);
  }

  Result<void> evict_all() override {
    // A model that sleeps in host memory must be woken before it can be discarded.
    for (const std::int32_t model : std::exchange(in_host_memory_, {})) {
      SS_TRY_VOID(parts_.host->load(model));
      SS_TRY_VOID(parts_.host->unload(model, UnloadTo::kFiles));
    }
    for (const std::int32_t model : resident()) SS_TRY_VOID(evict(model, -1, UnloadTo::kFiles));
    return {};
  }

  Result<void> evict_to_host_memory(std::int32_t model) override { return evict(model, -1, UnloadTo::kHostMemory); }

  /// The size that the server reports, without its parts; and the size of the files, if they can be seen from here.
  ModelFootprint footprint(std::int32_t model) override {
    ModelFootprint footprint{.resident_bytes = resident_.bytes_of(model)};
    const auto files = parts_.host->files(model);
    if (!files) return footprint;
    std::int64_t bytes = 0;
    for (const std::filesystem::path& file : *files) {
      const Result<FileCache> cache = file_cache(file);
      if (!cache) return footprint;
      bytes += cache->bytes;
    }
    footprint.file_bytes = bytes;
    return footprint;
  }

  Result<void> drop_cached_files(std::int32_t model) override {
    SS_TRY(const std::vector<std::filesystem::path> files, parts_.host->files(model));
    for (const std::filesystem::path& file : files) SS_TRY_VOID(drop_file_cache(file));
    return {};
  }

  Result<double> cached_share(std::int32_t model) override {
    SS_TRY(const std::vector<std::filesystem::path> files, parts_.host->files(model));
    FileCache sum;
    for (const std::filesystem::path& file : files) {
      SS_TRY(const FileCache cache, file_cache(file));
      sum.bytes += cache.bytes;
      sum.cached_bytes += cache.cached_bytes;
    }
    return sum.bytes > 0 ? static_cast<double>(sum.cached_bytes) / static_cast<double>(sum.bytes) : 0;
  }

  [[nodiscard]] std::string why_no_host_memory() const override { return parts_.host->why_no_host_memory(); }
  [[nodiscard]] std::string why_no_memory() const override {
    return why_no_bytes_.empty() ? "" : why_no_bytes_.begin()->second;
  }
  [[nodiscard]] std::vector<PoolEvent> take_events() override { return std::exchange(events_, {}); }

 private:
  [[nodiscard]] SystemUnderTest& endpoint_of(std::int32_t model) const {
    return *parts_.endpoints[static_cast<std::size_t>(model)];
  }
  [[nodiscard]] const std::string& name_of(std::int32_t model) const {
    return parts_.models[static_cast<std::size_t>(model)];
  }

  Result<void> evict(std::int32_t model, std::int64_t tag, UnloadTo to) {
    const std::int64_t began_ns = now_ns();
    SS_TRY_VOID(parts_.host->unload(model, to));
    const std::int64_t duration_ns = now_ns() - began_ns;
    resident_.remove(model);
    if (to == UnloadTo::kHostMemory) in_host_memory_.insert(model);
    if (serving_ == model) serving_.reset();
    events_.push_back({SwapAction::kEviction, model, tag, duration_ns, resident_.resident_bytes()});
    return {};
  }

  /// The memory that the server reports for the model, else that of its process.
  [[nodiscard]] Result<std::int64_t> bytes_of(const LoadedModel& one) const {
    if (one.bytes) return *one.bytes;
    if (one.command.empty()) return Error{ErrorCode::kUnavailable, parts_.why_no_memory};
    const auto bytes = bytes_of_process(one.command);
    if (bytes) return *bytes;
    return Error{ErrorCode::kUnavailable, fmt::format("{}, and {}", parts_.why_no_memory, bytes.error().message)};
  }

  [[nodiscard]] Result<std::int64_t> bytes_of_process(std::span<const std::string> command) const {
    SS_TRY(const std::int64_t process, find_process(files_, command));
    SS_TRY(const bool is_on_gpu, uses_gpu(files_, process));
    if (is_on_gpu) return Error{ErrorCode::kUnavailable, "a part of its process's memory is on a GPU"};
    return proportional_bytes(files_, process);
  }

  void note_bytes(const LoadedModel& one) {
    const auto bytes = bytes_of(one);
    if (bytes) {
      resident_.note_bytes(one.model, *bytes);
      why_no_bytes_.erase(one.model);
    } else if (!resident_.bytes_of(one.model)) {
      why_no_bytes_[one.model] = bytes.error().message;
    }
  }

  /// Records the sizes of the resident models, and checks that they are resident still.
  Result<void> look_at_server() {
    SS_TRY(const std::vector<LoadedModel> loaded, parts_.host->loaded());
    for (const LoadedModel& one : loaded) {
      if (resident_.is_resident(one.model)) note_bytes(one);
    }
    return check_that_none_is_gone(loaded);
  }

  /// Fails if the server evicted a model by a rule of its own, because the time of that, and of loading it again, is in
  /// no figure.
  [[nodiscard]] Result<void> check_that_none_is_gone(std::span<const LoadedModel> loaded) const {
    std::vector<std::string> gone;
    for (const std::int32_t model : resident()) {
      if (std::ranges::find(loaded, model, &LoadedModel::model) == loaded.end()) gone.push_back(name_of(model));
    }
    if (gone.empty()) return {};
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("swap: expected a server that holds what the budget allows: it evicted {} by itself; give it a "
                    "larger limit on loaded models, or the scenario a smaller budget",
                    fmt::join(gone, ", "))};
  }

  ServedPoolParts parts_;
  HostFiles files_;
  ResidentSet resident_;
  std::set<std::int32_t> in_host_memory_;
  std::vector<PoolEvent> events_;
  std::optional<std::int32_t> serving_;
  std::int64_t next_question_ns_ = 0;                 ///< poll() asks which models are loaded from this time on
  std::map<std::int32_t, std::string> why_no_bytes_;  ///< of the models that were loaded and whose size is unknown
};

}  // namespace

Result<std::unique_ptr<ModelPool>> make_served_pool(ServedPoolParts parts) {
  auto pool = std::make_unique<ServedPool>(std::move(parts));
  SS_TRY_VOID(pool->open());
  return std::unique_ptr<ModelPool>(std::move(pool));
}

}  // namespace secondsource

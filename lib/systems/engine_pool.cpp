#include "systems/engine_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/module.h"
#include "bundle/bundle.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/folder.h"
#include "core/units.h"
#include "fault/faulty_backend.h"
#include "host/page_cache.h"
#include "systems/engine_system.h"
#include "systems/loaded_engine.h"
#include "systems/resident_set.h"
#include "systems/wait_until.h"

namespace secondsource {
namespace {

/// A model with everything that exists only while it is resident. Its bundle stays open as long, because a backend may
/// read the weights from it.
struct ResidentModel {
  Bundle bundle;
  std::unique_ptr<ModelSession> session;
  std::unique_ptr<EngineSystem> system;
};

MemoryUse sum_of(const MemoryUse& a, const MemoryUse& b) {
  return {.weights_bytes = a.weights_bytes + b.weights_bytes,
          .kv_bytes = a.kv_bytes + b.kv_bytes,
          .workspace_bytes = a.workspace_bytes + b.workspace_bytes,
          .runtime_bytes = a.runtime_bytes + b.runtime_bytes};
}

void add_totals(const StepTotals& from, StepTotals& to) {
  to.prefill += from.prefill;
  to.decode += from.decode;
  to.mixed += from.mixed;
  to.host_ns += from.host_ns;
  to.n_compiled += from.n_compiled;
}

class EnginePool final : public ModelPool {
 public:
  EnginePool(const SystemJob& job, const std::vector<LoadedPrompts>& prompts, Progress& progress)
      : job_(job), prompts_(prompts), progress_(progress), resident_(job.models.size()) {}

  Result<void> open() {
    const InterruptFlag never;
    for (const ModelJob& model : job_.models) {
      SS_TRY(const Bundle bundle, Bundle::open(model.bundle, progress_, never));
      SS_TRY(std::vector<std::filesystem::path> files, list_files_below(bundle.folder()));
      Slot slot{.files = std::move(files)};
      for (const std::filesystem::path& file : slot.files) {
        SS_TRY(const FileCache cache, file_cache(file));
        slot.file_bytes += cache.bytes;
      }
      names_.push_back(model.name);
      slots_.push_back(std::move(slot));
    }
    return {};
  }

  [[nodiscard]] std::string name() const override {
    return fmt::format("engines of {} over {}", counted(names_.size(), "model"), job_.backend);
  }
  [[nodiscard]] std::int32_t max_in_flight() const override { return 1; }
  [[nodiscard]] const std::vector<std::string>& models() const override { return names_; }
  void set_budget(const SwapPlan& plan) override {
    resident_.set_budget(plan);
    peak_bytes_ = 0;  // the peak under an earlier, larger budget belongs to another cell
  }

  Result<void> submit(const TimedRequest& request) override {
    SS_TRY_VOID(make_resident(request.model, request.tag));
    serving_ = request.model;
    return slot_of(request.model).resident->system->submit(request);
  }

  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override {
    if (!serving_ || !slot_of(*serving_).resident) {
      wait_until(until_ns);
      return {};
    }
    return slot_of(*serving_).resident->system->poll(until_ns, events);
  }

  Result<void> abandon() override {
    for (Slot& slot : slots_) {
      if (slot.resident) SS_TRY_VOID(slot.resident->system->abandon());
    }
    return {};
  }

  [[nodiscard]] MemoryUse memory() const override {
    MemoryUse sum;
    for (const Slot& slot : slots_) {
      if (slot.resident) sum = sum_of(sum, slot.resident->session->backend().memory());
    }
    sum.peak_bytes = std::max(peak_bytes_, sum.total_bytes());
    return sum;
  }

  [[nodiscard]] StepTotals step_totals() const override {
    StepTotals totals = evicted_totals_;
    for (const Slot& slot : slots_) {
      if (slot.resident) add_totals(slot.resident->system->step_totals(), totals);
    }
    return totals;
  }

  /// Nothing is evicted here except by this pool.
  Result<void> check_resident() override { return {}; }

  Result<void> make_resident(std::int32_t model, std::int64_t tag) override {
    resident_.use(model);
    if (resident_.is_resident(model)) return {};
    for (const std::int32_t victim : resident_.victims_for(model)) evict(victim, tag);
    const std::int64_t began_ns = now_ns();
    SS_TRY_VOID(load(model));
    const std::int64_t duration_ns = now_ns() - began_ns;
    // Only the first time: reading the memory (/proc/self/smaps) takes as long as several tokens, and this time is
    // measured.
    if (!resident_.bytes_of(model)) note_memory(model);
    if (resident_.is_too_large(model)) {
      const std::int64_t bytes = *resident_.bytes_of(model);
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("swap: expected a memory budget that holds the largest model: {} needs {} ({} bytes), the "
                      "budget is {}",
                      names_[static_cast<std::size_t>(model)], format_bytes(bytes), bytes,
                      format_bytes(resident_.budget_bytes()))};
    }
    peak_bytes_ = std::max(peak_bytes_, resident_.resident_bytes().value_or(0));
    events_.push_back({SwapAction::kLoad, model, tag, duration_ns, resident_.resident_bytes()});
    return {};
  }

  [[nodiscard]] std::vector<std::int32_t> resident() const override { return resident_.resident(); }

  Result<void> evict_all() override {
    for (const std::int32_t model : resident()) evict(model, -1);
    return {};
  }

  Result<void> evict_to_host_memory(std::int32_t) override {
    return Error{ErrorCode::kUnsupported, why_no_host_memory()};
  }

  ModelFootprint footprint(std::int32_t model) override {
    note_memory(model);
    const Slot& slot = slot_of(model);
    ModelFootprint footprint{.file_bytes = slot.file_bytes};
    if (!resident_.bytes_of(model)) return footprint;
    footprint.resident_bytes = resident_.bytes_of(model);
    footprint.weights_bytes = slot.memory.weights_bytes;
    footprint.kv_bytes = slot.memory.kv_bytes;
    return footprint;
  }

  Result<void> drop_cached_files(std::int32_t model) override {
    for (const std::filesystem::path& file : slot_of(model).files) SS_TRY_VOID(drop_file_cache(file));
    return {};
  }

  Result<double> cached_share(std::int32_t model) override {
    FileCache sum;
    for (const std::filesystem::path& file : slot_of(model).files) {
      SS_TRY(const FileCache cache, file_cache(file));
      sum.bytes += cache.bytes;
      sum.cached_bytes += cache.cached_bytes;
    }
    return sum.bytes > 0 ? static_cast<double>(sum.cached_bytes) / static_cast<double>(sum.bytes) : 0;
  }

  [[nodiscard]] std::string why_no_host_memory() const override {
    return is_host_ ? fmt::format("not applicable: {} computes in the memory of the host", job_.backend)
                    : "not measured: this program keeps no weights in host memory beside those on the device";
  }

  [[nodiscard]] std::string why_no_memory() const override { return ""; }

  [[nodiscard]] std::vector<PoolEvent> take_events() override { return std::exchange(events_, {}); }

 private:
  struct Slot {
    std::vector<std::filesystem::path> files;
    std::int64_t file_bytes = 0;
    MemoryUse memory{};  ///< the largest seen so far
    std::optional<ResidentModel> resident{};
  };

  Slot& slot_of(std::int32_t model) { return slots_[static_cast<std::size_t>(model)]; }

  /// Opens the bundle, prepares the weights and compiles every step, so that nothing is left for the first request.
  Result<void> load(std::int32_t model) {
    const InterruptFlag never;
    const auto index = static_cast<std::size_t>(model);
    SS_TRY(const BackendOptions options, backend_options_of(job_.options));
    SS_TRY(std::unique_ptr<Backend> backend,
           load_backend_with_fault(module_folders(job_.program), job_.backend, options));
    is_host_ = backend->device().is_host;
    SS_TRY(Bundle bundle, Bundle::open(job_.models[index].bundle, progress_, never));
    const EngineOptions room = room_for(prompts_[index], bundle.config(), backend->device());
    SS_TRY(std::unique_ptr<ModelSession> session,
           ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(), job_.variant, room, progress_,
                              never));
    SS_TRY([[maybe_unused]] const std::int64_t compile_ns, session->engine().prepare({}));
    ResidentModel& resident =
        slots_[index].resident.emplace(ResidentModel{std::move(bundle), std::move(session), nullptr});
    resident.system =
        std::make_unique<EngineSystem>(*resident.session, prompts_[index].text.tokenizer(), job_.step_deadline_ns);
    resident_.add(model);
    return {};
  }

  /// Room for one sequence: the longest request that the job's scenarios send to this model.
  [[nodiscard]] EngineOptions room_for(const LoadedPrompts& prompts, const ModelConfig& config,
                                       const DeviceInfo& device) const {
    EngineOptions options;
    options.scheduler.max_seqs = 1;
    std::int64_t longest = 1;
    for (const Scenario& scenario : job_.scenarios) {
      longest = std::max(longest, prompts.workload.longest_prompt(scenario) + scenario.n_output_tokens);
    }
    // The engine requires room for one token more than the sequence has.
    options.max_context = std::min(config.max_seq_len, round_up<std::int64_t>(longest + 1, device.page_tokens));
    options.kv_tokens = options.max_context;
    return options;
  }

  void evict(std::int32_t model, std::int64_t tag) {
    const std::int64_t began_ns = now_ns();
    Slot& slot = slot_of(model);
    add_totals(slot.resident->system->step_totals(), evicted_totals_);
    slot.resident.reset();
    resident_.remove(model);
    if (serving_ == model) serving_.reset();
    events_.push_back({SwapAction::kEviction, model, tag, now_ns() - began_ns, resident_.resident_bytes()});
  }

  /// Keeps the largest memory that a resident model was seen with; a workspace grows with the first requests.
  void note_memory(std::int32_t model) {
    Slot& slot = slot_of(model);
    if (!slot.resident) return;
    const MemoryUse now = slot.resident->session->backend().memory();
    if (now.total_bytes() > slot.memory.total_bytes()) slot.memory = now;
    resident_.note_bytes(model, now.total_bytes());
  }

  SystemJob job_;
  const std::vector<LoadedPrompts>& prompts_;
  Progress& progress_;
  std::vector<std::string> names_;
  std::vector<Slot> slots_;
  ResidentSet resident_;
  std::vector<PoolEvent> events_;
  StepTotals evicted_totals_;
  std::optional<std::int32_t> serving_;
  std::int64_t peak_bytes_ = 0;
  bool is_host_ = true;
};

}  // namespace

Result<std::unique_ptr<ModelPool>> make_engine_pool(const SystemJob& job, const std::vector<LoadedPrompts>& prompts,
                                                    Progress& progress) {
  auto pool = std::make_unique<EnginePool>(job, prompts, progress);
  SS_TRY_VOID(pool->open());
  return std::unique_ptr<ModelPool>(std::move(pool));
}

}  // namespace secondsource

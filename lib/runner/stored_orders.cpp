#include "runner/stored_orders.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include "core/folder.h"
#include "core/number.h"
#include "core/utf8.h"
#include "fault/fault.h"
#include "record/ranges.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kFilesOfRun = {"run.json", "samples.jsonl", "telemetry.jsonl",
                                                         "summary.json"};

/// Collects what is wrong with one object of run.json; the first finding counts.
class Orders {
 public:
  explicit Orders(std::string where) : where_(std::move(where)) {}

  template <typename T>
  void in_range(std::string_view name, T value, Bounds<T> range) {
    if (!range.contains(value)) fail(name, fmt::format("expected {} to {}, found {}", range.min, range.max, value));
  }
  /// Zero stands for the default.
  template <typename T>
  void zero_or_in_range(std::string_view name, T value, Bounds<T> range) {
    if (value != 0) in_range(name, value, range);
  }
  void require(bool holds, std::string_view name, std::string_view expected) {
    if (!holds) fail(name, fmt::format("expected {}", expected));
  }
  [[nodiscard]] Result<void> result() const {
    if (error_) return *error_;
    return {};
  }

 private:
  void fail(std::string_view name, std::string_view what) {
    if (!error_) error_ = Error{ErrorCode::kInvalidInput, fmt::format("run.json: {}: {}: {}", where_, name, what)};
  }
  std::string where_;
  std::optional<Error> error_;
};

Result<void> check_settings(const RunSettings& settings) {
  Orders orders("settings");
  const auto seconds = [&](std::string_view name, double value) {
    orders.require(value >= 0 && value < kLongestSeconds, name, "a time of less than 10 million seconds");
  };
  orders.zero_or_in_range("threads", settings.threads, kThreadsRange);
  orders.require(settings.memory_max_bytes >= 0, "memory_max_bytes", "no negative number");
  seconds("max_time_s", settings.max_time_s);
  seconds("step_deadline_s", settings.step_deadline_s);
  seconds("cell_deadline_s", settings.cell_deadline_s);
  seconds("cell_budget_s", settings.cell_budget_s);
  orders.require(settings.step_deadline_s > 0 && settings.cell_deadline_s > 0, "step_deadline_s, cell_deadline_s",
                 "times above 0");
  orders.in_range("noise_limit in percent", 100 * settings.noise_limit, kNoisePercentRange);
  return orders.result();
}

void check_counts(const PlannedCell& cell, Orders& orders) {
  const Scenario& scenario = cell.scenario;
  orders.in_range("repetitions", cell.repetitions, kRepetitionsRange);
  orders.in_range("batch", scenario.batch, kBatchRange);
  if (scenario.seeks_slo_rate) {
    orders.zero_or_in_range("n_requests", scenario.n_requests, kRequestsRange);
  } else {
    orders.in_range("n_requests", scenario.n_requests, kRequestsRange);
  }
  orders.zero_or_in_range("n_prompt_tokens", scenario.n_prompt_tokens, kTokensRange);
  orders.in_range("n_output_tokens", scenario.n_output_tokens, kTokensRange);
  orders.zero_or_in_range("n_shared_prefix", scenario.n_shared_prefix, kTokensRange);
}

void check_arrivals(const Scenario& scenario, Orders& orders) {
  orders.in_range("burstiness", scenario.burstiness, kLoadFactorRange);
  orders.in_range("trace_speed", scenario.trace_speed, kLoadFactorRange);
  orders.require(scenario.trace_context >= 0 && scenario.trace_context <= kTokensRange.max * 2, "trace_context",
                 "a number of tokens, or 0");
  orders.require(scenario.n_too_long >= 0 && scenario.n_too_long <= kRequestsRange.max, "n_too_long",
                 "a number of requests");
  const bool needs_rate =
      scenario.kind == ScenarioKind::kServer && !scenario.seeks_slo_rate && scenario.arrivals != ArrivalKind::kTrace;
  orders.require(scenario.rate_per_s >= 0 && scenario.rate_per_s <= kFastestRatePerS, "rate_per_s",
                 "a rate of at most 100000");
  orders.require(scenario.rate_per_s > 0 || !needs_rate, "rate_per_s", "a rate above 0");
  orders.require(scenario.arrivals == ArrivalKind::kTrace ? !scenario.trace.empty() : scenario.trace.empty(), "trace",
                 "a path for recorded arrivals, and none for others");
}

void check_cancelling(const Scenario& scenario, Orders& orders) {
  orders.zero_or_in_range("cancel_share", scenario.cancel_share, kCancelShareRange);
  orders.require((scenario.cancel_share > 0) == (scenario.cancel_after > 0), "cancel_after",
                 "a number of tokens beside a share, and none without");
}

void check_conversations(const Scenario& scenario, Orders& orders) {
  orders.require(scenario.turns == 1 || kTurnsRange.contains(scenario.turns), "turns",
                 "1, or the turns of conversations");
  orders.require(scenario.turns <= 1 || scenario.n_requests % scenario.turns == 0, "n_requests",
                 "whole conversations, a multiple of their turns");
  orders.require(scenario.turns == 1 || (scenario.n_shared_prefix == 0 && scenario.cancel_share == 0 &&
                                         !scenario.seeks_slo_rate && scenario.trace.empty() && !scenario.swap &&
                                         scenario.n_prompt_tokens > 0 && scenario.kind != ScenarioKind::kSingleStream),
                 "turns", "conversations of random questions in the scenarios offline and server alone");
  orders.require(kThinkSecondsRange.contains(scenario.think_s) && (scenario.think_s == 0 || scenario.turns > 1),
                 "think_s", "0 to 3600 seconds, of conversations");
}

void check_swap(const Scenario& scenario, Orders& orders) {
  orders.require((scenario.kind == ScenarioKind::kSwap) == scenario.swap.has_value(), "swap",
                 "a budget and a mix for the scenario swap, and none for others");
  if (!scenario.swap) return;
  const SwapPlan& swap = *scenario.swap;
  orders.require(swap.budget_models == 0 || kBudgetModelsRange.contains(swap.budget_models), "budget_models",
                 "a number of models");
  orders.require((swap.memory_budget_bytes > 0) != (swap.budget_models > 0), "memory_budget_bytes",
                 "a number above 0, or a number of models in its place");
  orders.zero_or_in_range("zipf", swap.zipf, kZipfRange);
  orders.require(swap.models.size() > 1, "models", "several bundles");
  orders.require(swap.shares.empty() || swap.shares.size() == swap.models.size(), "shares",
                 "one of each model, or none");
  for (const double share : swap.shares) orders.in_range("shares", share, kLoadFactorRange);
}

Result<void> check_cell(const PlannedCell& cell) {
  Orders orders("cell " + shown(cell.key.id()));
  check_counts(cell, orders);
  check_arrivals(cell.scenario, orders);
  check_cancelling(cell.scenario, orders);
  check_conversations(cell.scenario, orders);
  check_swap(cell.scenario, orders);
  orders.require(cell.key.scenario == cell.scenario.name(), "key",
                 fmt::format("the scenario's name, {}", shown(cell.scenario.name())));
  return orders.result();
}

/// A link, a pipe or a device in place of a file would redirect what is written.
Result<void> check_files(const fs::path& folder) {
  SS_TRY(const std::vector<fs::path> files, list_files_below(folder));
  for (const fs::path& file : files) {
    std::error_code ignored;
    const fs::file_type type = fs::symlink_status(file, ignored).type();
    if (type == fs::file_type::regular || type == fs::file_type::not_found) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a plain file in a run directory, found {}", shown(file.string()),
                             type == fs::file_type::symlink ? "a link" : "a special file")};
  }
  return {};
}

/// The folder has no links (check_files).
bool is_inside(const fs::path& file, const fs::path& folder) {
  std::error_code error;
  const fs::path base = fs::weakly_canonical(fs::absolute(folder, error), error);
  const fs::path whole = fs::weakly_canonical(file, error);
  return !error && std::mismatch(base.begin(), base.end(), whole.begin(), whole.end()).first == base.end();
}

Result<void> check_trace_file(const fs::path& file, const fs::path& folder, const fs::path& confirmed) {
  if (file.empty() || file == confirmed) return {};
  if (!is_inside(file, folder)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("run.json: settings: trace_file: {} is outside the run directory; if it is to be written, "
                             "say so with --trace {}",
                             shown(file.string()), shown(file.string()))};
  }
  if (std::ranges::find(kFilesOfRun, file.filename().string()) == kFilesOfRun.end()) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("run.json: settings: trace_file: expected a file of its own, found {}, which the run needs",
                           shown(file.string()))};
}

/// The options of a backend as --threads, --cpus, --fault and --backend-option give them.
Result<void> check_options(const BackendRecord& backend, const RunSettings& settings) {
  for (const auto& [key, value] : backend.options) {
    Orders orders(fmt::format("backend {}: option {}", shown(backend.name), shown(key)));
    if (key == "threads") {
      orders.in_range("value", parse_number<std::int32_t>(value).value_or(0), kThreadsRange);
    } else if (key == "cpus") {
      orders.require(value == format_cpu_list(settings.cpus), "value", "the CPUs of the settings");
    } else if (key == "fault") {
      SS_TRY_VOID(parse_fault(value));
    }
    SS_TRY_VOID(orders.result());
  }
  return {};
}

/// A server as --system names it. Its address is parsed when the server is asked.
Result<void> check_served(const BackendRecord& backend) {
  if (!backend.served) return {};
  Orders orders(fmt::format("system {}", shown(backend.name)));
  orders.in_range("timeout_s", backend.served->timeout_s, Bounds<double>{1e-3, kLongestSeconds});
  orders.require(backend.options.empty() && backend.module_sha256.empty(), "options", "none for a server");
  return orders.result();
}

}  // namespace

Result<void> check_orders(const RunRecord& record, const fs::path& folder, const fs::path& confirmed_trace) {
  const RunSettings& settings = record.settings;
  SS_TRY_VOID(check_settings(settings));
  std::set<std::string> ids;
  for (const PlannedCell& cell : record.cells) {
    SS_TRY_VOID(check_cell(cell));
    if (ids.insert(cell.key.id()).second) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("run.json: cell {}: expected it once, found it twice", shown(cell.key.id()))};
  }
  for (const BackendRecord& backend : record.backends) {
    SS_TRY_VOID(check_options(backend, settings));
    SS_TRY_VOID(check_served(backend));
  }
  if (!record.clients.empty()) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format(
            "run {}: it was merged of {} clients: expected a run that was measured, since only such a run goes on",
            shown(record.run_id), record.clients.size())};
  }
  if (record.client) {
    Orders orders("client");
    orders.in_range("count", record.client->count, kClientsRange);
    orders.in_range("index", record.client->index, Bounds<std::int32_t>{1, record.client->count});
    SS_TRY_VOID(orders.result());
  }
  SS_TRY_VOID(check_files(folder));
  return check_trace_file(settings.trace_file, folder, confirmed_trace);
}

}  // namespace secondsource

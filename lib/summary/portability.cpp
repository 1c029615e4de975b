#include "summary/portability.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "core/enum_format.h"
#include "record/roofline.h"

namespace secondsource {
namespace {

constexpr const char* kAll = "all";

/// Conformance families of matmuls with quantized activations end with the first of these that fits, and judge that variant.
constexpr std::pair<std::string_view, std::string_view> kQuantizedFamilies[] = {
    {"_g32_w8a8", "int8-g32-w8a8"}, {"_int4_w8a8", "int4-w8a8"}, {"_w8a8", "int8-w8a8"}, {"_fp8", "fp8"}};

/// Sums of the measurements of one operation on one platform.
struct Sum {
  std::int64_t ns = 0;
  double best_ns = 0;     ///< time at the limits of the machines
  std::string no_best{};  ///< why best_ns is not known
  std::string wrong{};    ///< a cell whose tokens are wrong; empty if there is none
  std::set<std::string> kernels{}, fallbacks{};
};

/// The key of a row. Rows are sorted by name; "all" comes first in each type.
struct Key {
  std::string type, operation, shape_class;
  friend bool operator<(const Key& a, const Key& b) {
    return std::tie(a.type, a.operation, a.shape_class) < std::tie(b.type, b.operation, b.shape_class);
  }
};

/// The operation of a fused group that does most of the work.
std::string main_operation(const std::string& joined) {
  for (const char* heavy : {"attention", "grouped_matmul", "head_matmul", "matmul"}) {
    if (("+" + joined + "+").find("+" + std::string(heavy) + "+") != std::string::npos) return heavy;
  }
  return joined;
}

bool has_counted_work(const std::string& operation) {
  return operation == "attention" || operation == "grouped_matmul" || operation == "head_matmul" ||
         operation == "matmul";
}

using Sums = std::map<std::size_t, Sum>;  ///< key: index of the platform

class MatrixBuilder {
 public:
  MatrixBuilder(std::span<const SummarizedRun> runs, std::span<const ConformanceRecord> conformance)
      : runs_(runs), conformance_(conformance) {}

  PortabilityMatrix build() && {
    for (const SummarizedRun& run : runs_) {
      for (const OperationTimes& times : run.operations) add(run, times);
    }
    for (const SummarizedRun& run : runs_) {
      for (const FailureRecord& failure : run.summary.failures) add(run, failure);
    }
    for (const auto& [key, sums] : sums_) matrix_.rows.push_back(row_of(key, sums));
    for (const auto& [platform, refused] : refusals_) {
      for (const auto& [what, reason] : refused) {
        matrix_.notes.push_back(fmt::format("{}: no {}: {}", matrix_.platforms[platform].backend, what, reason));
      }
    }
    for (const auto& [type_and_platform, why] : breakdowns_) {
      const auto& [type, platform] = type_and_platform;
      if (time_.contains(type_and_platform)) continue;
      matrix_.notes.push_back(
          fmt::format("{}: not measured with {}: {}", matrix_.platforms[platform].backend, type, why));
    }
    for (const auto& [key, sums] : sums_) {
      if (key.operation == kAll) note_fallbacks(key, sums);
    }
    for (const auto& [type, bundles] : outside_limits_) {
      matrix_.notes.push_back(fmt::format("{}: outside the limits of its quality in {}", type, outside_text(bundles)));
    }
    for (const SummarizedRun& run : runs_) {
      const bool uses_host =
          std::ranges::any_of(run.record.backends, [](const auto& one) { return one.device.is_host; });
      const std::string caveat = limits_caveat(run.record.limits);
      if (uses_host && !caveat.empty() && !run.operations.empty()) matrix_.notes.push_back(caveat);
    }
    return std::move(matrix_);
  }

 private:
  /// Returns "tiny (mean KL 0.07, at most 0.05 allowed); other (...)".
  static std::string outside_text(const std::map<std::string, std::string>& bundles) {
    std::string text;
    for (const auto& [bundle, figures] : bundles) {
      text += fmt::format("{}{} ({})", text.empty() ? "" : "; ", bundle, figures);
    }
    return text;
  }

  void note_fallbacks(const Key& key, const Sums& sums) {
    for (const auto& [platform, sum] : sums) {
      for (const std::string& why : sum.fallbacks) {
        const std::string& backend = matrix_.platforms[platform].backend;
        matrix_.notes.push_back(fmt::format("{}: fallback with {}: {}", backend, key.type, why));
      }
    }
  }

  const BackendRecord* backend_of(const SummarizedRun& run, const std::string& name) const {
    const auto found = std::ranges::find(run.record.backends, name, &BackendRecord::name);
    return found == run.record.backends.end() ? nullptr : &*found;
  }

  std::size_t platform_of(const SummarizedRun& run, const BackendRecord& backend) {
    const auto is_same = [&](const PortabilityPlatform& one) {
      return one.backend == backend.name && one.device == backend.device.name;
    };
    auto found = std::ranges::find_if(matrix_.platforms, is_same);
    if (found == matrix_.platforms.end()) {
      found = matrix_.platforms.insert(found, {.backend = backend.name,
                                               .device = backend.device.name,
                                               .module_sha256 = {},
                                               .is_oracle = run.record.settings.oracle == backend.name});
    }
    if (std::ranges::find(found->module_sha256, backend.module_sha256) == found->module_sha256.end()) {
      found->module_sha256.push_back(backend.module_sha256);
    }
    return static_cast<std::size_t>(found - matrix_.platforms.begin());
  }

  void add(const SummarizedRun& run, const OperationTimes& times) {
    const auto cell = std::ranges::find(run.summary.cells, times.cell, [](const auto& one) { return one.key.id(); });
    if (cell == run.summary.cells.end()) return;
    const BackendRecord* const backend = backend_of(run, cell->key.backend);
    if (backend == nullptr) return;
    const std::size_t platform = platform_of(run, *backend);
    if (!cell->outside_limits.empty()) outside_limits_[cell->key.variant][cell->key.bundle] = cell->outside_limits;
    const std::optional<LimitLooks> looks = limits_of(run.record, *backend);
    double bytes = 0;
    for (const OperationTime& time : times.operations) bytes += time.bytes;
    const double working_set = bytes / static_cast<double>(std::max<std::int64_t>(1, times.n_steps));
    for (const OperationTime& time : times.operations) {
      const std::string operation = main_operation(time.operation);
      const Key key{cell->key.variant, operation, has_counted_work(operation) ? time.shape_class : kAll};
      for (Sum* sum : {&sums_[key][platform], &sums_[{cell->key.variant, kAll, kAll}][platform]}) {
        sum->ns += time.ns;
        sum->kernels.insert(time.kernel);
        if (!time.fallback.empty()) sum->fallbacks.insert(time.fallback);
        if (cell->golden == GoldenVerdict::kFailed) sum->wrong = times.cell;
        add_best(time, looks, cell->key.variant, working_set, *sum);
      }
      time_[{cell->key.variant, platform}] += time.ns;
    }
    for (const Refusal& refusal : times.refusals) {
      const std::string what = refusal.operation + (refusal.type.empty() ? "" : " of " + refusal.type);
      refusals_[platform].emplace(what, refusal.reason);
      refused_[platform].emplace_back(refusal);
    }
  }

  static void add_best(const OperationTime& time, const std::optional<LimitLooks>& looks, const std::string& variant,
                       double working_set, Sum& sum) {
    if (!looks) {
      sum.no_best = "the limits of this device were not measured";
      return;
    }
    const MachineLimits& limits = looks->best;
    const auto read = read_limit(limits, working_set);
    const auto operations = operations_limit(limits, variant);
    if (!read || (time.flops > 0 && !operations)) {
      sum.no_best = limits.unmeasured.empty() ? "the machine's limits were not measured"
                                              : "the peak of " + limits.unmeasured + " was not measured";
      return;
    }
    sum.best_ns += 1e9 * std::max(time.bytes / *read, time.flops > 0 ? time.flops / *operations : 0);
  }

  /// Adds the failure of a variant that a backend does not support, or broke down with. The platform is then in the
  /// matrix even if nothing of it was measured.
  void add(const SummarizedRun& run, const FailureRecord& failure) {
    const BackendRecord* const backend = backend_of(run, failure.backend);
    const bool is_unsupported = failure.kind == FailureKind::kUnsupported;
    constexpr std::array kBreakdowns = {FailureKind::kCrash, FailureKind::kHang, FailureKind::kOutOfMemory,
                                        FailureKind::kError};
    const bool is_breakdown = std::ranges::find(kBreakdowns, failure.kind) != kBreakdowns.end();
    if (backend == nullptr || matrix_.platforms.empty() || !(is_unsupported || is_breakdown)) return;
    for (const CellSummary& cell : run.summary.cells) {
      const bool concerns = cell.key.backend == failure.backend &&
                            (failure.cell.empty() || (cell.key.id() + "/").starts_with(failure.cell + "/"));
      if (!concerns) continue;
      const std::size_t platform = platform_of(run, *backend);
      if (is_unsupported) refused_[platform].push_back({"", cell.key.variant, failure.message});
      if (is_breakdown) {
        breakdowns_[{cell.key.variant, platform}] = fmt::format("{}: {}", failure.kind, failure.message);
      }
    }
  }

  PortabilityRow row_of(const Key& key, const Sums& sums) const {
    PortabilityRow row{.operation = key.operation, .type = key.type, .shape_class = key.shape_class, .parts = {}};
    std::vector<std::optional<double>> shares;
    bool is_known = true;
    for (std::size_t platform = 0; platform < matrix_.platforms.size(); ++platform) {
      const auto sum = sums.find(platform);
      PortabilityPart part = sum == sums.end() ? absent_part(key, platform) : measured_part(key, platform, sum->second);
      part.conformance = conformance_of(key, platform);
      if (part.conformance == ConformanceVerdict::kFailed && part.state == PartState::kMeasured) {
        part.state = PartState::kWrong;
        part.why = "it fails the conformance suite";
        part.roofline_share.reset();
      }
      if (!matrix_.platforms[platform].is_oracle) {
        is_known = is_known &&
                   (part.roofline_share || part.state == PartState::kUnsupported || part.state == PartState::kWrong);
        shares.push_back(part.roofline_share);
      }
      row.parts.push_back(std::move(part));
    }
    const auto outside = outside_limits_.find(key.type);
    if (outside != outside_limits_.end()) row.outside_limits = outside_text(outside->second);
    if (is_known && !shares.empty()) row.portability = harmonic_mean(shares);
    return row;
  }

  PortabilityPart measured_part(const Key& key, std::size_t platform, const Sum& sum) const {
    PortabilityPart part;
    part.kernels.assign(sum.kernels.begin(), sum.kernels.end());
    part.fallbacks.assign(sum.fallbacks.begin(), sum.fallbacks.end());
    if (!sum.wrong.empty()) {
      part.state = PartState::kWrong;
      part.why = sum.wrong + ": wrong tokens";
      return part;
    }
    part.state = PartState::kMeasured;
    const std::int64_t all_ns = time_.at({key.type, platform});
    if (all_ns > 0) part.time_share = static_cast<double>(sum.ns) / static_cast<double>(all_ns);
    if (key.operation != kAll && !has_counted_work(key.operation)) {
      part.why = "it moves activations, whose bytes are not counted";
    } else if (!sum.no_best.empty()) {
      part.why = sum.no_best;
    } else if (sum.ns > 0) {
      part.roofline_share = sum.best_ns / static_cast<double>(sum.ns);
    }
    return part;
  }

  PortabilityPart absent_part(const Key& key, std::size_t platform) const {
    PortabilityPart part;
    part.state = PartState::kNotMeasured;
    const auto broken = breakdowns_.find({key.type, platform});
    part.why = broken == breakdowns_.end() ? "no traced pass had it" : broken->second;
    const auto refused = refused_.find(platform);
    if (refused == refused_.end()) return part;
    for (const Refusal& refusal : refused->second) {
      const bool is_operation =
          refusal.operation.empty() || refusal.operation == key.operation || key.operation == kAll;
      const bool is_type = refusal.type.empty() ? refusal.operation == key.operation : refusal.type == key.type;
      if (!is_operation || !is_type) continue;
      part.state = PartState::kUnsupported;
      part.why = refusal.reason;
    }
    return part;
  }

  ConformanceVerdict conformance_of(const Key& key, std::size_t index) const {
    const PortabilityPlatform& platform = matrix_.platforms[index];
    std::int64_t n_passed = 0;
    for (const ConformanceRecord& record : conformance_) {
      const bool is_of_it =
          record.backend == platform.backend &&
          std::ranges::find(platform.module_sha256, record.module_sha256) != platform.module_sha256.end();
      if (!is_of_it) continue;
      for (const ConformanceFamily& family : record.families) {
        if (!judges(family.name, key)) continue;
        if (family.n_failed > 0) return ConformanceVerdict::kFailed;
        n_passed += family.n_passed;
      }
    }
    return n_passed > 0 ? ConformanceVerdict::kPassed : ConformanceVerdict::kNotJudged;
  }

  /// True if a conformance family judges the row: "matmul_w8a8" judges matmuls with quantized activations,
  /// "attention_long" judges attention, and every family, such as "protocol" or "layer", judges the row "all".
  static bool judges(const std::string& family, const Key& key) {
    const auto* const quantized =
        std::ranges::find_if(kQuantizedFamilies, [&family](const auto& one) { return family.ends_with(one.first); });
    if (quantized != std::end(kQuantizedFamilies) && key.type != quantized->second) return false;
    return key.operation == kAll || family == key.operation || family.starts_with(key.operation + "_");
  }

  std::span<const SummarizedRun> runs_;
  std::span<const ConformanceRecord> conformance_;
  PortabilityMatrix matrix_;
  std::map<Key, Sums> sums_;
  std::map<std::pair<std::string, std::size_t>, std::int64_t> time_;       ///< key: type and platform
  std::map<std::pair<std::string, std::size_t>, std::string> breakdowns_;  ///< key: type and platform
  std::map<std::size_t, std::map<std::string, std::string>> refusals_;
  std::map<std::size_t, std::vector<Refusal>> refused_;
  std::map<std::string, std::map<std::string, std::string>> outside_limits_;  ///< key: type and bundle
};

}  // namespace

double harmonic_mean(std::span<const std::optional<double>> efficiencies) {
  double sum = 0;
  for (const std::optional<double>& efficiency : efficiencies) {
    if (!efficiency || !(*efficiency > 0)) return 0;
    sum += 1 / *efficiency;
  }
  return efficiencies.empty() ? 0 : static_cast<double>(efficiencies.size()) / sum;
}

PortabilityMatrix portability_matrix(std::span<const SummarizedRun> runs,
                                     std::span<const ConformanceRecord> conformance) {
  return MatrixBuilder(runs, conformance).build();
}

}  // namespace secondsource

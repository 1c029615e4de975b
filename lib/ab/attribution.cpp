#include "ab/attribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "ab/program_run.h"
#include "core/enum_format.h"
#include "core/folder.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "runner/scenario_text.h"
#include "stats/quantile.h"
#include "stats/signed_rank.h"

namespace secondsource {
namespace {

constexpr int kPairs = 8;
constexpr double kAlpha = 0.02;
constexpr double kSmallestShare = 0.05;   // of an operation
constexpr double kSmallestShown = 0.005;  // of the remainder: less is printed as 0 %

using OperationKey = std::tuple<std::string, std::string, std::string>;  // phase, operation, shape

/// Seconds of one operation in each pair, and the kernel that executed it.
struct OperationPairs {
  std::vector<double> base_s, candidate_s;
  std::string kernel;
};

bool is_ttft(std::string_view metric) {
  return metric == "ttft" || metric == "ttft_later";
}

bool counts(std::string_view metric, std::string_view phase) {
  return is_ttft(metric) ? phase == "prefill" : metric == "tpot" ? phase != "prefill" : true;
}

double total_of(const ProfileSeconds& profile, std::string_view metric) {
  return (metric == "tpot" ? 0 : profile.prefill_s) + (is_ttft(metric) ? 0 : profile.decode_s);
}

/// Sums over kernels, because an operation may use different kernels on the two sides.
std::map<OperationKey, double> by_operation(const ProfileSeconds& profile, std::string_view metric) {
  std::map<OperationKey, double> sums;
  for (const OperationSeconds& one : profile.operations) {
    if (counts(metric, one.phase)) sums[{one.phase, one.operation, one.shape}] += one.seconds;
  }
  return sums;
}

std::map<OperationKey, OperationPairs> pairs_by_operation(const std::vector<ProfilePair>& pairs,
                                                          std::string_view metric) {
  std::map<OperationKey, OperationPairs> result;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (const auto& [key, seconds] : by_operation(pairs[i].base, metric)) {
      result[key].base_s.resize(pairs.size());
      result[key].base_s[i] = seconds;
    }
    for (const auto& [key, seconds] : by_operation(pairs[i].candidate, metric)) {
      result[key].candidate_s.resize(pairs.size());
      result[key].candidate_s[i] = seconds;
    }
    for (const OperationSeconds& one : pairs[i].candidate.operations) {
      if (counts(metric, one.phase)) result[{one.phase, one.operation, one.shape}].kernel = one.kernel;
    }
  }
  for (auto& [key, operation] : result) {
    operation.base_s.resize(pairs.size());
    operation.candidate_s.resize(pairs.size());
  }
  return result;
}

std::vector<double> differences(const std::vector<double>& base, const std::vector<double>& candidate) {
  std::vector<double> result;
  for (std::size_t i = 0; i < base.size(); ++i) result.push_back(candidate[i] - base[i]);
  return result;
}

}  // namespace

Result<ProfileSeconds> profile_from_json(std::string_view text, std::string_view name) {
  SS_TRY(const nlohmann::json json, parse_json(text, name));
  SS_TRY(const JsonFields fields, JsonFields::of(json, std::string(name)));
  ProfileSeconds profile;
  SS_TRY(profile.prefill_s, fields.number("prefill_s"));
  SS_TRY(profile.decode_s, fields.number("decode_s"));
  const nlohmann::json* operations = fields.find("operations");
  if (operations == nullptr || !operations->is_array()) return fields.mismatch("operations", "an array");
  for (const nlohmann::json& entry : *operations) {
    SS_TRY(const JsonFields one, JsonFields::of(entry, fmt::format("{}: operations", name)));
    OperationSeconds& operation = profile.operations.emplace_back();
    SS_TRY(operation.phase, one.string("phase"));
    SS_TRY(operation.operation, one.string("operation"));
    SS_TRY(operation.shape, one.string("shape"));
    SS_TRY(operation.kernel, one.string("kernel"));
    SS_TRY(operation.seconds, one.number("seconds"));
  }
  return profile;
}

std::vector<LossShare> divide_loss(const CellKey& cell, std::string_view metric,
                                   const std::vector<ProfilePair>& pairs) {
  if (pairs.empty()) return {};
  std::vector<double> base_totals, candidate_totals;
  for (const ProfilePair& pair : pairs) {
    base_totals.push_back(total_of(pair.base, metric));
    candidate_totals.push_back(total_of(pair.candidate, metric));
  }
  const SignedRankDistribution null(static_cast<std::int64_t>(pairs.size()));
  const auto is_significant = [&](const std::vector<double>& lost) {
    return null.upper_tail(WalshAverages(lost).n_positive()) <= kAlpha;
  };
  // For each pair, the part of the loss that no operation explains; at first all of it.
  std::vector<double> rest_lost = differences(base_totals, candidate_totals);
  const double loss_s = *median(rest_lost);
  LossShare rest{.cell = cell, .operation = kNotResolved};
  rest.base_s = *median(base_totals);
  rest.candidate_s = rest.base_s + loss_s;
  rest.share = 1;
  if (loss_s <= 0 || !is_significant(rest_lost)) return {rest};

  std::vector<LossShare> losses;
  for (const auto& [key, operation] : pairs_by_operation(pairs, metric)) {
    const std::vector<double> lost = differences(operation.base_s, operation.candidate_s);
    const double share = *median(lost) / loss_s;
    if (share < kSmallestShare || !is_significant(lost)) continue;
    const auto& [phase, name, shape] = key;
    LossShare loss{
        .cell = cell, .operation = name, .shape = fmt::format("{}, {}", phase, shape), .kernel = operation.kernel};
    loss.base_s = *median(operation.base_s);
    loss.candidate_s = loss.base_s + *median(lost);
    loss.share = share;
    rest.base_s -= loss.base_s;
    rest.candidate_s -= loss.candidate_s;
    rest.share -= share;
    for (std::size_t i = 0; i < rest_lost.size(); ++i) rest_lost[i] -= lost[i];
    losses.push_back(std::move(loss));
  }
  std::stable_sort(losses.begin(), losses.end(),
                   [](const LossShare& a, const LossShare& b) { return a.share > b.share; });
  if (rest.share < 0) {
    // The remainder is negative, because something else became faster or the medians do not add up. Then the whole loss
    // is divided among the operations.
    const double sum = 1 - rest.share;
    for (LossShare& loss : losses) loss.share /= sum;
  } else if (rest.share >= kSmallestShown) {
    if (is_significant(rest_lost)) rest.operation = kOtherThanOperations;
    losses.push_back(std::move(rest));
  }
  return losses;
}

KernelSource find_kernel_source(const std::filesystem::path& root, const std::string& backend,
                                const std::string& operation, const std::string& kernel) {
  const std::filesystem::path folder = std::filesystem::path("backends") / backend;
  const auto found = list_files_below(root / folder);
  if (!found) return {};
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path& file : *found) {
    static const std::set<std::string> kSources = {".cpp", ".h", ".inc", ".cu", ".cuh", ".comp", ".cl", ".metal"};
    if (kSources.contains(file.extension().string())) files.push_back(file);
  }
  if (files.empty()) return {};
  // Collects the kernel's name with its last parts (instruction set, type) removed one by one, down to the name of the
  // operation. In "own rms_norm_f32_openmp" and "onednn matmul_bf16_f32acc brg:avx512_core", the kernel's name is the
  // word that begins with the operation's name.
  std::vector<std::string> names;
  const std::size_t at = std::min(kernel.find(operation), kernel.size());
  std::string name = kernel.substr(at, kernel.find_first_of(" ,", at) - at);
  while (name.size() > operation.size()) {
    names.push_back(name);
    const auto cut = name.rfind('_');
    if (cut == std::string::npos) break;
    name.resize(cut);
  }
  names.push_back(operation);
  for (const std::string& wanted : names) {
    for (const std::filesystem::path& file : files) {
      std::ifstream stream(file);
      int number = 0;
      for (std::string line; std::getline(stream, line);) {
        ++number;
        if (line.find(wanted) != std::string::npos) {
          return {file.lexically_relative(root).generic_string(), number};
        }
      }
    }
  }
  return {folder.generic_string(), 1};
}

namespace {

/// Takes the profiles of one stint and scenario.
class PairProfiler {
 public:
  PairProfiler(const AbDirectory& directory, Progress& progress, const InterruptFlag& interrupt)
      : directory_(directory), record_(directory.record()), progress_(progress), interrupt_(interrupt) {}

  /// Returns nothing when a side cannot be profiled.
  Result<std::vector<ProfilePair>> run(const CellKey& cell) {
    std::vector<ProfilePair> pairs;
    const auto scenario = std::find_if(record_.scenarios.begin(), record_.scenarios.end(), [&](const auto& text) {
      const auto parsed = parse_scenario(text);
      return parsed && parsed->front().name() == cell.scenario;
    });
    if (scenario == record_.scenarios.end()) return pairs;
    progress_.begin(fmt::format("{}: which operation", cell.id()), kPairs);
    for (int pair = 0; pair < kPairs; ++pair) {
      ProfilePair profiles;
      // Base and candidate take turns in going first.
      for (const bool is_base : {pair % 2 == 0, pair % 2 != 0}) {
        const ArmRecord& arm = is_base ? record_.base : record_.candidate;
        SS_TRY(const auto profile, profile_one(cell, *scenario, arm));
        if (!profile) return std::vector<ProfilePair>();
        (is_base ? profiles.base : profiles.candidate) = *profile;
      }
      pairs.push_back(std::move(profiles));
      progress_.update(pair + 1);
    }
    return pairs;
  }

 private:
  Result<std::optional<ProfileSeconds>> profile_one(const CellKey& cell, const std::string& scenario,
                                                    const ArmRecord& arm) {
    std::vector<std::string> arguments = {
        "profile", record_.timed_bundle,         "--backend",  cell.backend, "--variant", cell.variant,
        "--seed",  std::to_string(record_.seed), "--scenario", scenario,     "--budget",  record_.cell_budget,
        "--json"};
    arguments.insert(arguments.end(), arm.arguments.begin(), arm.arguments.end());
    SS_TRY(const ProgramEnd end, run_program_to_end({.program = arm.program,
                                                     .arguments = arguments,
                                                     .stderr_file = stderr_file(directory_.folder(), arm),
                                                     .modules = arm.modules},
                                                    interrupt_));
    if (end.exit.status == 0) {
      auto profile = profile_from_json(end.out, fmt::format("{}: profile", arm.name));
      if (profile) return std::optional(*std::move(profile));
      progress_.note(
          fmt::format("{}: the operation that lost the time is not known: {}", cell.id(), profile.error().message));
    } else {
      progress_.note(fmt::format("{}: the operation that lost the time is not known: {}: profile: {}", cell.id(),
                                 arm.name, end.text()));
    }
    return std::optional<ProfileSeconds>();
  }

  const AbDirectory& directory_;
  const AbRecord& record_;
  Progress& progress_;
  const InterruptFlag& interrupt_;
};

}  // namespace

Result<std::vector<LossShare>> attribute_losses(const AbDirectory& directory, const GateReport& report,
                                                const std::filesystem::path& source_root, Progress& progress,
                                                const InterruptFlag& interrupt) {
  std::vector<LossShare> all;
  // The operations of a system that is not ours cannot be seen.
  if (directory.record().is_of_systems()) return all;
  std::map<std::string, std::vector<ProfilePair>> pairs_of;  // key: cell; both metrics share the profiles
  for (const GateVerdict& verdict : report.verdicts) {
    if (verdict.decision != Decision::kRegressed || !verdict.decides) continue;
    const std::string id = verdict.cell.id();
    if (!pairs_of.contains(id)) {
      SS_TRY(pairs_of[id], PairProfiler(directory, progress, interrupt).run(verdict.cell));
    }
    for (LossShare& loss : divide_loss(verdict.cell, verdict.metric, pairs_of[id])) {
      loss.metric = verdict.metric;
      if (loss.is_of_operation()) {
        const KernelSource source = find_kernel_source(source_root, loss.cell.backend, loss.operation, loss.kernel);
        loss.source = source.file;
        loss.source_line = source.line;
      }
      all.push_back(std::move(loss));
    }
  }
  return all;
}

}  // namespace secondsource

#include "conformance/suite.h"

#include <algorithm>
#include <string_view>
#include <variant>

#include "backend/batch.h"
#include "conformance/cases.h"
#include "conformance/envelope.h"
#include "conformance/run_case.h"
#include "conformance/tolerance.h"
#include "core/random.h"

namespace secondsource::conformance {
namespace {

/// True if an operation of the case reads or writes the cache.
bool uses_cache(const Case& c) {
  const auto is_on_cache = [](const Op& op) {
    return std::holds_alternative<RopeAppend>(op) || std::holds_alternative<LatentAppend>(op) ||
           std::holds_alternative<Attention>(op);
  };
  return std::ranges::any_of(c.graphs,
                             [&](const StepGraph& graph) { return std::ranges::any_of(graph.ops, is_on_cache); });
}

/// The expected results of a case. They are computed once and used for all tested configurations.
class Expectations {
 public:
  explicit Expectations(const Case& c) : case_(c), uses_cache_(uses_cache(c)) {}

  /// Returns nullopt when the outputs of a backend with this cache are within the tolerance, otherwise the finding.
  std::optional<std::string> judge(const CaseOutputs& outputs, DType kv_dtype) {
    // The reference stores keys and values as integers or as f32. For cases that do not use the cache, this makes no difference.
    const bool is_integer = uses_cache_ && kv_dtype == DType::kI8;
    auto& [expected, draws] = is_integer ? of_integer_cache_ : of_float_cache_;
    const DType expected_dtype = is_integer ? DType::kI8 : DType::kF32;
    if (!expected) expected = run_case(*make_expected_backend(expected_dtype), case_);
    if (!*expected) return failed(*expected);
    // Computing the draws takes most of the time. Outputs that are equal up to errors of f32 sums do not need them.
    if (!compare_outputs(case_, kv_dtype, outputs, **expected, {})) return std::nullopt;
    while (draws.size() < kDraws) {
      auto draw = run_case(*make_envelope_backend(static_cast<int>(draws.size()), expected_dtype), case_);
      if (!draw) return failed(draw);
      draws.push_back(std::move(draw).value());
    }
    return compare_outputs(case_, kv_dtype, outputs, **expected, draws);
  }

 private:
  struct Expectation {
    std::optional<Result<CaseOutputs>> expected;
    std::vector<CaseOutputs> draws;
  };

  static std::string failed(const Result<CaseOutputs>& run) { return "the reference failed: " + run.error().message; }

  const Case& case_;
  bool uses_cache_;
  Expectation of_float_cache_;
  Expectation of_integer_cache_;
};

CaseReport judge(const Tested& tested, const Case& c, Expectations& expectations) {
  CaseReport report{.options = tested.options,
                    .family = c.family,
                    .name = c.name,
                    .seed = c.seed,
                    .verdict = Verdict::kFailed,
                    .text = ""};
  auto backend = tested.make();
  if (!backend) {
    report.text = backend.error().message;
    return report;
  }
  if (const auto reason = why_unsupported(**backend, c)) {
    report.verdict = Verdict::kUnsupported;
    report.text = *reason;
    return report;
  }
  const auto outputs = run_case(**backend, c);
  if (!outputs) {
    // A backend may refuse a case as late as in compile(), but only with kUnsupported.
    if (outputs.error().code == ErrorCode::kUnsupported) report.verdict = Verdict::kUnsupported;
    report.text = outputs.error().message;
    return report;
  }
  const auto finding = expectations.judge(*outputs, (*backend)->device().kv_dtype);
  report.verdict = finding ? Verdict::kFailed : Verdict::kPassed;
  report.text = finding.value_or("");
  return report;
}

/// The seeds of a family's cases. They are below a million, so that they can be typed by hand.
std::vector<std::uint64_t> case_seeds(const SuiteOptions& options, std::uint64_t family_number, std::int32_t n_cases) {
  if (options.case_seed >= 0) return {static_cast<std::uint64_t>(options.case_seed)};
  std::vector<std::uint64_t> seeds;
  for (std::uint64_t seed = options.first_seed; seed <= options.last_seed; ++seed) {
    for (std::int32_t i = 0; i < n_cases; ++i) {
      seeds.push_back(random_bits(seed + (family_number << 32), static_cast<std::uint64_t>(i)) % 1'000'000);
    }
  }
  return seeds;
}

bool is_wanted(const SuiteOptions& options, std::string_view family) {
  return options.families.empty() || std::ranges::find(options.families, family) != options.families.end();
}

}  // namespace

std::int64_t run_suite(std::span<const Tested> tested, const SuiteOptions& options,
                       const std::function<void(const CaseReport&)>& done) {
  std::int64_t n_failed = 0;
  const auto tell = [&](const CaseReport& report) {
    if (report.verdict == Verdict::kFailed) ++n_failed;
    done(report);
    return options.stop_at_first && n_failed > 0;
  };
  std::uint64_t family_number = 0;
  for (const Family& family : families()) {
    ++family_number;
    if (!is_wanted(options, family.name)) continue;
    for (const std::uint64_t seed : case_seeds(options, family_number, family.n_cases)) {
      const Case c = family.make(seed);
      Expectations expectations(c);
      for (const Tested& one : tested) {
        if (tell(judge(one, c, expectations))) return n_failed;
      }
    }
  }
  if (!is_wanted(options, "protocol")) return n_failed;
  for (const Tested& one : tested) {
    for (const ProtocolCheck& check : protocol_checks()) {
      const auto finding = check.run(one.make);
      const CaseReport report{.options = one.options,
                              .family = "protocol",
                              .name = std::string(check.name),
                              .seed = 0,
                              .verdict = finding ? Verdict::kFailed : Verdict::kPassed,
                              .text = finding.value_or("")};
      if (tell(report)) return n_failed;
    }
  }
  return n_failed;
}

std::int64_t run_suite(const MakeBackend& make, const SuiteOptions& options,
                       const std::function<void(const CaseReport&)>& done) {
  const Tested tested{.options = "", .make = make};
  return run_suite({&tested, 1}, options, done);
}

}  // namespace secondsource::conformance

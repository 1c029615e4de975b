#include "conformance/suite.h"

#include "backend/batch.h"
#include "conformance/cases.h"
#include "conformance/envelope.h"
#include "conformance/run_case.h"
#include "conformance/tolerance.h"
#include "core/random.h"

namespace secondsource::conformance {
namespace {

CaseReport judge(const MakeBackend& make, const Case& c) {
  CaseReport report{.family = c.family, .name = c.name, .seed = c.seed, .verdict = Verdict::kFailed, .text = ""};
  auto tested = make();
  if (!tested) {
    report.text = tested.error().message;
    return report;
  }
  if (const auto reason = why_unsupported(**tested, c)) {
    report.verdict = Verdict::kUnsupported;
    report.text = *reason;
    return report;
  }
  const auto trace = run_case(**tested, c);
  if (!trace) {
    // Saying no as late as compile() is allowed, but it must be a "no".
    if (trace.error().code == ErrorCode::kUnsupported) report.verdict = Verdict::kUnsupported;
    report.text = trace.error().message;
    return report;
  }
  const auto expected = run_case(*make_expected_backend(), c);
  const auto envelope = run_case(*make_envelope_backend(), c);
  if (!expected || !envelope) {
    report.text = "the reference failed: " + (expected ? envelope : expected).error().message;
    return report;
  }
  const auto finding = compare_traces(c, *trace, *expected, *envelope);
  report.verdict = finding ? Verdict::kFailed : Verdict::kPassed;
  report.text = finding.value_or("");
  return report;
}

}  // namespace

std::int64_t run_suite(const MakeBackend& make, const SuiteOptions& options,
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
    if (!options.family.empty() && options.family != family.name) continue;
    if (options.case_seed >= 0) {
      tell(judge(make, family.make(static_cast<std::uint64_t>(options.case_seed))));
      continue;
    }
    for (std::int32_t i = 0; i < family.n_cases * options.scale; ++i) {
      // Short enough to be typed again.
      const std::uint64_t seed =
          random_bits(options.seed + (family_number << 32), static_cast<std::uint64_t>(i)) % 1'000'000;
      if (tell(judge(make, family.make(seed)))) return n_failed;
    }
  }
  if (!options.family.empty() && options.family != "protocol") return n_failed;
  for (const ProtocolCheck& check : protocol_checks()) {
    const auto finding = check.run(make);
    const CaseReport report{.family = "protocol",
                            .name = std::string(check.name),
                            .seed = 0,
                            .verdict = finding ? Verdict::kFailed : Verdict::kPassed,
                            .text = finding.value_or("")};
    if (tell(report)) return n_failed;
  }
  return n_failed;
}

}  // namespace secondsource::conformance

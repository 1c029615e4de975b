#include "runner/run_health.h"

#include <algorithm>

#include "support/catch.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// Judges a run of one variant with wrong requests and an INVALID repetition on one backend; the other one crashed
/// before any variant.
RunHealth health(Tier tier, bool opportunistic_counts) {
  RunRecord record = hand_made_record(1);
  record.bundles[0].variants = {{"bf16", tier, ""}};
  Journal journal = hand_made_journal(1, 3);
  for (JournalLine& line : journal.lines) {
    if (auto* sample = std::get_if<RequestSample>(&line)) sample->wrong_at = 2;
    if (auto* repetition = std::get_if<Repetition>(&line)) {
      repetition->checks = {{"queue", CheckOutcome::kInvalid, "too long"}};
    }
  }
  return judge_run(record, journal.lines, summarize(record, journal), opportunistic_counts);
}

}  // namespace

TEST_CASE("what an opportunistic variant does wrong is listed and ends a gated run with no status") {
  const RunHealth gated = health(Tier::kOpportunistic, false);
  CHECK_FALSE(gated.wrong_tokens);
  CHECK(gated.invalid.empty());
  CHECK(gated.failures.size() == 1);  // of a backend, not of a variant
  const std::string cell = "tiny/cpu/bf16/single-stream";
  const auto has = [&](const std::string& text) {
    return std::ranges::find(gated.without_effect, text) != gated.without_effect.end();
  };
  CHECK(has(cell + ": wrong tokens"));
  CHECK(has(cell + " repetition 0: queue: too long"));
  CHECK(gated.without_effect.size() == 2);

  for (const auto& [tier, counts] : {std::pair(Tier::kBlessed, false), std::pair(Tier::kOpportunistic, true)}) {
    const RunHealth judged = health(tier, counts);
    CHECK(judged.wrong_tokens);
    CHECK(judged.invalid.size() == 1);
    CHECK(judged.failures.size() == 1);
    CHECK(judged.without_effect.empty());
  }
}

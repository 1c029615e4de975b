#include "measure/warm_up.h"

#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("warm-up ends when three windows agree, or at its maximum") {
  const WarmUpRule rule{.tolerance = 0.05, .n_agreeing = 3, .max_windows = 5, .max_time_ns = 1000};
  struct Case {
    const char* name;
    std::vector<double> values;
    std::int64_t spent_ns;
    WarmUpState expected;
  };
  const Case cases[] = {
      {"nothing yet", {}, 0, WarmUpState::kContinue},
      {"two windows are too few", {10, 10}, 0, WarmUpState::kContinue},
      {"three that agree", {10, 10.2, 10.4}, 0, WarmUpState::kSteady},
      {"exactly the tolerance", {100, 105, 102}, 0, WarmUpState::kSteady},
      {"just past it", {100, 105.1, 102}, 0, WarmUpState::kContinue},
      {"a slow start is forgotten", {30, 10, 10.1, 10.2}, 0, WarmUpState::kSteady},
      {"still falling", {30, 20, 15, 12}, 0, WarmUpState::kContinue},
      {"too many windows", {30, 20, 15, 12, 10}, 0, WarmUpState::kGaveUp},
      {"too much time", {30}, 1000, WarmUpState::kGaveUp},
      {"steady wins over the maximum", {30, 20, 10, 10, 10}, 2000, WarmUpState::kSteady},
  };
  for (const Case& one : cases) {
    CAPTURE(one.name);
    CHECK(judge_warm_up(rule, one.values, one.spent_ns) == one.expected);
  }
}

}  // namespace
}  // namespace secondsource

#include "brief/decision.h"

#include "brief_inputs.h"
#include "support/text_parts.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

BriefOption option_of(std::string name, OptionKind kind, Figure saving_percent, double usd = 100) {
  BriefOption option{.name = std::move(name), .kind = kind};
  option.saving_percent_3_years = std::move(saving_percent);
  option.usd_3_years = Figure::stated(usd, "USD");
  option.is_eligible = true;
  return option;
}

Figure percent(double value) {
  return Figure::stated(value, "%");
}
Figure percent(double value, double low, double high) {
  return Figure::of({.value = value, .low = low, .high = high}, "%", {});
}

std::vector<BriefOption> options_beside(std::vector<BriefOption> others, bool may_stay = true) {
  std::vector<BriefOption> options = {option_of("Stay", OptionKind::kStay, Figure::absent("%", "this is staying"))};
  options.front().is_eligible = may_stay;
  for (BriefOption& option : others) options.push_back(std::move(option));
  return options;
}

BriefDecision decision_of(const std::vector<BriefOption>& options, double min_saving_percent = 10) {
  Demand demand;
  demand.limits.min_saving_percent = min_saving_percent;
  return decide(demand, options, {}, {});
}

}  // namespace

TEST_CASE(
    "of the options that surely save enough, the one that saves most is taken, measured with an interval or not") {
  const BriefOption without = option_of("Without interval", OptionKind::kOwn, percent(12));
  const BriefOption wide = option_of("Wide", OptionKind::kOwn, percent(20, 11, 29));
  const BriefOption unsure = option_of("Unsure", OptionKind::kOwn, percent(30, 5, 50));
  CHECK(decision_of(options_beside({without, wide, unsure})).option == "Wide");
  CHECK(decision_of(options_beside({unsure, wide, without})).option == "Wide");
  CHECK(decision_of(options_beside({without, unsure})).option == "Without interval");
  const BriefDecision none = decision_of(options_beside({unsure}));
  CHECK(none.option == "Stay");
  CHECK(contains(none.reasons.front(), "The nearest, Unsure, costs 30 % (5.0 % to 50 %) less"));
}

TEST_CASE("an option that nobody asked for is named where the same rule would take it") {
  const BriefOption stated = option_of("Stated", OptionKind::kOwn, percent(20, 15, 25));
  const auto unasked_beside = [&](Figure saving) {
    return decision_of(options_beside({stated, option_of("All on x", OptionKind::kUnasked, std::move(saving))}))
        .unasked;
  };
  CHECK(unasked_beside(percent(21, 11, 31)) == "All on x");
  CHECK(unasked_beside(percent(21, 9, 31)).empty());
  CHECK(unasked_beside(percent(20)).empty());  // no more than what was asked for
}

TEST_CASE("where staying is out, what costs least is taken, also where staying has no cost to compare with") {
  const BriefOption dear = option_of("Dear", OptionKind::kOwn, percent(-30, -40, -20));
  const BriefOption less_dear = option_of("Less dear", OptionKind::kOwn, percent(-8));
  CHECK(decision_of(options_beside({dear, less_dear}, false)).option == "Less dear");
  const Figure absent = Figure::absent("%", "staying cannot be costed");
  const BriefOption first = option_of("First", OptionKind::kOwn, absent, 200);
  const BriefOption second = option_of("Second", OptionKind::kOwn, absent, 150);
  CHECK(decision_of(options_beside({first, second}, false)).option == "Second");
}

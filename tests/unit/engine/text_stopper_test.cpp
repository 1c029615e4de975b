#include "engine/text_stopper.h"

#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("a stop string ends the text however it is cut into pieces") {
  const std::string text = "Hello wor</s>ld";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      CAPTURE(first, second);
      TextStopper stopper({"", "</s>", "never"});
      std::string shown = stopper.push(text.substr(0, first));
      shown += stopper.push(text.substr(first, second - first));
      shown += stopper.push(text.substr(second));
      CHECK(stopper.stopped());
      CHECK(shown + stopper.finish() == "Hello wor");
    }
  }
}

TEST_CASE("what only begins like a stop string is shown in the end") {
  TextStopper stopper({"abcd"});
  CHECK(stopper.push("xab") == "x");
  CHECK(stopper.push("cab") == "abc");
  CHECK(stopper.finish() == "ab");
  CHECK_FALSE(stopper.stopped());
}

TEST_CASE("the earliest of several stop strings wins") {
  TextStopper stopper({"world", "lo"});
  CHECK(stopper.push("Hello world") == "Hel");
  CHECK(stopper.stopped());
  CHECK(stopper.push("more").empty());
}

}  // namespace
}  // namespace secondsource

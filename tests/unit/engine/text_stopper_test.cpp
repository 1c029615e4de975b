#include "engine/text_stopper.h"

#include <string>
#include <vector>

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

TEST_CASE("the stop string that is complete first ends the text, and of two that end together the longer one") {
  struct Case {
    std::vector<std::string> stop;
    std::string text, shown;
  };
  const std::vector<Case> cases = {{{"abcd", "bc"}, "xabcdy", "xa"}, {{"cd", "abcd"}, "xabcdy", "x"}};
  for (const Case& one : cases) {
    for (std::size_t piece = 1; piece <= one.text.size(); ++piece) {
      CAPTURE(one.stop, piece);
      TextStopper stopper(one.stop);
      std::string shown;
      for (std::size_t at = 0; at < one.text.size(); at += piece) shown += stopper.push(one.text.substr(at, piece));
      CHECK(stopper.stopped());
      CHECK(shown + stopper.finish() == one.shown);
    }
  }
}

TEST_CASE("what was held back comes before the last piece") {
  TextStopper stopper({"abc"});
  CHECK(stopper.push("xa") == "x");
  CHECK(stopper.finish("?") == "a?");
}

}  // namespace
}  // namespace secondsource

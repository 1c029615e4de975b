#pragma once
// Stop strings over a stream of text: what comes out can be shown to a person at once, and a stop string never is, even
// when it arrives in pieces.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource {

class TextStopper {
 public:
  /// Empty strings are ignored.
  explicit TextStopper(std::vector<std::string> stop_strings);

  /// Takes the next piece of text and returns what is certain not to be part of a stop string. After the first stop
  /// string everything is swallowed.
  std::string push(std::string_view piece);
  /// The text is over: returns what was held back.
  std::string finish();
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stop_strings_;
  std::string held_;  ///< a proper prefix of some stop string, at most
  bool stopped_ = false;
};

}  // namespace secondsource

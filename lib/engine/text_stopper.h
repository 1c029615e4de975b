#pragma once
// Applies stop strings to a stream of text: the output can be shown at once and never contains a stop string, even if
// one arrives in pieces. The text ends before the stop string that is complete first, however it is divided into pieces; of several that
// end at the same character, before the longest.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource {

class TextStopper {
 public:
  /// Empty strings are ignored.
  explicit TextStopper(std::vector<std::string> stop_strings);

  /// Takes the next piece of text and returns the text that is certainly not part of a stop string. Everything after
  /// the first stop string is dropped.
  std::string push(std::string_view piece);
  /// Takes the last piece of text, ends the text, and returns what was held back with it.
  std::string finish(std::string_view last_piece = {});
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stop_strings_;
  std::string held_;  ///< at most a proper prefix of a stop string
  bool stopped_ = false;
};

}  // namespace secondsource

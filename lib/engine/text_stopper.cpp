#include "engine/text_stopper.h"

#include <algorithm>
#include <utility>

namespace secondsource {

TextStopper::TextStopper(std::vector<std::string> stop_strings) : stop_strings_(std::move(stop_strings)) {
  std::erase(stop_strings_, std::string());
}

std::string TextStopper::push(std::string_view piece) {
  if (stopped_) return {};
  held_ += piece;
  std::size_t first_stop = std::string::npos;
  for (const std::string& stop : stop_strings_) first_stop = std::min(first_stop, held_.find(stop));
  if (first_stop != std::string::npos) {
    stopped_ = true;
    std::string text = held_.substr(0, first_stop);
    held_.clear();
    return text;
  }
  // The longest tail that is the beginning of a stop string has to be held back.
  std::size_t n_uncertain = 0;
  for (const std::string& stop : stop_strings_) {
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > n_uncertain; --n) {
      if (std::string_view(held_).substr(held_.size() - n) == std::string_view(stop).substr(0, n)) n_uncertain = n;
    }
  }
  std::string text = held_.substr(0, held_.size() - n_uncertain);
  held_.erase(0, text.size());
  return text;
}

std::string TextStopper::finish() {
  return std::exchange(held_, {});
}

}  // namespace secondsource

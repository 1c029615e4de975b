#include "engine/text_stopper.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace secondsource {

TextStopper::TextStopper(std::vector<std::string> stop_strings) : stop_strings_(std::move(stop_strings)) {
  std::erase(stop_strings_, std::string());
}

std::string TextStopper::push(std::string_view piece) {
  if (stopped_) return {};
  held_ += piece;
  std::optional<std::size_t> begin;
  std::size_t end = held_.size();
  for (const std::string& stop : stop_strings_) {
    const std::size_t found = held_.find(stop);
    if (found == std::string::npos || found + stop.size() > end) continue;
    begin = begin && found + stop.size() == end ? std::min(*begin, found) : found;
    end = found + stop.size();
  }
  if (begin) {
    stopped_ = true;
    std::string text = held_.substr(0, *begin);
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

std::string TextStopper::finish(std::string_view last_piece) {
  std::string text = push(last_piece);
  text += std::exchange(held_, {});
  return text;
}

}  // namespace secondsource

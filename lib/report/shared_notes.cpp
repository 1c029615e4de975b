#include "report/shared_notes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

namespace secondsource {

void SharedNotes::add(const std::string& row, const std::string& text) {
  const auto [place, is_new] = place_by_text_.try_emplace(text, notes_.size());
  if (is_new) notes_.push_back({.text = text, .rows = {}, .known_rows = {}});
  Note& note = notes_[place->second];
  if (note.known_rows.insert(row).second) note.rows.push_back(row);
}

std::vector<std::string> SharedNotes::lines() const {
  constexpr std::ptrdiff_t kMostNamed = 4;
  std::vector<std::string> lines;
  for (const Note& note : notes_) {
    const std::ptrdiff_t n_rows = std::ssize(note.rows);
    const std::ptrdiff_t n_named = n_rows <= kMostNamed ? n_rows : kMostNamed - 1;
    std::string line = fmt::format("{}", fmt::join(note.rows.begin(), note.rows.begin() + n_named, ", "));
    if (n_named < n_rows) line += fmt::format(" and {} more", n_rows - n_named);
    lines.push_back(line + ": " + note.text);
  }
  return lines;
}

}  // namespace secondsource

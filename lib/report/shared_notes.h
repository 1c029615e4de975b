#pragma once
// Notes that are printed once for all rows that have them.

#include <cstddef>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace secondsource {

/// Collects notes of rows and makes one line of those with the same text.
class SharedNotes {
 public:
  /// A note that a row has already is left out.
  void add(const std::string& row, const std::string& text);

  /// "a, b: text" for up to four rows, "a, b, c and 3 more: text" for more; in the order in which the texts were added first.
  [[nodiscard]] std::vector<std::string> lines() const;

 private:
  struct Note {
    std::string text;
    std::vector<std::string> rows;
    std::unordered_set<std::string> known_rows;
  };
  std::vector<Note> notes_;
  std::unordered_map<std::string, std::size_t> place_by_text_;  ///< in notes_
};

}  // namespace secondsource

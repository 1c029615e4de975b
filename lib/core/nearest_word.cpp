#include "core/nearest_word.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace secondsource {
namespace {

/// The optimal string alignment distance: insertions, deletions, substitutions, and swaps of two neighbours.
std::size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> edits(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        edits[i][j] = i + j;
        continue;
      }
      const std::size_t substituted = edits[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      edits[i][j] = std::min({substituted, edits[i - 1][j] + 1, edits[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) edits[i][j] = std::min(edits[i][j], edits[i - 2][j - 2] + 1);
    }
  }
  return edits[a.size()][b.size()];
}

}  // namespace

std::optional<std::string> nearest_word(std::string_view typed, const std::vector<std::string>& words) {
  constexpr std::size_t kLongestWord = 64;  // no flag is longer, and the distance takes time by the product of both
  if (typed.size() > kLongestWord) return std::nullopt;
  std::optional<std::string> nearest;
  std::size_t fewest = 0;
  for (const std::string& word : words) {
    const bool begins = typed.size() > 2 && word.compare(0, typed.size(), typed) == 0;
    const std::size_t edits = begins ? 1 : edits_between(typed, word);
    if (edits > std::max<std::size_t>(1, word.size() / 3)) continue;
    if (nearest && edits >= fewest) continue;
    nearest = word;
    fewest = edits;
  }
  return nearest;
}

std::string did_you_mean(std::string_view typed, const std::vector<std::string>& words) {
  const std::optional<std::string> nearest = nearest_word(typed, words);
  return nearest ? fmt::format("; did you mean {}?", *nearest) : std::string();
}

}  // namespace secondsource

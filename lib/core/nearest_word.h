#pragma once
// Suggests the known word that somebody probably meant to type.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource {

/// The one of `words` that `typed` was probably meant for: it begins with `typed`, or few edits lead to it (at most a
/// third of its letters; swapping two neighbours is one edit). nullopt when none is that near.
[[nodiscard]] std::optional<std::string> nearest_word(std::string_view typed, const std::vector<std::string>& words);

/// The end of a refusal of `typed`: "; did you mean cpu?" with nearest_word(), or nothing when none is near.
[[nodiscard]] std::string did_you_mean(std::string_view typed, const std::vector<std::string>& words);

}  // namespace secondsource

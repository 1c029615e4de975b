#include "core/shell_text.h"

#include <algorithm>

namespace secondsource {
namespace {

/// True if no character of the word means anything to a shell.
bool is_plain(std::string_view word) {
  constexpr std::string_view kPlain = "_-./:,=+@%^";
  const auto is_plain_character = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kPlain.find(c) != kPlain.npos;
  };
  return !word.empty() && std::all_of(word.begin(), word.end(), is_plain_character);
}

}  // namespace

std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string shell_command(std::span<const std::string> words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    out += is_plain(word) ? word : single_quoted(word);
  }
  return out;
}

}  // namespace secondsource

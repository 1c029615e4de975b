#pragma once
// The map of characters by which a SentencePiece model normalizes a text ("precompiled charsmap"): a trie of texts,
// each with its replacement. It is applied as in Hugging Face tokenizers, grapheme by grapheme: a grapheme of up to
// five bytes is replaced as a whole by the replacement of its shortest prefix in the map. This differs from
// SentencePiece where a combining mark follows.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource::tokenizer {

class CharacterMap {
 public:
  /// `bytes`: the size of the trie in bytes as a little-endian 32-bit number, the trie (a double array of 32-bit units as darts-clone
  /// writes it), then the replacements, each ended by a zero byte. Errors: kInvalidInput for sizes that do not fit and for
  /// replacements that are not UTF-8 or too long.
  static Result<CharacterMap> create(std::string_view bytes);

  /// The text (valid UTF-8) with its characters replaced.
  [[nodiscard]] std::string normalize(std::string_view text) const;

 private:
  CharacterMap() = default;
  /// What the shortest prefix of `text` in the map is replaced by; nullopt if there is none.
  [[nodiscard]] std::optional<std::string_view> replacement_of(std::string_view text) const;
  void append_replaced(std::string_view grapheme, std::string& out) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace secondsource::tokenizer

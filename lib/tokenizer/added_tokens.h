#pragma once
// Tokens that are found in the text before all other steps: special tokens such as <|im_start|>, and words that were
// added to a vocabulary. The semantics are those of AddedVocabulary in Hugging Face tokenizers.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/result.h"
#include "tokenizer/vocabulary.h"

namespace secondsource::tokenizer {

/// Limit for all contents together, and for all patterns together: a thousand times the size in real tokenizers, yet
/// the matcher stays small.
inline constexpr std::size_t kMaxAddedBytes = std::size_t{4} << 20;

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;  // only matches if no word character is next to it
  bool lstrip = false;       // includes the white space before it
  bool rstrip = false;       // includes the white space after it
  bool normalized = false;   // matched after the normalizer, in the normalized form of its content
  bool special = false;      // left out by decode() with skip_special
};

/// A stretch of text that is either an added token (id >= 0) or ordinary text (id < 0).
struct AddedTokenSpan {
  std::int32_t id = -1;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Finds the leftmost match of a set of texts, and the longest one that begins there.
class AddedTokenMatcher {
 public:
  /// `pattern` is the text to find: the content or its normalized form. It must not be empty. If two patterns are
  /// equal, the first one wins.
  void add(const AddedToken& token, std::string_view pattern);

  /// Splits the whole of `text` into stretches, in order. Special tokens count as ordinary text unless `parse_special`.
  void split(std::string_view text, bool parse_special, std::vector<AddedTokenSpan>& spans) const;

  [[nodiscard]] bool empty() const noexcept { return tokens_.empty(); }
  /// Bytes of all patterns together, which is the size of the matcher.
  [[nodiscard]] std::size_t pattern_bytes() const noexcept { return pattern_bytes_; }

 private:
  struct Node {
    std::int32_t token = -1;  // index into tokens_ of the pattern that ends here
  };
  [[nodiscard]] const AddedToken* longest_at(std::string_view text, std::size_t begin, std::size_t& end) const;

  std::vector<AddedToken> tokens_;
  std::size_t pattern_bytes_ = 0;
  // A trie whose edges are (node, byte) -> node.
  std::vector<Node> nodes_{Node{}};
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
  std::vector<bool> is_first_byte_ = std::vector<bool>(256, false);
};

/// All added tokens of a tokenizer.
class AddedTokens {
 public:
  /// Errors: kInvalidInput for an empty content or for more than 4 MiB of contents in total, and those of
  /// Vocabulary::add.
  Result<void> add(AddedToken token);

  /// Says what the normalizer makes of the content of a token that is matched in normalized text. From then on this is
  /// the token's text, and it is special only if it is the content of a special token: `tokenizers` (0.23) looks both up
  /// by the text.
  void set_normalized(const AddedToken& token, std::string normalized_content);

  [[nodiscard]] const std::vector<AddedToken>& tokens() const noexcept { return tokens_; }
  [[nodiscard]] const Vocabulary& vocabulary() const noexcept { return vocabulary_; }
  /// The text that stands for an id when it is decoded: the content, or its normalized form; nullopt for other ids.
  [[nodiscard]] std::optional<std::string_view> text_of(std::int32_t id) const;
  /// True if decoding with skip_special leaves the id out.
  [[nodiscard]] bool is_special(std::int32_t id) const;

 private:
  std::vector<AddedToken> tokens_;
  std::size_t content_bytes_ = 0;
  Vocabulary vocabulary_;
  std::vector<bool> is_special_;
  std::unordered_set<std::string> special_contents_;
  std::unordered_map<std::int32_t, std::string> normalized_texts_;  // only those that differ from the content
};

}  // namespace secondsource::tokenizer

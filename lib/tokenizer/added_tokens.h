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

/// Limit for the number of added tokens; the largest vocabularies in use (2026) have about 7000.
inline constexpr std::size_t kMaxAddedTokens = 65536;

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

/// Finds the leftmost match of a set of texts, and the longest one that begins there, in time linear in the text whatever
/// the set: an automaton of Aho and Corasick (1975) over the reversed texts reads from the end to the beginning, and so
/// knows at each position the longest text that begins there.
class AddedTokenMatcher {
 public:
  /// `pattern` is the text to find: the content or its normalized form. It must not be empty. If two patterns are
  /// equal, the first one wins.
  void add(const AddedToken& token, std::string_view pattern);
  /// Completes the automaton after the last add() and before the first split().
  void finish();

  /// Splits the whole of `text` into stretches, in order. Special tokens count as ordinary text unless `parse_special`.
  void split(std::string_view text, bool parse_special, std::vector<AddedTokenSpan>& spans) const;

  [[nodiscard]] bool empty() const noexcept { return tokens_.empty(); }
  /// Bytes of all patterns together, which is the size of the matcher.
  [[nodiscard]] std::size_t pattern_bytes() const noexcept { return pattern_bytes_; }

 private:
  struct Node {
    std::int32_t token =
        -1;  // index into tokens_ of the pattern that is spelled here; after finish(), of the longest one
             // that the bytes read last spell
    std::uint32_t length = 0;  // of that pattern
    std::uint32_t depth = 0;
    std::uint32_t fallback = 0;  // the node of the longest proper suffix
  };
  struct Match {
    std::size_t begin = 0;
    std::uint32_t node = 0;
  };
  [[nodiscard]] std::optional<std::uint32_t> edge(std::uint32_t node, char byte) const;
  /// The longest match at each position where one begins, from the end of the text to its beginning.
  [[nodiscard]] std::vector<Match> matches_from_end(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::size_t pattern_bytes_ = 0;
  // A trie of the reversed patterns whose edges are (node, byte) -> node. A node has a larger number than its parent.
  std::vector<Node> nodes_{Node{}};
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
  std::vector<bool> is_last_byte_ = std::vector<bool>(256, false);
  bool is_finished_ = true;
};

/// All added tokens of a tokenizer.
class AddedTokens {
 public:
  /// Errors: kInvalidInput for an empty content, for more than kMaxAddedTokens tokens or 4 MiB of contents in total, and
  /// those of Vocabulary::add.
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

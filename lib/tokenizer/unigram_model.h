#pragma once
// The unigram language model of SentencePiece (Kudo 2018, arXiv:1804.10959): of all ways to cut a word into pieces the one with
// the largest sum of scores, found by Viterbi's algorithm, with the semantics of the Unigram model of Hugging Face tokenizers.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/piece_trie.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/word_cache.h"

namespace secondsource::tokenizer {

/// The longest piece in bytes, which bounds the steps for each character of a text. SentencePiece makes pieces of at most 16
/// characters unless it is told otherwise.
inline constexpr std::size_t kMaxPieceBytes = 1024;

struct UnigramOptions {
  std::vector<double> scores;          ///< [ids]: logarithms of probabilities, finite
  std::optional<std::int32_t> unk_id;  ///< what stands for characters that no piece has
  bool byte_fallback = false;          ///< they become the pieces of their bytes, "<0xE2>", where all of these exist
};

/// The working memory for encoding words; one per thread.
struct UnigramScratch {
  /// The best way to cut the text up to some byte.
  struct Cut {
    double score = 0.0;
    std::int32_t id = -1;      ///< of the last piece; -1: none found yet
    std::uint32_t length = 0;  ///< of the last piece in bytes
  };
  std::vector<Cut> cuts;
  std::vector<std::int32_t> ids;
  WordCache cache;
};

class UnigramModel {
 public:
  /// Errors: kInvalidInput for an unknown token or scores that do not fit the vocabulary, and for pieces that are too long.
  static Result<UnigramModel> create(Vocabulary vocabulary, UnigramOptions options);

  /// Appends the ids of a word (valid UTF-8). Errors: kInvalidInput for a character that no piece has in a vocabulary without an
  /// unknown token.
  Result<void> encode(std::string_view word, UnigramScratch& scratch, std::vector<std::int32_t>& ids) const;

  [[nodiscard]] const Vocabulary& vocabulary() const noexcept { return vocabulary_; }

 private:
  UnigramModel(Vocabulary vocabulary, UnigramOptions options);
  Result<void> encode_uncached(std::string_view word, UnigramScratch& scratch) const;
  Result<void> find_cuts(std::string_view word, std::vector<UnigramScratch::Cut>& cuts) const;
  void append_unknown(std::string_view text, std::vector<std::int32_t>& reversed_ids) const;

  Vocabulary vocabulary_;
  UnigramOptions options_;
  PieceTrie trie_;
  double unk_score_ = 0.0;
  std::array<std::int32_t, 256> byte_ids_{};  ///< of "<0x00>" ... "<0xFF>", -1 if there is none
};

}  // namespace secondsource::tokenizer

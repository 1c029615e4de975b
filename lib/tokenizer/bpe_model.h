#pragma once
// Byte-pair encoding of one word (Sennrich et al. 2016), with the semantics of the BPE model of Hugging Face
// tokenizers: unknown characters, byte fallback, ignore_merges. Merging takes O(n log n) for a word of n characters,
// because some tokenizers have no pre-tokenizer, so that the whole text is one word.

#include <array>
#include <cstdint>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/word_cache.h"

namespace secondsource::tokenizer {

struct BpeOptions {
  std::optional<std::string> unk_token;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
  /// Words are raw bytes and the vocabulary is written in the byte alphabet. This is so when the last pre-tokenizer is
  /// ByteLevel, whose change of alphabet is folded into this model.
  bool byte_level = false;
};

/// The working memory for encoding words; one per thread.
struct BpeScratch {
  struct Symbol {
    std::int32_t id = -1;
    std::int32_t previous = -1;
    std::int32_t next = -1;
    Merge merge;  // the merge of this symbol with the next one
    bool is_merged_away = false;
  };
  struct Candidate {
    std::uint32_t rank = 0;
    std::int32_t position = 0;
    // A heap has the largest element on top, so the smallest rank, then the leftmost position, counts as the largest.
    friend bool operator<(const Candidate& a, const Candidate& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
    }
  };
  std::vector<std::int32_t> ids;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
  WordCache cache;
};

class BpeModel {
 public:
  /// Errors: kInvalidInput when the unknown token is not in the vocabulary.
  static Result<BpeModel> create(Vocabulary vocabulary, MergeTable merges, BpeOptions options);

  /// Appends the ids of a word (valid UTF-8 or, when byte_level, any bytes).
  void encode(std::string_view word, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;

  [[nodiscard]] const Vocabulary& vocabulary() const noexcept { return vocabulary_; }
  [[nodiscard]] const BpeOptions& options() const noexcept { return options_; }

 private:
  BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options);
  void encode_uncached(std::string_view word, BpeScratch& scratch) const;
  void split_into_characters(std::string_view text, std::vector<std::int32_t>& ids) const;
  void merge_short(std::vector<std::int32_t>& ids) const;
  void merge_long(BpeScratch& scratch) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  std::optional<std::int32_t> unk_id_;
  std::array<std::int32_t, 256> fallback_ids_{};  // ids of "<0x00>" ... "<0xFF>", -1 if there is none
  std::array<std::int32_t, 256> byte_ids_{};      // byte_level: id of each byte's character, -1 if there is none
  bool every_byte_has_an_id_ = false;
};

}  // namespace secondsource::tokenizer

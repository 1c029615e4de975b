#include "tokenizer/unigram_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/utf8.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

/// A character that is not in any piece scores this much less than the worst piece; tokenizers,
/// models/unigram/model.rs.
constexpr double kUnknownPenalty = 10.0;

Error wrong(std::string_view what, std::string expected) {
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected {}", what, expected)};
}

}  // namespace

Result<UnigramModel> UnigramModel::create(Vocabulary vocabulary, UnigramOptions options) {
  if (static_cast<std::int64_t>(options.scores.size()) != vocabulary.id_end()) {
    return wrong("scores",
                 fmt::format("one for each of {} pieces, found {}", vocabulary.id_end(), options.scores.size()));
  }
  if (!std::ranges::all_of(options.scores, [](double score) { return std::isfinite(score); })) {
    return wrong("scores", "finite numbers");
  }
  if (options.unk_id && !vocabulary.text_of(*options.unk_id)) {
    return wrong("unk_id", fmt::format("an id of the vocabulary, found {}", *options.unk_id));
  }
  for (std::int64_t id = 0; id < vocabulary.id_end(); ++id) {
    const std::optional<std::string_view> text = vocabulary.text_of(static_cast<std::int32_t>(id));
    if (!text || text->size() <= kMaxPieceBytes) continue;
    return wrong(fmt::format("piece {}", id), fmt::format("at most {} bytes, found {}", kMaxPieceBytes, text->size()));
  }
  return UnigramModel(std::move(vocabulary), std::move(options));
}

UnigramModel::UnigramModel(Vocabulary vocabulary, UnigramOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), trie_(vocabulary_) {
  if (!options_.scores.empty()) unk_score_ = std::ranges::min(options_.scores) - kUnknownPenalty;
  for (unsigned byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = vocabulary_.id_of(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
}

Result<void> UnigramModel::encode(std::string_view word, UnigramScratch& scratch,
                                  std::vector<std::int32_t>& ids) const {
  if (word.empty()) return {};
  const bool is_cached = word.size() <= WordCache::kMaxWordBytes;
  const std::uint64_t hash = is_cached ? WordCache::hash_of(word) : 0;
  if (is_cached) {
    if (const WordCache::Found found = scratch.cache.find(word, hash); found.is_found) {
      ids.insert(ids.end(), found.ids.begin(), found.ids.end());
      return {};
    }
  }
  SS_TRY_VOID(encode_uncached(word, scratch));
  ids.insert(ids.end(), scratch.ids.begin(), scratch.ids.end());
  if (is_cached) scratch.cache.put(word, hash, scratch.ids);
  return {};
}

Result<void> UnigramModel::find_cuts(std::string_view word, std::vector<UnigramScratch::Cut>& cuts) const {
  cuts.assign(word.size() + 1, {});
  // Of equal sums, the one that was found first wins; its last piece begins first.
  const auto is_better = [&cuts](std::size_t end, double score) { return cuts[end].id < 0 || score > cuts[end].score; };
  for (std::size_t begin = 0; begin < word.size();) {
    const double score = cuts[begin].score;
    const std::size_t character = character_length(word[begin]);
    bool has_character = false;
    trie_.for_each_prefix(word.substr(begin), [&](std::int32_t id, std::size_t length) {
      const double with_piece = score + options_.scores[static_cast<std::size_t>(id)];
      if (is_better(begin + length, with_piece)) {
        cuts[begin + length] = {with_piece, id, static_cast<std::uint32_t>(length)};
      }
      has_character = has_character || length == character;
    });
    const std::size_t end = begin + character;
    if (!has_character && is_better(end, score + unk_score_)) {
      if (!options_.unk_id) {
        return wrong("text", fmt::format("characters of the vocabulary, which has no unknown token, found {}",
                                         in_quotes(word.substr(begin, character))));
      }
      cuts[end] = {score + unk_score_, *options_.unk_id, static_cast<std::uint32_t>(character)};
    }
    begin = end;
  }
  return {};
}

Result<void> UnigramModel::encode_uncached(std::string_view word, UnigramScratch& scratch) const {
  SS_TRY_VOID(find_cuts(word, scratch.cuts));
  scratch.ids.clear();
  // From the end; adjacent unknown characters are one piece.
  std::size_t unknown_end = 0;
  for (std::size_t end = word.size(); end > 0;) {
    const UnigramScratch::Cut& cut = scratch.cuts[end];
    const std::size_t begin = end - cut.length;
    const bool is_unknown = options_.unk_id == cut.id;
    if (is_unknown && unknown_end == 0) unknown_end = end;
    if (!is_unknown && unknown_end > 0) {
      append_unknown(word.substr(end, unknown_end - end), scratch.ids);
      unknown_end = 0;
    }
    if (!is_unknown) scratch.ids.push_back(cut.id);
    end = begin;
  }
  if (unknown_end > 0) append_unknown(word.substr(0, unknown_end), scratch.ids);
  std::ranges::reverse(scratch.ids);
  return {};
}

void UnigramModel::append_unknown(std::string_view text, std::vector<std::int32_t>& reversed_ids) const {
  // Characters that are unknown one by one may be a piece together.
  if (const std::optional<std::int32_t> id = vocabulary_.id_of(text)) {
    reversed_ids.push_back(*id);
    return;
  }
  const auto id_of_byte = [this](char byte) { return byte_ids_[static_cast<std::uint8_t>(byte)]; };
  if (!options_.byte_fallback || !std::ranges::all_of(text, [&](char byte) { return id_of_byte(byte) >= 0; })) {
    reversed_ids.push_back(*options_.unk_id);
    return;
  }
  for (std::size_t i = text.size(); i > 0; --i) reversed_ids.push_back(id_of_byte(text[i - 1]));
}

}  // namespace secondsource::tokenizer

#include "tokenizer/bpe_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

// Up to this length scanning for the best pair is faster than a heap: 24 symbols need 24 scans of at most 24 integers.
constexpr std::size_t kShortWord = 24;

}  // namespace

Result<BpeModel> BpeModel::create(Vocabulary vocabulary, MergeTable merges, BpeOptions options) {
  if (options.unk_token && !vocabulary.id_of(*options.unk_token)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("unk_token \"{}\": expected it in the vocabulary", printable(*options.unk_token))};
  }
  return BpeModel(std::move(vocabulary), std::move(merges), std::move(options));
}

BpeModel::BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), options_(std::move(options)) {
  if (options_.unk_token) unk_id_ = vocabulary_.id_of(*options_.unk_token);
  every_byte_has_an_id_ = true;
  for (unsigned byte = 0; byte < 256; ++byte) {
    fallback_ids_[byte] = vocabulary_.id_of(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    std::string character;
    append_character(character, character_of_byte(static_cast<std::uint8_t>(byte)));
    byte_ids_[byte] = vocabulary_.id_of(character).value_or(-1);
    every_byte_has_an_id_ = every_byte_has_an_id_ && byte_ids_[byte] >= 0;
  }
}

void BpeModel::encode(std::string_view word, BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  if (word.empty()) return;
  if (word.size() > WordCache::kMaxWordBytes) {
    encode_uncached(word, scratch);
    ids.insert(ids.end(), scratch.ids.begin(), scratch.ids.end());
    return;
  }
  const std::uint64_t hash = WordCache::hash_of(word);
  if (const WordCache::Found found = scratch.cache.find(word, hash); found.is_found) {
    ids.insert(ids.end(), found.ids.begin(), found.ids.end());
    return;
  }
  encode_uncached(word, scratch);
  ids.insert(ids.end(), scratch.ids.begin(), scratch.ids.end());
  scratch.cache.put(word, hash, scratch.ids);
}

void BpeModel::encode_uncached(std::string_view word, BpeScratch& scratch) const {
  scratch.ids.clear();
  if (options_.ignore_merges) {
    const std::optional<std::int32_t> whole =
        options_.byte_level ? vocabulary_.id_of(to_byte_alphabet(word)) : vocabulary_.id_of(word);
    if (whole) {
      scratch.ids.push_back(*whole);
      return;
    }
  }
  if (options_.byte_level && every_byte_has_an_id_) {
    for (const char byte : word) scratch.ids.push_back(byte_ids_[static_cast<std::uint8_t>(byte)]);
  } else if (options_.byte_level) {
    split_into_characters(to_byte_alphabet(word), scratch.ids);
  } else {
    split_into_characters(word, scratch.ids);
  }
  if (scratch.ids.size() <= kShortWord) {
    merge_short(scratch.ids);
  } else {
    merge_long(scratch);
  }
}

void BpeModel::split_into_characters(std::string_view text, std::vector<std::int32_t>& ids) const {
  // An unknown character is held back, so that following ones can fuse with it. As in Hugging Face tokenizers,
  // characters that fall back to bytes are emitted before one that is held back.
  bool unk_waits = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::string_view character = text.substr(offset, character_length(text[offset]));
    offset += character.size();
    if (const std::optional<std::int32_t> id = vocabulary_.id_of(character)) {
      if (unk_waits) ids.push_back(*unk_id_);
      unk_waits = false;
      ids.push_back(*id);
      continue;
    }
    const auto has_fallback = [&](char byte) { return fallback_ids_[static_cast<std::uint8_t>(byte)] >= 0; };
    if (options_.byte_fallback && std::all_of(character.begin(), character.end(), has_fallback)) {
      for (const char byte : character) ids.push_back(fallback_ids_[static_cast<std::uint8_t>(byte)]);
      continue;
    }
    if (!unk_id_) continue;
    if (unk_waits && !options_.fuse_unk) ids.push_back(*unk_id_);
    unk_waits = true;
  }
  if (unk_waits) ids.push_back(*unk_id_);
}

void BpeModel::merge_short(std::vector<std::int32_t>& ids) const {
  // merges[i] is the merge of ids[i] with ids[i + 1]; both lists shrink together.
  std::array<Merge, kShortWord> merges;
  std::size_t n_ids = ids.size();
  if (n_ids < 2) return;
  for (std::size_t i = 0; i + 1 < n_ids; ++i) merges[i] = merges_.find(ids[i], ids[i + 1]);
  while (n_ids > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n_ids; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == Merge::kNone) break;
    ids[best] = merges[best].merged_id;
    for (std::size_t i = best + 1; i + 1 < n_ids; ++i) {
      ids[i] = ids[i + 1];
      merges[i] = merges[i + 1];
    }
    --n_ids;
    if (best > 0) merges[best - 1] = merges_.find(ids[best - 1], ids[best]);
    if (best + 1 < n_ids) merges[best] = merges_.find(ids[best], ids[best + 1]);
  }
  ids.resize(n_ids);
}

void BpeModel::merge_long(BpeScratch& scratch) const {
  std::vector<BpeScratch::Symbol>& symbols = scratch.symbols;
  std::vector<BpeScratch::Candidate>& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  const auto n_symbols = static_cast<std::int32_t>(scratch.ids.size());
  const auto symbol = [&](std::int32_t position) -> BpeScratch::Symbol& {
    return symbols[static_cast<std::size_t>(position)];
  };
  for (std::int32_t i = 0; i < n_symbols; ++i) {
    symbols.push_back({.id = scratch.ids[static_cast<std::size_t>(i)],
                       .previous = i - 1,
                       .next = i + 1 < n_symbols ? i + 1 : -1,
                       .merge = {}});
  }
  const auto look_up = [&](std::int32_t position) {
    BpeScratch::Symbol& left = symbol(position);
    left.merge = left.next < 0 ? Merge{} : merges_.find(left.id, symbol(left.next).id);
    return left.merge.rank != Merge::kNone;
  };
  for (std::int32_t i = 0; i < n_symbols; ++i) {
    if (look_up(i)) heap.push_back({.rank = symbol(i).merge.rank, .position = i});
  }
  std::make_heap(heap.begin(), heap.end());
  const auto push = [&](std::int32_t position) {
    if (!look_up(position)) return;
    heap.push_back({.rank = symbol(position).merge.rank, .position = position});
    std::push_heap(heap.begin(), heap.end());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const BpeScratch::Candidate candidate = heap.back();
    heap.pop_back();
    BpeScratch::Symbol& left = symbol(candidate.position);
    // A candidate is stale if its symbols have changed meanwhile; the current pair has a candidate of its own.
    if (left.is_merged_away || left.merge.rank != candidate.rank) continue;
    BpeScratch::Symbol& right = symbol(left.next);
    left.id = left.merge.merged_id;
    left.next = right.next;
    right.is_merged_away = true;
    if (left.next >= 0) symbol(left.next).previous = candidate.position;
    push(candidate.position);
    if (left.previous >= 0) push(left.previous);
  }
  scratch.ids.clear();
  for (std::int32_t i = 0; i >= 0; i = symbol(i).next) scratch.ids.push_back(symbol(i).id);
}

}  // namespace secondsource::tokenizer

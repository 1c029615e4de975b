#include "tokenizer/word_cache.h"

#include <functional>

#include "core/check.h"

namespace secondsource::tokenizer {
namespace {

// 64 thousand words of at most 64 bytes and 64 ids each: at most 25 MB, in practice about 5 MB.
constexpr std::size_t kMaxWords = std::size_t{1} << 16;
constexpr std::size_t kSlots = kMaxWords * 2;

}  // namespace

std::uint64_t WordCache::hash_of(std::string_view word) {
  return std::hash<std::string_view>{}(word);
}

WordCache::Found WordCache::find(std::string_view word, std::uint64_t hash) const {
  if (slots_.empty()) return {};
  for (std::size_t index = hash % kSlots; slots_[index].is_used; index = (index + 1) % kSlots) {
    const Slot& slot = slots_[index];
    if (slot.hash == hash && std::string_view(words_).substr(slot.word_offset, slot.word_length) == word) {
      return {.is_found = true, .ids = std::span(ids_).subspan(slot.ids_offset, slot.n_ids)};
    }
  }
  return {};
}

void WordCache::put(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> ids) {
  SS_DCHECK(word.size() <= kMaxWordBytes, "too long to be cached");
  if (ids.size() > kMaxWordBytes) return;
  if (slots_.empty()) slots_.resize(kSlots);
  if (size_ == kMaxWords) clear();
  std::size_t index = hash % kSlots;
  while (slots_[index].is_used) index = (index + 1) % kSlots;
  slots_[index] = {.hash = hash,
                   .word_offset = static_cast<std::uint32_t>(words_.size()),
                   .ids_offset = static_cast<std::uint32_t>(ids_.size()),
                   .word_length = static_cast<std::uint16_t>(word.size()),
                   .n_ids = static_cast<std::uint16_t>(ids.size()),
                   .is_used = true};
  words_.append(word);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++size_;
}

void WordCache::clear() {
  slots_.assign(kSlots, Slot{});
  words_.clear();
  ids_.clear();
  size_ = 0;
}

}  // namespace secondsource::tokenizer

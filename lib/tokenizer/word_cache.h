#pragma once
// A cache of the ids of recent words. It is bounded: when it is full it is cleared, which costs one new encoding of
// each word that occurs again. Not thread-safe; every encoding call has its own cache (see EncoderScratch).

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource::tokenizer {

class WordCache {
 public:
  /// Longer words are rare and are not cached.
  static constexpr std::size_t kMaxWordBytes = 64;

  /// The ids of a word, if it is cached. Valid until the next put().
  struct Found {
    bool is_found = false;
    std::span<const std::int32_t> ids;
  };
  [[nodiscard]] Found find(std::string_view word, std::uint64_t hash) const;

  /// Stores the ids of a word that is not cached yet.
  void put(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> ids);

  [[nodiscard]] static std::uint64_t hash_of(std::string_view word);
  /// The number of words in the cache.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t word_offset = 0;
    std::uint32_t ids_offset = 0;
    std::uint16_t word_length = 0;
    std::uint16_t n_ids = 0;
    bool is_used = false;
  };
  void clear();

  std::vector<Slot> slots_;
  std::string words_;
  std::vector<std::int32_t> ids_;
  std::size_t size_ = 0;
};

}  // namespace secondsource::tokenizer

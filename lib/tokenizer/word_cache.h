#pragma once
// The ids of words that were seen lately. Bounded: when it is full it starts anew, which costs one encoding of each
// word that comes again. Not shared between threads; every encoding has its own (see EncoderScratch).

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource::tokenizer {

class WordCache {
 public:
  /// Longer words are rare and are not kept.
  static constexpr std::size_t kMaxWordBytes = 64;

  /// The ids of a word; nullptr data when it is not here. Valid until the next put().
  struct Found {
    bool is_found = false;
    std::span<const std::int32_t> ids;
  };
  [[nodiscard]] Found find(std::string_view word, std::uint64_t hash) const;

  /// Keeps the ids of a word that is not here yet.
  void put(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> ids);

  [[nodiscard]] static std::uint64_t hash_of(std::string_view word);
  /// The number of words that it holds now.
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

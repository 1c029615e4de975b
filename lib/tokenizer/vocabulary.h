#pragma once
// A two-way map between token ids and their texts. Ids are unique and may have holes (those of test vocabularies do).
// They are bounded, so that a hostile file cannot make the table large.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource::tokenizer {

/// The largest id that is accepted: sixteen times the size of the largest vocabulary in use (2026: about 256 thousand).
inline constexpr std::int64_t kMaxTokenId = (std::int64_t{1} << 22) - 1;

/// The longest token text in bytes.
inline constexpr std::size_t kMaxTokenBytes = 64 * 1024;

class Vocabulary {
 public:
  /// Adds a token. Errors: kInvalidInput for an id that is negative, too large or already used, and for a text that is
  /// too long or already has another id. With `allow_repeated_text` (some GGUF files need it) a repeated text keeps its
  /// first id.
  Result<void> add(std::string_view text, std::int64_t id, bool allow_repeated_text = false);

  /// The id of a text.
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view text) const;
  /// The text of an id; nullopt for a hole or an id out of range. The view is valid until this object changes.
  [[nodiscard]] std::optional<std::string_view> text_of(std::int32_t id) const;

  /// The number of tokens.
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }
  /// The largest id plus one.
  [[nodiscard]] std::int64_t id_end() const noexcept { return static_cast<std::int64_t>(entries_.size()); }

 private:
  struct Entry {
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    bool is_used = false;
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::int32_t id = -1;
  };
  [[nodiscard]] std::string_view text_at(const Entry& entry) const {
    return std::string_view(texts_).substr(entry.offset, entry.length);
  }
  [[nodiscard]] std::size_t find_slot(std::string_view text, std::uint32_t hash) const;
  void grow();

  std::string texts_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;  // open addressing with linear probing; the size is a power of two, at most half full
  std::int64_t size_ = 0;
  std::size_t n_slots_used_ = 0;
};

}  // namespace secondsource::tokenizer

#pragma once
// The merges of a BPE model: which token a pair of neighbours becomes, and which pair merges first.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace secondsource::tokenizer {

/// The result of merging a pair of neighbours; the smallest rank merges first.
struct Merge {
  static constexpr std::uint32_t kNone = 0xffffffffU;
  std::uint32_t rank = kNone;
  std::int32_t merged_id = -1;
};

/// A map from pairs of ids to Merge, with open addressing and linear probing.
class MergeTable {
 public:
  /// Sets the merge of a pair; a later entry replaces an earlier one. Ids must be >= 0.
  void set(std::int32_t left, std::int32_t right, Merge merge);

  /// The merge of a pair; its rank is kNone if there is none.
  [[nodiscard]] Merge find(std::int32_t left, std::int32_t right) const {
    if (slots_.empty()) return {};
    const std::uint64_t key = key_of(left, right);
    for (std::size_t index = slot_of(key);; index = (index + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[index];
      if (slot.key == key) return slot.merge;
      if (slot.key == kEmpty) return {};
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };
  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
  }
  [[nodiscard]] std::size_t slot_of(std::uint64_t key) const {
    // Fibonacci hashing: the upper bits of the product depend on all bits of the key.
    return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> shift_);
  }
  void grow();

  std::vector<Slot> slots_;
  unsigned shift_ = 64;
  std::size_t size_ = 0;
};

}  // namespace secondsource::tokenizer

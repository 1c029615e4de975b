#include "tokenizer/merge_table.h"

#include <utility>

namespace secondsource::tokenizer {

void MergeTable::set(std::int32_t left, std::int32_t right, Merge merge) {
  if (slots_.empty() || size_ * 2 >= slots_.size()) grow();
  const std::uint64_t key = key_of(left, right);
  std::size_t index = slot_of(key);
  while (slots_[index].key != kEmpty && slots_[index].key != key) index = (index + 1) & (slots_.size() - 1);
  if (slots_[index].key == kEmpty) ++size_;
  slots_[index] = {.key = key, .merge = merge};
}

void MergeTable::grow() {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(old.empty() ? 1024 : old.size() * 2, Slot{});
  shift_ = old.empty() ? 54 : shift_ - 1;
  for (const Slot& slot : old) {
    if (slot.key == kEmpty) continue;
    std::size_t index = slot_of(slot.key);
    while (slots_[index].key != kEmpty) index = (index + 1) & (slots_.size() - 1);
    slots_[index] = slot;
  }
}

}  // namespace secondsource::tokenizer

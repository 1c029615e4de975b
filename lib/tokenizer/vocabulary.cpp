#include "tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <functional>

#include "core/utf8.h"

namespace secondsource::tokenizer {
namespace {

std::uint32_t hash_of(std::string_view text) {
  return static_cast<std::uint32_t>(std::hash<std::string_view>{}(text));
}

}  // namespace

Result<void> Vocabulary::add(std::string_view text, std::int64_t id, bool allow_repeated_text) {
  const auto refuse = [&](std::string_view reason) {
    return Error{ErrorCode::kInvalidInput, fmt::format("token \"{}\": {}", printable(text.substr(0, 80)), reason)};
  };
  if (id < 0 || id > kMaxTokenId) return refuse(fmt::format("expected an id in [0, {}], found {}", kMaxTokenId, id));
  if (text.size() > kMaxTokenBytes) {
    return refuse(fmt::format("expected at most {} bytes, found {}", kMaxTokenBytes, text.size()));
  }
  const auto index = static_cast<std::size_t>(id);
  if (index < entries_.size() && entries_[index].is_used) {
    return refuse(
        fmt::format("id {} is already that of \"{}\"", id, printable(text_at(entries_[index]).substr(0, 80))));
  }
  if (slots_.empty() || n_slots_used_ * 2 >= slots_.size()) grow();
  const std::uint32_t hash = hash_of(text);
  const std::size_t slot = find_slot(text, hash);
  const bool is_repeated = slots_[slot].id >= 0;
  if (is_repeated && !allow_repeated_text) return refuse(fmt::format("it has id {} and id {}", slots_[slot].id, id));
  if (index >= entries_.size()) entries_.resize(index + 1);
  entries_[index] = {.offset = texts_.size(), .length = static_cast<std::uint32_t>(text.size()), .is_used = true};
  texts_.append(text);
  ++size_;
  if (!is_repeated) {
    slots_[slot] = {.hash = hash, .id = static_cast<std::int32_t>(id)};
    ++n_slots_used_;
  }
  return {};
}

std::optional<std::int32_t> Vocabulary::id_of(std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  const Slot& slot = slots_[find_slot(text, hash_of(text))];
  if (slot.id < 0) return std::nullopt;
  return slot.id;
}

std::optional<std::string_view> Vocabulary::text_of(std::int32_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= entries_.size()) return std::nullopt;
  const Entry& entry = entries_[static_cast<std::size_t>(id)];
  if (!entry.is_used) return std::nullopt;
  return text_at(entry);
}

std::size_t Vocabulary::find_slot(std::string_view text, std::uint32_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t index = hash & mask;
  while (slots_[index].id >= 0) {
    const Slot& slot = slots_[index];
    if (slot.hash == hash && text_at(entries_[static_cast<std::size_t>(slot.id)]) == text) break;
    index = (index + 1) & mask;
  }
  return index;
}

void Vocabulary::grow() {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(old.empty() ? 1024 : old.size() * 2, Slot{});
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    std::size_t index = slot.hash & mask;
    while (slots_[index].id >= 0) index = (index + 1) & mask;
    slots_[index] = slot;
  }
}

}  // namespace secondsource::tokenizer

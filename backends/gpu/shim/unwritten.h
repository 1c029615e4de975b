#pragma once
// Device memory that nobody wrote. On a GPU it holds what was there before, and a read of it goes unseen; here it holds
// a NaN that nothing else makes, so that a copy to the host, an operand of a library and 16 bytes that a kernel loads
// can be looked at.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

namespace secondsource::gpu::shim {

/// NaN in f32, and each half in BF16 and FP16; as an index far outside of everything.
inline constexpr std::uint32_t kUnwritten = 0xffe5ffe5U;

/// `bytes` is a multiple of four, as is the address.
inline void mark_unwritten(void* memory, std::size_t bytes) {
  std::fill_n(static_cast<std::uint32_t*>(memory), bytes / sizeof(kUnwritten), kUnwritten);
}

/// The first byte of a word that nobody wrote. The address is a multiple of four; a rest of less is not looked at.
[[nodiscard]] inline std::optional<std::size_t> find_unwritten(const void* memory, std::size_t bytes) {
  const auto* const begin = static_cast<const std::byte*>(memory);
  for (std::size_t at = 0; at + sizeof(kUnwritten) <= bytes; at += sizeof(kUnwritten)) {
    std::uint32_t word = 0;
    std::memcpy(&word, begin + at, sizeof(word));
    if (word == kUnwritten) return at;
  }
  return std::nullopt;
}

/// Whether all of a piece is as it was allocated: what a vector load may take with what was written is not looked at.
[[nodiscard]] inline bool is_unwritten(const void* memory, std::size_t bytes) {
  const auto* const words = static_cast<const std::uint32_t*>(memory);
  return std::all_of(words, words + bytes / sizeof(kUnwritten), [](std::uint32_t word) { return word == kUnwritten; });
}

}  // namespace secondsource::gpu::shim

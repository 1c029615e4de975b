#pragma once
// Detects reads of device memory that was never written. On a GPU such a read returns old content and goes unnoticed; the
// shim fills new allocations with a NaN that no computation produces, and checks copies to the host, operands of
// libraries and 16-byte loads of kernels for it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

namespace secondsource::gpu::shim {

/// NaN in f32, and in each half as BF16 and FP16; out of range as an index.
inline constexpr std::uint32_t kUnwritten = 0xffe5ffe5U;

/// The address and `bytes` are multiples of four.
inline void mark_unwritten(void* memory, std::size_t bytes) {
  std::fill_n(static_cast<std::uint32_t*>(memory), bytes / sizeof(kUnwritten), kUnwritten);
}

/// Offset of the first unwritten word. The address is a multiple of four; a remainder of less than a word is ignored.
[[nodiscard]] inline std::optional<std::size_t> find_unwritten(const void* memory, std::size_t bytes) {
  const auto* const begin = static_cast<const std::byte*>(memory);
  for (std::size_t at = 0; at + sizeof(kUnwritten) <= bytes; at += sizeof(kUnwritten)) {
    std::uint32_t word = 0;
    std::memcpy(&word, begin + at, sizeof(word));
    if (word == kUnwritten) return at;
  }
  return std::nullopt;
}

/// True if the whole range is unwritten. A vector load may include unwritten padding beside written data.
[[nodiscard]] inline bool is_unwritten(const void* memory, std::size_t bytes) {
  const auto* const words = static_cast<const std::uint32_t*>(memory);
  return std::all_of(words, words + bytes / sizeof(kUnwritten), [](std::uint32_t word) { return word == kUnwritten; });
}

}  // namespace secondsource::gpu::shim

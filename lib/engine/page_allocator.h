#pragma once
// The engine's side of the paged KV cache: page ids, their users, and what may be evicted. The backend owns the bytes.
//
//   PageAllocator pages(n_pages);
//   PageTable sequence(page_tokens);
//   if (!sequence.grow(pages, 17)) ...              // capacity for 17 tokens, or nothing changed
//   auto child = sequence.fork(pages, 20);          // shares full pages, copies the last partial one
//   sequence.release(pages);

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace secondsource {

/// Reference-counted page ids [0, n_pages).
class PageAllocator {
 public:
  explicit PageAllocator(std::int64_t n_pages);

  /// Called when no page is free. Frees pages that are kept only because they may be useful again (a finished document)
  /// and returns whether it freed anything.
  using EvictionHook = std::function<bool()>;
  void set_eviction_hook(EvictionHook hook) { evict_ = std::move(hook); }

  /// Allocates a page with one reference, evicting if necessary; nullopt if there is none.
  [[nodiscard]] std::optional<std::int32_t> allocate();
  /// Adds a user of a page that is in use.
  void retain(std::int32_t page);
  /// Removes a user; the page is free when its last user is gone.
  void release(std::int32_t page);

  [[nodiscard]] std::int64_t n_pages() const { return static_cast<std::int64_t>(reference_counts_.size()); }
  [[nodiscard]] std::int64_t n_free() const { return static_cast<std::int64_t>(free_.size()); }
  [[nodiscard]] std::int64_t n_used_peak() const { return n_used_peak_; }
  [[nodiscard]] std::int32_t reference_count(std::int32_t page) const;

 private:
  std::vector<std::int32_t> reference_counts_;
  std::vector<std::int32_t> free_;  ///< a stack, because the page freed last is still warm in the device's caches
  std::int64_t n_used_peak_ = 0;
  EvictionHook evict_;
};

/// The pages of one sequence, in order: token i is in pages()[i / page_tokens], at offset i % page_tokens. A copy would
/// duplicate references without counting them, so a table can only be moved or forked. Call release() before its
/// destruction.
class PageTable {
 public:
  explicit PageTable(std::int32_t page_tokens) : page_tokens_(page_tokens) {}
  PageTable(PageTable&&) noexcept = default;
  PageTable& operator=(PageTable&&) noexcept = default;
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;

  [[nodiscard]] std::span<const std::int32_t> pages() const { return pages_; }
  [[nodiscard]] std::int64_t capacity() const { return static_cast<std::int64_t>(pages_.size()) * page_tokens_; }
  /// The cache slot of token `index`, which must be below capacity().
  [[nodiscard]] std::int32_t slot(std::int64_t index) const;

  /// Makes room for `n_tokens` tokens. Returns false, and changes nothing, if there are not enough pages.
  [[nodiscard]] bool grow(PageAllocator& allocator, std::int64_t n_tokens);

  struct Fork;
  /// Returns a table whose first `n_tokens` <= capacity() tokens are those of this one. Full pages are shared; the last
  /// partial page is a new one, which the backend must copy before the next step. nullopt if no page was free for it.
  [[nodiscard]] std::optional<Fork> fork(PageAllocator& allocator, std::int64_t n_tokens) const;

  void release(PageAllocator& allocator);

 private:
  std::int32_t page_tokens_;
  std::vector<std::int32_t> pages_;
};

struct PageTable::Fork {
  PageTable table;
  std::optional<PageCopy> copy;
};

}  // namespace secondsource

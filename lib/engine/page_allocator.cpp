#include "engine/page_allocator.h"

#include <algorithm>

#include "core/check.h"
#include "core/checked.h"

namespace secondsource {

PageAllocator::PageAllocator(std::int64_t n_pages) {
  SS_CHECK(n_pages >= 0 && n_pages <= INT32_MAX, "page ids are int32");
  reference_counts_.assign(static_cast<std::size_t>(n_pages), 0);
  free_.reserve(reference_counts_.size());
  for (std::int64_t page = n_pages - 1; page >= 0; --page) free_.push_back(static_cast<std::int32_t>(page));
}

std::optional<std::int32_t> PageAllocator::allocate() {
  // A hook that reports success may have dropped references without freeing a page, hence the loop.
  while (free_.empty()) {
    if (!evict_ || !evict_()) return std::nullopt;
  }
  const std::int32_t page = free_.back();
  free_.pop_back();
  reference_counts_[static_cast<std::size_t>(page)] = 1;
  n_used_peak_ = std::max(n_used_peak_, n_pages() - n_free());
  return page;
}

void PageAllocator::retain(std::int32_t page) {
  SS_CHECK(reference_count(page) > 0, "retain() needs a page in use");
  ++reference_counts_[static_cast<std::size_t>(page)];
}

void PageAllocator::release(std::int32_t page) {
  SS_CHECK(reference_count(page) > 0, "a page was released more often than it was used");
  if (--reference_counts_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

std::int32_t PageAllocator::reference_count(std::int32_t page) const {
  SS_CHECK(page >= 0 && page < n_pages(), "page id out of range");
  return reference_counts_[static_cast<std::size_t>(page)];
}

std::int32_t PageTable::slot(std::int64_t index) const {
  SS_DCHECK(index >= 0 && index < capacity(), "token outside of its pages");
  return pages_[static_cast<std::size_t>(index / page_tokens_)] * page_tokens_ +
         static_cast<std::int32_t>(index % page_tokens_);
}

bool PageTable::grow(PageAllocator& allocator, std::int64_t n_tokens) {
  const auto n_before = pages_.size();
  const auto n_wanted = static_cast<std::size_t>(ceil_divide<std::int64_t>(n_tokens, page_tokens_));
  while (pages_.size() < n_wanted) {
    const auto page = allocator.allocate();
    if (!page) {
      while (pages_.size() > n_before) {
        allocator.release(pages_.back());
        pages_.pop_back();
      }
      return false;
    }
    pages_.push_back(*page);
  }
  return true;
}

std::optional<PageTable::Fork> PageTable::fork(PageAllocator& allocator, std::int64_t n_tokens) const {
  SS_CHECK(n_tokens >= 0 && n_tokens <= capacity(), "a fork shares tokens that exist");
  const auto n_full = static_cast<std::size_t>(n_tokens / page_tokens_);
  Fork result{.table = PageTable(page_tokens_), .copy = std::nullopt};
  // The shared pages are retained first, because allocating the partial page may evict the parent itself.
  for (std::size_t i = 0; i < n_full; ++i) {
    allocator.retain(pages_[i]);
    result.table.pages_.push_back(pages_[i]);
  }
  if (n_tokens % page_tokens_ == 0) return result;
  const std::int32_t partial = pages_[n_full];
  allocator.retain(partial);
  const auto page = allocator.allocate();
  allocator.release(partial);
  if (!page) {
    result.table.release(allocator);
    return std::nullopt;
  }
  // Even where the release above freed the partial page, no step can overwrite it before the copy is issued: the
  // backend gets the copies before the step that could write into the page.
  result.table.pages_.push_back(*page);
  result.copy = PageCopy{.from_page = partial, .to_page = *page};
  return result;
}

void PageTable::release(PageAllocator& allocator) {
  for (const std::int32_t page : pages_) allocator.release(page);
  pages_.clear();
}

}  // namespace secondsource

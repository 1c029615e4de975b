#include "engine/page_allocator.h"

#include <map>

#include "core/random.h"
#include "support/catch.h"

namespace secondsource {
namespace {

TEST_CASE("the allocator hands out every page once and then none") {
  PageAllocator pages(3);
  std::map<std::int32_t, int> seen;
  for (int i = 0; i < 3; ++i) ++seen[pages.allocate().value()];
  CHECK(seen.size() == 3);
  CHECK_FALSE(pages.allocate().has_value());
  CHECK(pages.n_used_peak() == 3);
}

TEST_CASE("a page is free again when its last user releases it") {
  PageAllocator pages(1);
  const std::int32_t page = pages.allocate().value();
  pages.retain(page);
  pages.release(page);
  CHECK(pages.n_free() == 0);
  pages.release(page);
  CHECK(pages.n_free() == 1);
}

TEST_CASE("the eviction hook is asked until a page is free or it gives up") {
  PageAllocator pages(2);
  PageTable kept(4);
  REQUIRE(kept.grow(pages, 8));
  int n_asked = 0;
  pages.set_eviction_hook([&] {
    ++n_asked;
    if (kept.pages().empty()) return false;
    kept.release(pages);
    return true;
  });
  PageTable wanted(4);
  CHECK(wanted.grow(pages, 8));
  CHECK(n_asked == 1);
  CHECK_FALSE(wanted.grow(pages, 9));
  CHECK(wanted.pages().size() == 2);  // a failed grow changes nothing
}

TEST_CASE("a fork shares full pages and copies the last partial one") {
  struct Case {
    std::int64_t n_tokens;
    std::size_t n_shared_pages;
    bool copies;
  };
  for (const Case& c : {Case{0, 0, false}, Case{3, 0, true}, Case{4, 1, false}, Case{7, 1, true}, Case{8, 2, false}}) {
    CAPTURE(c.n_tokens);
    PageAllocator pages(8);
    PageTable parent(4);
    REQUIRE(parent.grow(pages, 8));
    auto fork = parent.fork(pages, c.n_tokens);
    REQUIRE(fork.has_value());
    CHECK(fork->copy.has_value() == c.copies);
    for (std::size_t i = 0; i < c.n_shared_pages; ++i) CHECK(fork->table.pages()[i] == parent.pages()[i]);
    if (fork->copy) {
      CHECK(fork->copy->from_page == parent.pages()[c.n_shared_pages]);
      CHECK(fork->copy->to_page == fork->table.pages()[c.n_shared_pages]);
      CHECK(fork->copy->to_page != fork->copy->from_page);
    }
    parent.release(pages);
    CHECK(pages.n_free() == 8 - static_cast<std::int64_t>(fork->table.pages().size()));
    fork->table.release(pages);
    CHECK(pages.n_free() == 8);
  }
}

TEST_CASE("random growing, forking and releasing never leaks, shares a written page, or counts wrongly") {
  constexpr std::int32_t kPageTokens = 4;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    RandomStream random(seed);
    PageAllocator pages(24);
    struct Live {
      PageTable table{kPageTokens};
      std::int64_t n_tokens = 0;  // tokens written so far; the next one goes after them
    };
    std::vector<Live> live;
    for (int step = 0; step < 400; ++step) {
      const auto choice = random.next_below(4);
      if (choice == 0) {
        live.emplace_back();
      } else if (!live.empty()) {
        const auto which = random.next_below(live.size());
        Live& one = live[which];
        if (choice == 1) {
          const auto more = static_cast<std::int64_t>(random.next_below(9));
          if (one.table.grow(pages, one.n_tokens + more)) one.n_tokens += more;
        } else if (choice == 2) {
          const auto n_shared =
              static_cast<std::int64_t>(random.next_below(static_cast<std::uint64_t>(one.n_tokens) + 1));
          if (auto fork = one.table.fork(pages, n_shared)) live.push_back({std::move(fork->table), n_shared});
        } else {
          one.table.release(pages);
          live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
        }
      }
      // The model of the test: count the users of every page from the tables themselves.
      std::map<std::int32_t, std::int32_t> users;
      for (const Live& one : live) {
        for (const std::int32_t page : one.table.pages()) ++users[page];
      }
      REQUIRE(pages.n_free() == pages.n_pages() - static_cast<std::int64_t>(users.size()));
      for (const auto& [page, n_users] : users) REQUIRE(pages.reference_count(page) == n_users);
      for (const Live& one : live) {
        // If the page of the next token exists already, only this sequence may use it.
        if (one.n_tokens < one.table.capacity()) {
          REQUIRE(users[one.table.slot(one.n_tokens) / kPageTokens] == 1);
        }
      }
    }
    for (Live& one : live) one.table.release(pages);
    CHECK(pages.n_free() == pages.n_pages());
  }
}

}  // namespace
}  // namespace secondsource

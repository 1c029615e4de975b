// Tests how much of a file is reported to be in the page cache after it was read and after it was dropped. The expected number
// follows from the file's size: all pages of a file that was just read are in the cache.

#include "host/page_cache.h"

#include <unistd.h>

#include <filesystem>
#include <string>

#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

std::filesystem::path written(const ScratchFolder& folder, const char* name, std::size_t size) {
  const std::filesystem::path file = folder.path() / name;
  REQUIRE_OK(write_file(file, std::string(size, 'x')));
  REQUIRE_OK(read_file(file));
  return file;
}

}  // namespace

TEST_CASE("a file that was just read is in the page cache as a whole, also where its last page is not full") {
  const ScratchFolder folder;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  for (const std::size_t size : {std::size_t{1}, page - 1, page, page + 1, 7 * page, 7 * page + 123}) {
    const auto cache = file_cache(written(folder, "file", size));
    REQUIRE_OK(cache);
    CHECK(cache->bytes == static_cast<std::int64_t>(size));
    CHECK(cache->cached_bytes == static_cast<std::int64_t>(size));
  }
}

TEST_CASE("an empty file has nothing in the page cache") {
  const ScratchFolder folder;
  const std::filesystem::path file = folder.path() / "empty";
  REQUIRE_OK(write_file(file, ""));
  const auto cache = file_cache(file);
  REQUIRE_OK(cache);
  CHECK(cache->bytes == 0);
  CHECK(cache->cached_bytes == 0);
  REQUIRE_OK(drop_file_cache(file));
}

TEST_CASE("a dropped file leaves the page cache, or is seen to have stayed, and its bytes are the same") {
  const ScratchFolder folder;
  const std::filesystem::path file = written(folder, "file", 1 << 20);
  REQUIRE_OK(drop_file_cache(file));
  const auto cache = file_cache(file);
  REQUIRE_OK(cache);
  CHECK(cache->bytes == 1 << 20);
  // On an in-memory file system every page stays cached. On others the kernel may keep a few pages for a moment.
  const bool is_dropped = cache->cached_bytes <= cache->bytes / 100;
  const bool has_stayed = cache->cached_bytes == cache->bytes;
  CHECK((is_dropped || has_stayed));
  const auto text = read_file(file);
  REQUIRE_OK(text);
  CHECK(*text == std::string(1 << 20, 'x'));
  const auto again = file_cache(file);
  REQUIRE_OK(again);
  CHECK(again->cached_bytes == again->bytes);
}

TEST_CASE("a file that is not there is an error that names it and the call") {
  const ScratchFolder folder;
  const std::filesystem::path file = folder.path() / "missing";
  const auto cache = file_cache(file);
  REQUIRE_FALSE(cache);
  CHECK(cache.error().code == ErrorCode::kIo);
  CHECK(cache.error().message.find("missing: open: ") != std::string::npos);
  const auto dropped = drop_file_cache(file);
  REQUIRE_FALSE(dropped);
  CHECK(dropped.error().code == ErrorCode::kIo);
}

// Zips from the regression suites of other projects (assets/hostile/zip), and bombs and traps made here byte by byte,
// so that no library corrects them.
#include "bundle/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <chrono>
#include <functional>
#include <future>

#include "bundle/extraction_cache.h"
#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/bundle/zip_bytes.h"

namespace secondsource {
namespace {

using test::HandMadeEntry;
using test::zip_bytes;

Result<ZipArchive> open_text(const std::string& text, ZipLimits limits = {}) {
  return ZipArchive::open_bytes(std::as_bytes(std::span(text)), "a.zip", limits);
}

Result<void> extract(const std::string& zip, const std::filesystem::path& folder, ZipLimits limits = {}) {
  SilentProgress progress;
  const InterruptFlag interrupt;
  SS_TRY(const ZipArchive archive, open_text(zip, limits));
  return archive.extract(folder, progress, interrupt);
}

TEST_CASE("zips of other projects' suites are read rightly or refused with one line") {
  const auto folder = test::asset("hostile/zip");
  if (!folder) return;
  SilentProgress progress;
  const InterruptFlag interrupt;
  const auto [file, part] = GENERATE(table<std::string, std::string>({
      {"libzip-bogus", "zip: "},
      {"libzip-broken", "zip: "},
      {"libzip-encrypt-aes256", "encrypted entries are not accepted"},
      {"libzip-filename_duplicate", "File already exists"},
      {"libzip-incons-cdoffset", "zip: "},
      {"libzip-incons-central-magic-bad", "zip: "},
      {"libzip-incons-file-count-high", "zip: "},
      {"libzip-incons-local-filename", "zip: "},
      {"libzip-incons-stored-size", "zip: "},
      {"libzip-multidisk", "zip: "},
      {"libzip-test", ""},
      {"libzip-testfile-truncated", "zip: "},
      {"own-zip_slip_unix", "it leaves its folder"},
      {"ziprs-non_utf8", "it is not UTF-8"},
      {"ziprs-symlink", "links and special files are not accepted"},
      {"ziprs-zip64_demo", "zip: "},
  }));
  CAPTURE(file);
  const test::ScratchFolder scratch;
  const auto archive = ZipArchive::open(*folder / (file + ".zip"));
  Result<void> result = archive ? archive->extract(scratch.path(), progress, interrupt) : Result<void>(archive.error());
  if (part.empty()) {
    REQUIRE_OK(result);
    return;
  }
  CHECK_ERROR(result, ErrorCode::kInvalidInput, part);
  CHECK(result.error().message.find('\n') == std::string::npos);
  CHECK_FALSE(std::filesystem::exists("/tmp/zip_slip_owned.txt"));
}

TEST_CASE("a sound zip is extracted with its folders and bytes") {
  const test::ScratchFolder scratch;
  const std::string zip = zip_bytes({{.name = "a.txt", .data = "alpha"},
                                     {.name = "sub/"},
                                     {.name = "sub/b.txt", .data = std::string(100000, 'b'), .deflate = true},
                                     {.name = "sub/deep/c.txt", .data = ""}});
  REQUIRE_OK(extract(zip, scratch.path()));
  CHECK(read_file(scratch.path() / "a.txt").value() == "alpha");
  CHECK(read_file(scratch.path() / "sub/b.txt").value() == std::string(100000, 'b'));
  CHECK(read_file(scratch.path() / "sub/deep/c.txt").value().empty());
}

TEST_CASE("a control character in a name is refused by libzip, or here where libzip leaves it to us") {
  const test::ScratchFolder scratch;
  const auto extracted = extract(zip_bytes({{.name = "ok.txt", .data = "x"},
                                            {.name = "a\x01"
                                                     "b",
                                             .data = "y"}}),
                                 scratch.path());
  REQUIRE_FALSE(extracted);
  CHECK(extracted.error().code == ErrorCode::kInvalidInput);
  const std::string& message = extracted.error().message;
  CAPTURE(message);
  const bool is_by_libzip = message.find("Zip archive inconsistent") != std::string::npos;                 // libzip 1.7
  const bool is_by_us = message.find("a backslash, a colon or a control character") != std::string::npos;  // with 1.11
  CHECK(is_by_libzip != is_by_us);
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("a hostile name in a zip is refused before anything is written") {
  const auto [name, part] = GENERATE(table<std::string, std::string>({
      {"../x", "it leaves its folder"},
      {"a/../../x", "it leaves its folder"},
      {"/etc/passwd", "it is absolute"},
      {"a\\..\\x", "a backslash"},
      {"C:x", "a colon"},
      {"a//b", "an empty part"},
      {"./a", "it leaves its folder"},
      {"", "it is empty"},
      {"/", "it is empty"},
      {"\xff\xfe", "Zip archive inconsistent"},
      {std::string(600, 'x'), "longer than 512 bytes"},
      {"a/" + std::string(256, 'x'), "longer than 255 bytes"},
      {std::string("model.bin\0.txt", 14), "a name with a zero byte"},
  }));
  const test::ScratchFolder scratch;
  CAPTURE(name);
  CHECK_ERROR(extract(zip_bytes({{.name = "ok.txt", .data = "x"}, {.name = name, .data = "y"}}), scratch.path()),
              ErrorCode::kInvalidInput, part);
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("names that collide are refused") {
  const auto [first, second, part] = GENERATE(table<std::string, std::string, std::string>({
      {"a", "a", "File already exists"},  // libzip's own message
      {"Model.bin", "model.BIN", "expected each name once"},
      {"a", "a/b", "expected each name once"},
      {"a/b", "a", "expected each name once"},
      {"a/b/c", "a/b", "expected each name once"},
  }));
  CAPTURE(first, second);
  CHECK_ERROR(open_text(zip_bytes({{.name = first, .data = "1"}, {.name = second, .data = "2"}})),
              ErrorCode::kInvalidInput, part);
}

TEST_CASE("no name of an entry collides with a name of ours") {
  const test::ScratchFolder scratch;
  const std::string longest(255, 'x');
  REQUIRE_OK(extract(zip_bytes({{.name = "a.partial", .data = "1"},
                                {.name = "a", .data = "2"},
                                {.name = "b", .data = "3"},
                                {.name = "b.partial/c", .data = "4"},
                                {.name = longest, .data = "5"}}),
                     scratch.path()));
  CHECK(read_file(scratch.path() / "a.partial").value() == "1");
  CHECK(read_file(scratch.path() / "a").value() == "2");
  CHECK(read_file(scratch.path() / "b").value() == "3");
  CHECK(read_file(scratch.path() / "b.partial/c").value() == "4");
  CHECK(read_file(scratch.path() / longest).value() == "5");
}

TEST_CASE("folders that only occur in paths count as names") {
  std::vector<HandMadeEntry> entries;
  for (int i = 0; i < 200; ++i) {
    std::string name = fmt::format("{:03}", i);
    for (int depth = 0; depth < 120; ++depth) name += "/d";
    entries.push_back({.name = name});
  }
  CHECK_ERROR(open_text(zip_bytes(entries)), ErrorCode::kInvalidInput, "expected at most 20000 files and folders");
  entries.resize(10);
  REQUIRE_OK(open_text(zip_bytes(entries)));
}

TEST_CASE("entries of a kind that is not a plain file are refused") {
  CHECK_ERROR(open_text(zip_bytes({{.name = "link", .data = "/etc/passwd", .unix_mode = 0120777}})),
              ErrorCode::kInvalidInput, "links and special files");
  CHECK_ERROR(open_text(zip_bytes({{.name = "pipe", .unix_mode = 0010644}})), ErrorCode::kInvalidInput,
              "links and special files");
  CHECK_ERROR(open_text(zip_bytes({{.name = "a", .data = "x", .method = 12}})), ErrorCode::kInvalidInput,
              "expected stored or deflated");
}

TEST_CASE("a bomb is refused from its directory alone") {
  SECTION("by its ratio") {
    std::vector<HandMadeEntry> entries;
    for (int i = 0; i < 8; ++i)
      entries.push_back({.name = fmt::format("{}", i), .data = std::string(16 << 20, '\0'), .deflate = true});
    CHECK_ERROR(open_text(zip_bytes(entries)), ErrorCode::kInvalidInput, "expected to grow at most 200-fold");
  }
  SECTION("by its size") {
    CHECK_ERROR(open_text(zip_bytes({{.name = "a", .data = std::string(2000, 'x')}}), {.max_total_bytes = 1000}),
                ErrorCode::kInvalidInput, "expected at most 1000 bytes when extracted");
  }
  SECTION("by the number of its entries") {
    CHECK_ERROR(open_text(zip_bytes({{.name = "a"}, {.name = "b"}, {.name = "c"}}), {.max_entries = 2}),
                ErrorCode::kInvalidInput, "expected at most 2 entries, found 3");
  }
}

TEST_CASE("an entry that does not hold what the directory says is refused") {
  const test::ScratchFolder scratch;
  SECTION("a wrong checksum") {
    CHECK_ERROR(extract(zip_bytes({{.name = "a", .data = "alpha", .crc_error = 1}}), scratch.path()),
                ErrorCode::kInvalidInput, "a");
  }
  SECTION("more bytes than announced") {
    CHECK_ERROR(
        extract(zip_bytes({{.name = "a", .data = std::string(5000, 'x'), .deflate = true, .announced_bytes = 10}}),
                scratch.path()),
        ErrorCode::kInvalidInput, "a");
  }
  SECTION("fewer bytes than announced") {
    CHECK_ERROR(
        extract(zip_bytes({{.name = "a", .data = "xyz", .deflate = true, .announced_bytes = 5000}}), scratch.path()),
        ErrorCode::kInvalidInput, "a");
  }
}

TEST_CASE("every truncation and every flipped byte of a zip is read or refused, never a crash") {
  const std::string zip = zip_bytes(
      {{.name = "a.txt", .data = "alpha"}, {.name = "b.txt", .data = std::string(500, 'b'), .deflate = true}});
  SilentProgress progress;
  const InterruptFlag interrupt;
  int n_refused = 0;
  for (std::size_t i = 0; i < zip.size(); ++i) {
    REQUIRE_FALSE(open_text(zip.substr(0, i)));
    std::string flipped = zip;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x5a);
    const auto archive = open_text(flipped);
    if (!archive || !archive->check_contents(progress, interrupt)) ++n_refused;
  }
  CHECK(n_refused > static_cast<int>(zip.size() / 2));
}

TEST_CASE("the cache extracts a zip once, keeps what is in use, and forgets the least recently used") {
  const test::ScratchFolder scratch;
  SilentProgress progress;
  InterruptFlag interrupt;
  const OpenOptions options{.cache = scratch.path() / "cache"};
  const auto first = scratch.path() / "first.zip";
  const auto second = scratch.path() / "second.zip";
  REQUIRE_OK(write_file(first, zip_bytes({{.name = "bundle/manifest.yaml", .data = "x"},
                                          {.name = "bundle/big", .data = std::string(3000, '1')}})));
  REQUIRE_OK(write_file(
      second, zip_bytes({{.name = "manifest.yaml", .data = "y"}, {.name = "big", .data = std::string(3000, '2')}})));
  {
    const auto lease = extract_to_cache(first, progress, interrupt, options);
    REQUIRE_OK(lease);
    CHECK(lease->bundle_folder().filename() == "bundle");
    CHECK(read_file(lease->bundle_folder() / "big").value() == std::string(3000, '1'));
    // The file "mark" shows whether the second call reuses the extracted copy of the first one.
    REQUIRE_OK(write_file(lease->bundle_folder() / "mark", "here"));
    const auto again = extract_to_cache(first, progress, interrupt, options);
    REQUIRE_OK(again);
    CHECK(std::filesystem::exists(again->bundle_folder() / "mark"));
    REQUIRE_OK(clean_cache(*options.cache, 0));
    CHECK(list_cache(*options.cache).value().at(0).in_use);
  }
  const auto lease = extract_to_cache(second, progress, interrupt, {.cache = options.cache, .cache_limit_bytes = 4000});
  REQUIRE_OK(lease);
  CHECK(lease->bundle_folder().filename() != "big");
  const auto entries = list_cache(*options.cache);
  REQUIRE_OK(entries);
  REQUIRE(entries->size() == 1);  // the two exceeded the limit, and the unused first one was removed
  CHECK(entries->at(0).size_bytes == 3001);
  CHECK(entries->at(0).in_use);
}

/// Calls a function at the beginning of every task.
class TaskProgress final : public Progress {
 public:
  explicit TaskProgress(std::function<void(std::string_view)> on_begin) : on_begin_(std::move(on_begin)) {}
  void begin(std::string_view task, std::int64_t) override { on_begin_(task); }
  void update(std::int64_t) override {}
  void note(std::string_view) override {}

 private:
  std::function<void(std::string_view)> on_begin_;
};

TEST_CASE("what a killed extraction left is removed by the next one, of whichever zip") {
  const test::ScratchFolder scratch;
  SilentProgress progress;
  const InterruptFlag interrupt;
  const OpenOptions options{.cache = scratch.path() / "cache"};
  const auto zip = scratch.path() / "a.zip";
  REQUIRE_OK(write_file(zip, zip_bytes({{.name = "manifest.yaml", .data = "x"}})));
  const auto killed = *options.cache / "bundles" / (std::string(64, 'e') + ".0123456789abcdef.partial");
  std::filesystem::create_directories(killed / "folder");
  REQUIRE_OK(write_file(killed / "folder/half", "of a file"));
  REQUIRE_OK(extract_to_cache(zip, progress, interrupt, options));
  CHECK_FALSE(std::filesystem::exists(killed));
}

TEST_CASE("who waits for another's extraction gets the copy as soon as it is there, also while the other uses it") {
  const test::ScratchFolder scratch;
  const OpenOptions options{.cache = scratch.path() / "cache"};
  const auto zip = scratch.path() / "a.zip";
  REQUIRE_OK(write_file(zip, zip_bytes({{.name = "manifest.yaml", .data = "x"}})));
  std::promise<void> extracting;
  std::promise<void> waiting;
  // File locks belong to open file descriptions, so two threads behave like two processes.
  auto first = std::async(std::launch::async, [&] {
    TaskProgress progress([&](std::string_view task) {
      if (!task.starts_with("extracting")) return;
      extracting.set_value();
      waiting.get_future().wait_for(std::chrono::seconds(60));
    });
    const InterruptFlag never;
    return extract_to_cache(zip, progress, never, options);
  });
  REQUIRE(extracting.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  InterruptFlag give_up;
  auto second = std::async(std::launch::async, [&] {
    TaskProgress progress([&](std::string_view task) {
      if (task.starts_with("waiting")) waiting.set_value();
    });
    return extract_to_cache(zip, progress, give_up, options);
  });
  const auto held = first.get();
  REQUIRE_OK(held);
  if (second.wait_for(std::chrono::seconds(20)) != std::future_status::ready) give_up.request();
  const auto lease = second.get();
  REQUIRE_OK(lease);
  CHECK(lease->bundle_folder() == held->bundle_folder());
}

TEST_CASE("an extraction that is refused or interrupted leaves no entry behind") {
  const test::ScratchFolder scratch;
  SilentProgress progress;
  InterruptFlag interrupt;
  const OpenOptions options{.cache = scratch.path() / "cache"};
  const auto bad = scratch.path() / "bad.zip";
  REQUIRE_OK(
      write_file(bad, zip_bytes({{.name = "a", .data = "alpha"}, {.name = "b", .data = "beta", .crc_error = 1}})));
  CHECK_ERROR(extract_to_cache(bad, progress, interrupt, options), ErrorCode::kInvalidInput, "b");
  CHECK(list_cache(*options.cache).value().empty());
  CHECK_ERROR(extract_to_cache(bad, progress, interrupt, {.cache = options.cache, .cache_limit_bytes = 5}),
              ErrorCode::kInvalidInput, "at most 5 bytes when extracted");
  interrupt.request();
  CHECK_ERROR(extract_to_cache(bad, progress, interrupt, options), ErrorCode::kInterrupted, "interrupted");
  for (const auto& item : std::filesystem::directory_iterator(*options.cache / "bundles")) {
    CHECK(item.path().extension() == ".lock");
  }
}

}  // namespace
}  // namespace secondsource

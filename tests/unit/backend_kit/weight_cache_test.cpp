// Packed weights on disk: stored data comes back byte for byte, and a file that differs from what was stored is
// refused.

#include "backend_kit/weight_cache.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "core/file.h"
#include "core/random.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

const ForEach kOneByOne = for_each_on_caller;

/// Pieces of these sizes, filled with random bytes or zeros.
class Pieces {
 public:
  Pieces(std::uint64_t seed, const std::vector<std::size_t>& sizes) {
    for (const std::size_t size : sizes) {
      std::vector<std::byte>& piece = bytes_.emplace_back(size);
      for (std::size_t i = 0; i < size && seed != 0; ++i) {
        piece[i] = static_cast<std::byte>(256.0 * random_unit(seed, i));
      }
    }
  }
  [[nodiscard]] std::vector<std::span<std::byte>> writable() { return {bytes_.begin(), bytes_.end()}; }
  [[nodiscard]] std::vector<std::span<const std::byte>> readable() const { return {bytes_.begin(), bytes_.end()}; }
  friend bool operator==(const Pieces&, const Pieces&) = default;

 private:
  std::vector<std::vector<std::byte>> bytes_;
};

const std::vector<std::size_t> kSizes = {(std::size_t{1} << 20) + 17, 64, 0, std::size_t{2} << 20};

fs::path only_file(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& item : fs::directory_iterator(folder)) {
    if (item.path().extension() == ".weight") files.push_back(item.path());
  }
  REQUIRE(files.size() == 1);
  return files[0];
}

/// Rows whose stored bytes, several MiB, are derived from a seed; counts how many of them are read.
class StoredSource final : public WeightSource {
 public:
  StoredSource(std::uint64_t seed, StoredContent content) : seed_(seed), content_(std::move(content)) {}
  Result<void> read_rows(std::int64_t, std::int64_t, std::span<std::byte>, std::span<float>) const override {
    return {};
  }
  [[nodiscard]] std::optional<StoredContent> stored_content() const override {
    if (content_.identity.empty()) return std::nullopt;
    return content_;
  }
  Result<void> read_stored(std::size_t offset, std::span<std::byte> out) const override {
    if (fails) return Error{ErrorCode::kIo, "cannot read the model"};
    REQUIRE(offset + out.size() <= content_.size_bytes);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t at = offset + i;
      out[i] = static_cast<std::byte>(at * 2654435761U >> 13U);
      if (at == changed_byte) out[i] ^= std::byte{1};
      if (at % 4096 == 0) out[i] ^= static_cast<std::byte>(seed_);
    }
    n_read += out.size();
    return {};
  }

  std::size_t changed_byte = SIZE_MAX;
  bool fails = false;
  mutable std::size_t n_read = 0;

 private:
  std::uint64_t seed_;
  StoredContent content_;
};

constexpr std::size_t kStoredBytes = (std::size_t{3} << 20) + 1000;

std::shared_ptr<StoredSource> source_of(std::uint64_t seed, const std::string& identity, bool is_settled = true,
                                        std::size_t size_bytes = kStoredBytes, const std::string& conversion = "c") {
  return std::make_shared<StoredSource>(seed, StoredContent{identity, is_settled, size_bytes, conversion});
}

WeightSpec spec_of(const std::vector<std::shared_ptr<StoredSource>>& sources) {
  WeightSpec spec{.name = "w", .n_rows = 16, .n_cols = 64, .encoding = WeightEncoding::kInt8PerRow, .parts = {}};
  for (const auto& source : sources) spec.parts.push_back({.n_rows = 16, .source = source});
  return spec;
}

}  // namespace

TEST_CASE("what was stored is found again under its key, and under no other") {
  const test::ScratchFolder scratch;
  WeightCache cache(scratch.path() / "packed");
  const Pieces stored(7, kSizes);
  Pieces found(0, kSizes);
  CHECK_FALSE(cache.load("key", found.writable(), kOneByOne).value());
  REQUIRE_OK(cache.store("key", stored.readable(), kOneByOne));
  CHECK(cache.load("key", found.writable(), kOneByOne).value());
  CHECK(found == stored);
  CHECK_FALSE(cache.load("another key", found.writable(), kOneByOne).value());
  const auto all = list_packed_weights(scratch.path() / "packed");
  REQUIRE_OK(all);
  CHECK(all->n_files == 1);
  CHECK(all->size_bytes > std::int64_t{3} << 20);
}

TEST_CASE(
    "a bit that changed anywhere, a missing or an extra byte, other sizes and another weight's file are refused") {
  const test::ScratchFolder scratch;
  WeightCache cache(scratch.path());
  REQUIRE_OK(cache.store("key", Pieces(7, kSizes).readable(), kOneByOne));
  const fs::path path = only_file(scratch.path());
  const std::string whole = read_file(path).value();
  Pieces found(0, kSizes);
  const auto check_refusal = [&](const std::string& content) {
    REQUIRE_OK(write_file(path, content));
    CHECK_ERROR(cache.load("key", found.writable(), kOneByOne), ErrorCode::kInvalidInput, path.string());
  };
  for (int i = 0; i < 64; ++i) {
    std::string changed = whole;
    const auto at = static_cast<std::size_t>(random_unit(3, static_cast<std::uint64_t>(i)) * double(whole.size()));
    changed[at] = static_cast<char>(changed[at] ^ (1 << (i % 8)));
    CAPTURE(at);
    check_refusal(changed);
  }
  check_refusal(whole.substr(0, whole.size() - 1));
  check_refusal(whole.substr(0, 100));
  check_refusal("");
  check_refusal(whole + "x");
  REQUIRE_OK(write_file(path, whole));
  std::vector<std::size_t> others = kSizes;
  std::swap(others[0], others[3]);
  Pieces other(0, others);
  CHECK_ERROR(cache.load("key", other.writable(), kOneByOne), ErrorCode::kInvalidInput, "header");
  REQUIRE_OK(cache.store("key 2", Pieces(8, kSizes).readable(), kOneByOne));
  for (const auto& item : fs::directory_iterator(scratch.path())) {
    if (item.path().extension() == ".weight" && item.path() != path) fs::rename(item.path(), path);
  }
  CHECK_ERROR(cache.load("key", found.writable(), kOneByOne), ErrorCode::kInvalidInput, "header");
}

TEST_CASE("the least recently used go first, and what killed writers left") {
  const test::ScratchFolder scratch;
  const std::vector<std::size_t> sizes = {std::size_t{1} << 20};
  WeightCache cache(scratch.path(), std::int64_t{5} << 19);  // room for two files
  const auto has = [&](const std::string& key) {
    Pieces found(0, sizes);
    return cache.load(key, found.writable(), kOneByOne).value();
  };
  const auto age = [&](int hours) {
    for (const auto& item : fs::directory_iterator(scratch.path())) {
      fs::last_write_time(item.path(), item.last_write_time() - std::chrono::hours(hours));
    }
  };
  REQUIRE_OK(cache.store("a", Pieces(1, sizes).readable(), kOneByOne));
  age(1);
  REQUIRE_OK(cache.store("b", Pieces(2, sizes).readable(), kOneByOne));
  age(1);
  CHECK(has("a"));  // also marks "a" as used more recently than "b"
  REQUIRE_OK(write_file(scratch.path() / "0123.weight.partial", "left by a kill"));
  REQUIRE_OK(cache.store("c", Pieces(3, sizes).readable(), kOneByOne));
  CHECK(has("a"));
  CHECK_FALSE(has("b"));
  CHECK(has("c"));
  CHECK_FALSE(fs::exists(scratch.path() / "0123.weight.partial"));
  const auto removed = clean_packed_weights(scratch.path(), 0);
  REQUIRE_OK(removed);
  CHECK(removed->n_files == 2);
  CHECK_FALSE(has("a"));
  CHECK(clean_packed_weights(scratch.path() / "nowhere", 0).value().n_files == 0);
}

TEST_CASE("while another process stores, nothing is stored, and cleaning waits for its end") {
  const test::ScratchFolder scratch;
  WeightCache cache(scratch.path());
  const FileDescriptor lock(::open((scratch.path() / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  REQUIRE(::flock(lock.get(), LOCK_EX) == 0);
  REQUIRE_OK(cache.store("a", Pieces(1, {64}).readable(), kOneByOne));
  CHECK(list_packed_weights(scratch.path()).value().n_files == 0);
  std::atomic<bool> is_stored{false};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    is_stored = write_file(scratch.path() / "a.weight", "stored by the other process").has_value();
    ::flock(lock.get(), LOCK_UN);
  });
  const auto removed = clean_packed_weights(scratch.path(), 0);
  CHECK(is_stored);
  other.join();
  REQUIRE_OK(removed);
  CHECK(removed->n_files == 1);
}

TEST_CASE("a disk that is full ends the store with an error, and leaves nothing half-written") {
  const test::ScratchFolder scratch;
  WeightCache cache(scratch.path() / "packed");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{100'000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const Result<void> stored = cache.store("a", Pieces(1, kSizes).readable(), kOneByOne);
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK_ERROR(stored, ErrorCode::kIo, "cannot write");
  CHECK(list_packed_weights(scratch.path() / "packed").value().n_files == 0);
  REQUIRE_OK(cache.store("a", Pieces(1, kSizes).readable(), kOneByOne));
  CHECK(list_packed_weights(scratch.path() / "packed").value().n_files == 1);
}

TEST_CASE("a key tells content, conversion, order of parts, shape, join, encoding and layout apart, and no names") {
  const test::ScratchFolder scratch;
  WeightCache cache(scratch.path());
  std::set<std::string> keys;
  const auto key_of = [&](const WeightSpec& spec, const char* layout = "1") {
    return cache.key_of(spec, layout, kOneByOne).value();
  };
  const auto a = source_of(1, "a");
  const auto b = source_of(2, "b");
  const WeightSpec plain = spec_of({a, b});
  keys.insert(key_of(plain));
  keys.insert(key_of(plain, "2"));
  keys.insert(key_of(spec_of({b, a})));
  keys.insert(key_of(spec_of({a})));
  keys.insert(key_of(spec_of({a, source_of(3, "c")})));
  keys.insert(key_of(spec_of({a, source_of(2, "shorter", true, kStoredBytes - 1)})));
  keys.insert(key_of(spec_of({a, source_of(2, "b", true, kStoredBytes, "another conversion")})));
  WeightSpec changed = plain;
  changed.n_cols = 32;
  keys.insert(key_of(changed));
  changed = plain;
  changed.join = Join::kInterleaveGateUp;
  keys.insert(key_of(changed));
  changed = plain;
  changed.encoding = WeightEncoding::kInt4Group32;
  keys.insert(key_of(changed));
  CHECK(keys.size() == 10);
  changed = plain;
  changed.name = "renamed";
  CHECK(key_of(changed) == key_of(plain));
  CHECK(can_be_kept(plain));
  CHECK_FALSE(can_be_kept(spec_of({a, source_of(2, "")})));
}

TEST_CASE("content is what counts: the same under another identity is the same, another byte anywhere is not") {
  const test::ScratchFolder scratch;
  WeightCache cache(scratch.path());
  const std::string key = cache.key_of(spec_of({source_of(1, "a")}), "1", kOneByOne).value();
  CHECK(cache.key_of(spec_of({source_of(1, "a copy")}), "1", kOneByOne).value() == key);
  for (const std::size_t at : {std::size_t{0}, (std::size_t{1} << 20) - 1, std::size_t{1} << 20, kStoredBytes - 1}) {
    const auto changed = source_of(1, "changed at " + std::to_string(at));
    changed->changed_byte = at;
    CHECK(cache.key_of(spec_of({changed}), "1", kOneByOne).value() != key);
  }
}

TEST_CASE("what was hashed once is not read again, by no process, while its identity stays and has settled") {
  const test::ScratchFolder scratch;
  const auto read_by_a_new_cache = [&](const std::string& identity, bool is_settled) {
    WeightCache cache(scratch.path() / "packed");
    const auto source = source_of(1, identity, is_settled);
    REQUIRE_OK(cache.key_of(spec_of({source}), "1", kOneByOne));
    return source->n_read;
  };
  // A file this recent is not remembered: it could change again without a change of its timestamp.
  CHECK(read_by_a_new_cache("a", false) == kStoredBytes);
  CHECK(read_by_a_new_cache("a", true) == kStoredBytes);
  CHECK(read_by_a_new_cache("a", true) == 0);
  CHECK(read_by_a_new_cache("b", true) == kStoredBytes);
  CHECK(read_by_a_new_cache("b", true) == 0);
  // A line that a crash cut off is hashed again, but not the lines before and after it.
  const fs::path sources = scratch.path() / "packed" / "sources";
  const std::string whole = read_file(sources).value();
  REQUIRE_OK(write_file(sources, whole.substr(0, whole.size() - 5)));
  CHECK(read_by_a_new_cache("a", true) == 0);
  CHECK(read_by_a_new_cache("b", true) == kStoredBytes);
  CHECK(read_by_a_new_cache("b", true) == 0);
  REQUIRE_OK(clean_packed_weights(scratch.path() / "packed", 0));
  CHECK_FALSE(fs::exists(sources));
  CHECK(read_by_a_new_cache("a", true) == kStoredBytes);
}

TEST_CASE("where contents cannot be written down, packed weights are found all the same") {
  const test::ScratchFolder scratch;
  const fs::path folder = scratch.path() / "packed";
  const auto key_by_a_new_cache = [&](const std::string& identity) {
    WeightCache cache(folder);
    return cache.key_of(spec_of({source_of(1, identity)}), "1", kOneByOne);
  };
  const auto key = key_by_a_new_cache("a");
  REQUIRE_OK(key);
  const Pieces stored(7, kSizes);
  REQUIRE_OK(WeightCache(folder).store(*key, stored.readable(), kOneByOne));
  std::error_code error;
  fs::remove(folder / "sources", error);
  fs::create_symlink(scratch.path() / "absent" / "sources", folder / "sources");  // not even root can write there
  const auto of_a_copy = key_by_a_new_cache("a copy");
  REQUIRE_OK(of_a_copy);
  Pieces found(0, kSizes);
  CHECK(WeightCache(folder).load(*of_a_copy, found.writable(), kOneByOne).value());
  CHECK(found == stored);
}

TEST_CASE("a source that cannot be read has no key") {
  const test::ScratchFolder scratch;
  WeightCache cache(scratch.path());
  const auto source = source_of(1, "a");
  source->fails = true;
  CHECK_ERROR(cache.key_of(spec_of({source}), "1", kOneByOne), ErrorCode::kIo, "cannot read the model");
}

}  // namespace secondsource

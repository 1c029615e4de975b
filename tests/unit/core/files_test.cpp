// Tests of staging.h, seal.h, folder.h and line_writer.h. The expected checksums are those of sha256sum(1).

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "core/file.h"
#include "core/folder.h"
#include "core/line_writer.h"
#include "core/seal.h"
#include "core/staging.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

/// Runs `body` in a process of its own and returns its exit status.
template <typename Body>
int in_child(const Body& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = -1;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  const std::vector<fs::path> entries = list_folder(folder).value();
  for (const fs::path& entry : entries) names.push_back(entry.filename().string());
  return names;
}

}  // namespace

TEST_CASE("the checksum of an object is the beginning of the SHA-256 of what precedes its comma") {
  CHECK(sealed("{\"a\":1}") == "{\"a\":1,\"checksum\":\"8b0f0d75aabe01bb\"}");
  CHECK(sealed("{\n  \"a\": 1\n}\n") == "{\n  \"a\": 1,\n  \"checksum\": \"d298ee5b852fc7df\"\n}\n");
  CHECK(seal_of("{\"a\":1}") == Seal::kNone);
  CHECK(seal_of("") == Seal::kNone);
  CHECK(seal_of(sealed("{\"a\":1}")) == Seal::kGood);
  CHECK(seal_of(sealed("{\n  \"a\": 1\n}\n")) == Seal::kGood);
  CHECK(seal_of("{\"a\":2,\"checksum\":\"8b0f0d75aabe01bb\"}") == Seal::kBroken);
  CHECK(seal_of("{\"a\":1,\"checksum\":\"8b0f0d75aabe01bb\" ,}") == Seal::kBroken);
}

TEST_CASE("no single flipped bit of a sealed object leaves a good seal on another content") {
  const std::string text = sealed("{\"cell\":\"a/b\",\"first_token_ns\":1234567}");
  const std::size_t covered = text.find(",\"checksum\"");
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CAPTURE(flipped);
    // A flipped bit within the checksum may make the file look unsealed; its content is intact then.
    if (bit / 8 < covered) REQUIRE(seal_of(flipped) == Seal::kBroken);
    if (bit / 8 >= covered) REQUIRE(flipped.substr(0, covered) == text.substr(0, covered));
  }
}

TEST_CASE("several processes write one file at once: it has the content of one of them, and nothing else is left") {
  const ScratchFolder scratch;
  const fs::path path = scratch.path() / "report.html";
  constexpr int kWriters = 3;
  constexpr int kRounds = 60;
  std::vector<pid_t> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      bool good = true;
      const std::string content(20'000, static_cast<char>('a' + writer));
      for (int round = 0; round < kRounds; ++round) good = write_file(path, content).has_value() && good;
      ::_exit(good ? 0 : 1);
    }
    writers.push_back(pid);
  }
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const auto content = read_file(path);
    if (content) seen.insert(*content);
  }
  for (const pid_t writer : writers) {
    int status = -1;
    ::waitpid(writer, &status, 0);
    CHECK(status == 0);
  }
  seen.insert(*read_file(path));
  for (const std::string& content : seen) CHECK(content == std::string(20'000, content.front()));
  CHECK(names_in(scratch.path()) == std::vector<std::string>{"report.html"});
}

TEST_CASE("a link planted under a temporary name is not followed, nor removed") {
  const ScratchFolder scratch;
  const fs::path victim = scratch.path() / "victim";
  REQUIRE_OK(write_file(victim, "precious"));
  const fs::path path = scratch.path() / "out.txt";
  // The name of earlier versions, and one as this version makes them.
  for (const char* name : {"out.txt.partial", "out.txt.0123456789abcdef.partial"}) {
    fs::create_symlink(victim, scratch.path() / name);
  }
  REQUIRE_OK(write_file(path, "new"));
  CHECK(*read_file(path) == "new");
  CHECK(*read_file(victim) == "precious");
  CHECK(fs::is_symlink(scratch.path() / "out.txt.partial"));
  CHECK(fs::is_symlink(scratch.path() / "out.txt.0123456789abcdef.partial"));
}

TEST_CASE("what a dead process left is removed, and what a living one works on is not") {
  const ScratchFolder scratch;
  const fs::path path = scratch.path() / "a.json";
  const auto die_over = [](const fs::path& target) {
    return in_child([&] {
      auto file = OutputFile::create(target);
      if (!file || !file->write("half")) return 1;
      return stage_folder(target) ? (::_exit(9), 0) : 1;  // no destructor runs
    });
  };
  CHECK(die_over(path) == 9);
  CHECK(die_over(scratch.path() / "other") == 9);
  CHECK(names_in(scratch.path()).size() == 4);
  auto living = OutputFile::create(path);  // removes the two of the same target
  REQUIRE_OK(living);
  CHECK(names_in(scratch.path()).size() == 3);
  remove_abandoned(scratch.path());
  CHECK(names_in(scratch.path()).size() == 1);
  CHECK(is_staged_name(names_in(scratch.path()).front()));
  REQUIRE_OK(living->write("whole"));
  REQUIRE_OK(living->commit());
  CHECK(*read_file(path) == "whole");
  CHECK(names_in(scratch.path()) == std::vector<std::string>{"a.json"});
}

TEST_CASE("a name of the greatest length can be written, and one that is longer is refused") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / std::string(255, 'n'), "x"));
  CHECK(*read_file(scratch.path() / std::string(255, 'n')) == "x");
  CHECK_ERROR(write_file(scratch.path() / std::string(256, 'n'), "x"), ErrorCode::kInvalidInput, "name too long");
}

TEST_CASE("a place where no file can be is bad input before anything is written") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "file", "x"));
  CHECK_ERROR(OutputFile::create(scratch.path()), ErrorCode::kInvalidInput, "found a folder");
  CHECK_ERROR(OutputFile::create("/dev/null"), ErrorCode::kInvalidInput, "found a special file");
  CHECK_ERROR(OutputFile::create(scratch.path() / "absent" / "file"), ErrorCode::kInvalidInput, "No such file");
  CHECK_ERROR(OutputFile::create(scratch.path() / "file" / "below"), ErrorCode::kInvalidInput, "Not a directory");
  CHECK_ERROR(create_folder(scratch.path() / "file"), ErrorCode::kInvalidInput, "Not a directory");
  CHECK_ERROR(create_folder(scratch.path() / "file" / "below"), ErrorCode::kInvalidInput, "Not a directory");
  CHECK_ERROR(list_folder(scratch.path() / "file"), ErrorCode::kInvalidInput, "Not a directory");
  CHECK_ERROR(list_folder(scratch.path() / "absent"), ErrorCode::kInvalidInput, "No such file");
}

TEST_CASE("a folder that may not be read or written is bad input, and no exception") {
  const ScratchFolder scratch;
  REQUIRE(::chmod(scratch.path().c_str(), 0755) == 0);
  fs::create_directories(scratch.path() / "closed" / "below");
  REQUIRE(::chmod((scratch.path() / "closed").c_str(), 0) == 0);
  CHECK(in_child([&] {
          if (::geteuid() == 0 && ::setuid(65534) != 0) return 1;  // root may read everything
          const auto is_refused = [](const auto& result) {
            return !result && result.error().code == ErrorCode::kInvalidInput;
          };
          if (!is_refused(list_folder(scratch.path() / "closed"))) return 2;
          if (!is_refused(list_files_below(scratch.path()))) return 3;
          if (!is_refused(create_folder(scratch.path() / "closed" / "new"))) return 4;
          if (!is_refused(write_file(scratch.path() / "closed" / "file", "x"))) return 5;
          if (path_exists(scratch.path() / "closed" / "below")) return 6;
          return 0;
        }) == 0);
}

TEST_CASE("files below a folder are listed in order, links are not followed") {
  const ScratchFolder scratch;
  fs::create_directories(scratch.path() / "b" / "c");
  for (const char* name : {"z", "b/y", "b/c/x"}) REQUIRE_OK(write_file(scratch.path() / name, "1"));
  fs::create_symlink(scratch.path(), scratch.path() / "b" / "around");
  std::vector<std::string> found;
  const std::vector<fs::path> files = list_files_below(scratch.path()).value();
  for (const fs::path& file : files) {
    found.push_back(file.lexically_relative(scratch.path()).string());
  }
  CHECK(found == std::vector<std::string>{"b/around", "b/c/x", "b/y", "z"});
}

TEST_CASE("a folder that is removed as a whole is never seen in part, and two may remove it at once") {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "entry";
  fs::create_directories(folder / "deep");
  REQUIRE_OK(write_file(folder / "deep" / "file", "1"));
  REQUIRE_OK(remove_folder_as_a_whole(folder));
  REQUIRE_OK(remove_folder_as_a_whole(folder));
  CHECK(names_in(scratch.path()).empty());
}

TEST_CASE("a line writer locks before it tells what is there") {
  const ScratchFolder scratch;
  const fs::path path = scratch.path() / "lines.jsonl";
  const std::string object = "{\"a\":1}";
  {
    auto writer = LineWriter::open(path);
    REQUIRE_OK(writer);
    CHECK(writer->read().value().empty());
    REQUIRE_OK(writer->append(std::span(&object, 1)));
    CHECK_ERROR(LineWriter::open(path), ErrorCode::kInvalidInput, "another process");
  }
  auto writer = LineWriter::open(path);
  REQUIRE_OK(writer);
  CHECK(writer->read().value() == sealed(object) + "\n");
  REQUIRE_OK(writer->truncate(0));
  REQUIRE_OK(writer->append(std::span(&object, 1)));
  CHECK(*read_file(path) == sealed(object) + "\n");
  fs::create_symlink(path, scratch.path() / "link");
  CHECK_ERROR(LineWriter::open(scratch.path() / "link"), ErrorCode::kInvalidInput, "link");
}

#include "core/remembered_hashes.h"

#include <fstream>

#include "core/file.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

TEST_CASE("a hash is remembered for this process and for the next, whatever else stands in the file") {
  const test::ScratchFolder scratch;
  const std::filesystem::path file = scratch.path() / "not yet there" / "hashes";
  const std::string hash(64, 'a');
  const std::string other(64, 'b');
  RememberedHashes first(file);
  CHECK_FALSE(first.find("one").has_value());
  first.remember("one", hash);
  CHECK(first.find("one") == hash);
  CHECK(RememberedHashes(file).find("one") == hash);
  CHECK_FALSE(RememberedHashes(file).find("One").has_value());
  // Half a line, as an interrupted write leaves it.
  std::ofstream(file, std::ios::app) << "\n0123";
  RememberedHashes second(file);
  second.remember("two", other);
  RememberedHashes third(file);
  CHECK(third.find("one") == hash);
  CHECK(third.find("two") == other);
}

TEST_CASE("a file of hashes that cannot be used remembers nothing and harms nothing") {
  const test::ScratchFolder scratch;
  RememberedHashes in_a_folder(scratch.path());  // a folder in place of the file
  CHECK_FALSE(in_a_folder.find("one").has_value());
  in_a_folder.remember("one", std::string(64, 'a'));
  CHECK(in_a_folder.find("one") == std::string(64, 'a'));
  // A planted link is not written through.
  const std::filesystem::path target = scratch.path() / "target";
  std::ofstream(target) << "precious";
  std::filesystem::create_symlink(target, scratch.path() / "hashes");
  RememberedHashes(scratch.path() / "hashes").remember("one", std::string(64, 'a'));
  CHECK(read_file(target).value() == "precious");
}

}  // namespace
}  // namespace secondsource

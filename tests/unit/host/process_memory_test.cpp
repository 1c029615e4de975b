// Tests the memory reported for another process, in a recorded tree of /proc, and for this test's own process.

#include "host/process_memory.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "host_tree.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("a process is found by its whole command line") {
  const HostTree root;
  const std::vector<std::string> command = {"/bin/server", "--alias", "a b", ""};
  using namespace std::string_literals;
  root.write("proc/100/cmdline", "/bin/server\0--alias\0a b\0\0"s);
  root.write("proc/101/cmdline", "/bin/server\0--alias\0a\0b\0\0"s);
  root.write("proc/102/cmdline", "/bin/server\0--alias\0a b\0"s);
  root.write("proc/self/cmdline", "/bin/server\0--alias\0a b\0\0"s);
  CHECK(find_process(root.files(), command).value() == 100);
  CHECK_ERROR(find_process(root.files(), std::vector<std::string>{"/bin/server"}), ErrorCode::kUnavailable,
              "no process of this machine");
  root.write("proc/103/cmdline", "/bin/server\0--alias\0a b\0\0"s);
  CHECK_ERROR(find_process(root.files(), command), ErrorCode::kUnavailable, "processes 100 and 103");
}

TEST_CASE("the memory of a process is its proportional share, and a mapped GPU is seen") {
  const HostTree root;
  root.write("proc/100/smaps_rollup", "00400000-7fff [rollup]\nRss:  4000 kB\nPss:  3000 kB\nPss_Anon: 1 kB\n");
  root.write("proc/101/smaps_rollup", "00400000-7fff [rollup]\nRss:  4000 kB\n");
  root.write("proc/100/maps", "7f00-7f01 rw-s 00000000 00:05 600 /dev/nvidia0\n");
  root.write("proc/101/maps", "7f00-7f01 r-xp 00000000 08:01 42 /usr/lib/libvulkan.so.1\n");
  CHECK(proportional_bytes(root.files(), 100).value() == 3000 * 1024);
  CHECK_ERROR(proportional_bytes(root.files(), 101), ErrorCode::kUnavailable, "has no Pss");
  CHECK_ERROR(proportional_bytes(root.files(), 102), ErrorCode::kUnavailable, "smaps_rollup");
  CHECK(uses_gpu(root.files(), 100).value());
  CHECK_FALSE(uses_gpu(root.files(), 101).value());
  CHECK_ERROR(uses_gpu(root.files(), 102), ErrorCode::kUnavailable, "maps");
}

TEST_CASE("whether a GPU is mapped is not known where the map was not read to its end") {
  const HostTree root;
  const std::string line = "7f00-7f01 r-xp 00000000 08:01 42 /usr/lib/libc.so.6\n";
  std::string maps;
  while (maps.size() < HostFiles::kMostBytes) maps += line;
  root.write("proc/100/maps", maps + "7f02-7f03 rw-s 00000000 00:05 600 /dev/nvidia0\n");
  root.write("proc/101/maps", "7f02-7f03 rw-s 00000000 00:05 600 /dev/kfd\n" + maps);
  CHECK_ERROR(uses_gpu(root.files(), 100), ErrorCode::kUnavailable, "/proc/100/maps is longer than");
  CHECK(uses_gpu(root.files(), 101).value());
}

TEST_CASE("what this process allocates and writes is in its memory") {
  const HostFiles files;
  const auto before = proportional_bytes(files, ::getpid());
  REQUIRE_OK(before);
  const std::vector<char> block(32 << 20, 'x');
  const auto after = proportional_bytes(files, ::getpid());
  REQUIRE_OK(after);
  CHECK(block.back() == 'x');
  CHECK(*after - *before > 30 << 20);
  CHECK(*after - *before < 256 << 20);  // sanitizers use several bytes for each byte
}

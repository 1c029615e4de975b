#include "host/cache_size.h"

#include <fstream>

#include "support/catch.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

using test::ScratchFolder;

constexpr std::int64_t kMib = std::int64_t{1} << 20;

TEST_CASE("the last-level cache is the largest that /sys has, and unknown where it has none") {
  const ScratchFolder scratch;
  const auto write = [&](const char* index, const char* size) {
    const auto folder = scratch.path() / "sys/devices/system/cpu/cpu0/cache" / index;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "size") << size << "\n";
  };
  CHECK_FALSE(last_level_cache_bytes(HostFiles(scratch.path())));
  write("index0", "48K");
  write("index2", "2048K");
  write("index3", "32768K");
  CHECK(last_level_cache_bytes(HostFiles(scratch.path())) == std::int64_t{32} << 20);
  write("index4", "1G");  // not a size as /sys writes it
  CHECK(last_level_cache_bytes(HostFiles(scratch.path())) == std::int64_t{32} << 20);
}

TEST_CASE("buffers grow with the last-level cache, to 256 and 512 MiB and never beyond an eighth of the memory") {
  struct Host {
    const char* cache;
    const char* available;
    std::int64_t probe_mib;
    std::int64_t largest_mib;
  };
  const Host hosts[] = {
      {"32768K", "MemAvailable:   16777216 kB\n", 128, 256},         // a client CPU
      {"98304K", "MemAvailable:   16777216 kB\n", 256, 512},         // 2 * 96 and 4 * 96 MiB
      {"307200K", "MemAvailable:  16777216 kB\n", 256, 512},         // the largest sizes used
      {"307200K", "MemAvailable:   2097152 kB\n", 256, 256},         // an eighth of 2 GiB
      {"307200K", "MemAvailable:    262144 kB\n", 128, 256},         // not below the default sizes
      {"307200K", "MemAvailable: 9999999999999999 kB\n", 256, 512},  // no size: 4 GiB are assumed
      {nullptr, nullptr, 128, 256},
  };
  for (const Host& host : hosts) {
    const ScratchFolder scratch;
    std::filesystem::create_directories(scratch.path() / "sys/devices/system/cpu/cpu0/cache/index3");
    std::filesystem::create_directories(scratch.path() / "proc");
    if (host.cache != nullptr) {
      std::ofstream(scratch.path() / "sys/devices/system/cpu/cpu0/cache/index3/size") << host.cache << "\n";
      std::ofstream(scratch.path() / "proc/meminfo") << "MemTotal: 1 kB\n" << host.available;
    }
    CAPTURE(host.cache, host.available);
    const ReadBufferSizes sizes = read_buffer_sizes(HostFiles(scratch.path()));
    CHECK(sizes.probe == host.probe_mib * kMib);
    CHECK(sizes.largest == host.largest_mib * kMib);
  }
}

}  // namespace
}  // namespace secondsource

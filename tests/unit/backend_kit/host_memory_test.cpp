// Tests how many bytes of a mapping are in huge pages, given the text of /proc/self/smaps as proc(5) describes it.

#include "backend_kit/host_memory.h"

#include "support/catch.h"

namespace secondsource {
namespace {

constexpr std::string_view kSmaps =
    "7f1200000000-7f1200400000 rw-p 00000000 00:00 0 \n"
    "Size:               4096 kB\n"
    "Anonymous:          4096 kB\n"
    "AnonHugePages:      2048 kB\n"
    "VmFlags: rd wr mr mw me ac nr hg \n"
    "7f1200400000-7f1200500000 rw-p 00000000 00:00 0 \n"
    "AnonHugePages:         0 kB\n"
    "7f1200500000-7f1201000000 rw-p 00000000 00:00 0 [anon: a name]\n"
    "AnonHugePages:     10240 kB\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n"
    "AnonHugePages:      4096 kB";

std::int64_t found(std::uintptr_t begin, std::uintptr_t end, std::string_view smaps = kSmaps) {
  return huge_page_bytes(smaps, {reinterpret_cast<const std::byte*>(begin), end - begin});
}

}  // namespace

TEST_CASE("huge pages are those of the mappings inside a range, and of no other") {
  CHECK(found(0x7f1200000000, 0x7f1201000000) == std::int64_t{12} << 20);
  CHECK(found(0x7f1200000000, 0x7f1200500000) == std::int64_t{2} << 20);
  CHECK(found(0x7f1100000000, 0x7f1200400000) == std::int64_t{2} << 20);
  CHECK(found(0x7f1200400000, 0x7f1200500000) == 0);
  CHECK(found(0x7f1200001000, 0x7f1200500000) == 0);  // the first mapping begins before the range
  CHECK(found(0x7f1200000000, 0x7f12003ff000) == 0);  // and ends after it
  CHECK(found(0xffffffffff600000, 0xffffffffff601000) == std::int64_t{4} << 20);
  CHECK(found(0x7f1200000000, 0x7f1201000000, "") == 0);
  CHECK(found(0x7f1200000000, 0x7f1201000000, "AnonHugePages:\n-\n\n7f12") == 0);
}

}  // namespace secondsource

#include <sys/resource.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "core/beside_limit.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/half.h"
#include "core/hash.h"
#include "core/nearest_word.h"
#include "core/open_files.h"
#include "core/random.h"
#include "core/shape.h"
#include "core/shell_text.h"
#include "core/units.h"
#include "core/utf8.h"
#include "support/catch.h"
#include "support/half_by_definition.h"
#include "support/result.h"

using namespace secondsource;

TEST_CASE("a number beside its limit has as many digits as it takes to be on its side of it") {
  CHECK(text_beside_limit(9.4, 10, 0) == "9");
  CHECK(text_beside_limit(9.997, 10, 0) == "9.997");
  CHECK(text_beside_limit(9.997, 10, 2) == "9.997");
  CHECK(text_beside_limit(80.3, 80, 0) == "80.3");
  CHECK(text_beside_limit(10, 10, 0) == "10");
  CHECK(text_beside_limit(-0.04, 0, 1) == "-0.04");
}

TEST_CASE("a mistyped word is answered with the nearest known one, where one is near") {
  const std::vector<std::string> words = {"bf16", "int8", "int4", "gguf-q4_k"};
  CHECK(did_you_mean("in8", words) == "; did you mean int8?");
  CHECK(did_you_mean("nit8", words) == "; did you mean int8?");
  CHECK(did_you_mean("gguf", words) == "; did you mean gguf-q4_k?");
  CHECK(did_you_mean("gguf-q4_k_m", words) == "; did you mean gguf-q4_k?");
  CHECK(did_you_mean("fast", words).empty());
  CHECK(did_you_mean(std::string(100'000, 'i'), words).empty());
}

TEST_CASE("every FP16 value survives the way to f32 and back") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const F16 half{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_float(half))) continue;
    REQUIRE(to_f16(to_float(half)).bits == half.bits);
    REQUIRE(to_float(half) == half_value(half.bits));
  }
}

TEST_CASE("conversions to FP16 and BF16 round half to even as IEEE 754 and the bit rule say") {
  RandomStream random(1);
  for (int i = 0; i < 200'000; ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random.next_bits()));
    if (std::isnan(value)) continue;
    const auto expected = nearest_half(value);
    REQUIRE(std::bit_cast<std::uint32_t>(to_float(to_f16(value))) == std::bit_cast<std::uint32_t>(expected));
    REQUIRE(std::bit_cast<std::uint32_t>(round_to_f16(value)) == std::bit_cast<std::uint32_t>(expected));
    const float down = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffff0000U);
    const float rounded = round_to_bf16(value);
    if (std::isfinite(rounded)) REQUIRE(std::abs(rounded - value) <= std::abs(down - value));
  }
  CHECK(round_to_bf16(1.00390625F) == 1.0F);       // 1 + 2^-8 is a tie: to even
  CHECK(round_to_bf16(1.01171875F) == 1.015625F);  // 1 + 3 * 2^-8 is a tie: to even
  CHECK(std::isnan(round_to_bf16(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isinf(round_to_f16(65520.0F)));
  CHECK(std::isnan(round_to_f16(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(to_float(to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("draws of a stream that are made together are those that it gives one by one") {
  RandomStream one_by_one(7);
  RandomStream together(7);
  for (const std::uint64_t n : {1, 12, 5}) {
    for (std::uint64_t i = 0; i < n; ++i) CHECK(together.unit_after(i) == one_by_one.next_unit());
    together.skip(n);
  }
  CHECK(together.next_bits() == one_by_one.next_bits());
}

TEST_CASE("the number of elements of a shape is refused when it does not fit") {
  CHECK(Shape({2, 3, 4}).n_elements() == 24);
  CHECK(Shape().n_elements() == 1);
  CHECK_FALSE(Shape({std::int64_t{1} << 40, std::int64_t{1} << 40}).n_elements());
  CHECK_FALSE(Shape({-1, 2}).n_elements());
  CHECK(Shape({256, 128}).to_string() == "[256, 128]");
  CHECK_FALSE(checked_add(std::numeric_limits<std::int64_t>::max(), std::int64_t{1}));
}

TEST_CASE("SHA-256 gives the digests of FIPS 180-2, appendix B") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("a file is written whole or not at all, and read back") {
  const auto folder = std::filesystem::temp_directory_path() / "secondsource-core-test";
  std::filesystem::create_directories(folder);
  const auto path = folder / "a.txt";
  REQUIRE_OK(write_file(path, "hello"));
  CHECK(*read_file(path) == "hello");
  {
    auto abandoned = OutputFile::create(path);
    REQUIRE_OK(abandoned);
    REQUIRE_OK(abandoned->write("half"));
  }
  CHECK(*read_file(path) == "hello");
  CHECK_FALSE(std::filesystem::exists(folder / "a.txt.partial"));
  CHECK_ERROR(read_file(path, 3), ErrorCode::kInvalidInput, "expected at most 3 bytes, found 5");
  CHECK_ERROR(read_file(folder), ErrorCode::kInvalidInput, "a folder");
  CHECK_ERROR(read_file(folder / "absent"), ErrorCode::kInvalidInput, "cannot open");
  const auto mapped = MappedFile::map(path);
  REQUIRE_OK(mapped);
  CHECK(mapped->bytes().size() == 5);
  std::array<std::byte, 3> read{};
  REQUIRE_OK(mapped->read_at(2, read));
  CHECK(std::ranges::equal(read, mapped->bytes().subspan(2)));
  std::filesystem::resize_file(path, 4);
  const auto beyond = mapped->read_at(2, read);
  REQUIRE_FALSE(beyond.has_value());
  CHECK(beyond.error().code == ErrorCode::kIo);
  CHECK(beyond.error().message == path.string() + ": expected 5 bytes as when it was opened, found its end at 4");
  std::filesystem::remove_all(folder);
}

TEST_CASE("invalid UTF-8 is found at its first byte") {
  const auto [text, offset] = GENERATE(table<std::string, std::size_t>(
      {{"ab\xff", 2}, {"\xc0\x80", 0}, {"a\xed\xa0\x80", 1}, {"\xf4\x90\x80\x80", 0}, {"\xe2\x82", 0}}));
  CHECK(find_invalid_utf8(text) == offset);
  CHECK_FALSE(find_invalid_utf8("gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80"));
  CHECK(printable("a\n\xff") == "a\\x0a\xef\xbf\xbd");
}

TEST_CASE("what does not show itself or turns others around is written as an escape, and long texts are cut") {
  const auto [text, expected] =
      GENERATE(table<const char*, const char*>({{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
                                                {"\xd7\xa9", "\xd7\xa9"},                  // Hebrew is not an attack
                                                {"\xf0\x9f\x9a\x80", "\xf0\x9f\x9a\x80"},  // and neither is a rocket
                                                {"\x1b[31m\x7f", "\\x1b[31m\\x7f"},
                                                {"a\xe2\x80\xae"
                                                 "b",
                                                 "a\\u{202e}b"},                        // right-to-left override
                                                {"\xe2\x81\xa6", "\\u{2066}"},          // an isolate
                                                {"\xc2\x9b", "\\u{009b}"},              // a Latin-1 control character
                                                {"\xe2\x80\xa8", "\\u{2028}"},          // a line separator
                                                {"\xef\xbf\xbe", "\\u{fffe}"},          // not allowed in XML
                                                {"\xf3\xa0\x81\x81", "\\u{e0041}"}}));  // a tag
  CHECK(printable(text) == expected);
  CHECK(shown(text) == expected);
  const std::string long_text(100'000, 'x');
  CHECK(shown(long_text, 3) == "xxx\xe2\x80\xa6 (100000 bytes)");
  CHECK(shown("\xc3\xbc\xc3\xbc\xc3\xbc", 2) == "\xc3\xbc\xc3\xbc\xe2\x80\xa6 (6 bytes)");
  CHECK(shown("abc", 3) == "abc");
  CHECK(in_quotes("a\nb") == "\"a\\x0ab\"");
  CHECK(in_quotes(long_text).size() < 120);
  CHECK(printable_lines("a\x1b\nb\r\n\n\tc") == "a\\x1b\nb\\x0d\n\n\tc");
}

TEST_CASE("random numbers are a function of seed and counter, and look uniform") {
  CHECK(random_bits(1, 2) == random_bits(1, 2));
  CHECK(random_bits(1, 2) != random_bits(2, 1));
  double sum = 0;
  for (std::uint64_t i = 0; i < 100'000; ++i) sum += random_unit(7, i);
  CHECK(sum / 100'000 == Approx(0.5).margin(0.005));  // 5 standard errors of the mean
}

TEST_CASE("sizes and durations are printed with their unit") {
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_duration_ns(4'560'000) == "4.56 ms");
  CHECK(format_duration_ns(125'000'000'000) == "2 min 05 s");
}

TEST_CASE("a time that no record can hold is refused, and has a text nevertheless") {
  CHECK(utc_timestamp(1'763'624'580) == "2025-11-20T07:43:00Z");
  CHECK(utc_timestamp(253'402'300'799) == "9999-12-31T23:59:59Z");
  REQUIRE_OK(check_calendar_clock(0));
  REQUIRE_OK(check_calendar_clock(253'402'300'799));
  const auto [unix_s, text, found] = GENERATE(table<std::int64_t, const char*, const char*>(
      {{-1, "1970-01-01T00:00:00Z", "found 1 s before 1970"},
       {253'402'300'800, "9999-12-31T23:59:59Z", "found 253402300800 s after 1970"},
       {INT64_MAX, "9999-12-31T23:59:59Z", "s after 1970"}}));
  CHECK(utc_timestamp(unix_s) == text);
  CHECK_ERROR(check_calendar_clock(unix_s), ErrorCode::kInvalidInput, found);
}

TEST_CASE("a number of things is printed with the noun in the singular or in the plural") {
  CHECK(counted(1, "token") == "1 token");
  CHECK(counted(0, "token") == "0 tokens");
  CHECK(counted(std::size_t{2}, "entry", "entries") == "2 entries");
  CHECK(counted(1.0, "device") == "1 device");
  CHECK(counted(0.5, "device") == "0.5 devices");
}

TEST_CASE("more open files than the system allows are refused in a sentence with its limit") {
  REQUIRE_OK(allow_open_files(64));
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(limit.rlim_cur == limit.rlim_max);
  if (limit.rlim_max == RLIM_INFINITY) return;
  const auto one_more = static_cast<std::int64_t>(limit.rlim_max) + 1;
  CHECK_ERROR(allow_open_files(one_more), ErrorCode::kUnsupported, std::to_string(limit.rlim_max));
}

TEST_CASE("words of a command are quoted where a shell would not take them as they are") {
  const std::vector<std::string> words = {
      "run", "--slo=ttft_ms=500,percent=95", "server:8@32/12", "my runs", "it's", "", "$HOME"};
  CHECK(shell_command(words) == "run --slo=ttft_ms=500,percent=95 server:8@32/12 'my runs' 'it'\\''s' '' '$HOME'");
  CHECK(single_quoted("plain") == "'plain'");
}

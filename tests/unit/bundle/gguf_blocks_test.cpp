// The block types of GGUF, against the values that the Python package `gguf` computes (tests/data/gguf/make_blocks.py).
#include "bundle/gguf_blocks.h"

#include <array>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource {
namespace {

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

TEST_CASE("blocks of every type have the values, bit for bit, that the package gguf gives them") {
  const auto text = read_file(test::source_path("tests/data/gguf/blocks.json"));
  REQUIRE_OK(text);
  const nlohmann::json types = nlohmann::json::parse(*text)["types"];
  REQUIRE(types.size() == gguf_block_formats().size());
  for (const GgufBlockFormat& format : gguf_block_formats()) {
    CAPTURE(format.name);
    const nlohmann::json& vectors = types[std::string(format.name)];
    const std::vector<std::byte> blocks = from_hex(vectors["bytes"].get<std::string>());
    const std::vector<std::byte> bits = from_hex(vectors["bits"].get<std::string>());  // big-endian words
    REQUIRE(blocks.size() % format.block_bytes == 0);
    std::vector<float> values(blocks.size() / format.block_bytes * format.block_values);
    REQUIRE(bits.size() == values.size() * sizeof(float));
    dequantize_blocks(format, blocks, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint32_t expected = 0;
      for (std::size_t j = 0; j < 4; ++j) expected = expected << 8 | std::to_integer<std::uint32_t>(bits[4 * i + j]);
      CAPTURE(i);
      REQUIRE(std::bit_cast<std::uint32_t>(values[i]) == expected);
    }
  }
}

TEST_CASE("the scales of NVFP4 are E4M3 numbers, except for bits that stand for none") {
  const auto format = gguf_block_format("NVFP4");
  REQUIRE_OK(format);
  std::vector<std::byte> block((*format)->block_bytes);
  for (std::size_t part = 0; part < 4; ++part) block[part] = std::byte(std::array{0x38, 0x7e, 0x7f, 0xff}[part]);
  for (std::size_t i = 4; i < block.size(); ++i) block[i] = std::byte(i % 2 == 0 ? 0x21 : 0xfa);
  std::vector<std::int8_t> codes((*format)->block_values);
  std::vector<float> scales(4);
  codes_of_gguf_block(**format, block.data(), codes, scales);
  CHECK(scales[0] == 1.0F);
  CHECK(scales[1] == 448.0F);
  CHECK(scales[2] == 0.0F);
  CHECK(std::isnan(scales[3]));
  // Bytes 4 and 5 hold the codes of values 0 and 8, and of values 1 and 9.
  CHECK(codes[0] == 1);
  CHECK(codes[8] == 2);
  CHECK(codes[1] == 10);
  CHECK(codes[9] == 15);
}

TEST_CASE("a type that cannot be read is refused by its name") {
  for (const std::string_view name : {"IQ2_XXS", "TQ1_0", "I32", "Q8_1", ""}) {
    const auto format = gguf_block_format(name);
    REQUIRE_FALSE(format);
    CHECK(format.error().code == ErrorCode::kUnsupported);
    CHECK(format.error().message.find("Q4_K") != std::string::npos);
  }
}

}  // namespace
}  // namespace secondsource

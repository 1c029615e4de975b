// The GGUF header. assets/hostile/gguf states which files to accept; the real files are those of llama.cpp and
// stories260K.
#include "bundle/gguf.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

void put(std::string& out, std::uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xffU));
}
std::string text(std::string_view value) {
  std::string out;
  put(out, value.size(), 8);
  return out + std::string(value);
}
std::string header(std::uint64_t n_tensors, std::uint64_t n_values) {
  std::string out = "GGUF";
  put(out, 3, 4);
  put(out, n_tensors, 8);
  put(out, n_values, 8);
  return out;
}
std::string number(std::uint64_t value, int n_bytes) {
  std::string out;
  put(out, value, n_bytes);
  return out;
}

Result<GgufHeader> parse_gguf_text(const std::string& file) {
  return parse_gguf(std::as_bytes(std::span(file)), "f");
}

TEST_CASE("hostile GGUF files are accepted and refused as their list says") {
  const auto folder = test::asset("hostile/gguf");
  if (!folder) return;
  const auto list = read_file(*folder / "expected.json");
  REQUIRE_OK(list);
  const nlohmann::json expected = nlohmann::json::parse(*list);
  for (const auto& entry : expected["cases"]) {
    const auto file = entry["file"].get<std::string>();
    const auto mapped = MappedFile::map(*folder / file);
    REQUIRE_OK(mapped);
    const auto parsed = parse_gguf(mapped->bytes(), file);
    CAPTURE(file, entry["why"].get<std::string>());
    if (!entry["accept"].is_null()) CHECK(parsed.has_value() == entry["accept"].get<bool>());
    if (!parsed) CHECK(parsed.error().message.find('\n') == std::string::npos);
  }
}

TEST_CASE("a real model's header is read, and every truncation of it refused") {
  const auto path = test::asset("models/stories260K/stories260K.gguf");
  if (!path) return;
  const auto file = read_file(*path);
  REQUIRE_OK(file);
  const auto parsed = parse_gguf_text(*file);
  REQUIRE_OK(parsed);
  CHECK(*parsed->find<std::string_view>("general.architecture") == "llama");
  CHECK(*parsed->find<std::int64_t>("llama.block_count") == 5);
  CHECK(parsed->find<GgufStrings>("tokenizer.ggml.tokens")->size() == 512);
  const auto embedding = std::find_if(parsed->tensors.begin(), parsed->tensors.end(),
                                      [](const GgufTensor& tensor) { return tensor.name == "token_embd.weight"; });
  REQUIRE(embedding != parsed->tensors.end());
  CHECK(embedding->shape == Shape{512, 64});
  const std::size_t data_begin = parsed->tensors.front().offset_bytes;
  for (std::size_t length = 0; length < file->size(); length += length < data_begin ? 13 : 65537) {
    CAPTURE(length);
    REQUIRE_FALSE(parse_gguf_text(file->substr(0, length)));
  }
}

TEST_CASE("vocabularies of llama.cpp are read") {
  const auto [name, n_tokens] = GENERATE(table<std::string, std::size_t>({{"gpt-2", 50257}, {"phi-3", 32064}}));
  const auto path = test::asset("tokenizers/llama.cpp/ggml-vocab-" + name + ".gguf");
  if (!path) return;
  const auto mapped = MappedFile::map(*path);
  REQUIRE_OK(mapped);
  const auto parsed = parse_gguf(mapped->bytes(), name);
  REQUIRE_OK(parsed);
  CHECK(parsed->find<GgufStrings>("tokenizer.ggml.tokens")->size() == n_tokens);
  CHECK(parsed->tensors.empty());
}

TEST_CASE("values of every type are read") {
  std::string file = header(0, 6);
  file += text("a") + number(0, 4) + number(0xff, 1);                                      // u8
  file += text("b") + number(5, 4) + number(0xfffffffe, 4);                                // i32: -2
  file += text("c") + number(7, 4) + number(1, 1);                                         // bool
  file += text("d") + number(8, 4) + text("xyz");                                          // string
  file += text("e") + number(9, 4) + number(3, 4) + number(2, 8) + number(0xffff0001, 4);  // array of i16
  file += text("f") + number(6, 4) + number(0x3fc00000, 4);                                // f32: 1.5
  const auto parsed = parse_gguf_text(file);
  REQUIRE_OK(parsed);
  CHECK(*parsed->find<std::int64_t>("a") == 255);
  CHECK(*parsed->find<std::int64_t>("b") == -2);
  CHECK(*parsed->find<std::int64_t>("c") == 1);
  CHECK(*parsed->find<std::string_view>("d") == "xyz");
  CHECK(*parsed->find<GgufIntegers>("e") == GgufIntegers{1, -1});
  CHECK(*parsed->find<double>("f") == 1.5);
  CHECK(parsed->find<double>("a") == nullptr);
  CHECK(parsed->find<double>("z") == nullptr);
}

TEST_CASE("a hostile GGUF header is refused by what is wrong") {
  const std::string f32_row = number(1, 4) + number(8, 8) + number(0, 4);  // one dimension of 8, F32
  const std::string tensor_a = text("a") + f32_row + number(0, 8);
  const std::string data(64, '\0');
  const auto [file, part] = GENERATE_COPY(table<std::string, std::string>({
      {header(0, 1) + text("a") + number(13, 4) + number(0, 8), "expected a value type below 13"},
      {header(0, 1) + text("a") + number(7, 4) + number(2, 1), "expected a boolean, found 2"},
      {header(0, 1) + text("a") + number(10, 4) + number(~0ULL, 8), "below 2^63"},
      {header(0, 1) + text("a") + number(9, 4) + number(9, 4) + number(1, 8) + number(0, 8), "arrays of arrays"},
      {header(0, 1) + text("a") + number(9, 4) + number(8, 4) + number(1ULL << 60, 8) + number(0, 8),
       "expected at most"},
      {header(0, 1) + text("\xff") + number(0, 4) + number(0, 1), "expected UTF-8 text"},
      {header(0, 2) + text("a") + number(0, 4) + number(0, 1) + text("a") + number(0, 4) + number(0, 1),
       "found it twice"},
      {header(0, 1) + text("general.alignment") + number(4, 4) + number(24, 4), "a power of two"},
      {header(0, 1) + text("general.alignment") + number(8, 4) + text("x"), "a power of two"},
      {header(0, ~0ULL), "key-value pairs: expected at most 0"},
      {header(2, 0) + tensor_a + text("a") + f32_row + number(32, 8) + data, "expected it once"},
      {header(2, 0) + tensor_a + text("b") + f32_row + number(64, 8) + data + data,
       "expected its data at 32, found 64"},
      {header(1, 0) + text("a") + number(1, 4) + number(8, 8) + number(4, 4) + number(0, 8) + data,
       "expected a known type, found 4"},
      {header(1, 0) + text("a") + number(1, 4) + number(8, 8) + number(2, 4) + number(0, 8) + data,
       "expected whole blocks of Q4_0"},
      {header(1, 0) + text("a") + number(2, 4) + number(1ULL << 40, 8) + number(1ULL << 40, 8) + number(0, 4) +
           number(0, 8),
       "a size that fits"},
      {header(1, 0) + text("a") + number(5, 4) + data, "at most 4 dimensions"},
      {header(1, 0) + text(std::string(65, 'n')) + f32_row + number(0, 8), "a length of at most 64"},
      {header(1, 0) + tensor_a, "found the file's end before"},
  }));
  CAPTURE(part);
  CHECK_ERROR(parse_gguf_text(file), ErrorCode::kInvalidInput, part);
}

std::string array_of_bytes(std::string_view key, std::size_t n) {
  return text(key) + number(9, 4) + number(0, 4) + number(n, 8) + std::string(n, '\0');
}

TEST_CASE("a GGUF header has a budget of keys, tensors, items of arrays and bytes") {
  const std::string room(4'000'000, '\0');
  CHECK_ERROR(parse_gguf_text(header(0, 100'001) + room), ErrorCode::kInvalidInput,
              "key-value pairs: expected at most 100000, found 100001");
  CHECK_ERROR(parse_gguf_text(header(100'001, 0) + room), ErrorCode::kInvalidInput,
              "tensors: expected at most 100000, found 100001");
  CHECK_ERROR(parse_gguf_text(header(0, 1) + array_of_bytes("a", 4'000'001)), ErrorCode::kInvalidInput,
              "a: expected at most 4000000, found 4000001");
  const std::string two = header(0, 2) + array_of_bytes("a", 2'500'000);
  CHECK_ERROR(parse_gguf_text(two + array_of_bytes("b", 1'500'001)), ErrorCode::kInvalidInput,
              "b: expected at most 4000000 items in all arrays, found 4000001 up to this one");
  REQUIRE_OK(parse_gguf_text(two + array_of_bytes("b", 1'500'000)));
  // Magic number, version and counts take 24 bytes; the key, its type and the length of its text take 21.
  const auto with_text = [](std::size_t n) {
    return header(0, 1) + text("a") + number(8, 4) + text(std::string(n, 'x'));
  };
  REQUIRE_OK(parse_gguf_text(with_text(100'000'000 - 45)));
  CHECK_ERROR(parse_gguf_text(with_text(100'000'001 - 45)), ErrorCode::kInvalidInput,
              "expected at most 100000000 bytes before the tensors' data, found 100000001 or more");
  // The description of a float tensor named "t" takes 25 bytes. Its 4 bytes of data begin at the next multiple of 32.
  const auto with_tensor = [](std::size_t n) {
    const std::string tensor = text("t") + number(0, 4) + number(0, 4) + number(0, 8);
    return header(1, 1) + text("a") + number(8, 4) + text(std::string(n, 'x')) + tensor + std::string(31 + 4, '\0');
  };
  REQUIRE_OK(parse_gguf_text(with_tensor(100'000'000 - 45 - 25)));
  CHECK_ERROR(parse_gguf_text(with_tensor(100'000'001 - 45 - 25)), ErrorCode::kInvalidInput,
              "expected at most 100000000 bytes before the tensors' data, found 100000001 or more");
}

TEST_CASE("a big-endian file is unsupported by its name") {
  std::string file = "GGUF";
  put(file, 0x03000000, 4);
  CHECK_ERROR(parse_gguf_text(file + std::string(16, '\0')), ErrorCode::kUnsupported, "a big-endian file");
}

}  // namespace
}  // namespace secondsource

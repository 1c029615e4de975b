// The safetensors header. assets/hostile/safetensors holds the bytes of upstream's own tests and upstream's verdicts.
#include "bundle/safetensors.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bundle/tensor_store.h"
#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// A file with this header and `data_bytes` bytes of data.
std::string file_with(std::string_view header, std::size_t data_bytes) {
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>((header.size() >> (8 * i)) & 0xffU));
  return file + std::string(header) + std::string(data_bytes, '\1');
}

Result<SafetensorsHeader> parse_safetensors_text(std::string_view file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "file");
}

TEST_CASE("upstream's own hostile files are accepted and refused as upstream does") {
  const auto folder = test::asset("hostile/safetensors");
  if (!folder) return;
  const auto list = read_file(*folder / "expected.json");
  REQUIRE_OK(list);
  const nlohmann::json expected = nlohmann::json::parse(*list);
  CHECK(expected["cases"].size() == 16);
  for (const auto& entry : expected["cases"]) {
    const auto file = entry["file"].get<std::string>();
    const auto mapped = MappedFile::map(*folder / file);
    REQUIRE_OK(mapped);
    const auto parsed = parse_safetensors(mapped->bytes(), file);
    CAPTURE(file);
    // The format requires a header to begin with {. Upstream's reader accepts white space before it; ours does not.
    const bool breaks_format = file == "header_leading_whitespace.safetensors";
    CHECK(parsed.has_value() == (entry["accept"].get<bool>() && !breaks_format));
    if (!parsed) {
      CHECK(parsed.error().code == ErrorCode::kInvalidInput);
      CHECK(parsed.error().message.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("valid files of other writers are read") {
  const auto [file, dtype, shape] = GENERATE(table<std::string, DType, Shape>({
      {"tensor-1d-int32", DType::kI32, Shape{3}},
      {"tensor-2d-float64", DType::kF64, Shape{2, 3}},
      {"tensor-3d-float32", DType::kF32, Shape{1, 2, 3}},
      {"tensor-4d-float32", DType::kF32, Shape{1, 2, 2, 3}},
  }));
  const auto path = test::asset("safetensors/valid/" + file + ".safetensors");
  if (!path) return;
  const auto store = TensorStore::open_file(*path);
  REQUIRE_OK(store);
  REQUIRE(store->tensors().size() == 1);
  const StoredTensor& tensor = store->tensors().begin()->second;
  CAPTURE(tensor.info.shape.to_string());
  CHECK(tensor.info.dtype == dtype);
  CHECK(tensor.bytes().size() == static_cast<std::size_t>(*tensor.info.shape.n_elements()) * size_of(dtype));
}

TEST_CASE("a safetensors header is refused when its tensors do not cover the data exactly") {
  const auto [begin, end, data_bytes, part] = GENERATE(table<std::int64_t, std::int64_t, std::size_t, std::string>({
      {0, 16, 15, "expected 16 bytes of data as the header says, found 15"},
      {0, 16, 17, "expected 16 bytes of data as the header says, found 17"},
      {4, 20, 20, "(a hole)"},
      {16, 0, 16, "expected [begin, end]"},
      {0, 15, 15, "expected 128 bits"},
      {-1, 15, 16, "integers from 0"},
      {9223372036854775791, 9223372036854775807, 16, "(a hole)"},
  }));
  const std::string header =
      fmt::format(R"({{"t":{{"dtype":"F32","shape":[2,2],"data_offsets":[{},{}]}}}})", begin, end);
  CHECK_ERROR(parse_safetensors_text(file_with(header, data_bytes)), ErrorCode::kInvalidInput, part);
}

TEST_CASE("a safetensors file has a limited number of tensors, however small they are") {
  std::string header = "{";
  for (int i = 0; i < 100'001; ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i == 0 ? "" : ",", i);
  }
  CHECK_ERROR(parse_safetensors_text(file_with(header + "}", 0)), ErrorCode::kInvalidInput,
              "expected at most 100000 tensors, found 100001");
}

TEST_CASE("a hostile safetensors header is refused with one line") {
  const auto [header, part] = GENERATE(table<std::string, std::string>({
      {R"( {"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "expected a header that begins with {"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       "(an overlap)"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       "occurs twice"},
      {R"({"a":{"dtype":"U9","shape":[1],"data_offsets":[0,1]}})", "dtype: expected a type"},
      {R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", "dtype: expected a string"},
      {R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", "shape: expected an array of integers"},
      {R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", "shape: expected an array"},
      {R"({"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}})", "shape: expected an array"},
      {R"({"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,1]}})", "does not fit"},
      {R"({"a":{"dtype":"U8","shape":[3037000500,3037000500],"data_offsets":[0,1]}})", "does not fit"},
      {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", "expected 12 bits"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", "[begin, end]"},
      {R"({"a":{"dtype":"U8","shape":[1]}})", "data_offsets: expected an array of integers, found nothing"},
      {R"({"a":[]})", "expected an object"},
      {R"([])", "expected a header that begins with {"},
      {R"({"__metadata__":{"a":1}})", "__metadata__: a: expected a string"},
      {R"({"__metadata__":[]})", "__metadata__: expected an object"},
      {"{\"\x01\":0}", "line 1, column"},
  }));
  CAPTURE(header);
  const auto parsed = parse_safetensors_text(file_with(header, 3));
  CHECK_ERROR(parsed, ErrorCode::kInvalidInput, part);
  CHECK(parsed.error().message.find('\n') == std::string::npos);
}

TEST_CASE("every truncation of a real model file is refused") {
  const auto path = test::asset("models/stories260K-hf/model.safetensors");
  if (!path) return;
  const auto text = read_file(*path);
  REQUIRE_OK(text);
  const auto whole = parse_safetensors_text(*text);
  REQUIRE_OK(whole);
  for (std::size_t length = 0; length < text->size(); length += length < 6000 ? 7 : 65537) {
    CAPTURE(length);
    REQUIRE_FALSE(parse_safetensors_text(std::string_view(*text).substr(0, length)));
  }
}

TEST_CASE("types that we do not compute with are listed all the same") {
  const auto parsed =
      parse_safetensors_text(file_with(R"({"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]}})", 3));
  REQUIRE_OK(parsed);
  CHECK(parsed->tensors[0].dtype_name == "F8_E4M3");
  CHECK_FALSE(parsed->tensors[0].dtype.has_value());
}

}  // namespace
}  // namespace secondsource

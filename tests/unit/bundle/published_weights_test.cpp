// Codes of published quantized weights: their names and their layout in safetensors. Expected values are written out by hand or
// computed from the definition, scale times code.
#include "bundle/published_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <tuple>

#include "bundle/gguf_blocks.h"
#include "bundle/safetensors_writer.h"
#include "bundle/variant.h"
#include "bundle/weight_source.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/file.h"
#include "core/half.h"
#include "safetensors_bytes.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "weight_rows.h"

namespace secondsource::published_weights_test {
namespace {

using test::bytes_of;
using enum WeightEncoding;

TEST_CASE("the name of a published variant says its encoding, its groups and its activations") {
  using Row = std::tuple<const char*, WeightEncoding, std::int64_t, ActQuant>;
  const auto [name, encoding, group, act] = GENERATE(table<const char*, WeightEncoding, std::int64_t, ActQuant>({
      Row{"gptq-int4-g128", kInt4Group32, 128, ActQuant::kNone},
      Row{"gptq-int4", kInt4Group32, 0, ActQuant::kNone},
      Row{"gptq-int8-g32", kInt8Group32, 32, ActQuant::kNone},
      Row{"gptq-int4-g128-zp", kInt4Group32Zero, 128, ActQuant::kNone},
      Row{"gptq-int4-zp", kInt4Group32Zero, 0, ActQuant::kNone},
      Row{"awq-int4-g128", kInt4Group32Zero, 128, ActQuant::kNone},
      Row{"awq-int4", kInt4Group32Zero, 0, ActQuant::kNone},
      Row{"compressed-tensors-int8", kInt8PerRow, 0, ActQuant::kNone},
      Row{"compressed-tensors-int8-w8a8", kInt8PerRow, 0, ActQuant::kInt8PerRow},
      Row{"compressed-tensors-int4-g128-w8a8", kInt4Group32, 128, ActQuant::kInt8PerRow},
      Row{"compressed-tensors-int4-w8a8", kInt4Group32, 0, ActQuant::kInt8PerRow},
      Row{"compressed-tensors-int8-g32-w8a8", kInt8Group32, 32, ActQuant::kInt8PerRow},
      Row{"compressed-tensors-int8-static", kInt8PerRow, 0, ActQuant::kInt8Static},
      Row{"quark-int8-static", kInt8PerRow, 0, ActQuant::kInt8Static},
      Row{"compressed-tensors-fp8", kFp8PerRow, 0, ActQuant::kFp8PerRow},
      Row{"fp8-block128", kFp8Group128, 128, ActQuant::kFp8PerGroup128},
      Row{"fp8-block128-ue8m0", kFp8Group128, 128, ActQuant::kFp8PerGroup128E8m0},
      Row{"compressed-tensors-fp8-block128", kFp8Group128, 128, ActQuant::kFp8PerGroup128},
      Row{"fp8-w8a16", kFp8PerRow, 0, ActQuant::kNone},
      Row{"fp8-block128-w8a16", kFp8Group128, 128, ActQuant::kNone},
      Row{"fp8-static", kFp8PerRow, 0, ActQuant::kFp8Static},
      Row{"modelopt-fp8-static", kFp8PerRow, 0, ActQuant::kFp8Static},
      Row{"compressed-tensors-fp8-static", kFp8PerRow, 0, ActQuant::kFp8Static},
      Row{"modelopt-fp8-w8a16", kFp8PerRow, 0, ActQuant::kNone},
      Row{"quark-fp8", kFp8PerRow, 0, ActQuant::kFp8PerRow},
      Row{"quark-int8-w8a8", kInt8PerRow, 0, ActQuant::kInt8PerRow},
      Row{"quark-mxfp4", kMxfp4Group32, 32, ActQuant::kNone},
      Row{"auto-round-int4-g128", kInt4Group32, 128, ActQuant::kNone},
      Row{"gguf-q4_0", kInt4Group32, 32, ActQuant::kNone},
      Row{"gguf-q8_0", kInt8Group32, 32, ActQuant::kNone},
      Row{"gguf-q4_k", kQ4K, 32, ActQuant::kNone},
      Row{"gguf-q5_k", kQ5K, 32, ActQuant::kNone},
      Row{"gguf-q6_k", kQ6K, 32, ActQuant::kNone},
      Row{"gguf-q2_k", kQ2K, 32, ActQuant::kNone},
      Row{"gguf-q3_k", kQ3K, 32, ActQuant::kNone},
      Row{"gguf-iq4_xs", kIq4Xs, 32, ActQuant::kNone},
      Row{"gguf-q4_1", kQ41, 32, ActQuant::kNone},
      Row{"gguf-q5_0", kQ50, 32, ActQuant::kNone},
      Row{"gguf-q5_1", kQ51, 32, ActQuant::kNone},
      Row{"gguf-iq4_nl", kIq4Nl, 32, ActQuant::kNone},
      Row{"mxfp4", kMxfp4Group32, 32, ActQuant::kNone},
      Row{"gguf-mxfp4", kMxfp4Group32, 32, ActQuant::kNone},
      Row{"gguf-nvfp4-w4a16", kNvfp4Group16, 16, ActQuant::kNone},
      Row{"modelopt-nvfp4", kNvfp4Group16, 16, ActQuant::kNvfp4Static},
      Row{"compressed-tensors-nvfp4", kNvfp4Group16, 16, ActQuant::kNvfp4Static},
      Row{"modelopt-nvfp4-w4a16", kNvfp4Group16, 16, ActQuant::kNone},
      Row{"compressed-tensors-nvfp4-w4a16", kNvfp4Group16, 16, ActQuant::kNone},
  }));
  CAPTURE(name);
  const auto variant = variant_from_name(name);
  REQUIRE_OK(variant);
  CHECK(variant->is_published());
  CHECK(variant->matmul == encoding);
  CHECK(variant->group == group);
  CHECK(variant->activations == act);
  const std::string_view text = name;  // clang 14 captures no structured binding
  if (!text.starts_with("gguf-")) {
    const auto method =
        std::ranges::find_if(kPublishedMethods, [&](std::string_view one) { return text.starts_with(one); });
    REQUIRE(method != kPublishedMethods.end());
    CHECK(published_variant_name(*method, encoding, group, act) == name);
  }
}

TEST_CASE("a name that stands for no published variant is refused") {
  const char* const name = GENERATE(
      "gptq-", "gptq-int4-g", "gptq-int4-g0", "gptq-int4-g33", "gptq-int4-g0128", "gptq-int4-g-32",
      "gptq-int4-g99999999999999999999", "gptq-int3-g32", "gptq-int4-w4a8", "gguf-q8_1", "gguf-int4",
      "awq-int4-g128-zp", "awq-int8-g32", "awq-fp8", "awq-int4-zp", "awq-fp8-block128", "fp8-", "fp8-fp8",
      "fp8-block64", "fp8-int4", "fp8-int8-g32", "fp8-fp8-block128", "fp8-block128-e8m0", "fp8-ue8m0", "int8-static",
      "fp8-int8-static", "awq-int8-static", "compressed-tensors-int8-g32-static", "compressed-tensors-int4-static",
      "quark-int8-static-w8a8", "quark-int8-statics", "gptq-int4-zp-g32", "gptq-int8-g32-zp", "gptq-int8-zp",
      "compressed-tensors-int4-g32-zp-w8a8", "compressed-tensors-int4-w8a8-g32", "awq-int4-g128-w8a8", "awq-fp8-w8a16",
      "fp8-w8a8", "awq-fp8-static", "fp8-block128-static", "fp8-static-w8a16", "fp8-block128-ue8m0-w8a16",
      "gptq-int4-w8a16", "modelopt-", "awq-mxfp4", "fp8-mxfp4", "nvfp4", "awq-nvfp4", "gguf-nvfp4",
      "modelopt-nvfp4-w8a16", "nvfp4-w4a16", "quark-nvfp4", "fp8-w4a16");
  CAPTURE(name);
  CHECK_ERROR(variant_from_name(name), ErrorCode::kInvalidInput, "or the published one of a bundle");
}

TEST_CASE("a mistyped variant is refused with the one that was probably meant") {
  CHECK_ERROR(variant_from_name("in8"), ErrorCode::kInvalidInput, "found in8; did you mean int8?");
  CHECK_ERROR(variant_from_name("gguf-q4_k_m"), ErrorCode::kInvalidInput, "found gguf-q4_k_m; did you mean gguf-q4_k?");
  CHECK_ERROR(variant_from_name("modelopt-fp8-statc"), ErrorCode::kInvalidInput, "did you mean modelopt-fp8-static?");
  CHECK_ERROR(variant_from_name("quark-int8-statc"), ErrorCode::kInvalidInput, "did you mean quark-int8-static?");
  CHECK_ERROR(variant_from_name("compressed-tensors-int4-g128-w4a8"), ErrorCode::kInvalidInput,
              "did you mean compressed-tensors-int4-g128-w8a8?");
  CHECK_ERROR(variant_from_name("gpt-int8"), ErrorCode::kInvalidInput, "did you mean gptq-int8?");
}

struct Part {
  TensorToWrite tensor;
  std::string data;
};

Result<TensorStore> opened(const test::ScratchFolder& scratch, const std::string& variant,
                           const std::vector<Part>& parts) {
  const auto path = scratch.path() / "model.safetensors";
  std::vector<TensorToWrite> tensors;
  for (const Part& part : parts) tensors.push_back(part.tensor);
  auto writer = SafetensorsWriter::create(path, tensors, {{std::string(kPublishedKey), variant}});
  REQUIRE_OK(writer);
  for (const Part& part : parts) REQUIRE_OK(writer->write(std::as_bytes(std::span(part.data))));
  REQUIRE_OK(writer->finish());
  return TensorStore::open_file(path);
}

TEST_CASE("int4 codes in groups of 64 are given unchanged with repeated scales, and by their values in f32") {
  const test::ScratchFolder scratch;
  constexpr std::int64_t kCols = 96;  // one and a half groups
  std::vector<std::uint8_t> pairs;
  std::vector<int> codes;
  for (int i = 0; i < 2 * kCols; i += 2) {
    codes.push_back(i % 16 - 8);
    codes.push_back((3 * i + 5) % 16 - 8);
    pairs.push_back(static_cast<std::uint8_t>((codes[static_cast<std::size_t>(i)] & 15) |
                                              (codes[static_cast<std::size_t>(i) + 1] & 15) << 4));
  }
  const std::vector<float> scales = {0.5F, 0.25F, 3.0F, -0.125F};
  std::vector<F16> halves;
  for (const float scale : scales) halves.push_back(to_f16(scale));
  const auto store = opened(scratch, "gptq-int4-g64",
                            {{{"m.codes", DType::kU8, {2, kCols / 2}}, bytes_of(pairs)},
                             {{"m.scales", DType::kF16, {2, 2}}, bytes_of(halves)}});
  REQUIRE_OK(store);
  CHECK(store->published_variant() == "gptq-int4-g64");
  const StoredTensor& tensor = *store->find("m");
  CHECK(tensor.info.shape == Shape{2, kCols});
  CHECK(store->find("m.codes") == nullptr);
  const test::WeightRows kept = test::rows_of(tensor, kInt4Group32);
  CHECK(kept.scales == std::vector<float>{0.5F, 0.5F, 0.25F, 3.0F, 3.0F, -0.125F});
  const test::WeightRows plain = test::rows_of(tensor, kF32);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    CHECK(static_cast<int>(static_cast<std::int8_t>(kept.values[i])) == codes[i]);
    float value = 0.0F;
    std::memcpy(&value, plain.values.data() + 4 * i, 4);
    CHECK(value == static_cast<float>(codes[i]) * scales[i / kCols * 2 + i % kCols / 64]);
  }
  const auto published = variant_from_name("gptq-int4-g64");
  const auto own = variant_from_name("int8");
  CHECK(encoding_of(*published, TensorRole::kMatmul, tensor).value() == kInt4Group32);
  CHECK(encoding_of(*published, TensorRole::kLatent, tensor).value() == kF32);
  CHECK(encoding_of(*own, TensorRole::kMatmul, tensor).value() == kInt8PerRow);
}

TEST_CASE("codes with a scale for each row are given unchanged, the least of them too") {
  const test::ScratchFolder scratch;
  const std::vector<std::int8_t> codes = {-128, 127, 0, 1, -1, 64};
  const std::vector<float> scales = {0.1F, 1e-7F};
  const auto int8 = opened(
      scratch, "gptq-int8",
      {{{"m.codes", DType::kI8, {2, 3}}, bytes_of(codes)}, {{"m.scales", DType::kF32, {2, 1}}, bytes_of(scales)}});
  REQUIRE_OK(int8);
  const test::WeightRows kept = test::rows_of(*int8->find("m"), kInt8PerRow);
  CHECK(std::memcmp(kept.values.data(), codes.data(), codes.size()) == 0);
  CHECK(kept.scales == scales);
  const std::vector<std::uint8_t> numbers = {0x7e, 0xfe, 0x01, 0x80, 0x38, 0x00};
  const auto fp8 = opened(scratch, "compressed-tensors-fp8",
                          {{{"m.codes", DType::kU8, {2, 3}, "F8_E4M3"}, bytes_of(numbers)},
                           {{"m.scales", DType::kF32, {2, 1}}, bytes_of(scales)}});
  REQUIRE_OK(fp8);
  const test::WeightRows values = test::rows_of(*fp8->find("m"), kF32);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    float value = 0.0F;
    std::memcpy(&value, values.values.data() + 4 * i, 4);
    CHECK(value == to_float(E4m3{numbers[i]}) * scales[i / 3]);
  }
}

TEST_CASE("a scale that is not finite and a code that is no number are errors when they are read") {
  const test::ScratchFolder scratch;
  const auto refused = [&](std::vector<std::uint8_t> codes, std::vector<float> scales, const char* part) {
    const auto store = opened(scratch, "compressed-tensors-fp8",
                              {{{"m.codes", DType::kU8, {1, 2}, "F8_E4M3"}, bytes_of(codes)},
                               {{"m.scales", DType::kF32, {1, 1}}, bytes_of(scales)}});
    REQUIRE_OK(store);
    const auto source = make_weight_source(*store->find("m"), kFp8PerRow);
    REQUIRE_OK(source);
    std::array<std::byte, 2> values{};
    std::array<float, 1> of_row{};
    CHECK_ERROR((*source)->read_rows(0, 1, values, of_row), ErrorCode::kInvalidInput, part);
  };
  refused({0x10, 0x7f}, {1.0F}, "the code of none");
  refused({0x10, 0x11}, {INFINITY}, "finite scales");
}

TEST_CASE("codes of static FP8 have a positive scale of inputs, and no others have one") {
  const test::ScratchFolder scratch;
  const auto store_of = [&](const std::string& variant, std::optional<Part> scale) {
    std::vector<Part> parts = {{{"m.codes", DType::kU8, {1, 2}, "F8_E4M3"}, "\x10\x11"},
                               {{"m.scales", DType::kF32, {1, 1}}, bytes_of(std::vector<float>{0.5F})}};
    if (scale) parts.push_back(*scale);
    return opened(scratch, variant, parts);
  };
  const auto scale = [](float value, Shape shape = {1}) {
    return Part{{"m.input_scale", DType::kF32, shape}, bytes_of(std::vector<float>{value})};
  };
  const auto store = store_of("modelopt-fp8-static", scale(0.125F));
  REQUIRE_OK(store);
  CHECK(store->tensors().size() == 1);
  CHECK(store->find("m")->published->input_scale == 0.125F);
  const auto without = store_of("modelopt-fp8-w8a16", std::nullopt);
  REQUIRE_OK(without);
  CHECK(without->find("m")->published->input_scale == 0.0F);
  const auto refused = [&](const std::string& variant, std::optional<Part> of_inputs, const char* part) {
    CAPTURE(variant, part);
    CHECK_ERROR(store_of(variant, std::move(of_inputs)), ErrorCode::kInvalidInput, part);
  };
  refused("modelopt-fp8-static", std::nullopt, "a scale of inputs beside codes in modelopt-fp8-static");
  refused("modelopt-fp8-static", scale(0.0F), "m.input_scale: expected a positive scale, found 0");
  refused("modelopt-fp8-static", scale(-1.0F), "expected a positive scale");
  refused("modelopt-fp8-static", scale(INFINITY), "expected a positive scale");
  refused("modelopt-fp8-static", scale(NAN), "expected a positive scale");
  refused("modelopt-fp8-static", scale(1.0F, {1, 1}), "expected a scale F32 [1], found F32 [1, 1]");
  refused("modelopt-fp8-w8a16", scale(1.0F), "a scale of inputs beside codes of static FP8 or INT8 or of NVFP4 alone");
}

TEST_CASE("codes of static INT8 have a positive scale of inputs, and no others have one") {
  const test::ScratchFolder scratch;
  const auto store_of = [&](const std::string& variant, std::optional<float> scale) {
    std::vector<Part> parts = {{{"m.codes", DType::kI8, {1, 2}}, "\x80\x7f"},
                               {{"m.scales", DType::kF32, {1, 1}}, bytes_of(std::vector<float>{0.5F})}};
    if (scale) parts.push_back({{"m.input_scale", DType::kF32, {1}}, bytes_of(std::vector<float>{*scale})});
    return opened(scratch, variant, parts);
  };
  const auto store = store_of("compressed-tensors-int8-static", 0.125F);
  REQUIRE_OK(store);
  CHECK(store->tensors().size() == 1);
  CHECK(store->find("m")->published->input_scale == 0.125F);
  CHECK(store->find("m")->published->form.encoding == kInt8PerRow);
  CHECK_ERROR(store_of("quark-int8-static", std::nullopt), ErrorCode::kInvalidInput,
              "a scale of inputs beside codes in quark-int8-static");
  CHECK_ERROR(store_of("quark-int8-static", -0.5F), ErrorCode::kInvalidInput,
              "m.input_scale: expected a positive scale");
  for (const char* const other : {"quark-int8-w8a8", "quark-int8"}) {
    CHECK_ERROR(store_of(other, 0.5F), ErrorCode::kInvalidInput, "a scale of inputs beside codes");
  }
}

TEST_CASE("published codes that do not fit each other are refused") {
  const test::ScratchFolder scratch;
  const auto codes = [](Shape shape, DType dtype, const char* name = "m.codes") {
    return Part{{name, dtype, shape},
                std::string(static_cast<std::size_t>(*shape.n_elements()) * size_of(dtype), '\1')};
  };
  const auto refused = [&](const std::string& variant, const std::vector<Part>& parts, const char* part) {
    CAPTURE(part);
    CHECK_ERROR(opened(scratch, variant, parts), ErrorCode::kInvalidInput, part);
  };
  const Part good = codes({2, 32}, DType::kU8);
  const Part scales = codes({2, 2}, DType::kF16, "m.scales");
  refused("int4", {good, scales}, "the name of a published variant");
  refused("gptq-int5", {good, scales}, "published_variant");
  refused("gptq-int4-g32", {good}, "scales beside codes");
  refused("gptq-int4-g32", {scales}, "codes beside scales");
  refused("gptq-int4-g64", {good, scales}, "scales of [2, 32]");
  refused("gptq-int4-g32", {good, codes({2, 2}, DType::kF32, "m.scales")}, "codes U8, I8 or F8_E4M3");
  refused("gptq-int4-g32", {codes({64}, DType::kU8), scales}, "codes U8, I8 or F8_E4M3");
  refused("gptq-int4-g32", {good, codes({2, 2}, DType::kU8, "m.scales")}, "codes U8, I8 or F8_E4M3");
  refused("gguf-q8_0", {codes({1, 256, 32}, DType::kI8), codes({1, 1, 144}, DType::kU8, "m.scales.transposed.q4_k")},
          "scales beside codes");
  refused("gptq-int4-g32", {good, scales, codes({2, 64}, DType::kBf16, "m")}, "its values and its codes");
  const Part zeros = codes({2, 2}, DType::kI8, "m.zeros");
  refused("gptq-int4-g32", {good, scales, zeros}, "no zero points in gptq-int4-g32");
  refused("awq-int4-g32", {good, scales}, "codes beside zero points in awq-int4-g32");
  refused("awq-int4-g32", {zeros}, "codes beside zero points");
  refused("awq-int4-g32", {good, scales, codes({2, 1}, DType::kI8, "m.zeros")}, "zero points I8 [2, 2]");
  refused("awq-int4-g32", {good, scales, codes({2, 2}, DType::kU8, "m.zeros")}, "zero points I8 [2, 2]");
  refused("awq-int4-g32", {codes({2, 64}, DType::kI8), scales, zeros}, "codes U8 of a matrix with zero points");
}

TEST_CASE("blocks of 128 x 128 codes in E4M3 give each of their rows the scale of its block") {
  const test::ScratchFolder scratch;
  constexpr std::int64_t kRows = 130;
  constexpr std::int64_t kCols = 200;
  std::string codes(kRows * kCols, '\0');
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<char>(i * 31 % 127 + (i % 3 == 0 ? 128 : 0));
  const std::vector<float> scales = {0.5F, 0.25F, 1e-7F, 3.0F};
  const Part good{{"m.codes", DType::kI8, {kRows, kCols}, "F8_E4M3"}, codes};
  const auto store = opened(scratch, "fp8-block128", {good, {{"m.scales", DType::kF32, {2, 2}}, bytes_of(scales)}});
  REQUIRE_OK(store);
  const StoredTensor& tensor = *store->find("m");
  const auto source = make_weight_source(tensor, kFp8Group128);
  REQUIRE_OK(source);
  std::vector<std::byte> values(3 * kCols);
  std::vector<float> of_rows(6);
  REQUIRE_OK((*source)->read_rows(127, 3, values, of_rows));  // the last row of a block and two of the next
  CHECK(of_rows == std::vector<float>{0.5F, 0.25F, 1e-7F, 3.0F, 1e-7F, 3.0F});
  CHECK(std::memcmp(values.data(), codes.data() + 127 * kCols, values.size()) == 0);
  const test::WeightRows plain = test::rows_of(tensor, kF32);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    float value = 0.0F;
    std::memcpy(&value, plain.values.data() + 4 * i, 4);
    const std::size_t block = i / kCols / 128 * 2 + i % kCols / 128;
    CHECK(value == to_float(E4m3{static_cast<std::uint8_t>(codes[i])}) * scales[block]);
  }
  const auto refused = [&](const char* variant, const std::vector<Part>& parts, const char* part) {
    CAPTURE(part);
    CHECK_ERROR(opened(scratch, variant, parts), ErrorCode::kInvalidInput, part);
  };
  refused("fp8-block128", {good, {{"m.scales", DType::kF32, {130, 2}}, std::string(1040, '\0')}},
          "scales of [130, 200]");
  refused("fp8-block128",
          {{{"m.codes", DType::kI8, {1, 2, 64}, "F8_E4M3"}, std::string(128, '\0')},
           {{"m.scales", DType::kF32, {1, 2, 1}}, std::string(8, '\0')}},
          "codes of a matrix, in blocks");
  refused("compressed-tensors-fp8", {good, {{"m.scales", DType::kF32, {2, 2}}, bytes_of(scales)}},
          "scales of [130, 200]");
}

TEST_CASE("blocks of GGUF are given by their parts, and their values have the bits of ggml's formula") {
  const test::ScratchFolder scratch;
  constexpr std::int64_t kRows = 2;
  constexpr std::int64_t kBlocks = 2;
  const auto blocks_of = [](std::int64_t block_bytes, const std::vector<std::int64_t>& halves) {
    std::string bytes(static_cast<std::size_t>(kRows * kBlocks * block_bytes), '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 73 + i / 7);
    for (std::int64_t block = 0; block < kRows * kBlocks; ++block) {
      for (const std::int64_t at : halves) {
        const F16 half = to_f16(0.0123F * static_cast<float>(block + at + 1));
        std::memcpy(bytes.data() + block * block_bytes + at, &half, sizeof half);
      }
    }
    return bytes;
  };
  const auto matrix = [](std::string_view name, std::int64_t block_bytes, const std::string& bytes) {
    return Part{{std::string(name), DType::kU8, {kRows, kBlocks * block_bytes}}, bytes};
  };
  /// A block type, and the offsets of its FP16 numbers within a block.
  struct Type {
    WeightEncoding encoding;
    const char* name;
    std::vector<std::int64_t> halves;
  };
  const Type types[] = {{kQ2K, "Q2_K", {80, 82}}, {kQ3K, "Q3_K", {108}}, {kQ4K, "Q4_K", {0, 2}},
                        {kQ5K, "Q5_K", {0, 2}},   {kQ6K, "Q6_K", {208}}, {kIq4Xs, "IQ4_XS", {0}},
                        {kQ41, "Q4_1", {0, 2}},   {kQ50, "Q5_0", {0}},   {kQ51, "Q5_1", {0, 2}},
                        {kIq4Nl, "IQ4_NL", {0}}};
  static_assert(std::size(types) == kBlockEncodings.size());
  // One file holds a tensor of each type.
  std::vector<std::string> bytes;
  std::vector<Part> parts;
  for (const Type& type : types) {
    const std::int64_t block_bytes = block_form(type.encoding).n_bytes;
    bytes.push_back(blocks_of(block_bytes, type.halves));
    parts.push_back(matrix(fmt::format("of_{0}.{0}", to_string(type.encoding)), block_bytes, bytes.back()));
  }
  const auto store = opened(scratch, "gguf-q4_k", parts);
  REQUIRE_OK(store);
  for (std::size_t type = 0; type < std::size(types); ++type) {
    const auto& [encoding, type_name, halves] = types[type];
    CAPTURE(type_name);
    const BlockForm form = block_form(encoding);
    const StoredTensor& tensor = *store->find(fmt::format("of_{}", to_string(encoding)));
    CHECK(tensor.info.shape == Shape{kRows, kBlocks * form.n_cols});
    const Variant variant = variant_from_name("gguf-q4_k").value();
    CHECK(encoding_of(variant, TensorRole::kMatmul, tensor).value() == encoding);
    const test::WeightRows kept = test::rows_of(tensor, encoding);
    const test::WeightRows plain = test::rows_of(tensor, kF32);
    const auto format = gguf_block_format(type_name);
    REQUIRE_OK(format);
    std::vector<float> expected(static_cast<std::size_t>(kRows * kBlocks * form.n_cols));
    dequantize_blocks(**format, std::as_bytes(std::span(bytes[type])), expected);
    CHECK(std::memcmp(plain.values.data(), expected.data(), expected.size() * sizeof(float)) == 0);
    const auto block_cols = static_cast<std::size_t>(form.n_cols);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const float* const block = kept.scales.data() + i / block_cols * static_cast<std::size_t>(form.n_floats());
      const auto code = static_cast<float>(static_cast<std::int8_t>(kept.values[i]));
      const float* const wholes = block + form.n_units();
      const std::size_t part = form.n_parts() == 0 ? 0 : i % block_cols / static_cast<std::size_t>(form.part_cols);
      const float scale = form.n_parts() == 0 ? 1.0F : wholes[part];
      float value = block[0] * scale * code;
      if (form.has_minima) {
        value -= block[1] * (form.n_parts() == 0 ? 1.0F : wholes[static_cast<std::size_t>(form.n_parts()) + part]);
      }
      CHECK(value == expected[i]);
    }
  }
  const std::string& q4_k = bytes[2];
  const auto refused = [&](const char* variant, const Part& part, const char* expected) {
    CAPTURE(expected);
    CHECK_ERROR(opened(scratch, variant, {part}), ErrorCode::kInvalidInput, expected);
  };
  refused("mxfp4", matrix("a.q4_k", 144, q4_k), "no blocks of GGUF in mxfp4");
  refused("gguf-q4_k", {{"a.q4_k", DType::kU8, {2, 145}}, std::string(290, '\0')}, "whole blocks of 144 bytes");
  refused("gguf-q4_k", {{"a.q6_k", DType::kI8, {2, 210}}, std::string(420, '\0')}, "blocks U8");
  refused("gguf-q4_k", {{"a.transposed.q6_k", DType::kU8, {2, 210}}, std::string(420, '\0')}, "blocks U8");
  CHECK_ERROR(
      opened(scratch, "gguf-q4_k", {matrix("a.q4_k", 144, q4_k), {{"a", DType::kBf16, {1}}, std::string(2, '\0')}}),
      ErrorCode::kInvalidInput, "its values and its blocks");
  std::string infinite = q4_k;
  infinite[144 + 3] = '\x7c';
  const auto without = opened(scratch, "gguf-q4_k", {matrix("a.q4_k", 144, infinite)});
  REQUIRE_OK(without);
  const auto source = make_weight_source(*without->find("a"), kQ4K);
  REQUIRE_OK(source);
  std::vector<std::byte> values(512);
  std::vector<float> floats(36);
  CHECK_ERROR((*source)->read_rows(0, 1, values, floats), ErrorCode::kInvalidInput, "finite scales");
  REQUIRE_OK((*source)->read_rows(1, 1, values, floats));
}

TEST_CASE("transposed codes in E2M1 are rows of their tensor's columns, and their scales are powers of two") {
  const test::ScratchFolder scratch;
  constexpr std::int64_t kExperts = 2;
  constexpr std::int64_t kOutputs = 6;
  constexpr std::int64_t kInputs = 64;
  std::string pairs(kExperts * kOutputs * kInputs / 2, '\0');
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = static_cast<char>(i * 37 + i / 16);
  std::string exponents(kExperts * kOutputs * kInputs / 32, '\0');
  for (std::size_t i = 0; i < exponents.size(); ++i) exponents[i] = static_cast<char>(i == 3 ? 0 : 118 + i);
  const Part codes{{"m.transposed.codes", DType::kU8, {kExperts, kOutputs, kInputs / 2}}, pairs};
  const Part scales{{"m.transposed.scales", DType::kU8, {kExperts, kOutputs, kInputs / 32}}, exponents};
  const auto store = opened(scratch, "mxfp4", {codes, scales});
  REQUIRE_OK(store);
  const StoredTensor& tensor = *store->find("m");
  CHECK(tensor.info.shape == Shape{kExperts, kInputs, kOutputs});
  const auto value_of = [&](std::int64_t output, std::int64_t input) {
    constexpr float kNumbers[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
    const auto pair = static_cast<unsigned>(
        static_cast<unsigned char>(pairs[static_cast<std::size_t>((output * kInputs + input) / 2)]));
    const unsigned code = input % 2 == 0 ? pair & 15U : pair >> 4U;
    const auto exponent =
        static_cast<unsigned char>(exponents[static_cast<std::size_t>((output * kInputs + input) / 32)]);
    return std::ldexp(code < 8 ? kNumbers[code] : -kNumbers[code - 8], int{exponent} - 127);
  };
  // Every other output of the second matrix, the layout of gates interleaved with ups; then all outputs of the first one.
  for (const ColumnView& view : {ColumnView{.matrix = 1, .first_column = 1, .step = 2, .n_columns = 3},
                                 ColumnView{.matrix = 0, .n_columns = kOutputs}}) {
    const auto kept = make_column_source(tensor, view, kMxfp4Group32);
    REQUIRE_OK(kept);
    const auto plain = make_column_source(tensor, view, kF32);
    REQUIRE_OK(plain);
    std::vector<std::byte> row(kInputs);
    std::vector<float> of_row(kInputs / 32);
    std::vector<float> values(kInputs);
    for (std::int64_t i = 0; i < view.n_columns; ++i) {
      REQUIRE_OK((*kept)->read_rows(i, 1, row, of_row));
      REQUIRE_OK((*plain)->read_rows(i, 1, std::as_writable_bytes(std::span(values)), {}));
      for (std::int64_t input = 0; input < kInputs; ++input) {
        const auto at = static_cast<std::size_t>(input);
        const float expected = value_of(view.matrix * kOutputs + view.first_column + i * view.step, input);
        CHECK(values[at] == expected);
        CHECK(of_row[at / 32] * to_float(E2m1{static_cast<std::uint8_t>(row[at])}) == expected);
      }
    }
  }
  CHECK_ERROR(make_weight_source(tensor, kF32), ErrorCode::kUnsupported, "rows of transposed codes");
  CHECK_ERROR(make_column_source(tensor, {.n_columns = 1, .n_inputs = 32}, kF32), ErrorCode::kUnsupported,
              "parts of columns");
  const auto refused = [&](const char* variant, const std::vector<Part>& parts, const char* part) {
    CAPTURE(part);
    CHECK_ERROR(opened(scratch, variant, parts), ErrorCode::kInvalidInput, part);
  };
  refused("gptq-int4-g64", {codes, scales}, "codes U8, I8 or F8_E4M3");
  refused("mxfp4", {codes, {{"m.transposed.scales", DType::kU8, {kExperts, kOutputs, 1}}, std::string(12, '\0')}},
          "scales of [2, 6, 32]");
  refused("mxfp4",
          {{{"m.transposed.codes", DType::kU8, {2, 16}}, std::string(32, '\0')},
           {{"m.transposed.scales", DType::kU8, {2, 1}}, std::string(2, '\0')}},
          "codes of several matrices");
  std::string none = exponents;
  none[5] = '\xff';
  const auto without =
      opened(scratch, "mxfp4", {codes, {{"m.transposed.scales", DType::kU8, {kExperts, kOutputs, 2}}, none}});
  REQUIRE_OK(without);
  const auto source = make_column_source(*without->find("m"), {.n_columns = kOutputs}, kMxfp4Group32);
  REQUIRE_OK(source);
  std::vector<std::byte> values(kOutputs * kInputs);
  std::vector<float> of_rows(kOutputs * kInputs / 32);
  CHECK_ERROR((*source)->read_rows(0, kOutputs, values, of_rows), ErrorCode::kInvalidInput, "finite scales");
}

TEST_CASE(
    "codes with zero points are given unchanged, and by their differences in f32; other zero points are refused") {
  const test::ScratchFolder scratch;
  const auto stored_with = [&](const std::vector<std::int8_t>& zeros) {
    return opened(scratch, "awq-int4-g64",
                  {{{"m.codes", DType::kU8, {2, 48}}, std::string(96, '\x8f')},  // -1, -8, -1, -8, ...
                   {{"m.scales", DType::kF16, {2, 2}},
                    bytes_of(std::vector<F16>{to_f16(0.5F), to_f16(0.25F), to_f16(3.0F), to_f16(-0.125F)})},
                   {{"m.zeros", DType::kI8, {2, 2}}, bytes_of(zeros)}});
  };
  const auto store = stored_with({-8, 7, 0, 3});
  REQUIRE_OK(store);
  const StoredTensor& tensor = *store->find("m");
  const test::WeightRows kept = test::rows_of(tensor, kInt4Group32Zero);
  CHECK(kept.scales == std::vector<float>{0.5F, 0.5F, 0.25F, -8, -8, 7, 3.0F, 3.0F, -0.125F, 0, 0, 3});
  const test::WeightRows plain = test::rows_of(tensor, kF32);
  const float scale[] = {0.5F, 0.25F, 3.0F, -0.125F};
  const float zero[] = {-8, 7, 0, 3};
  for (std::size_t i = 0; i < 192; ++i) {
    const std::size_t group = i / 96 * 2 + i % 96 / 64;
    float value = 0.0F;
    std::memcpy(&value, plain.values.data() + 4 * i, 4);
    CHECK(value == scale[group] * ((i % 2 == 0 ? -1.0F : -8.0F) - zero[group]));
  }
  const auto wrong = stored_with({-8, 7, 8, 3});
  REQUIRE_OK(wrong);
  const auto source = make_weight_source(*wrong->find("m"), kInt4Group32Zero);
  REQUIRE_OK(source);
  std::vector<std::byte> values(192);
  std::vector<float> scales(12);
  CHECK_ERROR((*source)->read_rows(0, 2, values, scales), ErrorCode::kInvalidInput,
              "m.zeros: row 1: expected zero points from -8 to 7, found 8");
}

TEST_CASE("an order of columns is that of codes in their own encoding; values have the weight's order") {
  constexpr std::int64_t kCols = 96;
  const test::ScratchFolder scratch;
  std::string pairs;  // column i of the codes is i % 16 - 8 in the first row, and one more in the second
  for (int i = 0; i < kCols; ++i)
    pairs.push_back(static_cast<char>((2 * i + i / 48) % 16 | (2 * i + 1 + i / 48) % 16 << 4));
  const auto stored_with = [&](const std::string& type, const Shape& shape, const std::string& order) {
    return opened(scratch, "gptq-int4-g64",
                  {{{"m.codes", DType::kU8, {2, 48}}, pairs},
                   {{"m.scales", DType::kF16, {2, 2}},
                    bytes_of(std::vector<F16>{to_f16(0.5F), to_f16(0.25F), to_f16(3.0F), to_f16(-0.125F)})},
                   {{"m.columns", type == "I32" ? DType::kI32 : DType::kF32, shape}, order}});
  };
  std::vector<std::int32_t> order;
  for (std::int32_t i = 0; i < kCols; ++i) order.push_back(i * 5 % 96);
  const auto store = stored_with("I32", {kCols}, bytes_of(order));
  REQUIRE_OK(store);
  CHECK(store->tensors().size() == 1);
  const StoredTensor& tensor = *store->find("m");
  CHECK(std::ranges::equal(column_order_of(tensor, kInt4Group32), order));
  CHECK(column_order_of(tensor, kF32).empty());
  CHECK(column_order_of(tensor, kBf16).empty());
  const test::WeightRows kept = test::rows_of(tensor, kInt4Group32);
  const test::WeightRows plain = test::rows_of(tensor, kF32);
  const float scales[] = {0.5F, 0.25F, 3.0F, -0.125F};
  for (std::size_t i = 0; i < 192; ++i) {
    const std::size_t row = i / 96;
    const std::size_t col = i % 96;
    const int code = static_cast<int>((col + row) % 16) - ((col + row) % 16 > 7 ? 16 : 0);
    CHECK(static_cast<int>(static_cast<std::int8_t>(kept.values[i])) == code);
    float value = 0.0F;
    std::memcpy(&value, plain.values.data() + 4 * (96 * row + static_cast<std::size_t>(order[col])), 4);
    CHECK(value == scales[row * 2 + col / 64] * static_cast<float>(code));
  }
  // The rows of an embedding must have the original order of columns, so they are read as values.
  const Variant variant = variant_from_name("gptq-int4-g64").value();
  CHECK(encoding_of(variant, TensorRole::kMatmul, tensor).value() == kInt4Group32);
  CHECK(encoding_of(variant, TensorRole::kEmbedding, tensor).value() == kF32);
  // The identity counts as no reordering.
  std::vector<std::int32_t> own(kCols);
  for (std::size_t i = 0; i < own.size(); ++i) own[i] = static_cast<std::int32_t>(i);
  const auto plainly = stored_with("I32", {kCols}, bytes_of(own));
  REQUIRE_OK(plainly);
  CHECK(column_order_of(*plainly->find("m"), kInt4Group32).empty());
  CHECK(encoding_of(variant, TensorRole::kEmbedding, *plainly->find("m")).value() == kInt4Group32);

  const auto refused = [](const Result<TensorStore>& found, const char* part) {
    CAPTURE(part);
    CHECK_ERROR(found, ErrorCode::kInvalidInput, part);
  };
  const auto with = [&](std::size_t place, std::int32_t column) {
    std::vector<std::int32_t> changed = order;
    changed[place] = column;
    return stored_with("I32", {kCols}, bytes_of(changed));
  };
  refused(with(20, order[3]), "m.columns: [20]: expected every column from 0 to 95 once, found 15");
  refused(with(0, 96), "m.columns: [0]: expected every column from 0 to 95 once, found 96");
  refused(with(95, -1), "m.columns: [95]: expected every column from 0 to 95 once, found -1");
  refused(with(5, std::numeric_limits<std::int32_t>::min()), "once, found -2147483648");
  refused(stored_with("I32", {kCols - 1}, bytes_of(order).substr(4)),
          "expected an order of columns I32 [96], found I32 [95]");
  refused(stored_with("I32", {1, kCols}, bytes_of(order)), "expected an order of columns I32 [96], found I32 [1, 96]");
  refused(stored_with("F32", {kCols}, bytes_of(order)), "expected an order of columns I32 [96], found F32 [96]");
}

TEST_CASE("codes of NVFP4 are given with the global scale and those of 16 columns, and by their values in f32") {
  const test::ScratchFolder scratch;
  constexpr std::size_t kCols = 48;
  std::string pairs(2 * kCols / 2, '\0');
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = static_cast<char>(i * 37 + 5);
  // In E4M3: 0.015625, 1, 448, then -1.5, the smallest subnormal number 2^-9, and 0.
  const std::string scale_bytes = {'\x08', '\x38', '\x7e', '\xbc', '\x01', '\x00'};
  constexpr std::array<float, 6> kScales = {0x1p-6F, 1.0F, 448.0F, -1.5F, 0x1p-9F, 0.0F};
  constexpr float kGlobal = 0.0123F;
  const Part codes{{"m.codes", DType::kU8, {2, kCols / 2}}, pairs};
  const Part scales{{"m.scales", DType::kU8, {2, 3}, "F8_E4M3"}, scale_bytes};
  const Part global{{"m.global_scale", DType::kF32, {1}}, bytes_of(std::vector<float>{kGlobal})};
  const auto store = opened(scratch, "modelopt-nvfp4-w4a16", {codes, scales, global});
  REQUIRE_OK(store);
  const StoredTensor& tensor = *store->find("m");
  CHECK(tensor.info.shape == Shape{2, kCols});
  const auto kept = make_weight_source(tensor, kNvfp4Group16);
  const auto plain = make_weight_source(tensor, kF32);
  REQUIRE_OK(kept);
  REQUIRE_OK(plain);
  std::vector<std::byte> row_codes(2 * kCols);
  std::vector<float> floats(2 * 4);
  std::vector<float> values(2 * kCols);
  REQUIRE_OK((*kept)->read_rows(0, 2, row_codes, floats));
  REQUIRE_OK((*plain)->read_rows(0, 2, std::as_writable_bytes(std::span(values)), {}));
  for (std::size_t row = 0; row < 2; ++row) {
    CHECK(floats[4 * row] == kGlobal);
    for (std::size_t col = 0; col < kCols; ++col) {
      constexpr std::array kNumbers = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
      const auto pair = static_cast<unsigned char>(pairs[(row * kCols + col) / 2]);
      const unsigned code = col % 2 == 0 ? pair & 15U : pair >> 4U;
      const std::size_t group = col / 16;
      CHECK(static_cast<unsigned>(row_codes[row * kCols + col]) == code);
      CHECK(floats[4 * row + 1 + group] == kScales[3 * row + group]);
      const float number = code < 8 ? kNumbers[code] : -kNumbers[code - 8];
      CHECK(values[row * kCols + col] == (number * kScales[3 * row + group]) * kGlobal);
    }
  }
  const auto refused = [&](const char* variant, const std::vector<Part>& parts, const char* part) {
    CAPTURE(part);
    CHECK_ERROR(opened(scratch, variant, parts), ErrorCode::kInvalidInput, part);
  };
  const auto with_global = [&](float value) {
    return Part{{"m.global_scale", DType::kF32, {1}}, bytes_of(std::vector<float>{value})};
  };
  refused("modelopt-nvfp4-w4a16", {codes, scales}, "expected a global scale beside codes in modelopt-nvfp4-w4a16");
  refused("modelopt-nvfp4-w4a16", {codes, scales, with_global(0.0F)}, "expected a positive scale, found 0");
  refused("modelopt-nvfp4-w4a16", {codes, scales, with_global(std::numeric_limits<float>::infinity())}, "found inf");
  refused("modelopt-nvfp4-w4a16", {global}, "a global scale beside codes of NVFP4 alone");
  refused("mxfp4", {codes, scales, global}, "codes U8, I8 or F8_E4M3");
  refused("modelopt-nvfp4-w4a16", {codes, {{"m.scales", DType::kF16, {2, 3}}, std::string(12, '\1')}, global},
          "as the variant has them");
  refused("modelopt-nvfp4-w4a16", {codes, {{"m.scales", DType::kU8, {2, 3}}, std::string(6, '\1')}, global},
          "as the variant has them");
  refused("modelopt-nvfp4-w4a16",
          {{{"m.codes", DType::kI8, {2, kCols}}, std::string(2 * kCols, '\1')},
           {{"m.scales", DType::kF16, {2, 3}}, std::string(12, '\1')},
           global},
          "as the variant has them");
  refused("modelopt-nvfp4-w4a16", {codes, {{"m.scales", DType::kU8, {2, 2}, "F8_E4M3"}, std::string(4, '\1')}, global},
          "scales of [2, 24]");
  refused("modelopt-nvfp4-w4a16",
          {{{"m.codes", DType::kU8, {1, 2, 8}}, std::string(16, '\1')},
           {{"m.scales", DType::kU8, {1, 2, 1}, "F8_E4M3"}, std::string(2, '\1')},
           global},
          "codes of a matrix with its global scale");
  std::string none = scale_bytes;
  none[4] = '\x7f';
  const auto without =
      opened(scratch, "modelopt-nvfp4-w4a16", {codes, {{"m.scales", DType::kU8, {2, 3}, "F8_E4M3"}, none}, global});
  REQUIRE_OK(without);
  const auto source = make_weight_source(*without->find("m"), kNvfp4Group16);
  REQUIRE_OK(source);
  CHECK_ERROR((*source)->read_rows(0, 2, row_codes, floats), ErrorCode::kInvalidInput, "row 1: expected finite scales");
  // A variant with quantized activations also needs their scale.
  refused("modelopt-nvfp4", {codes, scales, global}, "expected a scale of inputs beside codes in modelopt-nvfp4");
  const Part of_inputs{{"m.input_scale", DType::kF32, {1}}, bytes_of(std::vector<float>{0.25F})};
  const auto with_inputs = opened(scratch, "modelopt-nvfp4", {codes, scales, global, of_inputs});
  REQUIRE_OK(with_inputs);
  CHECK(with_inputs->find("m")->published->input_scale == 0.25F);
  CHECK(with_inputs->find("m")->published->global_scale == kGlobal);
  refused("modelopt-nvfp4-w4a16", {codes, scales, global, of_inputs},
          "a scale of inputs beside codes of static FP8 or INT8 or of NVFP4 alone");
}

TEST_CASE("an order of columns without codes in groups of columns is refused") {
  const test::ScratchFolder scratch;
  const auto refused = [&](const char* variant, const std::vector<Part>& parts, const char* part) {
    CAPTURE(part);
    CHECK_ERROR(opened(scratch, variant, parts), ErrorCode::kInvalidInput, part);
  };
  const auto order_of = [](std::int32_t n) {
    std::vector<std::int32_t> order;
    for (std::int32_t i = n - 1; i >= 0; --i) order.push_back(i);
    return Part{{"m.columns", DType::kI32, {n}}, bytes_of(order)};
  };
  const char* const kExpected = "expected an order of columns only beside codes of a matrix with scales of groups";
  refused("gptq-int4-g64", {order_of(96)}, "expected codes beside an order of columns");
  refused("gptq-int4",
          {{{"m.codes", DType::kU8, {2, 48}}, std::string(96, '\1')},
           {{"m.scales", DType::kF16, {2, 1}}, std::string(4, '\0')},
           order_of(96)},
          kExpected);
  refused("compressed-tensors-int8-w8a8",
          {{{"m.codes", DType::kI8, {2, 4}}, std::string(8, '\1')},
           {{"m.scales", DType::kF32, {2, 1}}, std::string(8, '\0')},
           order_of(4)},
          kExpected);
  refused("gptq-int4-g32",
          {{{"m.codes", DType::kU8, {2, 2, 16}}, std::string(64, '\1')},
           {{"m.scales", DType::kF16, {2, 2, 1}}, std::string(8, '\0')},
           order_of(32)},
          kExpected);
  refused("mxfp4",
          {{{"m.codes", DType::kU8, {2, 16}}, std::string(32, '\1')},
           {{"m.scales", DType::kU8, {2, 1}}, std::string(2, '\0')},
           order_of(32)},
          kExpected);
}

}  // namespace
}  // namespace secondsource::published_weights_test
